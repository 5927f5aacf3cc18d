"""Proof 4: an order stamped t fills on a bar that closes after t, at a price that bar allows.

A market order and a triggered stop trade at the open or worse. A resting limit trades inside the bar or worse. A stop
or target may fill on the bar its position was entered on (a limit entry inside the bar), never before.
"""

import numpy as np

from novapulse.core.bars import BarColumns, Flags
from novapulse.core.records import Liquidity, Reason
from novapulse.research.bias.proofs import Case
from novapulse.research.bias.report import Failure, Finding, Outcome, Proof
from novapulse.research.bias.subjects import Column, SubjectError

_STOPS = (Reason.EXIT_STOP, Reason.EXIT_BREAKEVEN, Reason.EXIT_TRAIL)
_NOISE = 1e-12


def fills(case: Case) -> Finding:
    """Check every fill of a subject that trades."""
    if case.subject.fills is None:
        return Finding(Proof.FILLS, Outcome.NOT_SHOWN, note="it does not trade")
    try:
        records = case.subject.fills(case.bars)
    except SubjectError as error:
        return Finding(Proof.FILLS, Outcome.FAILED, failure=Failure(change="all bars", error=str(error)))
    if records.size == 0:
        return Finding(Proof.FILLS, Outcome.NOT_SHOWN, note="nothing was filled on these bars")
    failure = impossible_fill(records, case.bars)
    return Finding(
        Proof.FILLS, Outcome.FAILED if failure else Outcome.PASSED, int(records.size), int(records.size), failure
    )


def impossible_fill(records: Column, bars: BarColumns) -> Failure | None:
    """Return the first fill that cannot have happened, or None.

    Args:
        records: FILL[F] of one instrument.
        bars: The bars it was traded on.
    """
    rows = np.minimum(np.searchsorted(bars.ts_close_ns, records["ts_ns"]), len(bars) - 1)
    on_a_bar = bars.ts_close_ns[rows] == records["ts_ns"]
    protective = np.isin(records["reason"], (*_STOPS, Reason.EXIT_TARGET))
    later = records["ts_ns"] - records["decision_ts_ns"]
    in_time = np.where(protective, later >= 0, later > 0)
    faults = {
        "is stamped at a time at which no bar closes": ~on_a_bar,
        "is stamped no later than its decision": ~in_time,
        "is better than the bar allows": ~_allowed(records, bars, rows, later == 0),
    }
    for words, bad in faults.items():
        if bad.any():
            return _failure(records, bars, rows, int(np.argmax(bad)), words)
    return None


def _allowed(records: Column, bars: BarColumns, rows: Column, entered_inside: Flags) -> Flags:
    side, price = records["side"], records["price"]
    best = np.where(side > 0, bars.low[rows], bars.high[rows])
    at_open = (records["liquidity"] == Liquidity.TAKER) & (records["reason"] != Reason.EXIT_TARGET) & ~entered_inside
    limit = np.where(at_open, bars.open[rows], best)
    allowed: Flags = side * (price - limit) >= -_NOISE * price
    return allowed


def _failure(records: Column, bars: BarColumns, rows: Column, index: int, words: str) -> Failure:
    fill = records[index]
    row = int(rows[index])
    verb = "buy" if fill["side"] > 0 else "sell"
    reason = Reason(int(fill["reason"])).name
    return Failure(
        change="all bars",
        column="price",
        row=row,
        ts_close_ns=int(fill["ts_ns"]),
        expected=float(bars.open[row]),
        got=float(fill["price"]),
        error=f"fill {index} ({verb} at {float(fill['price'])!r}, {reason}, row {row}) {words}",
    )
