"""One instrument's votes under calibrations that are known, and their consensus."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from novapulse.compiled import kernel
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import Codes, Known, Rules, Said, SignalColumns, combine, scale_votes
from novapulse.confluence.plan import Plan
from novapulse.confluence.thresholds import DailyThresholds
from novapulse.confluence.timeframes import Frame, known_rows, regime_labels
from novapulse.core.bars import BarColumns, Flags, Floats, Integers
from novapulse.strategies import evaluate_all
from novapulse.strategies.votes import FORECAST_MAX


class Rows(NamedTuple):
    """Calibrations as columns.

    Attributes:
        valid_from_ns: int64[R], ascending.
        thresholds: float64[R, P, T, 5].
        volatility: float64[R, P].
        scalars: float64[R, T, S].
        weights: float64[R, 6, S], tilted weights times regime multipliers.
        diversification: float64[R].
    """

    valid_from_ns: Integers
    thresholds: Floats
    volatility: Floats
    scalars: Floats
    weights: Floats
    diversification: Floats

    @classmethod
    def of(cls, calibrations: Sequence[Calibration], plan: Plan) -> Self:
        """Lay rows one behind the other."""
        weights = np.array([row.weights for row in calibrations])
        return cls(
            np.array([row.valid_from_ns for row in calibrations]),
            np.array([row.thresholds for row in calibrations]),
            np.array([row.volatility for row in calibrations]),
            np.array([row.scalars for row in calibrations]),
            weights[:, None, :] * plan.multipliers[None, :, :],
            np.array([row.diversification for row in calibrations]),
        )

    def at(self, stamps: Integers) -> Integers:
        """Return, for each close, the last row that was valid before it; the first one where there is none."""
        return rows_at(self.valid_from_ns, stamps)


def rows_at(valid_from_ns: Integers, stamps: Integers) -> Integers:
    """Return, for each ascending close, the last row valid from before it on; row 0 where there is none."""
    rows = np.empty(stamps.size, np.int64)
    _rows_at(valid_from_ns, stamps, rows)
    return rows


def heard(frame: Frame, valid_from_ns: Integers, thresholds: Floats, plan: Plan) -> Floats:
    """Return float64[S, N], forecast times confidence of each strategy on one timeframe, -20..20.

    Args:
        frame: The timeframe.
        valid_from_ns: int64[R], from when on each row of thresholds counts.
        thresholds: float64[R, 5], the timeframe's regime thresholds.
        plan: Which strategies.

    Raises:
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    looked_up = DailyThresholds(levels=thresholds, calibration=rows_at(valid_from_ns, frame.bars.ts_close_ns))
    votes = evaluate_all(plan.strategies, frame.bars, looked_up)
    heard_votes = np.empty((len(votes), len(frame.bars)))
    for s, vote in enumerate(votes.values()):
        np.multiply(vote.forecast, vote.confidence, out=heard_votes[s])
    return heard_votes


def weigh(
    bars: BarColumns,
    frames: tuple[Frame, ...],
    votes: list[Floats],
    rows: Rows,
    p: int,
    plan: Plan,
    book: Floats | None,
) -> SignalColumns:
    """Return the consensus at each base close.

    Args:
        bars: Base bars of interest.
        frames: Their timeframes, warm-up included.
        votes: float64[S, n] for each timeframe; scaled in place.
        rows: Calibrations that cover the frames.
        p: Which of the calibrations' instruments this is.
        plan: What is weighed.
        book: float64[N], the order book's forecast, NaN where there is none.

    Returns:
        Columns as long as `bars`; `calibration` counts in `rows`.
    """
    said = SignalColumns.empty(len(bars), plan.names)
    settings = plan.settings
    for t, frame in enumerate(frames):
        scale_votes(votes[t], rows.at(frame.bars.ts_close_ns), rows.scalars[:, t], plan.timeframe_shares[t])
    known = [known_rows(bars, 1, frame) for frame in frames]
    calibration = rows.at(bars.ts_close_ns)
    np.take(rows.volatility[:, p], calibration, out=said.volatility)
    said.calibration[:] = calibration
    for t, frame in enumerate(frames):
        if frame.multiple == settings.stop_multiple:
            _look_up(known[t], frame.warm, frame.atr, said.atr)
        if frame.multiple == settings.regime_multiple:
            levels = rows.thresholds[:, p, t]
            looked_up = DailyThresholds(levels=levels, calibration=rows.at(frame.bars.ts_close_ns))
            _look_up_codes(known[t], frame.warm, regime_labels(frame, looked_up), said.regime)
    columns = np.empty((len(frames), len(bars)), np.int64)
    offset = 0
    for t, frame in enumerate(frames):
        _lay_behind(known[t], frame.warm, offset, columns[t])
        offset += len(frame.bars)
    combine(
        Known(
            np.concatenate(votes, axis=1),
            columns,
            said.regime,
            np.zeros(0) if book is None else book,
            calibration,
            rows.weights,
            rows.diversification,
        ),
        rules_of(plan),
        Said(said.consensus, said.confidence, said.lead, said.warm, said.sure_fire),
    )
    return said


def rules_of(plan: Plan) -> Rules:
    """Return the constants of the combination."""
    settings = plan.settings
    return Rules(
        np.array(settings.agreement_multipliers),
        settings.book_weight,
        settings.sure_fire.actionable_strength * FORECAST_MAX,
        settings.sure_fire.strategies_min,
        settings.sure_fire.confidence_min,
    )


@kernel
def _rows_at(valid_from_ns: Integers, stamps: Integers, rows: Integers) -> None:
    row = 0
    for i in range(stamps.size):
        while row + 1 < valid_from_ns.size and valid_from_ns[row + 1] < stamps[i]:
            row += 1
        rows[i] = row


@kernel
def _look_up(rows: Integers, warm: Flags, values: Floats, out: Floats) -> None:
    for i in range(rows.size):
        if rows[i] >= 0 and warm[rows[i]]:
            out[i] = values[rows[i]]


@kernel
def _look_up_codes(rows: Integers, warm: Flags, values: Codes, out: Codes) -> None:
    for i in range(rows.size):
        if rows[i] >= 0 and warm[rows[i]]:
            out[i] = values[rows[i]]


@kernel
def _lay_behind(rows: Integers, warm: Flags, offset: int, out: Integers) -> None:
    for i in range(rows.size):
        out[i] = rows[i] + offset if rows[i] >= 0 and warm[rows[i]] else -1
