"""The life of one working order inside the kernel: placed, filled, chased, crossed or given up.

Within one bar: a market order trades at the open; then protection, or an entry that rests as a limit and after it
protection; a limit exit comes last, so that a bar which holds both a stop and a better exit fills the stop. All of them
share what the bar's volume can fill. An exit across the spread trades at the open what it may, and rests after that.

Steps are taken at closes. In a gap of the bars nobody takes one: an order rests on and may fill in the first bar behind
it, but for an entry whose last moment has passed, which the venue has ended.
"""

from novapulse.backtest.tally import tally_fill, tally_round_trip
from novapulse.compiled import kernel
from novapulse.core.records import Intent, Liquidity, OrderKind, Reason, Record
from novapulse.execution.fills import Protection, fill_order, fill_protection, fillable_units
from novapulse.execution.room import entry_room
from novapulse.execution.tactics import Step, cross, has_lapsed, next_step, patience_ns, reach, reprice, rests_until
from novapulse.risk.settle import apply_fill, clear_position
from novapulse.risk.stops import stop_distance, target_distance


@kernel(inline=True, allocates=False)
def place_entry(
    order: Record, position: Record, account: Record, action: Record, signal: Record, bar: Record, rules: Record
) -> None:
    """Put an entry to work and reserve its cash and exposure."""
    order.intent = Intent.ENTRY
    _place(order, action, bar, rules)
    order.stop_distance = action.stop_distance
    order.target_distance = action.target_distance
    order.hold = action.hold
    order.notional = action.notional
    order.notional_max = action.notional_max
    order.consensus = signal.consensus
    order.lead = signal.lead
    order.regime = signal.regime
    position.pending_units = action.side * action.units
    if action.kind == OrderKind.MARKET:
        order.expires_ns = bar.ts_close_ns + patience_ns(rules)
    account.hold += action.hold
    account.pending_exposure += action.notional
    account.positions += 1


@kernel(inline=True, allocates=False)
def place_exit(order: Record, position: Record, action: Record, bar: Record, rules: Record) -> None:
    """Put an exit to work; it reserves nothing."""
    order.intent = Intent.EXIT
    _place(order, action, bar, rules)
    order.hold = 0.0
    order.notional = 0.0
    position.exiting = 1


@kernel(inline=True, allocates=False)
def _place(order: Record, action: Record, bar: Record, rules: Record) -> None:
    order.kind = action.kind
    order.side = action.side
    order.reason = action.reason
    order.units = action.units
    order.limit_price = action.limit_price
    order.decision_price = bar.close
    order.decision_ts_ns = bar.ts_close_ns
    order.active_ns = bar.ts_close_ns + rules.latency_ns
    order.expires_ns = rests_until(order, bar.ts_close_ns, rules) if action.kind == OrderKind.LIMIT else 0
    order.chases_left = rules.chases_max


@kernel(inline=True, allocates=False)
def write_denial(
    j: int, bar: Record, signal: Record, reason: int, instrument: Record, rules: Record, denial: Record
) -> None:
    """Write the first bar of a refused entry, with the stops it would have had."""
    denial.instrument = j
    denial.reason = reason
    denial.direction = 1 if signal.consensus > 0.0 else -1
    denial.lead = signal.lead
    denial.first_ts_ns = bar.ts_close_ns
    denial.last_ts_ns = bar.ts_close_ns
    denial.bars = 1
    denial.price = bar.close
    denial.stop_distance = stop_distance(instrument, signal.atr, rules)
    denial.target_distance = target_distance(instrument, bar.close, signal.atr, rules)
    denial.consensus = signal.consensus


@kernel(inline=True, allocates=False)
def trade_bar(
    j: int,
    bar: Record,
    instrument: Record,
    rules: Record,
    account: Record,
    position: Record,
    order: Record,
    tally: Record,
    written: Record,
    first_fill: Record,
    second_fill: Record,
    third_fill: Record,
    round_trip: Record,
    denial: Record,
) -> None:
    """Let one bar act on the working order and the open position of instrument j.

    Events go into the slots that follow `written`, which says how many of each there were.
    """
    written.fills = 0
    written.round_trips = 0
    written.denials = 0
    entered_inside = False
    held_at_open = position.qty_units != 0
    lapsed = has_lapsed(order, bar.ts_close_ns, rules)
    active = order.intent != Intent.NONE and bar.ts_close_ns > order.active_ns and not lapsed
    room = fillable_units(instrument, bar.volume, rules)
    fill = first_fill
    comes_first = active and (order.kind != OrderKind.LIMIT or order.intent == Intent.ENTRY)
    its_room = entry_room(account, position, order, room, bar, instrument, rules)
    if comes_first and fill_order(order, instrument, bar, rules, its_room, fill):
        room -= fill.qty_units
        entered_inside = order.kind == OrderKind.LIMIT
        held_at_open = held_at_open or not entered_inside
        _settle_order(order, position, bar, fill)
        _book(j, instrument, rules, account, position, order, tally, written, fill, round_trip)
        fill = second_fill
    if active and order.kind == OrderKind.ACROSS:
        order.kind = OrderKind.LIMIT
    hit = Protection.NOT_REACHED.value
    if position.qty_units != 0:
        hit = fill_protection(position, instrument, bar, rules, room, held_at_open, entered_inside, fill)
    if hit != Protection.NOT_REACHED and order.intent == Intent.ENTRY:
        give_up(j, Reason.UNFILLED_SUPERSEDED, bar, account, position, order, denial)
        written.denials += 1
    if hit == Protection.TRIGGERED:
        _leave_by_market(order, position, abs(position.qty_units), bar, fill)
    if hit == Protection.FILLED:
        room -= fill.qty_units
        left = _settle_protection(order, position, bar, fill)
        _book(j, instrument, rules, account, position, order, tally, written, fill, round_trip)
        if left > 0 and fill.liquidity == Liquidity.TAKER:
            _leave_by_market(order, position, left, bar, fill)
        fill = third_fill
    comes_last = active and order.intent == Intent.EXIT and order.kind == OrderKind.LIMIT
    if comes_last and fill_order(order, instrument, bar, rules, room, fill):
        _settle_order(order, position, bar, fill)
        _book(j, instrument, rules, account, position, order, tally, written, fill, round_trip)
    widen_by_bar(position, bar, not held_at_open)
    if order.intent != Intent.NONE and 0 < order.expires_ns <= bar.ts_close_ns:
        _time_out(j, bar, instrument, rules, account, position, order, written, denial)


@kernel(inline=True, allocates=False)
def widen_excursion(position: Record, low: float, high: float) -> None:
    """Widen the best and the worst price since entry of an open position by what the price did in a bar."""
    if position.direction > 0:
        position.best_price = max(position.best_price, high)
        position.worst_price = min(position.worst_price, low)
    elif position.direction < 0:
        position.best_price = min(position.best_price, low)
        position.worst_price = max(position.worst_price, high)


@kernel(inline=True, allocates=False)
def widen_by_bar(position: Record, bar: Record, entered_inside: bool) -> None:
    """Widen the excursion of an open position by a whole bar, or by what is known of it when it was entered inside."""
    # A limit entry fills on the way to the bar's worst price: of its best side only the close is known to come after.
    low, high = bar.low, bar.high
    if entered_inside and position.direction > 0:
        high = bar.close
    elif entered_inside:
        low = bar.close
    widen_excursion(position, low, high)


@kernel(inline=True, allocates=False)
def _settle_order(order: Record, position: Record, bar: Record, fill: Record) -> None:
    fill.decision_ts_ns = order.decision_ts_ns
    left = order.units - fill.qty_units
    if order.intent == Intent.ENTRY:
        if position.entered_units == 0:
            position.direction = order.side
            position.lead = order.lead
            position.regime = order.regime
            position.entry_consensus = order.consensus
            position.stop_distance = order.stop_distance
            position.target_distance = order.target_distance
        order.hold = order.hold * left / order.units
        order.notional = order.notional * left / order.units
        position.pending_units = order.side * left
    else:
        _widen_by_exit(position, bar, fill, fill.liquidity == Liquidity.MAKER)
    order.units = left
    if left == 0:
        order.intent = Intent.NONE
        position.exiting = 0


@kernel(inline=True, allocates=False)
def _settle_protection(order: Record, position: Record, bar: Record, fill: Record) -> int:
    fill.decision_ts_ns = position.entry_ts_ns
    _widen_by_exit(position, bar, fill, fill.reason == Reason.EXIT_TARGET)
    left = abs(position.qty_units) - fill.qty_units
    if left > 0 and fill.liquidity == Liquidity.MAKER and order.intent == Intent.EXIT:
        order.units = left
        return left
    order.intent = Intent.NONE
    position.exiting = 0
    return left


@kernel(inline=True, allocates=False)
def _widen_by_exit(position: Record, bar: Record, fill: Record, late: bool) -> None:
    # A stop or an open ends the bar for this position; a better exit may come after the bar's worst price.
    direction = position.direction
    worst = fill.price
    if late:
        worst = min(worst, bar.low) if direction > 0 else max(worst, bar.high)
    if direction * (worst - position.worst_price) < 0.0:
        position.worst_price = worst
    if direction * (fill.price - position.best_price) > 0.0:
        position.best_price = fill.price


@kernel(inline=True, allocates=False)
def _leave_by_market(order: Record, position: Record, left: int, bar: Record, fill: Record) -> None:
    order.intent = Intent.EXIT
    order.kind = OrderKind.MARKET
    order.side = fill.side
    order.reason = fill.reason
    order.units = left
    order.hold = 0.0
    order.notional = 0.0
    order.decision_price = fill.price
    order.decision_ts_ns = bar.ts_close_ns
    order.active_ns = bar.ts_close_ns
    order.expires_ns = 0
    position.exiting = 1


@kernel(inline=True, allocates=False)
def _book(
    j: int,
    instrument: Record,
    rules: Record,
    account: Record,
    position: Record,
    order: Record,
    tally: Record,
    written: Record,
    fill: Record,
    round_trip: Record,
) -> None:
    fill.instrument = j
    closed = apply_fill(account, position, instrument, fill, rules)
    fill.round_trip = position.round_trip
    tally_fill(tally, fill.cash_units, fill.fee_units, fill.slippage, fill.liquidity == Liquidity.MAKER)
    written.fills += 1
    if not closed:
        return
    _write_round_trip(round_trip, instrument, position, fill)
    round_trip.instrument = j
    tally_round_trip(tally, round_trip.pnl, round_trip.r_multiple)
    written.round_trips += 1
    clear_position(position)
    if order.intent != Intent.ENTRY:
        account.positions -= 1


@kernel(inline=True, allocates=False)
def _write_round_trip(trip: Record, instrument: Record, position: Record, fill: Record) -> None:
    trip.number = position.round_trip
    trip.direction = position.direction
    trip.lead = position.lead
    trip.regime = position.regime
    trip.exit_reason = fill.reason
    trip.entry_ts_ns = position.entry_ts_ns
    trip.exit_ts_ns = fill.ts_ns
    trip.bars_held = position.bars_held
    trip.qty = position.entered_units / instrument.qty_factor
    trip.entry_price = position.entry_price
    trip.exit_price = position.exit_price
    trip.pnl_units = position.pnl_units
    trip.pnl = position.pnl
    trip.risk = position.risk
    trip.r_multiple = position.r_multiple
    trip.fees = position.fee_units / instrument.cash_factor
    trip.slippage = position.slippage
    trip.mae_r = position.direction * (position.worst_price - position.entry_price) / position.stop_distance
    trip.mfe_r = position.direction * (position.best_price - position.entry_price) / position.stop_distance
    trip.entry_consensus = position.entry_consensus


@kernel(inline=True, allocates=False)
def give_up(j: int, reason: int, bar: Record, account: Record, position: Record, order: Record, denial: Record) -> None:
    """End an entry that did not fill (or not wholly), release what it reserved, and write the non-fill."""
    order.intent = Intent.NONE
    position.pending_units = 0
    if position.qty_units == 0:
        account.positions -= 1
    denial.instrument = j
    denial.reason = reason
    denial.direction = order.side
    denial.lead = order.lead
    denial.first_ts_ns = order.decision_ts_ns
    denial.last_ts_ns = bar.ts_close_ns
    denial.bars = 1
    denial.price = order.decision_price
    denial.stop_distance = order.stop_distance
    denial.target_distance = order.target_distance
    denial.consensus = order.consensus


@kernel(inline=True, allocates=False)
def _time_out(
    j: int,
    bar: Record,
    instrument: Record,
    rules: Record,
    account: Record,
    position: Record,
    order: Record,
    written: Record,
    denial: Record,
) -> None:
    step = next_step(order, bar.close, bar.ts_close_ns, instrument, rules)
    if step == Step.CHASE:
        reprice(order, bar.close, bar.ts_close_ns, instrument, rules)
    elif step == Step.REACH:
        reach(order, bar.close, bar.ts_close_ns, instrument, rules)
    elif step == Step.CROSS:
        cross(order, bar.ts_close_ns, rules)
    else:
        no_edge = step == Step.GIVE_UP_NO_EDGE
        reason = Reason.UNFILLED_NO_EDGE if no_edge else Reason.UNFILLED_EXPIRED
        give_up(j, reason, bar, account, position, order, denial)
        written.denials += 1
