"""Rows on which nothing can happen, passed in one step: an identity with deciding bar by bar, proved by a test.

A flat instrument without a working order and without an opinion changes nothing but the clock. One in a position whose
bar reaches neither stop nor target, whose stop does not move and which `decide` would keep changes only its marks. Both
stay within one UTC day, ask the questions that `decide` and the fill model ask, and stop before the first row on which
the answer is another.
"""

import math

from novapulse.backtest.columns import N_EQUITY, Fine, Market, Output, Signals, State
from novapulse.backtest.tally import put_sums, sums_of, tally_still, with_tick
from novapulse.compiled import at, kernel, prefetch
from novapulse.core.bars import Floats
from novapulse.core.records import Reason, Record
from novapulse.execution.fills import touches_protection
from novapulse.risk.decide import is_strong, no_change, no_opinion
from novapulse.risk.stops import ratchet_gain

_ROWS_PER_LINE = 8
_AHEAD = 16


@kernel(inline=True, allocates=False)
def is_warm(signals: Signals, row: int) -> bool:
    """Tell whether a row's signal is warm; signals without that column always are."""
    return signals.warm[row] if signals.warm.size > 0 else True


@kernel(inline=True, allocates=False)
def pass_flat(market: Market, signals: Signals, row: int, rules: Record, state: State, output: Output) -> int:
    """Pass rows of a flat single instrument without an opinion; return how many there were."""
    account = state.account[0]
    last = row
    end = rows_until(market, row, account.day_end_ns, state)
    cold = 0
    if signals.warm.size == 0:
        while last + _ROWS_PER_LINE <= end and _are_weak(signals.consensus, last, rules):
            _fetch(market, signals, last + _AHEAD, rules)
            last += _ROWS_PER_LINE
        if last + _ROWS_PER_LINE <= end:
            last += _weak_rows(signals.consensus, last, rules)
    while last < end:
        why = no_opinion(state.positions[0], at(signals.consensus, last), is_warm(signals, last), rules)
        if why == Reason.NONE:
            break
        cold += why == Reason.NOT_WARM
        last += 1
        fetch_ahead(market, signals, last, rules)
    passed = last - row
    if passed == 0:
        return 0
    output.reasons[0, Reason.NOT_WARM] += cold
    output.reasons[0, Reason.NO_SIGNAL] += passed - cold
    state.denials_open[0] = -1
    account.hold = 0.0
    account.pending_exposure = 0.0
    tally_still(state.tally[0], passed, market.ts_close_ns[last - 1])
    if output.equity.size > 0:
        point = output.counts[N_EQUITY]
        for k in range(passed):
            output.equity[point + k] = account.equity
        output.counts[N_EQUITY] = point + passed
    return passed


@kernel(inline=True, allocates=False)
def rows_until(market: Market, row: int, day_end_ns: int, state: State) -> int:
    """Return the row behind the last bar of the account's day, looked for once a day."""
    day = state.day
    if day[0] != day_end_ns:
        day[0] = day_end_ns
        day[1] = _rows_by_guess(market, row, day_end_ns)
    return day[1]


@kernel(allocates=False)
def _rows_by_guess(market: Market, row: int, day_end_ns: int) -> int:
    # Where no bar is missing, the guess is right; else bisection finds the row.
    closes, low, high = market.ts_close_ns, row, market.starts[1]
    if row + 1 < high:
        guess = row + (day_end_ns - closes[row]) // (closes[row + 1] - closes[row]) + 1
        if row < guess < high and closes[guess - 1] <= day_end_ns < closes[guess]:
            return guess
    while low < high:
        middle = (low + high) // 2
        if closes[middle] <= day_end_ns:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(inline=True, allocates=False)
def _are_weak(consensus: Floats, row: int, rules: Record) -> bool:
    strong = 0
    for k in range(_ROWS_PER_LINE):
        strong += is_strong(at(consensus, row + k), rules)
    return strong == 0


@kernel(inline=True, allocates=False)
def _weak_rows(consensus: Floats, row: int, rules: Record) -> int:
    weak = _ROWS_PER_LINE
    for k in range(_ROWS_PER_LINE):
        weak = min(weak, k if is_strong(at(consensus, row + k), rules) else _ROWS_PER_LINE)
    return weak


@kernel(inline=True, allocates=False)
def fetch_ahead(market: Market, signals: Signals, row: int, rules: Record) -> None:
    """Once per cache line, ask for columns of rows to come: a quiet row reads one of them, an entry needs them all."""
    if row % _ROWS_PER_LINE == 0:
        _fetch(market, signals, row + _AHEAD, rules)


@kernel(inline=True, allocates=False)
def _fetch(market: Market, signals: Signals, row: int, rules: Record) -> None:
    """Ask for one row of every column that a decision or a fill may need, as far as there is such a row."""
    if row >= market.close.size:
        return
    prefetch(market.open, row)
    prefetch(market.high, row)
    prefetch(market.low, row)
    prefetch(market.close, row)
    if rules.participation_max > 0.0:
        prefetch(market.volume, row)
    prefetch(market.ts_close_ns, row)
    prefetch(signals.atr, row)


@kernel(inline=True, allocates=False)
def pass_held(
    market: Market,
    signals: Signals,
    fine: Fine,
    row: int,
    instrument: Record,
    rules: Record,
    state: State,
    output: Output,
) -> int:
    """Pass rows on which a single open position only changes its marks; return how many there were."""
    account, position, tally = state.account[0], state.positions[0], state.tally[0]
    if fine.starts.size > 0 or no_change(account, position, math.inf * position.direction, rules) != Reason.HOLDING:
        return 0
    direction, qty, cash = position.direction, position.qty, account.cash
    best, worst, held = position.best_price, position.worst_price, position.bars_held
    day_peak, peak = account.day_peak, account.equity_peak
    moves_stop = ratchet_gain(position, instrument, rules)
    leaves_at = rules.time_stop_bars if rules.time_stop_bars > 0 else math.inf
    sums = sums_of(tally)
    last = row
    end = rows_until(market, row, account.day_end_ns, state)
    while last < end and held + 1 < leaves_at:
        low, high = at(market.low, last), at(market.high, last)
        reached = max(best, high) if direction > 0 else min(best, low)
        if touches_protection(position, low, high) or direction * (reached - position.entry_price) >= moves_stop:
            break
        if direction * at(signals.consensus, last) <= -rules.exit_forecast_min:
            break
        best = reached
        worst = min(worst, low) if direction > 0 else max(worst, high)
        held += 1
        worth = qty * at(market.close, last)
        equity = cash + worth
        day_peak = max(day_peak, equity)
        peak = max(peak, equity)
        sums = with_tick(sums, equity, abs(worth))
        if output.equity.size > 0:
            output.equity[output.counts[N_EQUITY] + last - row] = equity
        last += 1
    passed = last - row
    if passed == 0:
        return 0
    output.reasons[0, Reason.HOLDING] += passed
    state.denials_open[0] = -1
    position.mark_price = market.close[last - 1]
    position.best_price, position.worst_price, position.bars_held = best, worst, held
    worth = qty * position.mark_price
    account.hold = 0.0
    account.pending_exposure = 0.0
    account.gross_exposure = abs(worth)
    account.equity = cash + worth
    account.day_peak, account.equity_peak = day_peak, peak
    put_sums(tally, sums, passed, market.ts_close_ns[last - 1])
    if output.equity.size > 0:
        output.counts[N_EQUITY] += passed
    return passed
