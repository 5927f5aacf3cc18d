"""What a runner says of its account: for the health document, and for whoever started the process."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from novapulse.core.bars import format_ns
from novapulse.core.messages import Severity
from novapulse.core.orders import OrderStatus
from novapulse.core.records import Mode
from novapulse.engine import alert_kinds
from novapulse.engine.desk import Desk
from novapulse.engine.life import Life
from novapulse.engine.limits import value_of
from novapulse.engine.runner import AccountRunner
from novapulse.ops.health import AccountHealth

_UNWELL = ("feed_silent", "stale_bars", "clock_skew_pause", "clock_skew_halt", "disk", "task_failures", "ledger")
"""Breakers that say of the world around the account, or of its process, that it is not well."""

_SHOWN = ("feed_silence", "clock_skew", "disk_free")


def health_of(runner: AccountRunner, now_ns: int) -> AccountHealth:
    """Return how an account is at a moment of its own time."""
    key, told, trader = runner.key, runner.told, runner.trader
    money = "paper" if runner.venue.is_simulated else "live"
    is_well = runner.life in (Life.RUNNING, Life.STOPPED)
    reasons = [] if is_well else [told.why_down or "it is down"]
    if trader is None:
        return AccountHealth(key.exchange, key.account_id, Mode.HALTED, money, tuple(reasons), connected=told.connected)
    desk = trader.desk
    if is_well and not desk.ready:
        reasons.append(desk.frozen or "it has not been compared with its venue yet")
    if desk.books.mode == Mode.HALTED:
        reasons.append("it is halted")
    reasons += [why for name in _UNWELL if (why := desk.breakers.why(name)) is not None]
    reasons += _critical(desk)
    unknown = sum(order.status is OrderStatus.UNKNOWN for order in desk.orders.values())
    gates = tuple(slot.gate for slot in desk.slots if slot.gate)
    if told.connected is False and runner.life is Life.RUNNING:
        reasons.append("its venue's stream does not stand")
    return AccountHealth(
        key.exchange,
        key.account_id,
        desk.books.mode,
        money,
        tuple(reasons),
        (*desk.breakers.reasons(), *gates, *_limit_notes(desk)),
        connected=told.connected,
        last_bar_age_s=max(0.0, (now_ns - desk.ts_close_ns) / 1e9) if desk.ts_close_ns else None,
        open_orders=sum(order.is_live for order in desk.orders.values()),
        unknown_orders=unknown,
        positions=int((desk.books.positions["qty_units"] != 0).sum()),
        open_breaks=len(desk.breaks),
        equity=equity_of(runner),
        more={
            "waiting_events": runner.waiting,
            "dropped_events": told.dropped,
            "bugs": told.bugs,
            "signals": signals_of(desk),
            "missing_bars": missing_of(desk),
            "alerts": [
                {"key": key, **asdict(one), "severity": one.severity.value} for key, one in desk.alerts.open.items()
            ],
            "limits": limits_of(desk),
            "measured": {name: desk.breakers.measured.get(name) for name in _SHOWN},
        },
    )


def _critical(desk: Desk) -> Iterator[str]:
    """Return what is wrong and wants somebody now; see `alert_kinds`."""
    for key, one in desk.alerts.open.items():
        if one.severity is Severity.CRITICAL and alert_kinds.is_unwell(key):
            yield one.text


def limits_of(desk: Desk) -> dict[str, dict[str, Any]]:
    """Return name -> what of the limits is otherwise than configured, who said so, when, and by which command."""
    return {
        name: {**asdict(one), "value": float(one.value), "configured": float(value_of(desk.configured, name))}
        for name, one in desk.limits.items()
    }


def _limit_notes(desk: Desk) -> Iterator[str]:
    for name, one in desk.limits.items():
        yield (
            f"{name} is {one.value}, configured is {value_of(desk.configured, name)}: set by {one.actor} at "
            f"{format_ns(one.ts_ns)}, command {one.command_id}"
        )


def missing_of(desk: Desk) -> dict[str, int]:
    """Return symbol -> how many of its bars are missing while others come; without those of which none is."""
    slots = zip(desk.instruments, desk.slots, strict=True)
    return {instrument.symbol: slot.missing_bars for instrument, slot in slots if slot.missing_bars}


def signals_of(desk: Desk) -> dict[str, dict[str, Any]]:
    """Return symbol -> what was voted at its last close, plain values; without those that none was told of yet."""
    return {
        instrument.symbol: {
            "ts_close_ns": int(bar["ts_close_ns"]),
            "consensus": float(signal["consensus"]),
            "confidence": float(signal["confidence"]),
            "gate_probability": float(signal["gate_probability"]),
            "lead": int(signal["lead"]),
            "regime": int(signal["regime"]),
            "warm": bool(signal["warm"]),
        }
        for instrument, bar, signal in zip(desk.instruments, desk.books.last_bars, desk.books.last_signals, strict=True)
        # The bars are taken up again at a start, the signals are not.
        if any(signal.tobytes())
    }


def equity_of(runner: AccountRunner) -> str:
    """Return the equity in the quote currency as text; empty while unknown."""
    if runner.trader is None:
        return ""
    desk = runner.trader.desk
    return f"{float(desk.books.account[0].equity):.{min(desk.instruments[0].cash_scale, 8)}f}"


def summary_of(runner: AccountRunner, now_ns: int) -> dict[str, Any]:
    """Return what an account did since the start, and where it stands: plain values for JSON."""
    health, told, trader = health_of(runner, now_ns), runner.told, runner.trader
    values: dict[str, Any] = {
        "exchange": runner.key.exchange,
        "account_id": runner.key.account_id,
        "healthy": health.healthy,
        "reasons": list(health.reasons),
        "mode": health.mode.name.lower(),
        "equity": health.equity,
        "open_orders": health.open_orders,
        "unknown_orders": health.unknown_orders,
        "decisions": told.kinds["decision_taken"],
        "fills": told.kinds["fill_booked"],
        "round_trips": told.kinds["round_trip_closed"],
        "bars_late": told.kinds["bar_late"],
        "alerts": [alert.text for alert in told.alerts.values()],
        "positions": [],
    }
    if trader is not None:
        desk = trader.desk
        values |= {
            "quote": desk.quote,
            "settings_hash": desk.settings_hash,
            "limits": limits_of(desk),
            "last_close_ns": desk.ts_close_ns,
            "round_trips_ever": int(desk.books.account[0].trades),
            "positions": [
                {
                    "symbol": instrument.symbol,
                    "qty": f"{int(position['qty_units']) / 10**instrument.qty_scale:.{instrument.qty_scale}f}",
                    "entry_price": f"{float(position['entry_price']):.{instrument.price_scale}f}",
                }
                for instrument, position in zip(desk.instruments, desk.books.positions, strict=True)
                if position["qty_units"] != 0
            ],
        }
    return values
