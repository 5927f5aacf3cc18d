"""All apps: who sees what, whose figures they are, and that a text stays a text."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from novapulse.monitor import Overview, read_home
from novapulse.monitor.rows import AlertState, BreakState, OrderState
from novapulse.ui.widgets import StatusStrip
from tests.ui.apps.conftest import VIEWS, Look, changed, position

PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.parametrize("role", ["", "viewer"])
def test_who_may_only_look_gets_no_button_anywhere(left_home: Path, look: Look, role: str) -> None:
    for name in VIEWS:
        drawn = look(name, left_home, role)
        assert not drawn.problem
        assert drawn.holds == [], name
        assert "marimo-button" not in drawn.html, name
        assert "What people did" not in [one.label for one in drawn.widgets], name


def test_a_page_without_a_server_leads_nowhere_but_to_itself(left_home: Path, look: Look) -> None:
    for name in VIEWS:
        assert [link for link in look(name, left_home).links if not link.startswith("?")] == [], name


def test_links_lead_to_pages_and_name_both_parts_of_an_account(left_home: Path, look: Look) -> None:
    known = {(one.exchange, one.account_id) for one in read_home(left_home).accounts}
    for name in VIEWS:
        for link in look(name, left_home, "operator", exchange="kraken", account_id="second").links:
            parts = urlsplit(link)
            if link == "/account":
                continue
            assert parts.path.removeprefix("/apps/").removesuffix("/") in VIEWS, link
            asked = {key: value[0] for key, value in parse_qs(parts.query).items()}
            assert ("exchange" in asked) == ("account_id" in asked), link
            if "exchange" in asked:
                assert (asked["exchange"], asked["account_id"]) in known, link


@pytest.mark.parametrize("name", list(VIEWS))
@pytest.mark.parametrize("asked", [{"exchange": "kraken", "account_id": "nobody"}, {"account_id": "main"}])
def test_an_unknown_account_is_an_error_and_nobody_elses_figures(
    left_home: Path, look: Look, name: str, asked: dict[str, str]
) -> None:
    drawn = look(name, left_home, "operator", **asked)
    assert "main at coinbase, main at kraken, second at kraken" in drawn.problem
    (strip,) = drawn.widgets
    assert isinstance(strip, StatusStrip)


def test_planted_markup_stays_text(left_home: Path, look: Look) -> None:
    def planted(reading: Overview) -> Overview:
        alert = AlertState(7, 7, "critical", "k", PLANTED, True)
        wrong = BreakState(8, 8, "k", "D1", PLANTED, PLANTED, PLANTED, PLANTED, (PLANTED,), "")
        votes = tuple(replace(one, symbol=f"{PLANTED}{n}") for n, one in enumerate(reading.accounts[0].votes))
        more = {"reasons": (PLANTED,), "alerts": (alert,), "breaks": (wrong,), "votes": votes}
        return replace(changed(reading, account_id=PLANTED, **more), ledger_place=PLANTED)

    look.change = planted
    for name in VIEWS:
        drawn = look(name, left_home, "operator")
        assert "<script" not in drawn.html, name
        assert "<img" not in drawn.html, name
    # The widgets get it as it is: they write texts alone.
    drawn = look("health", left_home, "operator")
    assert [row["text"] for row in drawn.rows("Alerts")] == [PLANTED] * 3


def test_the_buttons_of_a_desk_name_its_account_and_no_other(left_home: Path, look: Look) -> None:
    drawn = look("desk", left_home, "operator", exchange="kraken", account_id="second")
    assert {(one.body["exchange"], one.body["account_id"]) for one in drawn.holds} == {("kraken", "second")}
    assert all(one.csrf == "token" and "all" not in one.body for one in drawn.holds)
    verbs = {one.url.rpartition("/")[2]: one for one in drawn.holds}
    assert verbs["close"].body["symbol"] == "BTC/USD"
    assert {"pause", "resume", "cancel", "flatten", "kill", "reconcile"} <= set(verbs)
    assert verbs["resume"].state["allowed"] is False
    drawn.deliver(changed(read_home(left_home), mode="paused"))
    assert (verbs["resume"].state["allowed"], verbs["resume_from_halt"].state["allowed"]) == (True, False)
    # What the ledger cannot prove now forbids nothing.
    drawn.deliver(changed(read_home(left_home), proven=False))
    assert verbs["resume_from_halt"].state["allowed"] is True


def test_the_overview_is_about_every_account_wherever_somebody_comes_from(left_home: Path, look: Look) -> None:
    """A bug: "kill all" was sent for the one account that the way to the overview had named."""
    drawn = look("overview", left_home, "operator", exchange="kraken", account_id="second")
    assert "all accounts" in drawn.html
    assert [one.body for one in drawn.holds] == [{"all": True}] * 2


def test_open_differences_can_be_adopted_or_ignored_by_their_own_key(left_home: Path, look: Look) -> None:
    wrong = BreakState(8, 8, "order:foreign", "D4", "an order of nobody", "text", "", "", (), "")
    look.change = lambda reading: changed(reading, breaks=(wrong,), open_breaks=1)
    drawn = look("desk", left_home, "admin", exchange="coinbase", account_id="main")
    orders = {one.url.rpartition("/")[2]: one.body.get("order") for one in drawn.holds}
    assert (orders["adopt"], orders["ignore"], orders["pause"]) == ("order:foreign", "order:foreign", None)


def working(name: str, role: str = "entry", status: str = "ACCEPTED") -> OrderState:
    amounts = (Decimal(2), Decimal(1), Decimal(1), Decimal(250), None, None, None)
    return OrderState(name, "V1", "BTC/USD", "buy", role, "limit", status, *amounts, 0, None, "d", 1, "", ())


def test_a_working_entry_can_be_cancelled_by_its_id_and_nothing_else_can(left_home: Path, look: Look) -> None:
    mine = {"exchange": "coinbase", "account_id": "main"}
    orders = (working("O-1"), working("O-2"), working("P-1", "protect"), working("X-1", "exit"))
    look.change = lambda reading: changed(reading, orders=orders)
    for role in ("", "viewer"):
        assert look("orders", left_home, role, **mine).holds == []
    drawn = look("orders", left_home, "operator", **mine)
    assert [(one.url.rpartition("/")[2], dict(one.body)) for one in drawn.holds] == [
        ("cancel", {**mine, "order": "O-1"}),
        ("cancel", {**mine, "order": "O-2"}),
    ]
    first, second = drawn.holds
    assert first.detail == "buy 1 BTC/USD at 250, order O-1. Stops and exits stay."
    assert first.state["allowed"] is True
    (since,) = [one for one in drawn.widgets if one.state.get("tiles") == []]
    later = (working("O-1", status="CANCEL_PENDING"), working("O-3"))
    drawn.deliver(changed(read_home(left_home), orders=later))
    assert first.state == {"allowed": False, "why": "It is being cancelled."}
    assert second.state == {"allowed": False, "why": "It has ended."}
    assert [(tile["label"], tile["value"]) for tile in since.state["tiles"]] == [("entries since", "1")]
    drawn.deliver(changed(read_home(left_home), orders=(), proven=False))
    assert second.state["allowed"] is True, "what cannot be read has not ended"


@pytest.mark.parametrize("name", ["health", "desk"])
def test_a_critical_alert_that_nobody_has_seen_can_be_acknowledged_at_its_own_account(
    left_home: Path, look: Look, name: str
) -> None:
    halt = AlertState(9, 9, "critical", "breaker:halt", "it is halted", True)
    seen = replace(halt, seq=8, key="seen", acknowledged_by="web:bob")
    more = (replace(halt, seq=7, key="over", is_open=False), replace(halt, seq=6, key="quiet", severity="warning"))
    mine = {"exchange": "kraken", "account_id": "second"}

    def told(reading: Overview, *alerts: AlertState) -> Overview:
        accounts = (replace(one, alerts=alerts if one.account_id == "second" else ()) for one in reading.accounts)
        return replace(reading, accounts=tuple(accounts))

    look.change = lambda reading: told(reading, halt, seen, *more)
    drawn = look(name, left_home, "operator", **(mine if name == "desk" else {}))
    (button,) = [one for one in drawn.holds if one.url.endswith("/control/acknowledge")]
    assert dict(button.body) == {**mine, "alert": "breaker:halt"}
    assert button.state["allowed"] is True
    reading = read_home(left_home)
    drawn.deliver(told(reading, replace(halt, acknowledged_by="web:ann"), seen))
    assert button.state == {"allowed": False, "why": "Seen by web:ann."}
    drawn.deliver(told(reading, halt))
    drawn.deliver(replace(reading, accounts=tuple(one for one in reading.accounts if one.account_id != "second")))
    assert button.state["allowed"] is True, "an account that is not read says nothing of its alerts"
    drawn.deliver(told(reading, replace(halt, is_open=False)))
    assert button.state == {"allowed": False, "why": "It is over."}
    assert [row["state"] for row in drawn.rows("Alerts")] == ["over"]


def test_an_account_that_is_gone_is_not_shown_as_flat(left_home: Path, look: Look) -> None:
    held = position("BTC/USD", Decimal(100))
    look.change = lambda reading: changed(reading, positions=(held,))
    drawn = look("desk", left_home, "viewer", exchange="kraken", account_id="main")
    reading = read_home(left_home)
    others = tuple(one for one in reading.accounts if one.account_id != "main")
    for _ in range(2):
        assert [one["symbol"] for one in drawn.state("Positions")["positions"]] == ["BTC/USD"]
        assert drawn.rows("Fills")
        drawn.deliver(replace(reading, accounts=others))


@pytest.mark.parametrize("name", ["health", "scanner"])
def test_an_account_that_is_gone_is_not_replaced_by_others(left_home: Path, look: Look, name: str) -> None:
    drawn = look(name, left_home, "viewer", exchange="kraken", account_id="second")
    before = [dict(one.state) for one in drawn.widgets[1:]]
    reading = read_home(left_home)
    drawn.deliver(replace(reading, accounts=tuple(one for one in reading.accounts if one.account_id != "second")))
    assert [dict(one.state) for one in drawn.widgets[1:]] == before
    assert all(row.get("account_id", "second") == "second" for one in before for row in one.get("rows", ()))
