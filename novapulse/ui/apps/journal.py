"""The journal: entries with what they moved, one of them whole, the ledger's proof, and what people did."""

import json
from collections.abc import Callable
from typing import Any

import marimo as mo

from novapulse.control import audit as audits
from novapulse.control.storage import FILE, ControlError, Storage
from novapulse.core.ports import JournalError
from novapulse.monitor import Overview, entries
from novapulse.monitor.entries import KIND_TEXT, EntryState, UnknownEntryError
from novapulse.monitor.state import LedgerHealth
from novapulse.ui.apps.behind import FIGURES, Asked, parts_of
from novapulse.ui.apps.frame import PAGES, SEQS_MAX, Page, chips, columns, note, stack
from novapulse.ui.apps.proof import Proof
from novapulse.ui.apps.tables import Columns, moment
from novapulse.ui.markup import escape
from novapulse.ui.session import scope
from novapulse.ui.telling import about_of, moved_of
from novapulse.ui.widgets import Rows, Tiles

PAGE_ROWS = 50
_LAST_NS = 2**62
_KINDS: dict[str, tuple[str, ...]] = {
    "fills": ("fill_booked", "fill_busted"),
    "decisions": ("decision_taken", "entry_unfilled"),
    "orders": (
        *("order_intended", "order_attempted", "order_acked", "order_refused", "order_unclear", "order_closed"),
        *("order_seen", "amend_asked", "amend_done", "cancel_asked"),
    ),
    "round trips": ("round_trip_closed",),
    "commands": ("command_taken", "command_answered", "limits_changed"),
    "sessions": (
        *("account_opened", "session_started", "session_stopped", "account_ended", "calibration_learned"),
        "ledger_restored",
    ),
    "checks": ("balance_asserted", "break_found", "break_adopted", "break_resolved", "dust_swept", "dust_set_aside"),
    "alerts": (
        *("alert_raised", "alert_acknowledged", "alert_cleared"),
        *("breaker_tripped", "breaker_cleared", "mode_changed"),
    ),
}
_ENTRIES: Columns = (
    {"key": "seq", "label": "entry"},
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "kind", "label": "what", "kind": "status"},
    {"key": "moved", "label": "moved", "wide": True},
    {"key": "about", "label": "about", "wide": True},
)
_LEGS: Columns = (
    {"key": "book", "label": "book", "kind": "status"},
    {"key": "asset", "label": "asset"},
    {"key": "amount", "label": "amount", "kind": "signed"},
)
_AUDIT: Columns = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "actor", "label": "who"},
    {"key": "action", "label": "what", "kind": "status"},
    {"key": "exchange", "label": "exchange", "none": True},
    {"key": "account_id", "label": "account", "none": True},
    {"key": "outcome", "label": "outcome", "kind": "status"},
    {"key": "text", "label": "why not", "wide": True},
    {"key": "command_id", "label": "command"},
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("journal")
    if shown.problem:
        return shown.shown()
    tiles = scope().own(Tiles())
    shown.on_reading(lambda now: tiles.show_state({"tiles": tiles_of(now, shown)}))
    proof = [Proof(shown).shown()] if shown.who.may_act else []
    seq, seqs, kind, figure = (shown.asked(name) for name in ("seq", "seqs", "kind", "figure"))
    if kind and kind not in _KINDS:
        shown.problem = f"no kind {kind}: entries are {', '.join(_KINDS)}"
        return shown.shown()
    if figure and figure not in FIGURES:
        shown.problem = f"no figure {figure}: there are {', '.join(FIGURES)}"
        return shown.shown()
    try:
        if seq:
            body = _one(shown, seq)
        elif seqs:
            body = _some(shown, seqs)
        else:
            body = Behind(shown, figure).shown() if figure else _listed(shown)
    except (JournalError, UnknownEntryError) as wrong:
        shown.problem = str(wrong)
        return shown.shown()
    audit = [_audit(shown)] if shown.who.role == "admin" and not (seq or seqs or figure) else []
    return shown.shown(tiles, body, *proof, *audit)


def tiles_of(reading: Overview, page: Page) -> list[dict[str, Any]]:
    """Return which ledger this is and how far it goes."""
    return [
        {
            "label": "entries",
            "value": str(reading.head_seq),
            "digits": 0,
            "note": f"the last one {moment(reading.head_ns)}",
            "href": page.entry(reading.head_seq),
        },
        {"label": "ledger", "value": reading.ledger_id[:8], "plain": True, "note": reading.ledger_place},
        {
            "label": "read",
            "value": "well" if reading.ledger.value == "ok" else reading.ledger.value,
            "note": reading.ledger_problem or "nothing is wrong with it",
            "level": "ok" if reading.ledger.value == "ok" else "over",
        },
    ]


def entry_rows(found: tuple[EntryState, ...], page: Page) -> list[dict[str, Any]]:
    """Return entries as rows, each with what it moved and what it is about in a few words."""
    return [
        {
            "key": str(one.seq),
            "seq": one.seq,
            "ts_ns": one.ts_ns,
            "exchange": one.exchange,
            "account_id": one.account_id,
            "kind": one.kind,
            "moved": moved_of(one),
            "about": about_of(one),
            "href": page.here(seq=one.seq),
        }
        for one in found
    ]


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise UnknownEntryError(f"an entry has a number, not {text}")
    return int(text)


def _moment(text: str) -> int:
    if not text.isdecimal() or len(text) > 19 or int(text) > _LAST_NS:
        raise UnknownEntryError(f"a moment is a number of ns since 1970, not {text}")
    return int(text)


def _some(page: Page, text: str) -> str:
    """Return the entries behind a figure, each whole a click away; they may be those of several accounts."""
    asked = [_number(one) for one in text.split(",")]
    wanted, said = asked[:SEQS_MAX], page.asked("of")
    count = max(_number(said) if said else 0, len(asked))
    found = entries.some(page.home, wanted)
    missing = sorted(set(wanted) - {one.seq for one in found})
    if missing:
        raise UnknownEntryError(f"the ledger has no entry {', '.join(map(str, missing))}")
    rows = scope().own(Rows(label="Entries behind the figure", stale_s=0))
    rows.show_state(
        {"columns": _ENTRIES, "rows": [{**row, "href": page.alone(seq=row["seq"])} for row in entry_rows(found, page)]}
    )
    cut = [note(f"These are {len(wanted)} of {count} entries.")] if count > len(wanted) else []
    return stack([chips("Go to", [("all entries", page.alone(), False)]), *cut, rows])


class Behind:
    """What a figure is made of, as the newest reading has it: all of it, a page at a time."""

    def __init__(self, page: Page, figure: str) -> None:
        """Ask the ledger.

        Args:
            page: Which shows it.
            figure: A name of `FIGURES`.

        Raises:
            UnknownEntryError: The address names a moment that is none.
            JournalError: The ledger cannot be read.
        """
        self._page, self._figure = page, figure
        moments = (_moment(page.asked(name) or "0") for name in ("from_ns", "until_ns"))
        self._asked = Asked(page.asked("symbol"), page.asked("group"), *moments)
        before = page.asked("before")
        self._before = _number(before) if before else None
        self._rows = scope().own(Rows(label=f"Entries behind the figure: {FIGURES[figure].title}"))
        self._found = self._read(page.first)
        newest = Newest(self._rows, self._found, page)
        page.on_reading(lambda now: newest.show(now, None if self._before else lambda: self._read(now)))

    def _read(self, reading: Overview) -> tuple[EntryState, ...]:
        quote = self._page.asked("quote")
        whose = [one for one in self._page.accounts(reading) if quote in ("", one.quote)]
        parts = parts_of(self._figure, whose, self._asked)
        return entries.behind(self._page.home, parts, self._before, PAGE_ROWS)

    def shown(self) -> str:
        """Return it as a part of a page."""
        page, named = self._page, FIGURES[self._figure].page
        links = [(dict(PAGES)[named].lower(), page.link(named), False), ("all entries", page.alone(), False)]
        asked = {name: page.asked(name) for name in ("figure", "symbol", "group", "quote", "from_ns", "until_ns")}
        pages = [("newest", page.here(None, **asked), False)] if self._before else []
        if len(self._found) == PAGE_ROWS:
            pages.append(("older", page.here(None, **asked, before=self._found[-1].seq), False))
        return stack([chips("Go to", links), self._rows, chips("Page", pages) if pages else ""])


def _one(page: Page, text: str) -> str:
    found = entries.one(page.home, _number(text))
    about = page.account
    if about is not None and (found.exchange, found.account_id) != (about.exchange, about.account_id):
        whose = f"{found.account_id} on {found.exchange}"
        raise UnknownEntryError(f"entry {found.seq} is of {whose}, not of {about.account_id} on {about.exchange}")
    legs = scope().own(Rows(label="What it moved", stale_s=0))
    rows = [{**leg.json(), "key": str(at)} for at, leg in enumerate(found.legs)]
    legs.show_state({"columns": _LEGS, "rows": rows, "none": "It moved nothing."})
    facts = (
        ("entry", str(found.seq)),
        ("when, UTC", moment(found.ts_ns)),
        ("exchange", found.exchange),
        ("account", found.account_id),
        ("what", found.kind.replace("_", " ")),
        ("in words", KIND_TEXT.get(found.kind, "")),
        ("hash of the chain", found.hash),
    )
    told = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    body = escape(json.dumps(found.body, indent=2, ensure_ascii=False, sort_keys=True))
    links = [("all entries", page.here(), False)]
    # A neighbour may be of another account.
    links += [(f"entry {seq}", page.alone(seq=seq), False) for seq in (found.seq - 1, found.seq + 1) if seq > 0]
    order = found.body.get("client_order_id")
    if isinstance(order, str) and order:
        links.append((f"all of order {order[:8]}", page.here(order=order), False))
    head = f'<section class="np-card"><h2>Entry {found.seq}</h2><dl class="np-facts">{told}</dl></section>'
    whole = f'<section class="np-card"><h2>As it was written</h2><pre class="np-body">{body}</pre></section>'
    return stack([chips("Go to", links), columns(stack([head, legs]), whole)])


def _listed(page: Page) -> str:
    kind, order, before = page.asked("kind"), page.asked("order"), page.asked("before")
    account = page.account.key if page.account else None
    before_seq = int(before) if before.isdecimal() and len(before) <= 18 else None
    chosen = _KINDS[kind] if kind else ()
    rows = scope().own(Rows(label=f"Entries of order {order[:12]}" if order else "Entries"))

    def read() -> tuple[EntryState, ...]:
        return entries.page(page.home, account, chosen, before_seq, PAGE_ROWS, client_order_id=order)

    found = read()
    newest = Newest(rows, found, page)
    page.on_reading(lambda now: newest.show(now, read if before_seq is None else None))
    kinds = [("everything", page.here(order=order), not chosen)]
    kinds += [(name, page.here(kind=name, order=order), name == kind) for name in _KINDS]
    pages = []
    if before_seq is not None or order:
        pages.append(("newest", page.here(kind=kind), False))
    if len(found) == PAGE_ROWS:
        pages.append(("older", page.here(kind=kind, order=order, before=found[-1].seq), False))
    return stack(
        [
            f'<div class="np-switches">{page.switch(with_all=True)}{chips("Kind", kinds)}</div>',
            rows,
            chips("Page", pages) if pages else "",
        ]
    )


class Newest:
    """The entries of a page: read anew when the ledger has grown, where the page is the newest."""

    def __init__(self, widget: Rows, found: tuple[EntryState, ...], page: Page) -> None:
        """Show what was found first.

        Args:
            widget: To show it on.
            found: Entries.
            page: Which shows them.
        """
        self._widget, self._page = widget, page
        self._head = page.first.head_seq
        self._put(found)

    def show(self, reading: Overview, read: Callable[[], tuple[EntryState, ...]] | None) -> None:
        """Show what holds as of a reading.

        Args:
            reading: The reading.
            read: Asks the ledger; None for entries that others cannot follow.
        """
        if reading.ledger is not LedgerHealth.OK:
            # Nothing is said, so the rows turn grey by themselves.
            return
        if read is None or reading.head_seq == self._head:
            self._widget.word()
            return
        try:
            self._put(read())
        except JournalError:
            return
        self._head = reading.head_seq

    def _put(self, found: tuple[EntryState, ...]) -> None:
        rows = entry_rows(found, self._page)
        self._widget.show_state({"columns": _ENTRIES, "rows": rows, "none": "There is no such entry."})


def _audit(page: Page) -> Rows:
    """Return what people did and were not let do, newest first; only admins may read it."""
    shown = scope().own(Rows(label="What people did", height=420))
    storage = Storage(page.home / FILE)

    def tell(_: Overview) -> None:
        try:
            with storage.reading() as database:
                found = audits.page(database, limit=PAGE_ROWS)
        except ControlError as wrong:
            shown.show_state({"columns": _AUDIT, "rows": [], "none": str(wrong)})
            return
        rows = [{**one.json(), "key": str(one.audit_id)} for one in found]
        marked = [{**row, "level": "" if row["outcome"] == audits.DONE else "near"} for row in rows]
        shown.show_state({"columns": _AUDIT, "rows": marked, "none": "Nobody has done anything yet."})

    page.on_reading(tell)
    return shown
