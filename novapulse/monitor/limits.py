"""How near an account is to each of its limits.

Invariants:
- limits are those that the running session recorded and operators changed since, unless others are handed in: what
  counts, not what a file says;
- a limit that is off says so, and what is not known is unknown, never far away.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from novapulse.monitor.rows import LimitChangeState
from novapulse.monitor.state import AccountState
from novapulse.monitor.values import Value

NEAR = 0.8
"""Share of a limit from which it is near."""


class Level(StrEnum):
    """How near a limit is."""

    OK = "ok"
    NEAR = "near"
    OVER = "over"
    """It is reached: what it restricts is restricted."""
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Meter(Value):
    """One limit.

    Attributes:
        name: Of the limit, as its setting is called.
        title: As people call it.
        used: How much of it is used, in `unit`; None while unknown.
        limit: From which it restricts; None where it is off.
        unit: `fraction`, `positions`, `losses`, `bars` or `orders`.
        level: How near it is.
        explanation: What it restricts, in one sentence.
        configured: What the configuration says, in `unit`; None where an operator has not changed it since, or that
            was not kept.
        changed_by: Who changed it; empty where nobody has.
        changed_ns: When, in the account's own time.
        changed_seq: Entry that says so.
        command_id: Command that did.
    """

    name: str
    title: str
    used: float | None
    limit: float | None
    unit: str
    level: Level
    explanation: str
    configured: float | None = None
    changed_by: str = ""
    changed_ns: int | None = None
    changed_seq: int | None = None
    command_id: str = ""


def limits_of(account: AccountState, settings: Mapping[str, Any] | None = None) -> tuple[Meter, ...]:
    """Return the limits of an account, with what is used of each.

    Args:
        account: Of a reading.
        settings: Limits in the form of `AccountState.risk`; None for those that the session recorded.
    """
    risk = account.risk if settings is None else settings
    meters = [_meter(each, account, risk) for each in _TABLE]
    changes = {one.name: one for one in account.limit_changes} if settings is None else {}
    return tuple(_with_change(one, changes.get(one.name)) for one in (*meters, *_groups(account, risk)))


def _with_change(meter: Meter, change: LimitChangeState | None) -> Meter:
    if change is None:
        return meter
    return replace(
        meter,
        configured=change.configured,
        changed_by=change.actor,
        changed_ns=change.ts_ns,
        changed_seq=change.seq,
        command_id=change.command_id,
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    section: str
    name: str
    title: str
    unit: str
    used: Callable[[AccountState, Mapping[str, Any]], float | None]
    explanation: str


def _meter(each: _Limit, account: AccountState, risk: Mapping[str, Any]) -> Meter:
    section: Mapping[str, Any] = risk.get(each.section, {})
    return _told(each.name, each.title, each.used(account, risk), section.get(each.name), each.unit, each.explanation)


def _told(name: str, title: str, used: float | None, limit: float | None, unit: str, explanation: str) -> Meter:
    if limit == 0:
        return Meter(name, title, used, None, unit, Level.OFF, f"{explanation} It is off.")
    if used is None or limit is None:
        return Meter(name, title, used, limit, unit, Level.UNKNOWN, explanation)
    level = Level.OVER if used >= limit else Level.NEAR if used >= NEAR * limit else Level.OK
    return Meter(name, title, used, float(limit), unit, level, explanation)


def _groups(account: AccountState, risk: Mapping[str, Any]) -> list[Meter]:
    worth: dict[str, Decimal | None] = defaultdict(Decimal)
    for one in account.positions:
        group = account.groups.get(one.symbol)
        if group is None:
            continue
        before = worth[group]
        worth[group] = None if before is None or one.notional is None else before + one.notional
    for group, notional in _pending(account):
        before = worth[group]
        worth[group] = None if before is None or notional is None else before + notional
    limit, equity = risk.get("limits", {}).get("group_exposure_max_fraction"), account.equity
    return [
        _told(
            "group_exposure_max_fraction",
            f"exposure of group {group}, open entries included",
            None if used is None or not equity else float(used / equity),
            limit,
            "fraction",
            "An entry is cut to what it leaves, or refused.",
        )
        for group, used in sorted(worth.items())
    ]


def _pending(account: AccountState) -> Iterator[tuple[str, Decimal | None]]:
    """Yield the group of every open entry and what it may still add to it: None where it has no price."""
    prices = {one.symbol: one.price for one in account.votes}
    for one in account.orders:
        group = account.groups.get(one.symbol)
        if group is not None and one.role == "entry":
            price = one.limit_price or prices.get(one.symbol)
            yield group, None if price is None else one.leaves_qty * price


def _day_loss(account: AccountState, _: Mapping[str, Any]) -> float | None:
    return None if account.day_pnl_fraction is None else max(0.0, -account.day_pnl_fraction)


def _exposure(account: AccountState, _: Mapping[str, Any]) -> float | None:
    if account.gross_exposure is None or account.pending_exposure is None or not account.equity:
        return None
    return float((account.gross_exposure + account.pending_exposure) / account.equity)


def _positions(account: AccountState, _: Mapping[str, Any]) -> float | None:
    if not account.proven:
        return None
    entries = {one.symbol for one in account.orders if one.role == "entry"}
    return float(len(entries | {one.symbol for one in account.positions if one.is_ours}))


def _drawdown_share(account: AccountState, risk: Mapping[str, Any]) -> float | None:
    most = risk.get("limits", {}).get("drawdown_max_fraction")
    return account.drawdown_fraction / most if most and account.drawdown_fraction is not None else None


def _bar_age(account: AccountState, risk: Mapping[str, Any]) -> float | None:
    width_ns = risk.get("timeframe_ns")
    return account.last_bar_age_s * 1e9 / width_ns if width_ns and account.last_bar_age_s is not None else None


_NO_ENTRY = "No entry is made while it is reached."
_TABLE = (
    _Limit("limits", "daily_loss_max_fraction", "loss of the day", "fraction", _day_loss, _NO_ENTRY),
    _Limit(
        "breakers",
        "daily_loss_reduce_only_fraction",
        "loss of the day (breaker)",
        "fraction",
        _day_loss,
        "A breaker lets the account only reduce.",
    ),
    _Limit(
        "breakers",
        "daily_loss_halt_fraction",
        "loss of the day (halt)",
        "fraction",
        _day_loss,
        "A breaker halts the account; only an operator ends that.",
    ),
    _Limit(
        "limits",
        "drawdown_max_fraction",
        "drawdown",
        "fraction",
        lambda account, _: account.drawdown_fraction,
        _NO_ENTRY,
    ),
    _Limit(
        "breakers",
        "drawdown_share_max",
        "share of the drawdown limit (breaker)",
        "fraction",
        _drawdown_share,
        "A breaker restricts the account.",
    ),
    _Limit(
        "limits",
        "gross_exposure_max_fraction",
        "exposure, open entries included",
        "fraction",
        _exposure,
        "An entry is cut to what it leaves, or refused.",
    ),
    _Limit("limits", "positions_max", "positions and entries at work", "positions", _positions, _NO_ENTRY),
    _Limit(
        "limits",
        "loss_streak_max",
        "losses in a row",
        "losses",
        lambda account, _: None if account.loss_streak is None else float(account.loss_streak),
        "The account pauses for a while.",
    ),
    _Limit(
        "breakers",
        "bar_age_bars_max",
        "age of the last bar",
        "bars",
        _bar_age,
        "A breaker pauses the account until bars come again.",
    ),
)
