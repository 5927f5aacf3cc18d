"""What forbids an entry, and how much room every limit leaves.

Limits count positions, open orders and UNKNOWN orders.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.records import Mode, Reason, Record
from novapulse.risk.sizing import drawdown, ruin_probability

_NOISE = 1e-12


@kernel(inline=True, allocates=False)
def mode_refusal(account: Record) -> int:
    """Return why the account's mode takes no new risk, or NONE. One that is being flattened may only reduce."""
    if account.mode == Mode.HALTED:
        return Reason.MODE_HALTED
    if account.mode == Mode.REDUCE_ONLY or account.flattening:
        return Reason.MODE_REDUCE_ONLY
    if account.mode == Mode.PAUSED:
        return Reason.MODE_PAUSED
    return Reason.NONE


@kernel(inline=True, allocates=False)
def daily_loss(account: Record) -> float:
    """Return the loss since the start of the UTC day as a share of the opening equity; negative is a gain."""
    if account.day_opening_equity <= 0.0:
        return 0.0
    return 1.0 - account.equity / account.day_opening_equity


@kernel(inline=True, allocates=False)
def refuse_entry(
    account: Record,
    position: Record,
    instrument: Record,
    ts_close_ns: int,
    signal: Record,
    direction: int,
    rules: Record,
) -> int:
    """Return the first rule that forbids a new position now, or NONE. The order below is the order of precedence."""
    refusal = mode_refusal(account)
    if refusal != Reason.NONE:
        return refusal
    if position.pending_units != 0:
        return Reason.ORDER_WORKING
    if direction < 0 and not instrument.shortable:
        return Reason.SHORT_NOT_ALLOWED
    refusal = _refuse_by_losses(account, ts_close_ns, rules)
    if refusal != Reason.NONE:
        return refusal
    if ts_close_ns < position.ready_ns:
        return Reason.INSTRUMENT_COOLDOWN
    if ts_close_ns < account.strategy_ready_ns[signal.lead]:
        return Reason.STRATEGY_COOLDOWN
    refusal = _refuse_by_gate(signal, rules)
    if refusal != Reason.NONE:
        return refusal
    if rules.positions_max > 0 and account.positions >= rules.positions_max:
        return Reason.POSITIONS_MAX
    return Reason.NONE


@kernel(inline=True, allocates=False)
def _reaches(share: float, limit: float) -> bool:
    # 1 - 8000 / 10000 is a hair below 0.2 in floats: at the limit is at the limit.
    return limit > 0.0 and share >= limit - _NOISE


@kernel(inline=True, allocates=False)
def _refuse_by_losses(account: Record, ts_close_ns: int, rules: Record) -> int:
    if account.equity <= 0.0:
        return Reason.BUYING_POWER
    if _reaches(daily_loss(account), rules.daily_loss_max):
        return Reason.DAILY_LOSS
    if _reaches(drawdown(account), rules.drawdown_max):
        return Reason.DRAWDOWN
    if ts_close_ns < account.streak_ready_ns:
        return Reason.LOSS_STREAK
    if ts_close_ns < account.loss_ready_ns:
        return Reason.LOSS_COOLDOWN
    judged = rules.ruin_trades_min > 0 and account.evidence >= rules.ruin_trades_min
    if judged and ruin_probability(account, rules) > rules.ruin_probability_max:
        return Reason.RISK_OF_RUIN
    return Reason.NONE


@kernel(inline=True, allocates=False)
def _refuse_by_gate(signal: Record, rules: Record) -> int:
    if math.isnan(signal.gate_probability):
        return Reason.GATE_MISSING if rules.gate_required else Reason.NONE
    if signal.gate_probability < rules.gate_probability_min:
        return Reason.GATE_REFUSED
    return Reason.NONE


@kernel(inline=True, allocates=False)
def position_room(account: Record, rules: Record) -> float:
    """Return the largest notional one position may have, in quote; infinity when nothing caps it."""
    room = math.inf
    if rules.position_notional_max > 0.0:
        room = min(room, rules.position_notional_max)
    if rules.position_fraction_max > 0.0:
        room = min(room, rules.position_fraction_max * max(account.equity, 0.0))
    return room


@kernel(inline=True, allocates=False)
def exposure_room(account: Record, exposure: float, fraction_max: float) -> float:
    """Return how much notional a cap on exposure still leaves, in quote; infinity when the cap is off."""
    if fraction_max <= 0.0:
        return math.inf
    return max(fraction_max * account.equity - exposure, 0.0)


@kernel(inline=True, allocates=False)
def cash_room(account: Record, rules: Record) -> float:
    """Return the cash that may be spent: what is neither spent nor held, in quote."""
    free = max(account.cash - account.hold, 0.0)
    return free * rules.cash_fraction_max if rules.cash_fraction_max > 0.0 else free
