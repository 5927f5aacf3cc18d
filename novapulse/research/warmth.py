"""Says when a backtest could decide nothing, because its bars are too few or have too many gaps, and what to do."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from novapulse.backtest import Result
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.bars import BarColumns, Floats, timeframe_text
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import Reason
from novapulse.strategies import Strategy

_WARM_MIN_FRACTION = 0.01


def cold_notes(
    result: Result, bars: Mapping[InstrumentKey, BarColumns], strategies: Mapping[str, Strategy]
) -> list[str]:
    """Return sentences about instruments whose bars were (almost) never warm: the cause and the remedy.

    Args:
        result: A backtest on the confluence.
        bars: The decision bars it ran on.
        strategies: Those it ran with.
    """
    cold = _cold_share(result)
    too_cold = cold > 1.0 - _WARM_MIN_FRACTION
    if not too_cold.any():
        return []
    chosen = [result.instruments[number].key for number in np.flatnonzero(too_cold)]
    some = "No" if (cold[too_cold] == 1.0).all() else "Almost no"
    whose = "" if len(chosen) == len(cold) else f" of {', '.join(key.symbol for key in chosen)}"
    longest = max(_longest_stretch(bars[key]) for key in chosen)
    plan = prepare(result.settings.confluence, strategies)
    width = timeframe_text(bars[chosen[0]].timeframe_ns)
    return [
        f"{some} bar{whose} was warm: the {plan.multiples[-1]}x timeframe needs {plan.warmup_base_bars:,} bars of "
        f"{width} without a gap, and the longest stretch here has {longest:,}.",
        _remedy(plan, longest),
    ]


def _cold_share(result: Result) -> Floats:
    # An order that was not filled is counted beside the decision of its bar.
    unfilled = [reason for reason in Reason if reason.name.startswith("UNFILLED")]
    decided = result.reasons.sum(axis=1) - result.reasons[:, unfilled].sum(axis=1)
    return np.asarray(result.reasons[:, Reason.NOT_WARM] / np.maximum(decided, 1), np.float64)


def _longest_stretch(bars: BarColumns) -> int:
    return max((rows.stop - rows.start for rows in bars.segments()), default=0)


def _remedy(plan: Plan, longest: int) -> str:
    settings = plan.settings
    each = plan.warmup_base_bars // plan.multiples[-1]
    kept = [multiple for multiple in plan.multiples[:-1] if each * multiple < longest]
    if not kept:
        return f"Give it a longer history: the {plan.multiples[0]}x timeframe alone needs {each * plan.multiples[0]:,}."
    return f"For such data set {', '.join(_settings_for(settings, len(kept)))}; or give it a longer history."


def _settings_for(settings: ConfluenceSettings, count: int) -> Iterator[str]:
    multiples = settings.timeframe_multiples[:count]
    weights = settings.timeframe_weights[:count] if count > 1 else (1.0,)
    # Where all that are left agree, nothing is taken off, as where all agreed before.
    agreement = settings.agreement_multipliers[-count:]
    yield f"confluence.timeframe_multiples {_listed(multiples)}"
    yield f"timeframe_weights {_listed(weights)}"
    yield f"agreement_multipliers {_listed(agreement)}"
    for key in ("stop_timeframe_multiple", "regime_timeframe_multiple"):
        if getattr(settings, key) not in (None, *multiples):
            yield f"{key} null"


def _listed(values: Sequence[float]) -> str:
    return f"[{','.join(f'{value:g}' for value in values)}]"
