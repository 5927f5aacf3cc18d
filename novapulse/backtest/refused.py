"""What refused and unfilled entries would have made: each is entered at the next open and left by its own stops.

The account is left out of it: one unit of R is risked on each, nothing is refused for want of cash, and results do not
add up to an equity curve. Break-even, trail and the consensus that turns are left out as well, so an imagined entry is
no measure of a real one: it is compared with the entries that were taken, imagined in the same way.
"""

import math
from typing import NamedTuple

import numpy as np

from novapulse.backtest.columns import Market, Records
from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers
from novapulse.core.records import DENIAL, Record
from novapulse.risk.stops import round_trip_cost

HORIZON_BARS = 1_440
"""Bars after which an imagined position is closed at the close, where no round trip says how long one lasts."""

_HOLDS, _HORIZON_MIN = 5, 20


def horizon_bars(round_trips: Records) -> int:
    """Return after how many bars an imagined position is closed: five median holds of the run's own, at least 20."""
    if round_trips.size == 0:
        return HORIZON_BARS
    return int(np.clip(_HOLDS * np.median(round_trips["bars_held"]), _HORIZON_MIN, HORIZON_BARS))


def taken(result_fills: Records, round_trips: Records, instruments: Records, rules: Record) -> Records:
    """Return DENIAL[R]: the entries that were taken, as if they had been refused: the control of the experiment.

    Args:
        result_fills: FILL[F], whose first fill of each round trip names the decision.
        round_trips: ROUND_TRIP[R].
        instruments: INSTRUMENT[P].
        rules: RULES record.
    """
    entries = np.zeros(round_trips.size, DENIAL)
    numbers, first = np.unique(result_fills["round_trip"], return_index=True)
    fills = result_fills[first[np.searchsorted(numbers, round_trips["number"])]]
    costs = np.array([round_trip_cost(instrument, rules) for instrument in instruments])
    distance = round_trips["risk"] / round_trips["qty"]
    by_range = distance * rules.target_atr / rules.stop_atr
    by_cost = rules.target_cost_multiple_min * costs[round_trips["instrument"]] * round_trips["entry_price"]
    entries["instrument"], entries["direction"] = round_trips["instrument"], round_trips["direction"]
    entries["first_ts_ns"], entries["stop_distance"] = fills["decision_ts_ns"], distance
    entries["bars"] = 1
    entries["target_distance"] = np.maximum(by_range, by_cost) if rules.target_atr > 0.0 else 0.0
    return entries


class Imagined(NamedTuple):
    """Outcome of each denial: float64[D] in R after costs, NaN where no bar follows; int64[D] bars it was held."""

    r: Floats
    bars_held: Integers


def imagine(
    denials: Records, market: Market, instruments: Records, rules: Record, horizon: int = HORIZON_BARS
) -> Imagined:
    """Return what each denial would have made.

    Args:
        denials: DENIAL[D].
        market: The bars they were decided on.
        instruments: INSTRUMENT[P].
        rules: RULES record: spread, slippage, and the target where a denial has none.
        horizon: Bars after which a position is closed.

    Returns:
        R after taker fees, half spreads and slippage on both sides. A bar with stop and target inside it is a stop; a
        gap beyond the stop leaves at the open. Where costs pushed the target too far away, it is `target_atr` by
        `stop_atr` stop distances from the entry.
    """
    imagined = Imagined(np.full(denials.size, math.nan), np.zeros(denials.size, np.int64))
    if denials.size:
        _imagine(denials, market, instruments, rules, horizon, imagined.r, imagined.bars_held)
    return imagined


@kernel
def _imagine(
    denials: Records,
    market: Market,
    instruments: Records,
    rules: Record,
    horizon: int,
    results: Floats,
    held: Integers,
) -> None:
    worse = rules.half_spread_fraction + rules.slippage_fraction
    for d in range(denials.size):
        denial = denials[d]
        j = denial.instrument
        stop_distance = denial.stop_distance
        row = _first_row_after(market, market.starts[j], market.starts[j + 1], denial.first_ts_ns)
        end = min(row + horizon, market.starts[j + 1])
        if row >= end or not stop_distance > 0.0:
            continue
        side = denial.direction
        target_distance = denial.target_distance
        if target_distance < 0.0:
            target_distance = stop_distance * rules.target_atr / rules.stop_atr
        fee = max(instruments[j].taker_fee_e8, 0) * 1e-8
        entry = market.open[row] * (1.0 + side * worse)
        stop = entry - side * stop_distance
        target = entry + side * target_distance if target_distance > 0.0 else side * math.inf
        leave, last = market.close[end - 1], end - 1
        for k in range(row, end):
            worst = market.low[k] if side > 0 else market.high[k]
            best = market.high[k] if side > 0 else market.low[k]
            if side * (worst - stop) <= 0.0:
                gapped = k > row and side * (market.open[k] - stop) < 0.0
                leave, last = market.open[k] if gapped else stop, k
                break
            if side * (best - target) >= 0.0:
                leave, last = target, k
                break
        leave *= 1.0 - side * worse
        results[d] = (side * (leave - entry) - fee * (entry + leave)) / stop_distance
        held[d] = last - row + 1


@kernel(inline=True, allocates=False)
def _first_row_after(market: Market, low: int, high: int, ts_ns: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if market.ts_close_ns[middle] <= ts_ns:
            low = middle + 1
        else:
            high = middle
    return low
