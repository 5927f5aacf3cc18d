"""Since when an account could decide anything: ticks before that are no track record, however flat they are."""

import numpy as np

from novapulse.backtest.columns import Market, Records
from novapulse.core.bars import DAY_NS, Flags, Integers

_NEVER = 2**63 - 1


def note_warmth(tally: Records, market: Market, warm: Flags) -> None:
    """Count the cold ticks and days of one more stretch, up to the first warm row of any instrument.

    Args:
        tally: TALLY[1], changed.
        market: Bars of the stretch.
        warm: bool[N], or empty where every row is warm.
    """
    if tally["warm_ts_ns"][0] > 0:
        return
    first_ns = _first_warm_ns(market, warm)
    closes = market.ts_close_ns
    if warm.size:
        cold = _distinct(np.sort(closes[closes < first_ns], kind="stable"))
        day = (cold - 1) // DAY_NS
        whole = _distinct(day[(day < (first_ns - 1) // DAY_NS) & (day > tally["cold_day"][0])])
        tally["cold_ticks"] += cold.size
        tally["cold_days"] += whole.size
        if whole.size:
            tally["cold_day"] = whole[-1]
    if first_ns != _NEVER:
        # The day that becomes warm may have been counted at the end of the stretch before.
        tally["cold_days"] -= tally["cold_day"] == (first_ns - 1) // DAY_NS
        tally["warm_ts_ns"] = first_ns


def _distinct(ascending: Integers) -> Integers:
    """Return the values of a sorted column, each once; `np.unique` takes most of the time of a fold."""
    return ascending[np.append(True, np.diff(ascending) != 0)] if ascending.size else ascending


def _first_warm_ns(market: Market, warm: Flags) -> int:
    first_ns = _NEVER
    for start, stop in zip(market.starts[:-1].tolist(), market.starts[1:].tolist(), strict=True):
        row = start + int(np.argmax(warm[start:stop])) if warm.size and stop > start else start
        if row < stop and (warm.size == 0 or warm[row]):
            first_ns = min(first_ns, int(market.ts_close_ns[row]))
    return first_ns
