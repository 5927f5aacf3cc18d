"""Settings and instruments turned into the records that compiled code reads: one place for both directions of units."""

import zlib
from collections.abc import Iterable, Sequence
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
_RULE_NAMES = RULES.names or ()
_INSTRUMENT_NAMES = INSTRUMENT.names or ()
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
    fields = _sizing(risk, instrument) | _limits(risk) | _stops(risk) | _execution(execution, timeframe_ns)
    return np.array([tuple(fields[name] for name in _RULE_NAMES)], RULES)[0]


def with_own_fees(instruments: Iterable[Instrument], execution: ExecutionSettings) -> tuple[Instrument, ...]:
    """Return instruments at the configured fee tier, or at the venue's own where none is configured."""
    if execution.maker_fee_bps is None or execution.taker_fee_bps is None:
        return tuple(instruments)
    fees = Decimal(str(execution.maker_fee_bps)), Decimal(str(execution.taker_fee_bps))
    return tuple(instrument.with_fees(*fees) for instrument in instruments)


def _sizing(risk: RiskSettings, instrument: Instrument | None) -> dict[str, float]:
    sizing = risk.sizing
    return {
        "entry_forecast_min": risk.entry_forecast_min,
        "exit_forecast_min": risk.exit_forecast_min,
        "risk_fraction": sizing.risk_fraction,
        "position_notional_max": sizing.position_notional_max,
        "position_fraction_max": sizing.position_fraction_max,
        "cash_fraction_max": sizing.cash_fraction_max,
        "volatility_target": sizing.volatility_target or 0.0,
        "volatility_weight_max": sizing.volatility_weight_max,
        "kelly_trades_min": sizing.kelly_trades_min,
        "kelly_floor_fraction": sizing.kelly_floor_fraction,
        "fixed_units": _fixed_units(sizing.fixed_qty, instrument),
    }


def _fixed_units(fixed_qty: float, instrument: Instrument | None) -> int:
    if fixed_qty <= 0:
        return 0
    if instrument is None:
        raise ValueError("sizing.fixed_qty works with one instrument only: quantities of several do not compare")
    qty = quantize(fixed_qty, instrument.lot)
    if qty == 0:
        raise ValueError(f"sizing.fixed_qty {fixed_qty:g} is less than one lot of {instrument.key}: {instrument.lot}")
    return int(qty * 10**instrument.qty_scale)


def _limits(risk: RiskSettings) -> dict[str, float]:
    limits = risk.limits
    return {
        "drawdown_max": limits.drawdown_max_fraction,
        "daily_loss_max": limits.daily_loss_max_fraction,
        "gross_fraction_max": limits.gross_exposure_max_fraction,
        "group_fraction_max": limits.group_exposure_max_fraction,
        "positions_max": limits.positions_max,
        "ruin_trades_min": limits.ruin_trades_min,
        "ruin_probability_max": limits.ruin_probability_max,
        "ruin_horizon_trades": limits.ruin_horizon_trades,
        "gate_required": risk.gate.required,
        "gate_probability_min": risk.gate.probability_min,
        "instrument_cooldown_ns": round(limits.instrument_cooldown_s * _SECOND_NS),
        "strategy_cooldown_ns": round(limits.strategy_cooldown_s * _SECOND_NS),
        "loss_cooldown_ns": round(limits.loss_cooldown_s * _SECOND_NS),
        "loss_streak_max": limits.loss_streak_max,
        "loss_streak_pause_ns": round(limits.loss_streak_pause_s * _SECOND_NS),
    }


def _stops(risk: RiskSettings) -> dict[str, float]:
    stops = risk.stops
    return {
        "stop_atr": stops.stop_atr,
        "target_atr": stops.target_atr,
        "target_cost_multiple_min": stops.target_cost_multiple_min,
        "target_stretch_max": stops.target_stretch_max,
        "breakeven_r": stops.breakeven_r,
        "trail_r": stops.trail_r,
        "trail_start_r": stops.trail_start_r,
        "time_stop_bars": stops.time_stop_bars,
    }


def _execution(execution: ExecutionSettings, timeframe_ns: int) -> dict[str, float]:
    latency_ns = round(execution.latency_ms * 1_000_000)
    if latency_ns >= timeframe_ns:
        raise ValueError(
            f"execution.latency_ms is {execution.latency_ms:g}: an order would reach the market after the next bar "
            f"of {timeframe_ns / _SECOND_NS:g} s, and its fill could not be told"
        )
    return {
        "entry_kind": _KINDS[execution.entry_order],
        "exit_kind": _KINDS[execution.exit_order],
        "target_kind": _KINDS[execution.target_order],
        "limit_offset_fraction": execution.limit_offset_bps * _BPS,
        "time_to_live_ns": execution.time_to_live_bars * timeframe_ns,
        "chases_max": execution.chases_max,
        "exit_deadline_ns": execution.exit_deadline_bars * timeframe_ns,
        "exit_cross_ns": execution.exit_cross_bars * timeframe_ns,
        "fallback_market": execution.fallback_market,
        "fallback_edge_capture": execution.fallback_edge_capture,
        "latency_ns": latency_ns,
        "half_spread_fraction": execution.half_spread_bps * _BPS,
        "slippage_fraction": execution.slippage_bps * _BPS,
        "participation_max": execution.participation_max_fraction,
        "touch_probability": execution.touch_probability,
        "seed": execution.seed,
    }


def instrument_records(instruments: Sequence[Instrument]) -> NDArray[np.void]:
    """Return INSTRUMENT[P] in the given order; correlated groups are numbered in order of appearance."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(i.group for i in instruments if i.group))}
    rows = [_fields(instrument) | {"group": groups.get(instrument.group, -1)} for instrument in instruments]
    return np.array([tuple(row[name] for name in _INSTRUMENT_NAMES) for row in rows], INSTRUMENT)


def _fields(instrument: Instrument) -> dict[str, float]:
    spare = instrument.cash_scale - instrument.price_scale - instrument.qty_scale
    return {
        "price_factor": 10.0**instrument.price_scale,
        "qty_factor": 10.0**instrument.qty_scale,
        "cash_factor": 10.0**instrument.cash_scale,
        "tick": float(instrument.tick),
        "tick_units": int(instrument.tick * 10**instrument.price_scale),
        "lot_units": int(instrument.lot * 10**instrument.qty_scale),
        "cash_multiplier": 10 ** max(spare, 0),
        "cash_divisor": 10 ** max(-spare, 0),
        "qty_min_units": int((instrument.qty_min * 10**instrument.qty_scale).to_integral_value(ROUND_CEILING)),
        "notional_min": float(instrument.notional_min),
        "maker_fee_e8": _fee_e8(instrument.maker_fee_bps),
        "taker_fee_e8": _fee_e8(instrument.taker_fee_bps),
        "shortable": instrument.shortable,
        "chance_key": zlib.crc32(f"{instrument.exchange} {instrument.symbol}".encode()),
    }


def _fee_e8(bps: Decimal) -> int:
    return int((bps * FEE_ONE / 10_000).to_integral_value())
