"""What is over: orders that ended, stretches of bars on which nothing was done, and what each day brought."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import and_, select

from novapulse.core.amounts import from_units
from novapulse.core.bars import day_start_ns
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import HoldRun
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.ledger.queries import (
    CHUNK,
    DECISIONS,
    Listing,
    check_account,
    hold_runs,
    listings,
    reading,
)
from novapulse.ledger.schema import event, of_kind, order_step
from novapulse.monitor.decisions import reason_text
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.rows import DayState
from novapulse.monitor.state import AccountState
from novapulse.monitor.values import Value


@dataclass(frozen=True, slots=True)
class EndedOrder(Value):
    """An order that has ended.

    Attributes:
        seq: Entry of its end.
        ts_ns: When that was, in its account's own time.
        client_order_id: Ours.
        symbol: What.
        side: `buy` or `sell`.
        role: `entry`, `exit` or `protect`.
        kind: `market`, `limit` or `bracket`.
        status: How it ended, a name of `core.orders.OrderStatus`.
        qty: Of the terms it was intended with, base units.
        filled_qty: Executed.
        decision_id: The decision that wanted it.
    """

    seq: int
    ts_ns: int
    client_order_id: str
    symbol: str
    side: str
    role: str
    kind: str
    status: str
    qty: Decimal
    filled_qty: Decimal
    decision_id: str


@dataclass(frozen=True, slots=True)
class HoldState(Value):
    """A stretch of bars on which nothing was done, for one reason.

    Attributes:
        symbol: Of which instrument.
        reason: A name of `core.records.Reason`; its number where this program does not know it.
        why: The same in words.
        first_ns: Close of its first bar.
        last_ns: Close of its last bar.
        bars: How many.
    """

    symbol: str
    reason: str
    why: str
    first_ns: int
    last_ns: int
    bars: int


@dataclass(frozen=True, slots=True)
class TakenState(Value):
    """A decision that was taken on a bar.

    Attributes:
        decision_id: Its name.
        seq: Its entry.
        action: `ENTER`, `EXIT` or `WITHDRAW`.
        side: `buy`, `sell` or empty.
        why: Its reason in words.
    """

    decision_id: str
    seq: int
    action: str
    side: str
    why: str


@dataclass(frozen=True, slots=True)
class BarState(Value):
    """What came of one bar of an instrument.

    Attributes:
        decisions: Taken on it, in order.
        hold: The stretch it lies in on which nothing was done, once that is over; None where there is none such.
    """

    decisions: tuple[TakenState, ...]
    hold: HoldState | None


def ended_orders(
    home: Path, account: AccountKey, *, last: int = 50, before: int | None = None
) -> tuple[EndedOrder, ...]:
    """Return the orders that ended last, newest first.

    Args:
        home: Folder of the trader's state.
        account: Whose.
        last: At most so many.
        before: Only those that ended before this entry; None for the last.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    end, intent, ended, intended = order_step.alias(), order_step.alias(), event.alias(), event.alias()
    same = and_(*(intent.c[name] == end.c[name] for name in ("exchange", "account_id", "client_order_id")))
    wanted = (
        select(ended.c.seq, ended.c.ts_ns, ended.c.body, intended.c.body)
        .select_from(
            end.join(intent, and_(same, intent.c.step == 0))
            .join(ended, ended.c.seq == end.c.seq)
            .join(intended, intended.c.seq == intent.c.seq)
        )
        .where(end.c.exchange == account.exchange, end.c.account_id == account.account_id, end.c.closes == 1)
        .order_by(end.c.seq.desc())
        .limit(last)
    )
    if before is not None:
        wanted = wanted.where(end.c.seq < before)
    with reading(home / LEDGER_FILE) as connection:
        check_account(connection, account)
        known = {key.symbol: listing for key, listing in listings(connection, account).items()}
        rows = connection.execute(wanted).all()
    return tuple(_ended(seq, ts_ns, json.loads(end_), json.loads(intent_), known) for seq, ts_ns, end_, intent_ in rows)


def holds(home: Path, account: AccountKey, *, last: int = 100, before: int | None = None) -> tuple[HoldState, ...]:
    """Return the stretches of bars on which nothing was done, newest first, as far as they are over.

    Args:
        home: Folder of the trader's state.
        account: Whose.
        last: At most so many.
        before: Only those whose first bar closed before this, ns UTC; None for the last.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    with reading(home / LEDGER_FILE) as connection:
        runs = hold_runs(connection, account, last=last, before=before)
    return tuple(_hold(one) for one in reversed(runs))


def of_bar(home: Path, account: AccountKey, symbol: str, ts_close_ns: int) -> BarState:
    """Return what an account decided on a bar.

    Args:
        home: Folder of the trader's state.
        account: Whose.
        symbol: Of which instrument.
        ts_close_ns: Close of the bar, ns UTC.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    with reading(home / LEDGER_FILE) as connection:
        check_account(connection, account)
        # A decision is written in its account's own time, which has come to the close of the bar it is about.
        mine = and_(event.c.exchange == account.exchange, event.c.account_id == account.account_id)
        later = and_(mine, of_kind(*DECISIONS), event.c.ts_ns >= ts_close_ns)
        rows = connection.execute(select(event.c.seq, event.c.body).where(later).order_by(event.c.seq).limit(CHUNK))
        taken = [(seq, json.loads(body)) for seq, body in rows]
        runs = hold_runs(connection, account, symbol=symbol, last=1, before=ts_close_ns + 1)
    about = (int(ts_close_ns), [account.exchange, symbol])
    return BarState(
        tuple(_taken(seq, body) for seq, body in taken if (body["ts_close_ns"], body["instrument"]) == about),
        next((_hold(run) for run in runs if run.last_ns >= ts_close_ns), None),
    )


def days_of(account: AccountState) -> tuple[DayState, ...]:
    """Return the last days and today so far, newest first, with the equity of the last close."""
    if not account.equity_points:
        return account.days
    ts_ns, equity = account.equity_points[-1]
    day_ns = day_start_ns(ts_ns)
    known = {one.day_ns: one for one in account.days}
    today = known.get(day_ns) or DayState(day_ns, 0, 0, Decimal(0), Decimal(0), None, None, ())
    known[day_ns] = replace(today, equity=equity, equity_ns=ts_ns)
    return tuple(sorted(known.values(), key=lambda one: -one.day_ns))


def _ended(
    seq: int, ts_ns: int, end: Mapping[str, Any], intent: Mapping[str, Any], known: Mapping[str, Listing]
) -> EndedOrder:
    request = intent["request"]
    symbol = request["instrument"][1]
    scale = known[symbol].qty_scale
    return EndedOrder(
        seq=seq,
        ts_ns=ts_ns,
        client_order_id=intent["client_order_id"],
        symbol=symbol,
        side="buy" if request["side"] > 0 else "sell",
        role=request["role"],
        kind=request["kind"],
        status=end["status"],
        qty=from_units(request["terms"][0], scale),
        filled_qty=from_units(end["filled_units"], scale),
        decision_id=request["decision_id"],
    )


def _hold(run: HoldRun) -> HoldState:
    return HoldState(run.instrument.symbol, *_reason(run.reason), run.first_ns, run.last_ns, run.bars)


def _taken(seq: int, body: Mapping[str, Any]) -> TakenState:
    side = {1: "buy", -1: "sell"}.get(int(body["side"]), "")
    return TakenState(body["decision_id"], seq, body["verb"], side, reason_text(body["reason"]))


def _reason(code: int) -> tuple[str, str]:
    if code not in set(Reason):
        return str(code), f"for a reason that this program does not know ({code})"
    return Reason(code).name, REASON_TEXT[Reason(code)]
