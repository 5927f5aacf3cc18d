"""All apps: who sees what, whose figures they are, and that a text stays a text."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from novapulse.monitor import Overview, read_home
from novapulse.monitor.rows import AlertState, BreakerState, BreakState, OrderState
from novapulse.ui.apps.frame import OF_ONE_ACCOUNT
from novapulse.ui.widgets import Skips, StatusStrip
from novapulse.ui.widgets.live import STALE_S
from tests.ui.apps.conftest import VIEWS, Drawn, Look, changed, position

MAIN = {"exchange": "kraken", "account_id": "main"}
PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.parametrize("role", ["", "viewer"])
def test_who_may_only_look_gets_no_button_anywhere(left_home: Path, look: Look, role: str) -> None:
    for name in VIEWS:
        drawn = look(name, left_home, role)
        assert not drawn.problem
        assert drawn.holds == drawn.reach == [], name
        assert "np-reach" not in drawn.html, name
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
    (strip,) = [one for one in drawn.widgets if not isinstance(one, Skips)]
    assert isinstance(strip, StatusStrip)
    there = {
        f"/apps/{name}/?exchange={one.exchange}&account_id={one.account_id}" for one in read_home(left_home).accounts
    }
    assert there <= set(drawn.links)


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


MINE = {"exchange": "kraken", "account_id": "second"}


@pytest.mark.parametrize("name", list(VIEWS))
def test_pause_and_kill_are_in_reach_of_an_operator_on_every_page_for_what_it_is_about(
    left_home: Path, look: Look, name: str
) -> None:
    for asked in ({}, MINE):
        drawn = look(name, left_home, "operator", **asked)
        alone = {"exchange": "coinbase", "account_id": "main"} if name in OF_ONE_ACCOUNT else {"all": True}
        about = MINE if asked and name != "overview" else alone
        assert [(one.url, dict(one.body), one.csrf) for one in drawn.reach] == [
            ("/api/v1/control/pause", about, "token"),
            ("/api/v1/control/kill", about, "token"),
        ]
        whose = "every account" if "all" in about else f"{about['exchange']} · {about['account_id']}"
        bar = f'<aside class="np-reach" id="np-reach" tabindex="-1" aria-label="{whose}: pause or kill"><p>{whose}</p>'
        assert bar in drawn.html
    assert look(name, left_home, "operator", exchange="kraken", account_id="nobody").reach == []


@pytest.mark.parametrize("name", list(VIEWS))
def test_the_keyboard_can_skip_to_the_page_and_to_what_acts(left_home: Path, look: Look, name: str) -> None:
    """A bug: to kill from the desk took 146 steps, and no page said where it began."""
    for role in ("", "viewer", "operator"):
        drawn = look(name, left_home, role)
        (links,) = [one.links for one in drawn.widgets if isinstance(one, Skips)]
        skips = list(links.values())
        acts = ["np-commands" if name in ("desk", "overview") else "np-reach"] if role == "operator" else []
        assert skips == ["np-page", *acts]
        assert [drawn.html.count(f'id="{anchor}" ') for anchor in skips] == [1] * len(skips)
        assert drawn.html.count("<main ") == 1


def offered(drawn: Drawn) -> dict[str, tuple[bool, str]]:
    """Whether each button may be held, and why not."""
    return {
        one.url.rpartition("/")[2]: (one.state.get("allowed", True), one.state.get("why", "")) for one in drawn.holds
    }


YES = (True, "")
FLAT: dict[str, Any] = {
    "mode": "normal",
    "proven": True,
    "positions": (),
    "orders": (),
    "open_orders": 0,
    "unknown_orders": 0,
    "open_breaks": 0,
    "breakers": (),
    "reasons": (),
}


def lived(reading: Overview, **changes: Any) -> Overview:
    """A reading of a trader that runs, of accounts that are flat but for what is given."""
    return replace(changed(reading, **{**FLAT, **changes}), trader=replace(reading.trader, running=True))


NOTHING = (False, "Nothing of BTC/USD is held.")
OFFERS: dict[str, tuple[dict[str, Any], tuple[bool, str], tuple[bool, str], bool]] = {
    "flat": ({}, YES, NOTHING, False),
    "paused": ({"mode": "paused"}, (False, "It is paused already."), NOTHING, False),
    "halted": ({"mode": "halted"}, (False, "It is halted already."), NOTHING, False),
    "not known in which mode": ({"mode": None}, YES, YES, True),
    "held": ({"positions": (position("BTC/USD", Decimal(100)),)}, YES, YES, True),
    "another is held": ({"positions": (position("ETH/USD", Decimal(100)),)}, YES, NOTHING, True),
    "an order whose outcome is not known": ({"unknown_orders": 1}, YES, YES, True),
    "an open difference": ({"open_breaks": 1}, YES, YES, True),
    "what is not proven": ({"proven": False, "mode": "paused"}, YES, YES, True),
}


@pytest.mark.parametrize(("known", "pause", "close", "is_something_held"), OFFERS.values(), ids=OFFERS)
def test_what_a_reading_of_now_proves_pointless_is_greyed_with_the_reason_and_killing_never(
    left_home: Path,
    look: Look,
    known: dict[str, Any],
    pause: tuple[bool, str],
    close: tuple[bool, str],
    is_something_held: bool,
) -> None:
    drawn = look("desk", left_home, "operator", **MINE, symbol="BTC/USD")
    reading = read_home(left_home)
    drawn.deliver(lived(reading, **known))
    told = offered(drawn)
    assert (told["pause"], told["close"]) == (pause, close)
    assert told["flatten"] == (YES if is_something_held else (False, "Nothing is held, and nothing works."))
    assert told["kill"] == told["halt"] == YES
    in_reach, kill = drawn.reach
    assert (in_reach.state["allowed"], in_reach.state["why"]) == pause
    assert "allowed" not in kill.state
    # A trader that does not run may hold what its ledger does not know yet.
    drawn.deliver(replace(lived(reading, **known), trader=replace(reading.trader, running=False)))
    assert offered(drawn)["pause"] == offered(drawn)["close"] == offered(drawn)["flatten"] == YES


def test_an_operator_may_pause_what_only_a_breaker_has_paused(left_home: Path, look: Look) -> None:
    drawn = look("desk", left_home, "operator", **MINE)
    stale = BreakerState(1, 1, "stale_bars", "", "paused", "no bar")
    drawn.deliver(lived(read_home(left_home), mode="paused", breakers=(stale,)))
    assert offered(drawn)["pause"] == YES


def test_all_can_be_paused_until_every_account_is(left_home: Path, look: Look) -> None:
    drawn = look("overview", left_home, "operator")
    paused = lived(read_home(left_home), mode="paused")
    first, *others = paused.accounts
    for mode, told in (("normal", YES), ("halted", (False, "All are halted or paused already."))):
        drawn.deliver(replace(paused, accounts=(replace(first, mode=mode), *others)))
        assert offered(drawn)["pause"] == told
        assert (drawn.reach[0].state["allowed"], drawn.reach[0].state["why"]) == told
    assert offered(drawn)["kill"] == YES


def test_every_page_says_that_a_recording_is_played(left_home: Path, look: Look) -> None:
    """A bug: fills of three years ago stood on pages that said nowhere that bars were played."""
    told = {"sample": "generated bars", "recorded": "recorded bars"}
    for name in VIEWS:
        drawn = look(name, left_home)
        strip = next(one for one in drawn.widgets if isinstance(one, StatusStrip))
        reading = read_home(left_home)
        assert strip.state["trader"]["bars"] == told[reading.trader.bars]
        for bars in ("recorded", "", "from a venue of later"):
            drawn.deliver(replace(reading, trader=replace(reading.trader, bars=bars)))
            assert strip.state["trader"]["bars"] == told.get(bars, "bars live or recorded?")


def test_what_wants_the_password_once_more_leads_to_where_it_is_given(left_home: Path, look: Look) -> None:
    drawn = look("desk", left_home, "operator", **MINE)
    wants = {one.url.rpartition("/")[2] for one in drawn.holds if one.confirm_url}
    assert wants == {"flatten", "resume", "resume_from_halt"}
    assert {(one.confirm_url, one.session_url) for one in drawn.holds if one.confirm_url} == {
        ("/confirm", "/api/v1/session")
    }
    anchors = [one.anchor for one in (*drawn.holds, *drawn.reach)]
    assert "hold-flatten" in anchors


def test_the_head_names_the_ledger_and_the_strip_no_second_time(left_home: Path, look: Look) -> None:
    """A bug: a chip of the strip stood alone on a line of its own."""
    drawn = look("risk", left_home, "viewer")
    reading = read_home(left_home)
    assert f"ledger <code>{reading.ledger_id[:8]}</code>" in drawn.html.partition("</header>")[0]
    (strip,) = [one for one in drawn.widgets if isinstance(one, StatusStrip)]
    assert strip.state["ledger_named"] == strip.state["ledger_id"] == reading.ledger_id
    drawn.deliver(replace(reading, ledger_id="another"))
    assert (strip.state["ledger_named"], strip.state["ledger_id"]) == (reading.ledger_id, "another")


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
    adopt = next(one for one in drawn.holds if one.url.endswith("/adopt"))
    assert adopt.state == {"allowed": True, "why": ""}
    drawn.deliver(changed(read_home(left_home), breaks=()))
    assert adopt.state == {"allowed": False, "why": "It is resolved."}


def test_every_button_hears_every_reading_so_that_silence_is_silence(left_home: Path, look: Look) -> None:
    """A bug: what was greyed stayed greyed, as if still known, when a page heard nothing any more."""
    wrong = BreakState(8, 8, "order:foreign", "D4", "an order of nobody", "text", "", "", (), "")
    alert = AlertState(9, 9, "critical", "k", "look", True, 1, None, "", None, "")
    look.change = lambda reading: changed(
        reading, breaks=(wrong,), open_breaks=1, alerts=(alert,), orders=(working("O-1"),)
    )
    for name in ("overview", "desk", "orders", "health"):
        drawn = look(name, left_home, "admin", **({} if name in ("overview", "health") else MAIN))
        buttons = [*drawn.holds, *drawn.reach]
        assert buttons
        assert {one.stale_s for one in buttons} == {STALE_S}
        before = [one._as_of_ns for one in buttons]
        drawn.deliver(look.change(read_home(left_home)))
        assert all(one._as_of_ns > then for one, then in zip(buttons, before, strict=True)), name


def working(name: str, role: str = "entry", status: str = "ACCEPTED") -> OrderState:
    amounts = (Decimal(2), Decimal(1), Decimal(1), Decimal(250), None, None, None)
    return OrderState(name, "V1", "BTC/USD", "buy", role, "limit", status, *amounts, 0, None, "d", 1, "", ())


@pytest.mark.parametrize(
    ("status", "protecting", "at_work"),
    [
        ("INTENT", "0 protecting", "0 protecting, 1 for what an entry fills"),
        ("SENDING", "0 protecting", "1 protecting"),
        ("ACCEPTED", "1 protecting", "1 protecting"),
    ],
)
def test_a_stop_counts_as_protection_once_the_venue_has_it(
    left_home: Path, look: Look, status: str, protecting: str, at_work: str
) -> None:
    """A bug: beside an entry that rested the desk said "1 protecting", while its stop was only meant."""
    orders = (working("E"), working("P", "protect", status))
    look.change = lambda reading: changed(reading, orders=orders, open_orders=1)
    main = {"exchange": "kraken", "account_id": "main"}
    assert look("desk", left_home, "viewer", **main).tiles()["open orders"]["note"].startswith(protecting)
    tile = look("orders", left_home, "viewer", **main).tiles()["working"]
    assert tile["note"].endswith(at_work), tile
    assert tile["value"] == ("1" if status == "INTENT" else "2")


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
    assert first.detail == "buy 1 BTC at 250 USD, order O-1. Stops and exits stay."
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
