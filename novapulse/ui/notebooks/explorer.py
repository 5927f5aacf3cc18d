"""The ledger explorer: entries and their legs, balances, lots, orders as the facts they are made of, and the proof.

Invariants:
- the ledger is read beside the trader and never written;
- an account is named by exchange and account id; an order's state after each fact is the fold of the facts up to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import marimo as mo
import polars as pl

from novapulse.core.amounts import from_units
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.order_fold import Order
from novapulse.core.ports import JournalError
from novapulse.ledger import queries
from novapulse.ledger.audit import Audit, audit
from novapulse.ledger.lots import Lot
from novapulse.ledger.statistics import open_lots
from novapulse.monitor import entries
from novapulse.monitor.entries import EntryState
from novapulse.parity.kept import Kept
from novapulse.ui.jobs import Reporter
from novapulse.ui.notebooks import ledgers
from novapulse.ui.notebooks.replay import moments_of
from novapulse.ui.notebooks.work import Came, Work
from novapulse.ui.telling import about_of, moved_of

Html = mo.Html

SECTIONS = ("Entries", "Balances", "Lots", "Orders", "Proof")
ENTRIES_MAX = 500
ORDERS_MAX = 2_000
KINDS_SHOWN = (
    "decision_taken",
    "order_intended",
    "fill_booked",
    "order_closed",
    "round_trip_closed",
    "balance_asserted",
    "alert_raised",
    "breaker_tripped",
    "break_found",
    "command_answered",
    "limits_changed",
    "mode_changed",
    "session_started",
)


class Desk:
    """One session.

    Attributes:
        place: The ledger.
        problem: Why there is nothing to look at, in one sentence.
        proof: Proves the books.
    """

    def __init__(self, place: Path) -> None:
        """Look whether there is a ledger."""
        self.place = place
        self.problem = ledgers.problem_of(place)
        self.proof: Work[Audit] = Work("Proving the books")


@dataclass(frozen=True)
class Head:
    """The ledger as a whole.

    Attributes:
        ledger_id: Its name.
        accounts: There are.
        seq: Its last entry.
        hash: Of the chain up to there, hex.
        ts_ns: When that was written.
    """

    ledger_id: str
    accounts: tuple[AccountKey, ...]
    seq: int
    hash: str
    ts_ns: int


@dataclass(frozen=True)
class Step:
    """A fact of an order and the state after it.

    Attributes:
        entry: The fact.
        status: Of the order, after it.
        filled: What was executed by then, base units.
        leaves: What may still be.
    """

    entry: EntryState
    status: str
    filled: Decimal
    leaves: Decimal


def open_desk() -> Desk:
    """Open the ledger at hand."""
    return Desk(ledgers.ledger_at_hand())


def head_of(desk: Desk) -> Head:
    """Return what the ledger is as a whole, as it stands now."""
    with queries.reading(desk.place) as connection:
        accounts = queries.accounts(connection)
    newest = entries.page(desk.place.parent, limit=1, ledger=desk.place)[0]
    return Head(_ledger_id(desk.place), accounts, newest.seq, newest.hash, newest.ts_ns)


def _ledger_id(place: Path) -> str:
    with Kept(place) as kept:
        return kept.ledger_id


def account_choice(head: Head) -> Any:
    """Return the widget that chooses an account."""
    named = {ledgers.account_name(one): one for one in head.accounts}
    return mo.ui.dropdown(named, next(iter(named)), label="Account", full_width=True, allow_select_none=False)


def kind_choice(desk: Desk) -> Any:
    """Return the widget that chooses kinds of entries."""
    assert desk.problem is None
    named = {kind.replace("_", " "): kind for kind in KINDS_SHOWN}
    return mo.ui.multiselect(named, [], label="Kinds (none: all)", full_width=True)


def until_choice(head: Head) -> Any:
    """Return the widget that says up to which entry is looked at."""
    return mo.ui.number(1, head.seq, 1, head.seq, label="Up to entry", full_width=True)


def refresh_button(count: int, set_count: Callable[[int], None]) -> Any:
    """Return the button that looks at the ledger again."""
    return mo.ui.button(on_click=lambda _: set_count(count + 1), label="Look again", full_width=True)


def section_choice(desk: Desk) -> Any:
    """Return the widget that chooses a section."""
    assert desk.problem is None
    return mo.ui.tabs({name: "" for name in SECTIONS})


def entries_of(desk: Desk, account: AccountKey, kinds: Sequence[str], until: int) -> tuple[EntryState, ...]:
    """Return the newest entries of an account up to a number."""
    return entries.page(desk.place.parent, account, kinds, before_seq=until + 1, limit=ENTRIES_MAX, ledger=desk.place)


def entries_table(found: Sequence[EntryState]) -> Any:
    """Return the table of entries; the newest one is chosen."""
    rows = [
        {
            "Entry": one.seq,
            "What": one.kind.replace("_", " "),
            "When": moments_of(one.ts_ns),
            "Says": about_of(one),
            "Moved": moved_of(one),
        }
        for one in found
    ]
    return _table(rows, page_size=12, wrapped=["Says", "Moved"])


def orders_table(desk: Desk, account: AccountKey, _looked: Head) -> Any:
    """Return the table of an account's orders, the newest first; the first one is chosen."""
    with queries.reading(desk.place) as connection:
        listings = queries.listings(connection, account)
        found = list(queries.orders(connection, account))[-ORDERS_MAX:]
    rows = []
    for one in reversed(found):
        if not one.order.is_intended:
            continue
        request, fact = one.order.request, listings[one.order.request.instrument]
        qty, filled = (
            from_units(units, fact.qty_scale) for units in (one.order.terms.qty_units, one.order.filled_units)
        )
        rows.append(
            {
                "Intended": moments_of(one.ts_ns),
                "Market": request.instrument.symbol,
                "Role": str(request.role.value).lower(),
                "Side": request.side.name.lower(),
                "Kind": str(request.kind.value).lower(),
                "Status": str(one.order.status.value).replace("_", " ").lower(),
                "Quantity": f"{qty:f} {fact.base}",
                "Filled": f"{filled:f} {fact.base}",
                "Entry": one.seq,
                "Order": one.order.client_order_id,
            }
        )
    return _table(rows, page_size=8, figures=("Quantity", "Filled"))


def _table(
    rows: list[dict[str, Any]], page_size: int, wrapped: list[str] | None = None, figures: Sequence[str] = ()
) -> Any:
    if not rows:
        return mo.ui.table([], selection=None, label="")
    return mo.ui.table(
        pl.DataFrame(rows),
        selection="single",
        initial_selection=[0],
        page_size=page_size,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        wrapped_columns=wrapped,
        text_justify_columns=dict.fromkeys(figures, "right"),
    )


def picked(table: Any, column: str) -> Any:
    """Return what the chosen row has in a column; None where no row is chosen."""
    value = table.value
    found = value[column].to_list() if isinstance(value, pl.DataFrame) and column in value.columns else []
    return found[0] if found else None


def story(desk: Desk, account: AccountKey, client_order_id: str) -> list[Step]:
    """Return the facts of an order in order, with its state after each; other entries that name it change nothing."""
    found = entries.page(
        desk.place.parent, account, limit=entries.LIMIT_MAX, client_order_id=client_order_id, ledger=desk.place
    )
    with queries.reading(desk.place) as connection:
        listings = queries.listings(connection, account)
    order, steps = Order(client_order_id), []
    for one in sorted(found, key=lambda entry: entry.seq):
        if one.kind in KINDS:
            order.add(from_body(one.kind, dict(one.body)))
        if order.is_intended:
            scale = listings[order.request.instrument].qty_scale
            filled, leaves = (from_units(units, scale) for units in (order.filled_units, order.leaves_units))
            steps.append(Step(one, str(order.status.value), filled, leaves))
    return steps


def base_of(desk: Desk, account: AccountKey, steps: Sequence[Step]) -> str:
    """Return the asset that the quantities of an order are counted in; empty where it was never intended."""
    with queries.reading(desk.place) as connection:
        listings = queries.listings(connection, account)
    intended = next((one.entry.body["request"] for one in steps if "request" in one.entry.body), None)
    return "" if intended is None else listings[InstrumentKey(*intended["instrument"])].base


def balances_of(desk: Desk, account: AccountKey) -> tuple[queries.Balance, ...]:
    """Return what lies in the books of an account."""
    with queries.reading(desk.place) as connection:
        return queries.balances(connection, account)


OpenLots = list[tuple[InstrumentKey, bool, Lot]]
"""Instrument, whether it is ours, and the lot."""


def lots_of(desk: Desk, account: AccountKey) -> tuple[OpenLots, dict[str, int], dict[InstrumentKey, queries.Listing]]:
    """Return the open lots of an account, the oldest first, the scales of the ledger's assets, and its instruments."""
    with queries.reading(desk.place) as connection:
        lots = [
            (key, not is_nobodys, lot)
            for (is_nobodys, key), held in open_lots(connection, account).items()
            for lot in held.lots
        ]
        lots.sort(key=lambda one: one[2].execution.seq)
        return lots, queries.scales(connection), queries.listings(connection, account)


def prove_button(desk: Desk) -> Any:
    """Return the button that proves the books."""
    assert desk.problem is None
    return mo.ui.run_button(label="Prove every entry", kind="success")


def noted_head(desk: Desk) -> Any:
    """Return the widget for a head that was noted elsewhere."""
    assert desk.problem is None
    return mo.ui.text("", label="Head that you noted (may be empty)", full_width=True)


def prove(desk: Desk, is_asked: bool, noted: str, set_came: Callable[[Came[Audit]], None]) -> Html:
    """Prove the books, and return what is to be seen of that."""
    if not is_asked:
        return desk.proof.run(None, set_came)
    place = desk.place

    def task(reporter: Reporter) -> Audit:
        told = reporter.phase("every hash, every leg, every table that follows from them")
        try:
            return audit(place, head=noted.strip(), told=told)
        except JournalError as wrong:
            raise ValueError(str(wrong)) from wrong

    return desk.proof.run(task, set_came)


def came_of(desk: Desk, came: Came[Any]) -> Came[Any]:
    """Return what came of a task; there is nothing to look at on a desk without a ledger."""
    assert desk.problem is None
    return came
