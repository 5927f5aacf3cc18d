"""The fold: bars of many instruments over shared cash, in clock order, through the same functions that live calls.

At each close: fills -> mark all -> decide in sorted instrument order. A fold can stop after any tick and go on later
with the state it left, so a long history is folded in stretches and the live trader is a fold that never ends.

Rows of a single instrument on which nothing can happen pass in one step (`passes`): an identity, not an approximation.
"""

import math

from novapulse.backtest.columns import (
    N_DENIALS,
    N_EQUITY,
    N_FILLS,
    N_ROUND_TRIPS,
    Fine,
    Market,
    Output,
    Records,
    Scratch,
    Signals,
    State,
)
from novapulse.backtest.orders import give_up, place_entry, place_exit, trade_bar, widen_excursion, write_denial
from novapulse.backtest.passes import fetch_ahead, is_warm, pass_flat, pass_held
from novapulse.backtest.tally import tally_tick
from novapulse.compiled import kernel
from novapulse.core.bars import Integers
from novapulse.core.records import Intent, Reason, Record, Verb
from novapulse.execution.fills import touches_protection
from novapulse.risk.decide import decide, no_change, no_opinion
from novapulse.risk.settle import mark_account, mark_position

FINISHED, OUTPUT_FULL = 0, 1

_NEVER = 2**63 - 1
_FIRST_DENIAL = Reason.SHORT_NOT_ALLOWED.value
_LAST_DENIAL = Reason.BELOW_MINIMUM.value


@kernel(allocates=False)
def fold(
    market: Market,
    signals: Signals,
    fine: Fine,
    instruments: Records,
    rules: Record,
    state: State,
    cursor: Integers,
    scratch: Scratch,
    output: Output,
    events_per_tick: int,
) -> int:
    """Fold the decision core over bars until they end or the output is full.

    Args:
        market: Bars of P instruments.
        signals: Signals of the same rows.
        fine: Finer bars inside the decision bars, or empty ones.
        instruments: INSTRUMENT[P], in sorted (exchange, symbol) order.
        rules: RULES record.
        state: Account, positions and orders; changed.
        cursor: int64[P], next row of each instrument; changed.
        scratch: One record of each kind to work in.
        output: Filled as the fold goes.
        events_per_tick: Room that one tick may need in each event array.

    Returns:
        `FINISHED`, or `OUTPUT_FULL` before the tick that might not fit.
    """
    grouped = False
    for j in range(instruments.size):
        grouped = grouped or instruments[j].group >= 0
    single = instruments.size == 1
    state.day[0] = 0
    tick = _next_tick(market, cursor)
    while tick != _NEVER:
        if single and state.orders[0].intent == Intent.NONE:
            if state.positions[0].qty_units == 0:
                passed = pass_flat(market, signals, cursor[0], rules, state, output)
            else:
                passed = pass_held(market, signals, fine, cursor[0], instruments[0], rules, state, output)
            cursor[0] += passed
            tick = _next_tick(market, cursor)
            if tick == _NEVER:
                break
        if output.keep and _is_full(output, events_per_tick):
            return OUTPUT_FULL
        _trade_and_mark(tick, market, fine, instruments, rules, state, cursor, scratch, output)
        _note_equity(tick, state, output)
        following = _NEVER
        for j in range(instruments.size):
            row = cursor[j]
            end = market.starts[j + 1]
            if row < end and market.ts_close_ns[row] == tick:
                _decide(j, row, market, signals, grouped, instruments, rules, state, scratch, output)
                row += 1
                cursor[j] = row
                if not single:
                    fetch_ahead(market, signals, row, rules)
            if row < end:
                following = min(following, market.ts_close_ns[row])
        tick = following
    return FINISHED


@kernel(inline=True, allocates=False)
def _next_tick(market: Market, cursor: Integers) -> int:
    tick = _NEVER
    for j in range(cursor.size):
        row = cursor[j]
        if row < market.starts[j + 1] and market.ts_close_ns[row] < tick:
            tick = market.ts_close_ns[row]
    return tick


@kernel(inline=True, allocates=False)
def _is_full(output: Output, events_per_tick: int) -> bool:
    counts = output.counts
    return max(counts[N_FILLS], counts[N_ROUND_TRIPS], counts[N_DENIALS]) + events_per_tick > output.fills.size


@kernel(inline=True, allocates=False)
def _trade(
    j: int,
    row: int,
    market: Market,
    fine: Fine,
    instruments: Records,
    rules: Record,
    state: State,
    scratch: Scratch,
    output: Output,
) -> None:
    if fine.starts.size > 0 and fine.stops[row] > fine.starts[row]:
        for inner in range(fine.starts[row], fine.stops[row]):
            _trade_one(j, inner, fine, instruments, rules, state, scratch, output)
        return
    _trade_one(j, row, market, instruments, rules, state, scratch, output)


@kernel(inline=True, allocates=False)
def _load_bar(columns: Market | Fine, row: int, rules: Record, bar: Record) -> None:
    bar.ts_close_ns = columns.ts_close_ns[row]
    bar.open = columns.open[row]
    bar.high = columns.high[row]
    bar.low = columns.low[row]
    bar.close = columns.close[row]
    bar.volume = columns.volume[row] if rules.participation_max > 0.0 else math.inf


@kernel(inline=True, allocates=False)
def _trade_one(
    j: int,
    row: int,
    columns: Market | Fine,
    instruments: Records,
    rules: Record,
    state: State,
    scratch: Scratch,
    output: Output,
) -> None:
    position = state.positions[j]
    order = state.orders[j]
    if order.intent == Intent.NONE and not touches_protection(position, columns.low[row], columns.high[row]):
        widen_excursion(position, columns.low[row], columns.high[row])
        return
    bar = scratch.bar[0]
    _load_bar(columns, row, rules, bar)
    counts = output.counts
    written = scratch.written[0]
    fill = counts[N_FILLS]
    denial = output.denials[counts[N_DENIALS]]
    trade_bar(
        j,
        bar,
        instruments[j],
        rules,
        state.account[0],
        position,
        order,
        state.tally[0],
        written,
        output.fills[fill],
        output.fills[fill + 1],
        output.fills[fill + 2],
        output.round_trips[counts[N_ROUND_TRIPS]],
        denial,
    )
    if written.denials > 0:
        output.reasons[j, denial.reason] += 1
    if output.keep:
        counts[N_FILLS] += written.fills
        counts[N_ROUND_TRIPS] += written.round_trips
        counts[N_DENIALS] += written.denials


@kernel(inline=True, allocates=False)
def _trade_and_mark(
    tick: int,
    market: Market,
    fine: Fine,
    instruments: Records,
    rules: Record,
    state: State,
    cursor: Integers,
    scratch: Scratch,
    output: Output,
) -> None:
    # A fill touches its own instrument and the cash, a mark its own instrument: one pass does both for all of them.
    value = 0.0
    gross = 0.0
    hold = 0.0
    pending = 0.0
    for j in range(instruments.size):
        position = state.positions[j]
        order = state.orders[j]
        if order.intent == Intent.NONE and position.qty_units == 0:
            continue
        row = cursor[j]
        if row < market.starts[j + 1] and market.ts_close_ns[row] == tick:
            _trade(j, row, market, fine, instruments, rules, state, scratch, output)
            mark_position(position, instruments[j], market.close[row], rules)
        if position.qty_units != 0:
            worth = position.qty * position.mark_price
            value += worth
            gross += abs(worth)
        if order.intent == Intent.ENTRY:
            hold += order.hold
            pending += order.notional
    account = state.account[0]
    account.hold = hold
    account.pending_exposure = pending
    mark_account(account, value, gross, tick)


@kernel(inline=True, allocates=False)
def _note_equity(tick: int, state: State, output: Output) -> None:
    account = state.account[0]
    tally_tick(state.tally[0], account.equity, account.gross_exposure, tick)
    if output.equity.size > 0:
        point = output.counts[N_EQUITY]
        output.equity[point] = account.equity
        if output.equity_ts_ns.size > 0:
            output.equity_ts_ns[point] = tick
        output.counts[N_EQUITY] = point + 1


@kernel(inline=True, allocates=False)
def _decide(
    j: int,
    row: int,
    market: Market,
    signals: Signals,
    grouped: bool,
    instruments: Records,
    rules: Record,
    state: State,
    scratch: Scratch,
    output: Output,
) -> None:
    position = state.positions[j]
    if position.qty_units == 0:
        why = no_opinion(position, signals.consensus[row], is_warm(signals, row), rules)
    else:
        why = no_change(state.account[0], position, signals.consensus[row], rules)
    if why != Reason.NONE:
        output.reasons[j, why] += 1
        state.denials_open[j] = -1
        return
    bar = scratch.bar[0]
    signal = scratch.signal[0]
    action = scratch.action[0]
    _load_bar(market, row, rules, bar)
    _load_signal(signals, row, signal)
    group = _group_exposure(j, instruments, state.positions, state.orders) if grouped else 0.0
    decide(state.account[0], position, instruments[j], bar, signal, group, rules, action)
    output.reasons[j, action.reason] += 1
    if action.verb == Verb.HOLD:
        _note_hold(j, bar, signal, action.reason, instruments, rules, state, output)
        return
    state.denials_open[j] = -1
    order = state.orders[j]
    if order.intent == Intent.ENTRY:
        turned = action.verb == Verb.WITHDRAW
        reason = Reason.UNFILLED_TURNED if turned else Reason.UNFILLED_SUPERSEDED
        give_up(j, reason, bar, state.account[0], position, order, output.denials[output.counts[N_DENIALS]])
        output.reasons[j, reason] += not turned
        output.counts[N_DENIALS] += output.keep
    if action.verb == Verb.ENTER:
        place_entry(order, position, state.account[0], action, signal, bar, rules)
    elif action.verb == Verb.EXIT:
        place_exit(order, position, action, bar, rules)


@kernel(inline=True, allocates=False)
def _load_signal(signals: Signals, row: int, signal: Record) -> None:
    signal.consensus = signals.consensus[row]
    signal.atr = signals.atr[row]
    signal.confidence = signals.confidence[row] if signals.confidence.size > 0 else 1.0
    signal.volatility = signals.volatility[row] if signals.volatility.size > 0 else math.nan
    signal.gate_probability = signals.gate_probability[row] if signals.gate_probability.size > 0 else math.nan
    signal.lead = signals.lead[row] if signals.lead.size > 0 else 0
    signal.regime = signals.regime[row] if signals.regime.size > 0 else 0
    signal.warm = is_warm(signals, row)
    signal.sure_fire = signals.sure_fire[row] if signals.sure_fire.size > 0 else False


@kernel(allocates=False)
def _group_exposure(j: int, instruments: Records, positions: Records, orders: Records) -> float:
    exposure = 0.0
    for other in range(instruments.size):
        if instruments[other].group == instruments[j].group:
            exposure += abs(positions[other].qty * positions[other].mark_price)
            if orders[other].intent == Intent.ENTRY:
                exposure += orders[other].notional
    return exposure


@kernel(inline=True, allocates=False)
def _note_hold(
    j: int,
    bar: Record,
    signal: Record,
    reason: int,
    instruments: Records,
    rules: Record,
    state: State,
    output: Output,
) -> None:
    running = state.denials_open[j]
    if reason < _FIRST_DENIAL or reason > _LAST_DENIAL:
        state.denials_open[j] = -1
    elif running >= 0 and output.denials[running].reason == reason:
        output.denials[running].last_ts_ns = bar.ts_close_ns
        output.denials[running].bars += 1
    elif output.keep:
        written = output.counts[N_DENIALS]
        write_denial(j, bar, signal, reason, instruments[j], rules, output.denials[written])
        state.denials_open[j] = written
        output.counts[N_DENIALS] = written + 1
