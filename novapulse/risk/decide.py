"""The decision: stops, sizing and limits composed in one function that backtest, replay, paper and live all call.

`decide` reads records and writes one: the action. It moves no money and keeps no state, so calling it twice changes
nothing. The order in which rules are applied is part of the contract, because a reason is an answer to "why not".
"""

import math

from novapulse.compiled import kernel
from novapulse.core.records import OrderKind, Reason, Record, Verb
from novapulse.risk.cash import FEE_ONE, price_to_units, qty_to_units
from novapulse.risk.limits import cash_room, exposure_room, position_room, refuse_entry
from novapulse.risk.sizing import drawdown, drawdown_scale, forecast_scale, kelly_cap, risk_qty, volatility_qty
from novapulse.risk.stops import stop_distance, target_distance

SIZE_RISK, SIZE_VOLATILITY, SIZE_KELLY, SIZE_POSITION, SIZE_GROSS, SIZE_GROUP, SIZE_CASH = range(7)


@kernel(inline=True, allocates=False)
def decide(
    account: Record,
    position: Record,
    instrument: Record,
    bar: Record,
    signal: Record,
    group_exposure: float,
    rules: Record,
    action: Record,
) -> None:
    """Decide what to hold after a closed bar.

    Args:
        account: ACCOUNT, marked at this bar's close.
        position: POSITION of this instrument, marked at this bar's close.
        instrument: INSTRUMENT.
        bar: BAR that just closed.
        signal: SIGNAL for this bar.
        group_exposure: Gross exposure of the instrument's correlated group, open orders included, in quote.
        rules: RULES.
        action: ACTION, overwritten: the verb, its reason and, for an order, side, size, stop and target distances.
    """
    if position.qty_units != 0:
        _decide_held(account, position, instrument, bar.close, signal, rules, action)
        return
    action.verb = Verb.HOLD
    action.reason = no_opinion(position, signal.consensus, signal.warm, rules)
    if action.reason != Reason.NONE:
        return
    if has_turned(position, signal.consensus, rules):
        action.verb = Verb.WITHDRAW
        action.reason = Reason.UNFILLED_TURNED
        return
    _decide_entry(account, position, instrument, bar, signal, group_exposure, rules, action)


@kernel(inline=True, allocates=False)
def has_turned(position: Record, consensus: float, rules: Record) -> bool:
    """Tell whether the consensus has turned against an entry that is still at work."""
    if position.pending_units > 0:
        return consensus <= -rules.exit_forecast_min
    return position.pending_units < 0 and consensus >= rules.exit_forecast_min


@kernel(inline=True, allocates=False)
def no_opinion(position: Record, consensus: float, warm: bool, rules: Record) -> int:
    """Return why there is nothing to do on a flat position, or NONE: the first question of its decision."""
    if has_turned(position, consensus, rules):
        return Reason.NONE
    if not warm:
        return Reason.NOT_WARM
    return Reason.NONE if is_strong(consensus, rules) else Reason.NO_SIGNAL


@kernel(inline=True, allocates=False)
def is_strong(consensus: float, rules: Record) -> bool:
    """Tell whether a consensus is strong enough to open a position; an unknown one (NaN) is not."""
    return abs(consensus) >= rules.entry_forecast_min


@kernel(inline=True, allocates=False)
def no_change(account: Record, position: Record, consensus: float, rules: Record) -> int:
    """Return why an open position stays as it is, or NONE when it is to be left: the first question on a held one."""
    if position.exiting:
        return Reason.ORDER_WORKING
    if account.flattening or position.direction * consensus <= -rules.exit_forecast_min:
        return Reason.NONE
    if rules.time_stop_bars > 0 and position.bars_held >= rules.time_stop_bars:
        return Reason.NONE
    return Reason.HOLDING


@kernel(inline=True, allocates=False)
def _decide_held(
    account: Record, position: Record, instrument: Record, price: float, signal: Record, rules: Record, action: Record
) -> None:
    action.verb = Verb.HOLD
    action.reason = no_change(account, position, signal.consensus, rules)
    if action.reason != Reason.NONE:
        return
    if account.flattening:
        _leave(position, instrument, price, rules, Reason.EXIT_MODE, action)
    elif rules.time_stop_bars > 0 and position.bars_held >= rules.time_stop_bars:
        _leave(position, instrument, price, rules, Reason.EXIT_TIME, action)
    else:
        _leave(position, instrument, price, rules, Reason.EXIT_OPPOSITE, action)


@kernel(inline=True, allocates=False)
def _leave(position: Record, instrument: Record, price: float, rules: Record, reason: int, action: Record) -> None:
    action.verb = Verb.EXIT
    action.reason = reason
    action.side = -position.direction
    action.kind = rules.exit_kind
    action.units = abs(position.qty_units)
    action.qty = abs(position.qty)
    action.target_units = 0
    action.limit_price = passive_price(instrument, price, action.side, action.kind, rules)


@kernel(inline=True, allocates=False)
def _decide_entry(
    account: Record,
    position: Record,
    instrument: Record,
    bar: Record,
    signal: Record,
    group_exposure: float,
    rules: Record,
    action: Record,
) -> None:
    action.verb = Verb.HOLD
    direction = 1 if signal.consensus > 0.0 else -1
    refusal = refuse_entry(account, position, instrument, bar.ts_close_ns, signal, direction, rules)
    if refusal != Reason.NONE:
        action.reason = refusal
        return
    if not signal.atr > 0.0:
        action.reason = Reason.VOLATILITY_UNKNOWN
        return
    action.stop_distance = stop_distance(instrument, signal.atr, rules)
    action.target_distance = target_distance(instrument, bar.close, signal.atr, rules)
    if action.target_distance < 0.0:
        action.reason = Reason.TARGET_BELOW_COSTS
        return
    _measure_sizes(account, bar.close, signal, group_exposure, instrument, rules, action)
    limit_price = passive_price(instrument, bar.close, direction, rules.entry_kind, rules)
    # An order that rests below the close is worth less, and the venue's minimum counts what the order is worth.
    worth = min(bar.close, limit_price) if limit_price > 0.0 else bar.close
    _bind_size(instrument, worth, rules, action)
    if action.units == 0:
        return
    action.verb = Verb.ENTER
    action.reason = Reason.ENTER_CONSENSUS
    action.side = direction
    action.kind = rules.entry_kind
    action.target_units = direction * action.units
    action.limit_price = limit_price
    action.notional = action.qty * bar.close
    action.hold = action.notional * cash_per_notional(instrument, rules)


@kernel(inline=True, allocates=False)
def cash_per_notional(instrument: Record, rules: Record) -> float:
    """Return the cash that a unit of notional may cost: spread and slippage, and the taker's fee on all of it."""
    fee = max(instrument.taker_fee_e8, 0) / FEE_ONE
    return (1.0 + rules.half_spread_fraction + rules.slippage_fraction) * (1.0 + fee)


@kernel(inline=True, allocates=False)
def passive_price(instrument: Record, price: float, side: int, kind: int, rules: Record) -> float:
    """Return where an order of a kind rests: the passive side of the last price, on the grid; 0 for a market order."""
    if kind == OrderKind.MARKET:
        return 0.0
    passive = price * (1.0 - side * rules.limit_offset_fraction)
    return price_to_units(instrument, passive, -side) / instrument.price_factor


@kernel(inline=True, allocates=False)
def _measure_sizes(
    account: Record,
    price: float,
    signal: Record,
    group_exposure: float,
    instrument: Record,
    rules: Record,
    action: Record,
) -> None:
    scale = drawdown_scale(drawdown(account), rules.drawdown_max) * forecast_scale(signal.consensus)
    gross = account.gross_exposure + account.pending_exposure
    sizes = action.sizes
    sizes[SIZE_RISK] = risk_qty(account, action.stop_distance, rules.risk_fraction) * scale
    sizes[SIZE_VOLATILITY] = volatility_qty(account, price, signal.volatility, rules) * scale
    sizes[SIZE_KELLY] = risk_qty(account, action.stop_distance, kelly_cap(account, rules))
    position_most = position_room(account, rules)
    gross_most = exposure_room(account, gross, rules.gross_fraction_max)
    group_most = math.inf
    if instrument.group >= 0:
        group_most = exposure_room(account, group_exposure, rules.group_fraction_max)
    action.notional_max = min(position_most, gross_most, group_most)
    sizes[SIZE_POSITION] = position_most / price
    sizes[SIZE_GROSS] = gross_most / price
    sizes[SIZE_GROUP] = group_most / price
    sizes[SIZE_CASH] = cash_room(account, rules) / (price * cash_per_notional(instrument, rules))
    if rules.fixed_units > 0:
        sizes[SIZE_RISK] = rules.fixed_units / instrument.qty_factor
        sizes[SIZE_VOLATILITY] = math.inf
        sizes[SIZE_KELLY] = math.inf


@kernel(inline=True, allocates=False)
def _bind_size(instrument: Record, price: float, rules: Record, action: Record) -> None:
    binding = 0
    for cap in range(1, len(action.sizes)):
        if action.sizes[cap] < action.sizes[binding]:
            binding = cap
    units = qty_to_units(instrument, action.sizes[binding])
    qty = units / instrument.qty_factor
    action.binding = binding
    action.units = units
    action.qty = qty
    if units >= max(instrument.qty_min_units, 1) and qty * price >= instrument.notional_min:
        return
    action.units = 0
    action.qty = 0.0
    action.reason = _too_small(action.sizes[binding], binding)


@kernel(inline=True, allocates=False)
def _too_small(size: float, binding: int) -> int:
    if size > 0.0:
        return Reason.BELOW_MINIMUM
    if binding == SIZE_VOLATILITY:
        return Reason.VOLATILITY_UNKNOWN
    if binding == SIZE_KELLY:
        return Reason.KELLY_ZERO
    if binding == SIZE_GROSS:
        return Reason.GROSS_EXPOSURE
    if binding == SIZE_GROUP:
        return Reason.GROUP_EXPOSURE
    if binding == SIZE_CASH:
        return Reason.BUYING_POWER
    return Reason.BELOW_MINIMUM
