"""Settings and instruments turned into the records that compiled code reads: one place for both directions of units."""

import zlib
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

import numpy as np
from numpy.typing import NDArray

from novapulse.core.instruments import Instrument, quantize
from novapulse.core.records import INSTRUMENT, RULES, OrderKind, Record
from novapulse.execution.settings import ExecutionSettings, OrderChoice
from novapulse.risk.cash import FEE_ONE
from novapulse.risk.settings import RiskSettings

_BPS = 1e-4
_SECOND_NS = 1_000_000_000
_KINDS: dict[OrderChoice, OrderKind] = {"market": OrderKind.MARKET, "limit": OrderKind.LIMIT}


def rules_record(
    risk: RiskSettings, execution: ExecutionSettings, timeframe_ns: int, instrument: Instrument | None = None
) -> Record:
    """Return the RULES record of some settings.

    Args:
        risk: What `decide` is told.
        execution: What tactics and fill model are told.
        timeframe_ns: Width of a decision bar; a limit's time to live is counted in these.
        instrument: Whose quantity units a fixed quantity is counted in; needed only for `fixed_qty`.

    Raises:
        ValueError: A fixed quantity is set and there is no instrument for its units, or it is less than one lot.
    """
    rules = np.zeros(1, RULES)[0]
    _write_sizing(rules, risk, instrument)
    _write_limits(rules, risk)
    stops = risk.stops
    for name in (
        "stop_atr",
        "target_atr",
        "target_cost_multiple_min",
        "target_stretch_max",
        "breakeven_r",
        "trail_r",
        "trail_start_r",
        "time_stop_bars",
    ):
        rules[name] = getattr(stops, name)
    _write_execution(rules, execution, timeframe_ns)
    return rules


def _write_sizing(rules: Record, risk: RiskSettings, instrument: Instrument | None) -> None:
    sizing = risk.sizing
    rules.entry_forecast_min = risk.entry_forecast_min
    rules.exit_forecast_min = risk.exit_forecast_min
    rules.risk_fraction = sizing.risk_fraction
    rules.position_notional_max = sizing.position_notional_max
    rules.position_fraction_max = sizing.position_fraction_max
    rules.cash_fraction_max = sizing.cash_fraction_max
    rules.volatility_target = sizing.volatility_target or 0.0
    rules.volatility_weight_max = sizing.volatility_weight_max
    rules.kelly_trades_min = sizing.kelly_trades_min
    rules.kelly_floor_fraction = sizing.kelly_floor_fraction
    if sizing.fixed_qty > 0:
        if instrument is None:
            raise ValueError("sizing.fixed_qty works with one instrument only: quantities of several do not compare")
        qty = quantize(sizing.fixed_qty, instrument.lot)
        if qty == 0:
            raise ValueError(
                f"sizing.fixed_qty {sizing.fixed_qty:g} is less than one lot of {instrument.key}: {instrument.lot}"
            )
        rules.fixed_units = int(qty * 10**instrument.qty_scale)


def _write_limits(rules: Record, risk: RiskSettings) -> None:
    limits = risk.limits
    rules.drawdown_max = limits.drawdown_max_fraction
    rules.daily_loss_max = limits.daily_loss_max_fraction
    rules.gross_fraction_max = limits.gross_exposure_max_fraction
    rules.group_fraction_max = limits.group_exposure_max_fraction
    rules.positions_max = limits.positions_max
    rules.ruin_trades_min = limits.ruin_trades_min
    rules.ruin_probability_max = limits.ruin_probability_max
    rules.ruin_horizon_trades = limits.ruin_horizon_trades
    rules.gate_required = risk.gate.required
    rules.gate_probability_min = risk.gate.probability_min
    rules.instrument_cooldown_ns = round(limits.instrument_cooldown_s * _SECOND_NS)
    rules.strategy_cooldown_ns = round(limits.strategy_cooldown_s * _SECOND_NS)
    rules.loss_cooldown_ns = round(limits.loss_cooldown_s * _SECOND_NS)
    rules.loss_streak_max = limits.loss_streak_max
    rules.loss_streak_pause_ns = round(limits.loss_streak_pause_s * _SECOND_NS)


def _write_execution(rules: Record, execution: ExecutionSettings, timeframe_ns: int) -> None:
    rules.entry_kind = _KINDS[execution.entry_order]
    rules.exit_kind = _KINDS[execution.exit_order]
    rules.target_kind = _KINDS[execution.target_order]
    rules.limit_offset_fraction = execution.limit_offset_bps * _BPS
    rules.time_to_live_ns = execution.time_to_live_bars * timeframe_ns
    rules.chases_max = execution.chases_max
    rules.fallback_market = execution.fallback_market
    rules.fallback_edge_capture = execution.fallback_edge_capture
    rules.latency_ns = round(execution.latency_ms * 1_000_000)
    if rules.latency_ns >= timeframe_ns:
        raise ValueError(
            f"execution.latency_ms is {execution.latency_ms:g}: an order would reach the market after the next bar "
            f"of {timeframe_ns / _SECOND_NS:g} s, and its fill could not be told"
        )
    rules.half_spread_fraction = execution.half_spread_bps * _BPS
    rules.slippage_fraction = execution.slippage_bps * _BPS
    rules.participation_max = execution.participation_max_fraction
    rules.touch_probability = execution.touch_probability
    rules.seed = execution.seed


def instrument_records(instruments: Sequence[Instrument]) -> NDArray[np.void]:
    """Return INSTRUMENT[P] in the given order; correlated groups are numbered in order of appearance."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(i.group for i in instruments if i.group))}
    records = np.zeros(len(instruments), INSTRUMENT)
    for record, instrument in zip(records, instruments, strict=True):
        _write_instrument(record, instrument)
        record["group"] = groups.get(instrument.group, -1)
    return records


def _write_instrument(record: Record, instrument: Instrument) -> None:
    record.price_factor = 10.0**instrument.price_scale
    record.qty_factor = 10.0**instrument.qty_scale
    record.cash_factor = 10.0**instrument.cash_scale
    record.tick = float(instrument.tick)
    record.tick_units = int(instrument.tick * 10**instrument.price_scale)
    record.lot_units = int(instrument.lot * 10**instrument.qty_scale)
    spare = instrument.cash_scale - instrument.price_scale - instrument.qty_scale
    record.cash_multiplier = 10 ** max(spare, 0)
    record.cash_divisor = 10 ** max(-spare, 0)
    record.qty_min_units = int((instrument.qty_min * 10**instrument.qty_scale).to_integral_value(ROUND_CEILING))
    record.notional_min = float(instrument.notional_min)
    record.maker_fee_e8 = _fee_e8(instrument.maker_fee_bps)
    record.taker_fee_e8 = _fee_e8(instrument.taker_fee_bps)
    record.shortable = instrument.shortable
    record.chance_key = zlib.crc32(f"{instrument.exchange} {instrument.symbol}".encode())


def _fee_e8(bps: Decimal) -> int:
    return int((bps * FEE_ONE / 10_000).to_integral_value())
