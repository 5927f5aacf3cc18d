"""One clock tick of one account and one fill, compiled: the same functions in the same order as the backtest's fold.

Where the fold fills orders itself, the venue has done so before the tick: what is left of a bar is what an order does
when its time is over, the marks, and the decisions.
"""

from novapulse.backtest.orders import give_up, place_entry, place_exit, widen_by_bar
from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers
from novapulse.core.records import Intent, Liquidity, OrderKind, Reason, Record, Verb
from novapulse.execution.fills import stop_reason
from novapulse.execution.tactics import Step, cross, next_step, reach, reprice
from novapulse.risk.decide import decide
from novapulse.risk.limits import daily_loss
from novapulse.risk.settle import apply_fill, clear_position, mark_account, mark_position
from novapulse.risk.sizing import drawdown

TRIGGERED = 6
"""Step of an instrument whose bracket was triggered and has not closed the position: it is leaving at the market."""


@kernel(allocates=False)
def close_tick(
    ts_close_ns: int,
    bars: Record,
    signals: Record,
    present: Integers,
    inside: Integers,
    blocked: Integers,
    groups: Floats,
    reserved: Floats,
    instruments: Record,
    rules: Record,
    account: Record,
    positions: Record,
    orders: Record,
    denial: Record,
    actions: Record,
    steps: Integers,
    seen_account: Record,
    seen_positions: Record,
    losses: Floats,
) -> int:
    """Let a close act on working orders, mark everything, and decide in the order of the instruments.

    Args:
        ts_close_ns: The close.
        bars: BAR[P].
        signals: SIGNAL[P].
        present: int64[P], 1 where the instrument's bar closed now.
        inside: int64[P], 1 where the position was entered by a limit order inside this very bar, from flat.
        blocked: int64[P], a `Reason` that forbids entries of the instrument; 0 for none.
        groups: float64[P], written: the exposure of the group that a decision saw.
        reserved: float64[2], cash held and notional of orders that drain or are not known.
        instruments: INSTRUMENT[P], sorted.
        rules: RULES.
        account: ACCOUNT[1], changed.
        positions: POSITION[P], changed.
        orders: ORDER[P], changed: what is to be at work.
        denial: DENIAL[1] to work in.
        actions: ACTION[P], written where the bar closed.
        steps: int64[P], written: a `Step`, `TRIGGERED`, or 0.
        seen_account: ACCOUNT[P], written where an action is not HOLD: what the decision saw.
        seen_positions: POSITION[P], the same.
        losses: float64[2], written: the day's loss and the drawdown, shares of the equity.

    Returns:
        How many things want attention: steps, and actions that are not HOLD.
    """
    attention, grouped = 0, False
    for j in range(positions.size):
        position, order = positions[j], orders[j]
        grouped = grouped or instruments[j].group >= 0
        steps[j] = 0
        if present[j]:
            if position.qty_units != 0:
                steps[j] = _meet_the_bar(j, bars[j], inside[j], account[0], position, order, denial[0])
            if order.intent != Intent.NONE and 0 < order.expires_ns <= ts_close_ns:
                steps[j] = _time_out(j, bars[j], instruments[j], rules, account[0], position, order, denial[0])
            mark_position(position, instruments[j], bars[j].close, rules)
            attention += steps[j] != 0
    _mark(ts_close_ns, reserved, account[0], positions, orders)
    attention += _decide_all(
        bars,
        signals,
        present,
        blocked,
        grouped,
        groups,
        instruments,
        rules,
        account,
        positions,
        orders,
        denial,
        actions,
        seen_account,
        seen_positions,
    )
    losses[0], losses[1] = daily_loss(account[0]), drawdown(account[0])
    return attention


@kernel(inline=True, allocates=False)
def _mark(ts_close_ns: int, reserved: Floats, account: Record, positions: Record, orders: Record) -> None:
    value, gross, hold, pending = 0.0, 0.0, reserved[0], reserved[1]
    for j in range(positions.size):
        if positions[j].qty_units != 0:
            worth = positions[j].qty * positions[j].mark_price
            value += worth
            gross += abs(worth)
        if orders[j].intent == Intent.ENTRY:
            hold += orders[j].hold
            pending += orders[j].notional
    account.hold = hold
    account.pending_exposure = pending
    mark_account(account, value, gross, ts_close_ns)


@kernel(inline=True, allocates=False)
def _decide_all(
    bars: Record,
    signals: Record,
    present: Integers,
    blocked: Integers,
    grouped: bool,
    groups: Floats,
    instruments: Record,
    rules: Record,
    account: Record,
    positions: Record,
    orders: Record,
    denial: Record,
    actions: Record,
    seen_account: Record,
    seen_positions: Record,
) -> int:
    attention = 0
    for j in range(positions.size):
        if not present[j]:
            continue
        groups[j] = group_exposure(j, instruments, positions, orders) if grouped else 0.0
        action = actions[j]
        decide(account[0], positions[j], instruments[j], bars[j], signals[j], groups[j], rules, action)
        if action.verb == Verb.ENTER and blocked[j] != 0:
            action.verb = Verb.HOLD
            action.reason = blocked[j]
        if action.verb == Verb.HOLD:
            continue
        attention += 1
        seen_account[j] = account[0]
        seen_positions[j] = positions[j]
        if orders[j].intent == Intent.ENTRY:
            give_up(j, Reason.UNFILLED_TURNED, bars[j], account[0], positions[j], orders[j], denial[0])
        if action.verb == Verb.ENTER:
            place_entry(orders[j], positions[j], account[0], action, signals[j], bars[j], rules)
        elif action.verb == Verb.EXIT:
            place_exit(orders[j], positions[j], action, bars[j], rules)
    return attention


@kernel(inline=True, allocates=False)
def _meet_the_bar(
    j: int, bar: Record, inside: int, account: Record, position: Record, order: Record, denial: Record
) -> int:
    worst = bar.low if position.direction > 0 else bar.high
    triggered = position.direction * (worst - position.stop_price) <= 0.0 and position.stop_price > 0.0
    if triggered:
        if order.intent == Intent.ENTRY:
            give_up(j, Reason.UNFILLED_SUPERSEDED, bar, account, position, order, denial)
        order.intent = Intent.EXIT
        order.kind = OrderKind.MARKET
        order.side = -position.direction
        order.reason = stop_reason(position)
        order.units = abs(position.qty_units)
        order.hold = 0.0
        order.notional = 0.0
        order.decision_price = position.stop_price
        order.decision_ts_ns = bar.ts_close_ns
        order.active_ns = bar.ts_close_ns
        order.expires_ns = 0
        position.exiting = 1
    widen_by_bar(position, bar, inside != 0)
    return TRIGGERED if triggered else 0


@kernel(inline=True, allocates=False)
def _time_out(
    j: int,
    bar: Record,
    instrument: Record,
    rules: Record,
    account: Record,
    position: Record,
    order: Record,
    denial: Record,
) -> int:
    step = next_step(order, bar.close, bar.ts_close_ns, instrument, rules)
    if step == Step.CHASE:
        reprice(order, bar.close, bar.ts_close_ns, instrument, rules)
    elif step == Step.REACH:
        reach(order, bar.close, bar.ts_close_ns, instrument, rules)
    elif step == Step.CROSS:
        cross(order, bar.ts_close_ns, rules)
    else:
        give_up(j, Reason.UNFILLED_EXPIRED, bar, account, position, order, denial)
    return step


@kernel(allocates=False)
def group_exposure(j: int, instruments: Record, positions: Record, orders: Record) -> float:
    """Return the gross exposure of an instrument's group, entries at work included, in quote; 0 without a group."""
    if instruments[j].group < 0:
        return 0.0
    exposure = 0.0
    for other in range(positions.size):
        if instruments[other].group == instruments[j].group:
            exposure += abs(positions[other].qty * positions[other].mark_price)
            if orders[other].intent == Intent.ENTRY:
                exposure += orders[other].notional
    return exposure


@kernel(allocates=False)
def book_entry(
    fill: Record, plan: Record, instrument: Record, rules: Record, account: Record, position: Record, order: Record
) -> None:
    """Book a fill of an entry.

    Args:
        fill: FILL.
        plan: ORDER that the entry was decided with; it names direction, lead, regime, consensus and distances.
        instrument: INSTRUMENT.
        rules: RULES.
        account: ACCOUNT, changed.
        position: POSITION, changed.
        order: ORDER at work, changed where it is this entry's.
    """
    if position.entered_units == 0:
        position.direction = plan.side
        position.lead = plan.lead
        position.regime = plan.regime
        position.entry_consensus = plan.consensus
        position.stop_distance = plan.stop_distance
        position.target_distance = plan.target_distance
    is_working = order.intent == Intent.ENTRY and order.decision_ts_ns == plan.decision_ts_ns
    if is_working:
        left = max(order.units - fill.qty_units, 0)
        order.hold = order.hold * left / order.units
        order.notional = order.notional * left / order.units
        position.pending_units = order.side * left
        order.units = left
        if left == 0:
            order.intent = Intent.NONE
    elif position.qty_units == 0 and order.intent != Intent.ENTRY:
        # An entry at work counts already: of one instrument both are one.
        account.positions += 1
    apply_fill(account, position, instrument, fill, rules)


@kernel(allocates=False)
def book_exit(
    fill: Record, instrument: Record, rules: Record, account: Record, position: Record, order: Record, denial: Record
) -> bool:
    """Book a fill that reduces a position, and say whether it closed it; the caller clears it then.

    Args:
        fill: FILL, not larger than the position.
        instrument: INSTRUMENT.
        rules: RULES.
        account: ACCOUNT, changed.
        position: POSITION, changed.
        order: ORDER at work, changed: an exit is filled, an entry is superseded.
        denial: DENIAL to work in.
    """
    direction = position.direction
    if direction * (fill.price - position.worst_price) < 0.0:
        position.worst_price = fill.price
    if direction * (fill.price - position.best_price) > 0.0:
        position.best_price = fill.price
    if order.intent == Intent.ENTRY:
        order.intent = Intent.NONE
        position.pending_units = 0
    if order.intent == Intent.EXIT:
        order.units = max(abs(position.qty_units) - fill.qty_units, 0)
    closed = apply_fill(account, position, instrument, fill, rules)
    if closed:
        order.intent = Intent.NONE
        position.exiting = 0
        account.positions -= 1
    elif fill.liquidity == Liquidity.TAKER and order.intent == Intent.NONE:
        position.exiting = 0
    return closed


@kernel(allocates=False)
def forget_round_trip(position: Record) -> None:
    """Forget a closed round trip; the cooldown of the instrument stays."""
    clear_position(position)


@kernel(allocates=False)
def end_plan(j: int, bar: Record, account: Record, position: Record, order: Record, denial: Record) -> None:
    """Give up what is left of an entry, or take an exit back, outside of a bar."""
    if order.intent == Intent.ENTRY:
        give_up(j, Reason.UNFILLED_CANCELED, bar, account, position, order, denial)
    order.intent = Intent.NONE
    position.exiting = 0


@kernel(allocates=False)
def place_exit_now(order: Record, position: Record, action: Record, bar: Record, rules: Record) -> None:
    """Put an exit to work that was decided outside of a bar."""
    place_exit(order, position, action, bar, rules)


@kernel(allocates=False)
def reprice_now(order: Record, bar: Record, ts_ns: int, instrument: Record, rules: Record) -> None:
    """Move a working order to the passive side of the last close, outside of a bar."""
    reprice(order, bar.close, ts_ns, instrument, rules)
