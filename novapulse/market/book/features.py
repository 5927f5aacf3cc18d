"""What a book says: imbalance, microprice, depth, pressure, whales, voids, spoofing, liquidity, and one score of all.

Sources: the imbalance weighs levels by their distance; the microprice is the mid weighted by the best level, of which
Stoikov's is a learned correction; pressure is the order-flow imbalance of Cont, Kukanov and Stoikov (2014) over a
window, in mean depths of the best level. Whales, voids, spoofing and the score are heuristics of our own, stated below.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.market.book.columns import BookColumns, depth

BPS = 10_000.0

FEATURES = np.dtype(
    [
        ("mid", "<f8"),  # quote per base
        ("spread_bps", "<f8"),  # of the mid
        ("imbalance", "<f8"),  # -1..1, > 0: more is bid, nearer levels weigh more
        ("microprice", "<f8"),  # quote per base
        ("microprice_bps", "<f8"),  # its distance from the mid
        ("bid_vwap", "<f8"),  # quote per base, over the levels in reach
        ("ask_vwap", "<f8"),
        ("depth_ratio", "<f8"),  # 0..1: share of the quantity in reach that is bid
        ("bid_depth", "<f8"),  # quote, within reach of the mid
        ("ask_depth", "<f8"),
        ("pressure", "<f8"),  # order flow over the window, in mean depths of the best level; > 0 buys
        ("bid_whales", "<f8"),  # levels that are many times the median
        ("ask_whales", "<f8"),
        ("whale_balance", "<f8"),  # -1..1, of the quantity of whales
        ("bid_void_bps", "<f8"),  # distance of the first hole from the mid; NaN where there is none
        ("ask_void_bps", "<f8"),
        ("buy_slippage_bps", "<f8"),  # of an order of the usual size against the mid; NaN where the book is too thin
        ("sell_slippage_bps", "<f8"),
        ("spoofing", "<f8"),  # 0..1: quantity of whales that was taken back untouched in the window, of all that was
        # taken back or reached in it or stands now; each whale once, however often it was seen
        ("liquidity", "<f8"),  # 0..1
        ("score", "<f8"),  # -1..1, > 0 speaks for a rise
    ]
)

_Rows = NDArray[np.void]


class BookSettings(BaseModel):
    """How a book is measured; the defaults fit the large pairs of crypto exchanges."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reach_bps: float = Field(10.0, gt=0, description="How far from the mid depth counts.")
    decay_bps: float = Field(2.0, gt=0, description="Distance over which a level's weight falls to a third.")
    window: int = Field(50, ge=1, le=10_000, description="Books over which pressure and spoofing are summed.")
    whale_multiple: float = Field(10.0, gt=1, description="A whale is a level this many times its side's median.")
    void_multiple: float = Field(10.0, gt=1, description="A void is a step this many times its side's median.")
    order_notional: float = Field(10_000.0, gt=0, description="Order whose slippage is told, quote.")
    depth_reference: float = Field(
        250_000.0, gt=0, description="Depth in reach, of the thinner side, at which half of liquidity is given, quote."
    )
    spread_reference_bps: float = Field(2.0, gt=0, description="Spread at which half of liquidity is lost.")


def features(books: BookColumns, settings: BookSettings | None = None) -> _Rows:
    """Measure books: FEATURES[N]; all NaN for a book with a problem.

    Args:
        books: Oldest first. A row follows from the `window` books before it and itself; the first rows see fewer, and a
            book with a problem ends what is remembered.
        settings: How; defaults where None.
    """
    chosen = settings or BookSettings()
    found = np.full(len(books), np.nan, FEATURES)
    table = found.view(np.float64).reshape(len(books), len(FEATURES.names or ()))
    flow = np.zeros((len(books), 2))
    whales = np.zeros((len(books), 2))
    levels = books.bid_price.shape[1]
    _measure(
        books.bid_price,
        books.bid_qty,
        books.ask_price,
        books.ask_qty,
        books.problem,
        np.array(
            [
                chosen.reach_bps,
                chosen.decay_bps,
                chosen.whale_multiple,
                chosen.void_multiple,
                chosen.order_notional,
                chosen.depth_reference,
                chosen.spread_reference_bps,
            ]
        ),
        chosen.window,
        table,
        flow,
        whales,
        np.zeros(max(levels, 1)),
    )
    return found


@kernel(allocates=False)
def _measure(
    bid_price: Floats,
    bid_qty: Floats,
    ask_price: Floats,
    ask_qty: Floats,
    problem: NDArray[np.int8],
    rules: Floats,
    window: int,
    table: Floats,
    flow: Floats,
    whales: Floats,
    scratch: Floats,
) -> None:
    first = 0
    for row in range(bid_price.shape[0]):
        if problem[row] != 0:
            first = row + 1
            continue
        _still(bid_price[row], bid_qty[row], ask_price[row], ask_qty[row], rules, table[row], scratch)
        flow[row, 1] = 0.5 * (bid_qty[row, 0] + ask_qty[row, 0])
        if row > first:
            flow[row, 0] = _flow(bid_price, bid_qty, ask_price, ask_qty, row)
            _left(bid_price, bid_qty, ask_price, row, table[row - 1, 11] > 0.0, -1.0, rules[2], scratch, whales)
            _left(ask_price, ask_qty, bid_price, row, table[row - 1, 12] > 0.0, 1.0, rules[2], scratch, whales)
        begin = max(first, row - window + 1)
        moved, usual, reached, pulled = 0.0, 0.0, 0.0, 0.0
        # Summed anew for every row, so that a window says the same wherever the history begins.
        for one in range(begin, row + 1):
            usual += flow[one, 1]
            if one > begin or begin > first:
                moved += flow[one, 0]
                reached += whales[one, 0]
                pulled += whales[one, 1]
        table[row, 10] = moved / (usual / (row - begin + 1))
        stands = _behind(bid_qty[row], depth(bid_price[row]), rules[2], scratch)
        stands += _behind(ask_qty[row], depth(ask_price[row]), rules[2], scratch)
        table[row, 18] = pulled / (pulled + reached + stands) if pulled > 0.0 else 0.0
        table[row, 20] = _score(table[row])


@kernel(allocates=False)
def _still(
    bid_price: Floats,
    bid_qty: Floats,
    ask_price: Floats,
    ask_qty: Floats,
    rules: Floats,
    out: Floats,
    scratch: Floats,
) -> None:
    bid, ask = bid_price[0], ask_price[0]
    mid = 0.5 * (bid + ask)
    out[0] = mid
    out[1] = (ask - bid) / mid * BPS
    near_bid, all_bid, out[5], out[8] = _sums(bid_price, bid_qty, mid, rules)
    near_ask, all_ask, out[6], out[9] = _sums(ask_price, ask_qty, mid, rules)
    out[2] = (near_bid - near_ask) / (near_bid + near_ask)
    out[3] = (ask * bid_qty[0] + bid * ask_qty[0]) / (bid_qty[0] + ask_qty[0])
    out[4] = (out[3] / mid - 1.0) * BPS
    out[7] = all_bid / (all_bid + all_ask) if all_bid + all_ask > 0.0 else math.nan
    out[11], large_bid = _whales(bid_qty, depth(bid_price), rules[2], scratch)
    out[12], large_ask = _whales(ask_qty, depth(ask_price), rules[2], scratch)
    out[13] = (large_bid - large_ask) / (large_bid + large_ask) if large_bid + large_ask > 0.0 else 0.0
    out[14] = _void(bid_price, mid, rules[3], scratch)
    out[15] = _void(ask_price, mid, rules[3], scratch)
    out[16] = _walk(ask_price, ask_qty, mid, rules[4])
    out[17] = -_walk(bid_price, bid_qty, mid, rules[4])
    deep = min(out[8], out[9])
    out[19] = deep / (deep + rules[5]) * rules[6] / (rules[6] + out[1])


@kernel(inline=True, allocates=False)
def _sums(prices: Floats, qtys: Floats, mid: float, rules: Floats) -> tuple[float, float, float, float]:
    near = total = paid = 0.0
    for level in range(depth(prices)):
        distance = abs(prices[level] - mid) / mid * BPS
        near += qtys[level] * math.exp(-distance / rules[1])
        if distance <= rules[0]:
            total += qtys[level]
            paid += qtys[level] * prices[level]
    return near, total, paid / total if total > 0.0 else math.nan, paid


@kernel(inline=True, allocates=False)
def _median(values: Floats, count: int) -> float:
    # Insertion sort: a side has some dozens of levels.
    for place in range(1, count):
        value = values[place]
        before = place - 1
        while before >= 0 and values[before] > value:
            values[before + 1] = values[before]
            before -= 1
        values[before + 1] = value
    half = count // 2
    upper: float = values[half]
    lower: float = values[half - 1] if count % 2 == 0 else upper
    return 0.5 * (lower + upper)


@kernel(inline=True, allocates=False)
def _large(qtys: Floats, levels: int, multiple: float, scratch: Floats) -> float:
    for level in range(levels):
        scratch[level] = qtys[level]
    return multiple * _median(scratch, levels)


@kernel(inline=True, allocates=False)
def _whales(qtys: Floats, levels: int, multiple: float, scratch: Floats) -> tuple[float, float]:
    limit = _large(qtys, levels, multiple, scratch)
    count = total = 0.0
    for level in range(levels):
        if qtys[level] >= limit:
            count += 1.0
            total += qtys[level]
    return count, total


@kernel(inline=True, allocates=False)
def _behind(qtys: Floats, levels: int, multiple: float, scratch: Floats) -> float:
    # Whales behind the best level: what stands there can be taken back unseen.
    limit = _large(qtys, levels, multiple, scratch)
    total = 0.0
    for level in range(1, levels):
        if qtys[level] >= limit:
            total += qtys[level]
    return total


@kernel(inline=True, allocates=False)
def _void(prices: Floats, mid: float, multiple: float, scratch: Floats) -> float:
    levels = depth(prices)
    if levels < 3:
        return math.nan
    for level in range(1, levels):
        scratch[level - 1] = abs(prices[level] - prices[level - 1])
    limit = multiple * _median(scratch, levels - 1)
    for level in range(1, levels):
        if abs(prices[level] - prices[level - 1]) >= limit:
            distance: float = abs(prices[level - 1] - mid) / mid * BPS
            return distance
    return math.nan


@kernel(inline=True, allocates=False)
def _walk(prices: Floats, qtys: Floats, mid: float, notional: float) -> float:
    left, bought = notional, 0.0
    for level in range(depth(prices)):
        taken = min(left, prices[level] * qtys[level])
        bought += taken / prices[level]
        left -= taken
        if left <= 0.0:
            slippage: float = (notional / bought / mid - 1.0) * BPS
            return slippage
    return math.nan


@kernel(inline=True, allocates=False)
def _flow(bid_price: Floats, bid_qty: Floats, ask_price: Floats, ask_qty: Floats, row: int) -> float:
    moved = 0.0
    if bid_price[row, 0] >= bid_price[row - 1, 0]:
        moved += bid_qty[row, 0]
    if bid_price[row, 0] <= bid_price[row - 1, 0]:
        moved -= bid_qty[row - 1, 0]
    if ask_price[row, 0] <= ask_price[row - 1, 0]:
        moved -= ask_qty[row, 0]
    if ask_price[row, 0] >= ask_price[row - 1, 0]:
        moved += ask_qty[row - 1, 0]
    return moved


@kernel(allocates=False)
def _left(
    prices: Floats,
    qtys: Floats,
    others: Floats,
    row: int,
    has_any: bool,
    away: float,
    multiple: float,
    scratch: Floats,
    whales: Floats,
) -> None:
    # A whale that is gone although the price never came to it was taken back, not traded.
    if not has_any:
        return
    levels = depth(prices[row - 1])
    limit = _large(qtys[row - 1], levels, multiple, scratch)
    for level in range(1, levels):
        if qtys[row - 1, level] < limit:
            continue
        price = prices[row - 1, level]
        is_reached = (others[row, 0] - price) * away >= 0.0
        last = depth(prices[row]) - 1
        is_in_view = (prices[row, last] - price) * away >= 0.0
        if is_reached:
            whales[row, 0] += qtys[row - 1, level]
        elif is_in_view:
            kept = 0.0
            for now in range(last + 1):
                if prices[row, now] == price:
                    kept = qtys[row, now]
            whales[row, 1] += max(0.0, qtys[row - 1, level] - kept)


@kernel(inline=True, allocates=False)
def _score(out: Floats) -> float:
    # Each part is in -1..1; what is thin or looks staged speaks less.
    spread = max(out[1], 1e-9)
    tilt = 2.0 * out[7] - 1.0
    if math.isnan(tilt):
        tilt = 0.0
    parts = (
        0.35 * out[2]
        + 0.20 * tilt
        + 0.25 * math.tanh(0.1 * out[10])
        + 0.10 * max(-1.0, min(1.0, 2.0 * out[4] / spread))
        + 0.10 * out[13]
    )
    trust = (0.5 + 0.5 * out[19]) * (1.0 - 0.5 * out[18])
    score: float = max(-1.0, min(1.0, parts * trust))
    return score
