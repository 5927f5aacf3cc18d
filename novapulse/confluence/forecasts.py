"""What every strategy thought at every bar: the forecasts that the consensus is made of, and what weight they had.

Invariant: a forecast or a share here is the one that `explain` shows for the same bar, to the bit.
"""

from collections.abc import Sequence

import numpy as np

from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import scale_votes
from novapulse.confluence.plan import Plan
from novapulse.confluence.settings import ConfluenceError
from novapulse.confluence.timeframes import frames_of, known_rows
from novapulse.confluence.voices import Rows, heard
from novapulse.core.bars import BarColumns, Floats
from novapulse.core.instruments import InstrumentKey


def forecasts_by_strategy(
    bars: BarColumns,
    plan: Plan,
    calibrations: Sequence[Calibration],
    key: InstrumentKey,
    *,
    last: int | None = None,
) -> Floats:
    """Return each strategy's forecast at each bar, its timeframes put together and regime weights left out.

    Args:
        bars: Base bars; `plan.warmup_base_bars` before those of interest make the result that of the whole history.
        plan: What is weighed.
        calibrations: Rows that cover the bars, ascending; bars before the first are given its numbers.
        key: Which of the calibrations' instruments this is.
        last: How many bars are of interest; None for all.

    Returns:
        float64[S, N], -20..20, strategies in the order of `plan.names`. A timeframe of which nothing is known, or
        that is not warm, adds 0.

    Raises:
        ConfluenceError: There is no calibration, or they do not know the instrument.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    if not calibrations or key not in calibrations[-1].instruments:
        raise ConfluenceError(f"the calibrations do not know {key}")
    first = 0 if last is None else max(len(bars) - last, 0)
    rows, p = Rows.of(calibrations, plan), calibrations[-1].instruments.index(key)
    forecasts = np.zeros((len(plan.names), len(bars) - first))
    for t, frame in enumerate(frames_of(bars, first, plan)):
        votes = heard(frame, rows.valid_from_ns, rows.thresholds[:, p, t], plan)
        scale_votes(votes, rows.at(frame.bars.ts_close_ns), rows.scalars[:, t], plan.timeframe_shares[t])
        known = known_rows(bars[first:], 1, frame)
        heard_now = (known >= 0) & frame.warm[known]
        forecasts[:, heard_now] += votes[:, known[heard_now]]
    return forecasts


def shares_of_weight(plan: Plan, calibration: Calibration, regime: int) -> list[float]:
    """Return each strategy's share of the whole weight, 0..1, in the order of `plan.names`; the book's left out.

    Args:
        plan: What is weighed.
        calibration: The one that counts.
        regime: Index into `regimes.LABELS`.
    """
    weights = [
        float(weight) * float(multiplier)
        for weight, multiplier in zip(calibration.weights, plan.multipliers[regime], strict=True)
    ]
    mass = 0.0
    for weight in weights:
        # One after the other, as the consensus adds them: `sum` would round otherwise.
        mass += weight
    return [weight / mass for weight in weights]
