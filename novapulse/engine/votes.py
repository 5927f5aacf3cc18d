"""What each strategy said at a close, and the bars that it said it of: made again beside the trading, never on its way.

Invariant: forecasts and shares are those that `confluence.explain` shows for the same bar, to the bit.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from novapulse.confluence.calibration import Calibration
from novapulse.confluence.forecasts import forecasts_by_strategy, shares_of_weight
from novapulse.confluence.plan import Plan
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey


@dataclass(frozen=True, slots=True)
class Window:
    """What the votes on one bar are made of.

    Attributes:
        bars: Up to that bar, with the warm-up before it.
        plan: What is weighed.
        calibrations: Those that count inside it, ascending; the last one counts at that bar.
    """

    bars: BarColumns
    plan: Plan
    calibrations: tuple[Calibration, ...]

    @classmethod
    def of(
        cls, bars: BarColumns, plan: Plan, calibrations: Sequence[Calibration], ts_close_ns: int, earlier: int = 0
    ) -> Self | None:
        """Cut the window of a close out of bars; None where none of them closes then, or nothing was learned.

        Args:
            bars: Ascending.
            plan: What is weighed.
            calibrations: Ascending.
            ts_close_ns: The close.
            earlier: So many closes before it can be judged from the window as well.
        """
        end = int(bars.ts_close_ns.searchsorted(ts_close_ns, side="right"))
        if end == 0 or int(bars.ts_close_ns[end - 1]) != ts_close_ns or not calibrations:
            return None
        cut = bars[max(end - plan.warmup_base_bars - 1 - earlier, 0) : end]
        from_ns = [row.valid_from_ns for row in calibrations]
        first = max(bisect_left(from_ns, int(cut.ts_close_ns[0])) - 1, 0)
        last = max(bisect_left(from_ns, ts_close_ns), 1)
        return cls(cut, plan, tuple(calibrations[first:last]))


@dataclass(frozen=True, slots=True)
class Past:
    """Bars of some instruments and what was learned from them, from which any window can be cut.

    Attributes:
        plan: What is weighed.
        bars: By instrument.
        calibrations: Ascending.
    """

    plan: Plan
    bars: Mapping[InstrumentKey, BarColumns]
    calibrations: tuple[Calibration, ...]

    def window(self, key: InstrumentKey, ts_close_ns: int, earlier: int = 0) -> Window | None:
        """Return the window of a close and of some before it; None where none of the instrument's bars closes then."""
        bars = self.bars.get(key)
        return None if bars is None else Window.of(bars, self.plan, self.calibrations, ts_close_ns, earlier)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one strategy said.

    Attributes:
        forecast: -20..20, its timeframes put together.
        weight: Its share of the whole weight at that bar, 0..1.
    """

    forecast: float
    weight: float


def votes_on(window: Window, key: InstrumentKey, regime: int) -> dict[str, Vote]:
    """Return the vote of each strategy on the last bar of a window.

    Args:
        window: Bars, and what they are judged by.
        key: Whose bars.
        regime: Of that bar, an index into `regimes.LABELS`.

    Raises:
        ConfluenceError: The calibrations do not know the instrument.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    plan = window.plan
    forecasts = forecasts_on(window, key, 1)
    shares = shares_of_weight(plan, window.calibrations[-1], regime)
    return {name: Vote(forecasts[name][-1], share) for name, share in zip(plan.names, shares, strict=True)}


def forecasts_on(window: Window, key: InstrumentKey, last: int) -> dict[str, list[float]]:
    """Return what each strategy forecast, -20..20, on the last bars of a window that was cut for so many.

    Raises:
        ConfluenceError: The calibrations do not know the instrument.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    forecasts = forecasts_by_strategy(window.bars, window.plan, window.calibrations, key, last=last)
    return dict(zip(window.plan.names, forecasts.tolist(), strict=True))
