"""The fold: bars of many instruments over shared cash, in clock order, through the same functions that live calls.

At each close: fills -> mark all -> decide in sorted instrument order. A fold can stop after any tick and go on later with
the state it left, so a long history is folded in stretches and the live trader is a fold that never ends.

A single flat instrument without an opinion changes nothing but the clock: such rows of one day pass in one step. That is an
identity, not an approximation, and a test folds `decide` bar by bar to prove it.
"""

import math

import numpy as np

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
from novapulse.backtest.tally import tally_still, tally_tick
from novapulse.compiled import kernel
from novapulse.core.bars import Flags, Floats, Integers
from novapulse.core.records import Intent, Reason, Record, Verb
from novapulse.execution.fills import touches_protection
from novapulse.risk.decide import decide, no_opinion
from novapulse.risk.settle import mark_account, mark_position

FINISHED, OUTPUT_FULL = 0, 1

_NEVER = np.int64(2**63 - 1)
_FIRST_DENIAL = Reason.SHORT_NOT_ALLOWED.value
_LAST_DENIAL = Reason.BELOW_MINIMUM.value


@kernel
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
    starts, ts_close_ns, opens, highs, lows, closes, volumes = market
    consensus, atr, confidence, volatility, gate_probability, lead, regime, warm, sure_fire = signals
    fine_starts, fine_ts_close_ns, fine_opens, fine_highs, fine_lows, fine_closes, fine_volumes = fine
    accounts, positions, orders, denials_open, tallies = state
    keep, counts, fills, round_trips, denials, reasons, equity_ts_ns, equity = output
    account = accounts[0]
    tally = tallies[0]
    bar = scratch.bar[0]
    signal = scratch.signal[0]
    action = scratch.action[0]
    written = scratch.written[0]
    count = instruments.size
    grouped = False
    for j in range(count):
        grouped = grouped or instruments[j].group >= 0
    while True:
        if count == 1 and positions[0].qty_units == 0 and orders[0].intent == Intent.NONE:
            row = cursor[0]
            quiet = _quiet_rows(row, starts[1], ts_close_ns, consensus, warm, account.day_end_ns, rules)
            if quiet > 0:
                _pass_quietly(row, quiet, ts_close_ns, warm, account, tally, counts, reasons, equity_ts_ns, equity)
                denials_open[0] = -1
                cursor[0] = row + quiet
                continue
        tick = _NEVER
        for j in range(count):
            row = cursor[j]
            if row < starts[j + 1] and ts_close_ns[row] < tick:
                tick = ts_close_ns[row]
        if tick == _NEVER:
            return FINISHED
        if keep and _is_full(counts, fills.size, events_per_tick):
            return OUTPUT_FULL

        for j in range(count):
            row = cursor[j]
            if row >= starts[j + 1] or ts_close_ns[row] != tick:
                continue
            if orders[j].intent == Intent.NONE and positions[j].qty_units == 0:
                continue
            if fine_starts.size > 0 and fine_starts[row + 1] > fine_starts[row]:
                for inner in range(fine_starts[row], fine_starts[row + 1]):
                    bar.ts_close_ns = fine_ts_close_ns[inner]
                    bar.open = fine_opens[inner]
                    bar.high = fine_highs[inner]
                    bar.low = fine_lows[inner]
                    bar.close = fine_closes[inner]
                    bar.volume = fine_volumes[inner]
                    if orders[j].intent == Intent.NONE and not touches_protection(positions[j], bar):
                        widen_excursion(positions[j], bar, False)
                        continue
                    n = counts[N_FILLS]
                    trade_bar(
                        j, bar, instruments[j], rules, account, positions[j], orders[j], tally, written,
                        fills[n], fills[n + 1], fills[n + 2], round_trips[counts[N_ROUND_TRIPS]], denials[counts[N_DENIALS]],
                    )  # fmt: skip
                    if keep:
                        counts[N_FILLS] += written.fills
                        counts[N_ROUND_TRIPS] += written.round_trips
                        counts[N_DENIALS] += written.denials
                    if written.denials > 0:
                        reasons[j, denials[counts[N_DENIALS] - keep].reason] += 1
            else:
                bar.ts_close_ns = tick
                bar.open = opens[row]
                bar.high = highs[row]
                bar.low = lows[row]
                bar.close = closes[row]
                bar.volume = volumes[row]
                if orders[j].intent == Intent.NONE and not touches_protection(positions[j], bar):
                    widen_excursion(positions[j], bar, False)
                    continue
                n = counts[N_FILLS]
                trade_bar(
                    j, bar, instruments[j], rules, account, positions[j], orders[j], tally, written,
                    fills[n], fills[n + 1], fills[n + 2], round_trips[counts[N_ROUND_TRIPS]], denials[counts[N_DENIALS]],
                )  # fmt: skip
                if keep:
                    counts[N_FILLS] += written.fills
                    counts[N_ROUND_TRIPS] += written.round_trips
                    counts[N_DENIALS] += written.denials
                if written.denials > 0:
                    reasons[j, denials[counts[N_DENIALS] - keep].reason] += 1

        value = 0.0
        gross = 0.0
        hold = 0.0
        pending = 0.0
        for j in range(count):
            position = positions[j]
            if position.qty_units != 0:
                row = cursor[j]
                if row < starts[j + 1] and ts_close_ns[row] == tick:
                    mark_position(position, instruments[j], closes[row], rules)
                worth = position.qty * position.mark_price
                value += worth
                gross += abs(worth)
            if orders[j].intent == Intent.ENTRY:
                hold += orders[j].hold
                pending += orders[j].notional
        account.hold = hold
        account.pending_exposure = pending
        mark_account(account, value, gross, tick)
        tally_tick(tally, account.equity, gross, tick)
        if equity.size > 0:
            point = counts[N_EQUITY]
            equity[point] = account.equity
            equity_ts_ns[point] = tick
            counts[N_EQUITY] = point + 1

        for j in range(count):
            row = cursor[j]
            if row >= starts[j + 1] or ts_close_ns[row] != tick:
                continue
            cursor[j] = row + 1
            if positions[j].qty_units == 0:
                why = no_opinion(consensus[row], warm[row] if warm.size > 0 else True, rules)
                if why != Reason.NONE:
                    reasons[j, why] += 1
                    denials_open[j] = -1
                    continue
            bar.ts_close_ns = tick
            bar.open = opens[row]
            bar.high = highs[row]
            bar.low = lows[row]
            bar.close = closes[row]
            bar.volume = volumes[row]
            signal.consensus = consensus[row]
            signal.atr = atr[row]
            signal.confidence = confidence[row] if confidence.size > 0 else 1.0
            signal.volatility = volatility[row] if volatility.size > 0 else math.nan
            signal.gate_probability = gate_probability[row] if gate_probability.size > 0 else math.nan
            signal.lead = lead[row] if lead.size > 0 else 0
            signal.regime = regime[row] if regime.size > 0 else 0
            signal.warm = warm[row] if warm.size > 0 else True
            signal.sure_fire = sure_fire[row] if sure_fire.size > 0 else False
            group = _group_exposure(j, instruments, positions, orders) if grouped else 0.0
            decide(account, positions[j], instruments[j], bar, signal, group, rules, action)
            reasons[j, action.reason] += 1
            if action.verb != Verb.HOLD:
                denials_open[j] = -1
                if orders[j].intent == Intent.ENTRY:
                    gone = denials[counts[N_DENIALS]]
                    give_up(j, Reason.UNFILLED_SUPERSEDED, bar, account, positions[j], orders[j], gone)
                    reasons[j, Reason.UNFILLED_SUPERSEDED] += 1
                    counts[N_DENIALS] += keep
                if action.verb == Verb.ENTER:
                    place_entry(orders[j], positions[j], account, action, signal, bar, rules)
                else:
                    place_exit(orders[j], positions[j], action, bar, rules)
            elif action.reason < _FIRST_DENIAL or action.reason > _LAST_DENIAL:
                denials_open[j] = -1
            elif denials_open[j] >= 0 and denials[denials_open[j]].reason == action.reason:
                denials[denials_open[j]].last_ts_ns = tick
                denials[denials_open[j]].bars += 1
            elif keep:
                denials_open[j] = counts[N_DENIALS]
                write_denial(j, bar, signal, action.reason, instruments[j], rules, denials[denials_open[j]])
                counts[N_DENIALS] += 1


@kernel(inline=True)
def _quiet_rows(
    row: int, end: int, ts_close_ns: Integers, consensus: Floats, warm: Flags, day_end_ns: int, rules: Record
) -> int:
    last = row
    while last < end and ts_close_ns[last] <= day_end_ns:
        if no_opinion(consensus[last], warm[last] if warm.size > 0 else True, rules) == Reason.NONE:
            break
        last += 1
    return last - row


@kernel(inline=True)
def _pass_quietly(
    row: int,
    quiet: int,
    ts_close_ns: Integers,
    warm: Flags,
    account: Record,
    tally: Record,
    counts: Integers,
    reasons: Integers,
    equity_ts_ns: Integers,
    equity: Floats,
) -> None:
    cold = 0
    for k in range(row, min(row + quiet, warm.size)):
        cold += not warm[k]
    reasons[0, Reason.NOT_WARM] += cold
    reasons[0, Reason.NO_SIGNAL] += quiet - cold
    account.hold = 0.0
    account.pending_exposure = 0.0
    tally_still(tally, quiet, ts_close_ns[row + quiet - 1])
    if equity.size == 0:
        return
    point = counts[N_EQUITY]
    for k in range(quiet):
        equity[point + k] = account.equity
        equity_ts_ns[point + k] = ts_close_ns[row + k]
    counts[N_EQUITY] = point + quiet


@kernel(inline=True)
def _is_full(counts: Integers, room: int, events_per_tick: int) -> bool:
    return max(counts[N_FILLS], counts[N_ROUND_TRIPS], counts[N_DENIALS]) + events_per_tick > room


@kernel
def _group_exposure(j: int, instruments: Records, positions: Records, orders: Records) -> float:
    exposure = 0.0
    for other in range(instruments.size):
        if instruments[other].group == instruments[j].group:
            exposure += abs(positions[other].qty * positions[other].mark_price)
            if orders[other].intent == Intent.ENTRY:
                exposure += orders[other].notional
    return exposure
