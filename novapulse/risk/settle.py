"""How fills and closes change the books of one account: the only place where equity, cooldowns and stops move.

Invariants:
- cash moves by whole units, by the notional and the fee of each fill, and by nothing else;
- slippage is already in the fill's price: it is counted for the report and never charged again;
- a fill never turns a position through zero: an exit is at most as large as what it closes.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.bars import DAY_NS
from novapulse.core.records import PEAK_DAYS, Record, StopKind
from novapulse.risk.stops import place_stops, ratchet_stop

EVIDENCE_HALF_LIFE_DAYS = 90.0
"""Age at which a round trip counts half in what Kelly's cap and the risk of ruin are judged by."""


@kernel(inline=True, allocates=False)
def apply_fill(account: Record, position: Record, instrument: Record, fill: Record, rules: Record) -> bool:
    """Book one fill: cash, position, stops, and the cooldowns when the position is flat again.

    Args:
        account: ACCOUNT, changed.
        position: POSITION of the filled instrument, changed. Before the first fill of an entry its direction, lead,
            regime, entry consensus and distances are those of the order.
        instrument: INSTRUMENT.
        fill: FILL with side, units, cash and fee units.
        rules: RULES.

    Returns:
        True when the fill closed the position; its round trip is then still readable until `clear_position`.
    """
    signed = fill.side * fill.qty_units
    account.cash_units -= fill.side * fill.cash_units + fill.fee_units
    account.cash = account.cash_units / instrument.cash_factor
    position.fee_units += fill.fee_units
    position.slippage += fill.slippage
    if fill.side == position.direction:
        _add(account, position, instrument, fill, rules)
    else:
        position.exit_price = blended_price(position.exit_price, position.exited_units, fill.price, fill.qty_units)
        position.exited_units += fill.qty_units
        position.exit_units += fill.cash_units
    position.qty_units += signed
    position.qty = position.qty_units / instrument.qty_factor
    if position.qty_units != 0:
        return False
    _judge(position, instrument)
    _cool_down(account, position, fill, rules)
    return True


@kernel(inline=True, allocates=False)
def _add(account: Record, position: Record, instrument: Record, fill: Record, rules: Record) -> None:
    if position.entered_units == 0:
        position.round_trip = account.entries
        account.entries += 1
        position.entry_ts_ns = fill.ts_ns
        position.bars_held = 0
        position.stop_kind = StopKind.INITIAL
        position.best_price = fill.price
        position.worst_price = fill.price
        position.mark_price = fill.price
        account.strategy_ready_ns[position.lead] = fill.ts_ns + rules.strategy_cooldown_ns
    position.entry_price = blended_price(position.entry_price, position.entered_units, fill.price, fill.qty_units)
    position.entered_units += fill.qty_units
    position.entry_units += fill.cash_units
    place_stops(position, instrument)


@kernel(inline=True, allocates=False)
def blended_price(average: float, before_units: int, price: float, units: int) -> float:
    """Return the average price after one more fill; taken from prices, because cash of few digits is too coarse."""
    if before_units == 0 or price == average:
        return price
    return float((average * before_units + price * units) / (before_units + units))


@kernel(inline=True, allocates=False)
def _judge(position: Record, instrument: Record) -> None:
    # R is what the quantity entered loses at the first stop.
    position.pnl_units = position.direction * (position.exit_units - position.entry_units) - position.fee_units
    position.pnl = position.pnl_units / instrument.cash_factor
    position.risk = position.stop_distance * position.entered_units / instrument.qty_factor
    position.r_multiple = position.pnl / position.risk if position.risk > 0.0 else 0.0


@kernel(inline=True, allocates=False)
def _cool_down(account: Record, position: Record, fill: Record, rules: Record) -> None:
    r = position.r_multiple
    account.trades += 1
    account.evidence += 1.0
    account.r_sum += r
    account.r_squares += r * r
    account.risk_sum += position.risk
    position.ready_ns = fill.ts_ns + rules.instrument_cooldown_ns
    if position.pnl_units >= 0:
        account.loss_streak = 0
        return
    account.loss_streak += 1
    account.loss_ready_ns = fill.ts_ns + rules.loss_cooldown_ns
    if rules.loss_streak_max > 0 and account.loss_streak >= rules.loss_streak_max:
        account.streak_ready_ns = fill.ts_ns + rules.loss_streak_pause_ns
        account.loss_streak = 0


@kernel(inline=True, allocates=False)
def clear_position(position: Record) -> None:
    """Forget a closed round trip; the cooldown of the instrument stays."""
    position.qty = 0.0
    position.pending_units = 0
    position.stop_price = 0.0
    position.target_price = 0.0
    position.stop_distance = 0.0
    position.target_distance = 0.0
    position.entry_price = 0.0
    position.exit_price = 0.0
    position.entry_units = 0
    position.entered_units = 0
    position.exit_units = 0
    position.exited_units = 0
    position.fee_units = 0
    position.slippage = 0.0
    position.entry_ts_ns = 0
    position.bars_held = 0
    position.direction = 0
    position.exiting = 0


@kernel(inline=True, allocates=False)
def mark_position(position: Record, instrument: Record, close: float, rules: Record) -> None:
    """Mark an open position at a bar's close and move its stop; a flat one is left alone."""
    if position.qty_units == 0:
        return
    position.mark_price = close
    position.bars_held += 1
    if rules.breakeven_r > 0.0 or rules.trail_r > 0.0:
        ratchet_stop(position, instrument, rules)


@kernel(inline=True, allocates=False)
def mark_account(account: Record, value: float, gross: float, ts_close_ns: int) -> None:
    """Mark the account after its positions: equity, exposure, the day's opening equity and the 180-day peak.

    Args:
        account: ACCOUNT, changed.
        value: Sum of quantity times mark price over all positions, signed, quote.
        gross: Sum of the absolute values, quote.
        ts_close_ns: Close of the tick.
    """
    if ts_close_ns > account.day_end_ns:
        _open_day(account, ts_close_ns)
    account.gross_exposure = gross
    account.equity = account.cash + value
    account.day_peak = max(account.day_peak, account.equity)
    account.equity_peak = max(account.equity_peak, account.equity)


@kernel(inline=True, allocates=False)
def _open_day(account: Record, ts_close_ns: int) -> None:
    day_end_ns = (ts_close_ns - 1) // DAY_NS * DAY_NS + DAY_NS
    if account.day_end_ns > 0:
        days = (day_end_ns - account.day_end_ns) // DAY_NS
        _forget(account, days)
        for passed in range(min(days, PEAK_DAYS)):
            account.day_index += 1
            account.day_peaks[account.day_index % PEAK_DAYS] = account.day_peak if passed == 0 else 0.0
        peak = 0.0
        for day in range(PEAK_DAYS):
            peak = max(peak, account.day_peaks[day])
        account.equity_peak = peak
    account.day_end_ns = day_end_ns
    account.day_opening_equity = account.equity
    account.day_peak = account.equity


@kernel(inline=True, allocates=False)
def _forget(account: Record, days: int) -> None:
    kept = math.pow(0.5, days / EVIDENCE_HALF_LIFE_DAYS)
    account.evidence *= kept
    account.r_sum *= kept
    account.r_squares *= kept
    account.risk_sum *= kept
