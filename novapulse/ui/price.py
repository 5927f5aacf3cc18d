"""The price of one instrument with the round trips of a run on it, drawn once: a new run only exchanges what it traded.

Invariants:
- candles are those of `display_bars`; a choice of one names the close of its last bar;
- bars and regimes are sent where they are others than those that are shown, round trips with every run.
"""

from collections.abc import Callable, Sequence

import marimo as mo
import numpy as np
from numpy.typing import NDArray

from novapulse.backtest.columns import Records
from novapulse.core.bars import MINUTE_NS, BarColumns, Floats, timeframe_text
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.signals.regimes import LABELS
from novapulse.ui.aggregate import DisplayBars, display_bars
from novapulse.ui.session import scope
from novapulse.ui.widgets import Candles, Trips

BARS_MAX = 600
"""Most candles: those of more bars are made of several each."""

TRIPS_MAX = 1_000
"""Most round trips that are marked; of more, those that made or lost most."""

_SELECTED_MARGIN_BARS = 90
_HEIGHT = 440
_DEPTHS = (0.0, 0.0, 0.08, 0.05, 0.08, 0.15)
_SECOND_NS = 1_000_000_000

Window = tuple[int, int]


class Price:
    """The chart of one page.

    Attributes:
        chart: The widget, made once.
        widget: What marimo shows of it. It hangs on no cell: one that named it would run again at every choice.
    """

    def __init__(self, choose: Callable[[int], object]) -> None:
        """Make the chart, still empty; `choose` is called with the close of every bar that is chosen, ns UTC."""
        self.chart = scope().own(Candles(label="Price and round trips", height=_HEIGHT, whole=True, stale_s=0.0))
        self.chart.on_choice(choose)
        self.widget = mo.ui.anywidget(self.chart)
        self._bars: BarColumns | None = None
        self._window: Window | None = None
        self._regime: NDArray[np.int8] = np.zeros(0, np.int8)
        self._span = (0, 0)

    def show(
        self,
        key: InstrumentKey,
        bars: BarColumns,
        regime: NDArray[np.int8],
        trips: Records,
        strategies: Sequence[str],
        *,
        of: str,
        window: Window | None = None,
        selected_trip: int | None = None,
    ) -> None:
        """Show a run.

        Args:
            key: The instrument.
            bars: Its bars.
            regime: int8[N], regime of each bar, index into `regimes.LABELS`.
            trips: ROUND_TRIP[R] of the same instrument.
            strategies: Names that `trips.lead` counts in.
            of: What names the run, not empty.
            window: Closes (start, end] to show, ns UTC; None for all bars, or those around the selected round trip.
            selected_trip: `number` of the round trip that is pointed out; None for none.
        """
        chosen = trips[trips["number"] == selected_trip] if selected_trip is not None else trips[:0]
        self._show_bars(key, bars, regime, window or around(bars, chosen))
        self.chart.show_trips(
            columns(visible_trips(trips, *self._span), strategies),
            of,
            selected_trip if chosen.size else None,
            currency=key.symbol.partition("/")[2],
        )

    def _show_bars(self, key: InstrumentKey, bars: BarColumns, regime: NDArray[np.int8], window: Window) -> None:
        if bars is self._bars and window == self._window and np.array_equal(regime, self._regime):
            return
        self._bars, self._window, self._regime = bars, window, regime
        first, last = np.searchsorted(bars.ts_close_ns, window, side="right") if len(bars) else (0, 0)
        shown = display_bars(bars[first:last], BARS_MAX)
        width = timeframe_text(bars.timeframe_ns * shown.multiple)
        self._span = (int(shown.start_ns[0]), int(shown.ts_close_ns[-1])) if len(shown) else (0, 0)
        self.chart.show_bars(as_bars(shown))
        self.chart.show_note(f"{key.symbol}, {width} bars; a click explains one")
        self.chart.show_regimes(stretches(shown, regime[first:last][shown.last]))


def around(bars: BarColumns, chosen: Records) -> Window:
    """Return the closes (start, end] around the first of some round trips, or those of all bars for none."""
    if len(bars) == 0:
        return 0, 0
    if chosen.size == 0:
        return int(bars.ts_close_ns[0]) - 1, int(bars.ts_close_ns[-1])
    begin, finish = int(chosen["entry_ts_ns"][0]), int(chosen["exit_ts_ns"][0])
    margin = max(finish - begin, _SELECTED_MARGIN_BARS * bars.timeframe_ns)
    return begin - margin, finish + margin


def as_bars(shown: DisplayBars) -> BarColumns:
    """Return bars as they are drawn as bars, each at the close of the last one inside."""
    prices = shown.open, shown.high, shown.low, shown.close, shown.volume
    width_ns = int(np.diff(shown.ts_close_ns).min(initial=MINUTE_NS))
    return BarColumns(shown.ts_close_ns, *prices, shown.last, np.zeros(len(shown), np.bool_), width_ns)


def stretches(shown: DisplayBars, codes: NDArray[np.int8]) -> list[dict[str, object]]:
    """Return the regimes of some bars as stretches of time, shaded while trending, deeper when wilder."""
    if codes.size == 0:
        return []
    begins = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    ends = np.append(begins[1:], codes.size) - 1
    return [
        {
            "name": LABELS[codes[begin]],
            "from_ns": int(shown.ts_close_ns[begin]),
            "to_ns": int(shown.ts_close_ns[end]),
            "depth": _DEPTHS[codes[begin]],
        }
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]


def visible_trips(trips: Records, start_ns: int, end_ns: int) -> Records:
    """Return the round trips that were open within (start, end], at most `TRIPS_MAX`."""
    seen = trips[(trips["exit_ts_ns"] > start_ns) & (trips["entry_ts_ns"] <= end_ns)]
    if seen.size > TRIPS_MAX:
        seen = seen[np.sort(np.argsort(-np.abs(seen["pnl"]), kind="stable")[:TRIPS_MAX])]
    return seen


def columns(trips: Records, strategies: Sequence[str]) -> Trips:
    """Return round trips as the chart draws them.

    The stop is the first one. A target is known only where it was reached: it is the price of the exit then.
    """
    entries, directions = trips["entry_price"], trips["direction"]
    leads = np.where(trips["lead"] < len(strategies), trips["lead"], -1)
    codes, reasons = np.unique(trips["exit_reason"], return_inverse=True)
    rows = (
        trips["number"],
        trips["entry_ts_ns"] / _SECOND_NS,
        trips["exit_ts_ns"] / _SECOND_NS,
        entries,
        trips["exit_price"],
        directions,
        trips["r_multiple"],
        trips["pnl"],
        entries - directions * _over(trips["risk"], trips["qty"]),
        np.where(trips["exit_reason"] == Reason.EXIT_TARGET, trips["exit_price"], np.nan),
        leads,
        reasons,
    )
    return Trips(np.column_stack(rows), strategies, [REASON_TEXT[Reason(code)] for code in codes.tolist()])


def _over(numerator: Floats, denominator: Floats) -> Floats:
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
