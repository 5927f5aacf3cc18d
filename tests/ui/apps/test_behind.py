"""Every number of every drawn page leads to the entries that it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from novapulse.core.orders import OrderStatus
from novapulse.monitor import AccountState, Overview, entries, read_home, strategies
from novapulse.monitor.history import days_of
from novapulse.monitor.rows import BreakState
from novapulse.ui.apps.behind import FIGURES
from novapulse.ui.apps.frame import SEQS_MAX
from novapulse.ui.widgets import Equity
from tests.ui.apps.conftest import VIEWS, Drawn, Look

MAIN = {"exchange": "kraken", "account_id": "main"}
NAMES = frozenset({"ledger"})
"""Tiles of a name, whose digits may be those of a number."""
FIGURES_OF_ROWS = frozenset({"figure", "signed", "percent"})
NOT_OF_THE_LEDGER = {
    # Prices and votes are of bars, which lie in the lake: they lead to the chart of those bars.
    "bars": (
        "Now",
        "Instruments",
        "Votes of the strategies",
        "Markets, by the exchange's calendar",
        "strongest",
    ),
    # What a process says of itself lies in its health document: it has no entry.
    "process": ("Measured by the trader", "last bar", "last heartbeat", "age of the last bar", "process"),
    # A decision leads to its explanation, all of whose figures lead to its entry.
    "explained": ("Decisions",),
}


@dataclass(frozen=True)
class Number:
    """A number on a page: under which name it stands, where it leads, and what it was made from."""

    board: str
    name: str
    href: str
    item: dict[str, Any]


def numbers(drawn: Drawn) -> Iterator[Number]:
    """Every number of the tiles, tables, meters and positions of a page."""
    for widget in drawn.widgets:
        state = widget.state
        for tile in state.get("tiles", ()):
            if tile["value"] is None or (tile["label"] not in NAMES and is_number(tile["value"])):
                yield Number(widget.label, tile["label"], tile.get("href", ""), tile)
        counted = [one["key"] for one in state.get("columns", ()) if one.get("kind") in FIGURES_OF_ROWS]
        for row in state.get("rows", ()) if counted else ():
            name, own = row[state.get("key_field", "key")], row.get("hrefs", {})
            yield Number(widget.label, name, row.get("href", ""), row)
            yield from (Number(widget.label, name, own[key], row) for key in counted if key in own)
        if isinstance(widget, Equity):
            yield Number(widget.label, "equity, and since the start", widget.equity_href, {})
            yield Number(widget.label, "under the peak, and deepest", widget.drawdown_href, {})
        for key in ("meters", "positions"):
            for one in state.get(key, ()):
                yield Number(widget.label, one.get("name", one.get("symbol")), one.get("href", ""), one)


def is_number(text: str) -> bool:
    """Whether a tile's value is one, a stretch of time among them."""
    return text[:1].isdecimal() or (text[:1] in "+-\N{MINUS SIGN}" and text[1:2].isdecimal())


def excuse(number: Number) -> str:
    return next((why for why, names in NOT_OF_THE_LEDGER.items() if {number.board, number.name} & {*names}), "")


def asked_of(href: str) -> dict[str, str]:
    return {key: value[0] for key, value in parse_qs(urlsplit(href).query).items()}


def opened(look: Look, home: Path, href: str) -> list[entries.EntryState]:
    """The entries that the journal shows at an address, all its pages."""
    found: list[dict[str, Any]] = []
    asked = asked_of(href)
    while True:
        drawn = look("journal", home, "viewer", **asked)
        assert not drawn.problem, (href, drawn.problem)
        if "seq" in asked:
            assert f"<h2>Entry {asked['seq']}</h2>" in drawn.html
            return [entries.one(home, int(asked["seq"]))]
        found += drawn.rows("Entries")
        older = [link for link in drawn.links if "before=" in link]
        if not older:
            break
        asked = asked_of(older[-1])
    seqs = [row["seq"] for row in found]
    assert len(set(seqs)) == len(seqs)
    return [one for first in range(0, len(seqs), 400) for one in entries.some(home, seqs[first : first + 400])]


def moved(found: list[entries.EntryState], account: AccountState, *books: str) -> dict[str, Decimal]:
    """What entries of an account moved in some books, by asset."""
    sums: dict[str, Decimal] = {}
    for one in found:
        if (one.exchange, one.account_id) == (account.exchange, account.account_id):
            for leg in one.legs:
                if leg.book in books:
                    sums[leg.asset] = sums.get(leg.asset, Decimal(0)) + leg.amount
    return {asset: amount for asset, amount in sums.items() if amount}


def holds_of(account: AccountState) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for one in account.positions:
        sums[one.base] = sums.get(one.base, Decimal(0)) + one.qty
    return sums


def check(number: Number, found: list[entries.EntryState], accounts: tuple[AccountState, ...]) -> None:
    """Entries contain what the number claims, as far as a reading knows it without them."""
    asked = asked_of(number.href)
    seqs, figure = {one.seq for one in found}, asked.get("figure", "")
    mine = [one for one in accounts if asked.get("exchange") in (None, one.exchange)]
    mine = [one for one in mine if asked.get("account_id") in (None, one.account_id)]
    assert {(one.exchange, one.account_id) for one in found} <= {(one.exchange, one.account_id) for one in accounts}
    if not figure:
        assert seqs
        assert seqs >= set(number.item.get("seqs") or ())
    for one in mine:
        assert wanted(figure, one, asked) <= seqs, (number, wanted(figure, one, asked) - seqs)
        if figure in ("equity", "drawdown", "account"):
            assert moved(found, one, "cash", "hold") == {one.quote: one.cash + one.hold}
            assert moved(found, one, "inventory") == holds_of(one)
        if figure == "fees":
            assert moved(found, one, "fees") == ({one.quote: one.fees} if one.fees else {})
        if figure in ("trades", "account", "realized"):
            trips = [each for each in found if each.kind == "round_trip_closed"]
            own = [each for each in trips if (each.exchange, each.account_id) == (one.exchange, one.account_id)]
            assert len(own) == one.trades
        if figure in ("exposure", "stops", "position", "today") and not one.positions:
            assert moved(found, one, "inventory") == {}


def wanted(figure: str, account: AccountState, asked: dict[str, str]) -> set[int]:
    """Numbers of the entries that a figure counts, as the reading has them."""
    positions = [one for one in account.positions if asked.get("symbol", one.symbol) == one.symbol]
    if "group" in asked:
        positions = [one for one in positions if account.groups.get(one.symbol, one.base) == asked["group"]]
    lots = {seq for one in positions for seq in one.seqs}
    facts = {one.client_order_id: {one.seq, *one.facts} for one in account.orders}
    stops = {seq for one in positions for seq in facts.get(one.stop_order, ())}
    days = {one.day_ns: set(one.seqs) for one in days_of(account)}
    counted: dict[str, set[int]] = {
        "today": lots | days[max(days)],
        "day": days.get(int(asked.get("from_ns", 0)), set()),
        "exposure": lots,
        "stops": lots | stops,
        "position": lots | stops,
        "orders": set().union(*facts.values()),
        "unknown": {seq for one in account.orders if one.status == "UNKNOWN" for seq in (one.seq, *one.facts)},
        "alerts": {one.seq for one in account.alerts if one.is_open},
        "breaks": {one.seq for one in account.breaks} | {account.seqs["compared"]},
        "standing": {account.as_of_seq, *(one.seq for one in (*account.breaks, *account.breakers))},
        "calendars": {account.seqs["session"]},
        "stretch": set(),
    }
    return counted.get(figure, set())


def test_every_number_leads_to_entries_that_contain_what_it_claims(left_home: Path, look: Look) -> None:
    accounts = read_home(left_home).accounts
    seen: dict[str, Number] = {}
    excused: dict[str, set[str]] = {}
    for name in VIEWS:
        for account in ({}, MAIN):
            found = list(numbers(look(name, left_home, "viewer", **account)))
            assert found, name
            for number in found:
                why = excuse(number)
                if why:
                    excused.setdefault(why, set()).add(number.href)
                    continue
                assert number.href.startswith("/apps/journal/"), (name, number)
                seen.setdefault(number.href, number)
    # Where a figure is not a number just now, its link is that of a word.
    assert {asked_of(href).get("figure", "seq") for href in seen} >= {*FIGURES} - {"breaks", "trades"}
    for number in seen.values():
        check(number, opened(look, left_home, number.href), accounts)
    assert excused.keys() == NOT_OF_THE_LEDGER.keys()
    assert all(href.startswith("/apps/desk/") for href in excused["bars"])
    assert all("decision=" in href for href in excused["explained"])


def test_figures_of_one_row_that_are_made_of_different_entries_lead_to_their_own(left_home: Path, look: Look) -> None:
    """A bug: equity, today, drawdown, exposure, orders and trades had one link together, on the exchange's name."""
    for name, figures in (
        ("overview", ["equity", "today", "drawdown", "exposure", "orders", "trades"]),
        ("health", ["unknown", "breaks"]),
    ):
        drawn = look(name, left_home, "viewer")
        counted = [one["key"] for one in drawn.state("Accounts")["columns"] if one.get("kind") in FIGURES_OF_ROWS]
        for row in drawn.rows("Accounts"):
            asked = [asked_of(row["hrefs"][key]) for key in counted]
            assert [one["figure"] for one in asked] == figures
            assert {(one["exchange"], one["account_id"]) for one in asked} == {(row["exchange"], row["account_id"])}


def test_what_is_open_leads_to_its_own_entries(left_home: Path, look: Look) -> None:
    """Differences and orders without a known outcome, of which the session had none."""
    reading = read_home(left_home)
    mine = reading.account("kraken", "main")
    order = replace(mine.orders[0], status=OrderStatus.UNKNOWN.value)
    differs = BreakState(mine.as_of_seq, 1, "D1:x", "D1", "", "differs", "1", "2", (), "")
    more = {"breaks": (differs,), "open_breaks": 1, "orders": (order,), "unknown_orders": 1}
    look.change = partial(_changed_main, more)
    changed_ = look.change(reading).accounts
    drawn = [look(name, left_home, "viewer", **MAIN) for name in ("desk", "orders")]
    asked = {number.name: number for page in drawn for number in numbers(page)}
    overview = look("overview", left_home, "viewer").tiles()["books and venue"]
    assert overview["value"] == "1 open"
    asked["breaks"] = Number("", "breaks", overview["href"], overview)
    assert asked_of(asked["unknown outcome"].href)["figure"] == "unknown"
    for name in ("breaks", "unknown outcome", "open orders"):
        number = asked[name]
        check(number, opened(look, left_home, number.href), changed_)


def _changed_main(more: dict[str, Any], reading: Overview) -> Overview:
    main = reading.account("kraken", "main")
    return replace(reading, accounts=tuple(replace(one, **more) if one is main else one for one in reading.accounts))


def test_what_is_left_out_of_a_list_is_said(left_home: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: links were cut at so many entries, and nobody was told."""
    row = strategies.table(left_home)[0]
    many = tuple(range(1, SEQS_MAX + 38))
    for seqs, trades, said in (
        (many, len(many), f"These are {SEQS_MAX} of {len(many)} entries."),
        (many[:20], 137, "These are 20 of 137 entries."),
        (many[:20], 20, ""),
    ):
        told = (replace(row, seqs=seqs, trades=trades),)
        monkeypatch.setattr(strategies, "table", lambda *_, told=told: told)
        (link,) = [one["href"] for one in look("scanner", left_home, "viewer").rows("Strategies")]
        drawn = look("journal", left_home, "viewer", **asked_of(link))
        assert len(drawn.rows("Entries")) == min(SEQS_MAX, len(seqs))
        assert ("These are" in drawn.html) == bool(said)
        assert said in drawn.html


@pytest.mark.parametrize(
    "asked", [{"figure": "beauty"}, {"figure": "day", "from_ns": "x"}, {"figure": "day", "before": "-1"}]
)
def test_a_figure_that_is_none_is_an_error(left_home: Path, look: Look, asked: dict[str, str]) -> None:
    assert look("journal", left_home, "viewer", **asked).problem
