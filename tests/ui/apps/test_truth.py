"""The apps say nothing that nobody knows: old figures, differences nobody looked for, stops that are not in force."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from novapulse.core import facts
from novapulse.core.messages import CommandReceived, Submit
from novapulse.core.orders import Role
from novapulse.core.records import Mode
from novapulse.engine.commands import VERBS
from novapulse.ledger import queries
from novapulse.monitor import AccountState, Overview, entries, read_home
from novapulse.monitor.entries import KIND_TEXT
from novapulse.monitor.market import market_state
from novapulse.monitor.rows import AlertState, BreakState, LimitChangeState, VoteState
from novapulse.monitor.state import LedgerHealth, Life
from novapulse.ui.apps import journal
from novapulse.ui.apps.chart import Chart, lines_of
from novapulse.ui.apps.offers import DOES
from novapulse.ui.apps.overview import CURVES_MAX
from novapulse.ui.telling import about_of, moved_of
from novapulse.ui.widgets import Candles, Equity, Hold, StatusStrip, Tiles
from tests.engine.scene import opened
from tests.monitor.conftest import beat, bodies
from tests.ui.apps.conftest import VIEWS, Look, changed, position

MAIN = {"exchange": "kraken", "account_id": "main"}


def running(reading: Overview) -> Overview:
    """The reading as if the trader ran and said that all is well."""
    trader = replace(reading.trader, life=Life.RUNNING, running=True, healthy=True, reasons=())
    return replace(changed(reading, healthy=True, reasons=()), trader=trader)


@pytest.mark.parametrize("name", list(VIEWS))
def test_figures_of_a_trader_that_does_not_run_are_marked_old(left_home: Path, look: Look, name: str) -> None:
    look.change = running
    drawn = look(name, left_home, "viewer")
    assert {one.old for one in drawn.widgets} == {""}
    drawn.deliver(read_home(left_home))
    marked = [one for one in drawn.widgets if one.old]
    assert all("as proven" in one.old and "the trader does not run" in one.old for one in marked)
    if name != "journal":
        # Entries do not grow old.
        assert {"Positions", "Open positions", "Accounts", "Ended orders", "Now", "Instruments", "Breakers"} & {
            one.label for one in marked
        }
    assert not [one for one in marked if isinstance(one, StatusStrip | Hold)]
    drawn.deliver(running(read_home(left_home)))
    assert {one.old for one in drawn.widgets} == {""}


def test_of_a_trader_that_may_hang_it_is_not_said_that_it_does_not_run(left_home: Path, look: Look) -> None:
    look.change = running
    drawn = look("desk", left_home, "viewer", **MAIN)
    reading = running(read_home(left_home))
    drawn.deliver(replace(reading, trader=replace(reading.trader, life=Life.SILENT, running=False, healthy=False)))
    assert {one.old.rpartition(": ")[2] for one in drawn.widgets if one.old} == {"the trader does not run, or it hangs"}


def test_a_page_that_is_opened_late_is_marked_from_its_first_message(left_home: Path, look: Look) -> None:
    main = read_home(left_home).account("kraken", "main")
    drawn = look("desk", left_home, "viewer", **MAIN)
    (tiles,) = [one for one in drawn.widgets if "tiles" in one.state and not one.label]
    at = max(main.as_of_ns, main.last_close_ns or 0) // 10**9
    assert str(tiles.old).endswith("UTC: the trader does not run")
    assert f"{at % 86_400 // 3600:02}:{at % 3600 // 60:02}:{at % 60:02}" in tiles.old


def test_an_unread_ledger_is_said_before_anything_else(left_home: Path, look: Look) -> None:
    drawn = look("overview", left_home, "viewer")
    reading = replace(changed(read_home(left_home), proven=False), ledger=LedgerHealth.LOCKED)
    drawn.deliver(reading)
    (table,) = [one for one in drawn.widgets if one.label == "Accounts"]
    assert table.old.endswith("the ledger cannot be read")


@pytest.mark.parametrize(
    ("change", "value", "level", "said"),
    [
        (lambda reading: running(reading), "agree", "ok", "entry "),
        (lambda reading: reading, "not known", "unknown", "the trader does not run"),
        (lambda reading: changed(running(reading), compared_ns=None), "not known", "unknown", "never compared"),
        (lambda reading: changed(running(reading), proven=False), "not known", "unknown", "cannot be read"),
        (lambda reading: changed(reading, open_breaks=1), "3 open", "over", ""),
    ],
)
def test_books_and_venue_agree_only_where_that_is_known(
    left_home: Path, look: Look, change: object, value: str, level: str, said: str
) -> None:
    """A bug: no difference was known, so it read "agree", also when nobody had compared anything."""
    look.change = change
    drawn = look("overview", left_home, "viewer")
    tile = drawn.tiles()["books and venue"]
    assert (tile["value"], tile["level"]) == (value, level)
    assert said in tile["note"]
    orders = drawn.tiles()["open orders"]
    assert (orders["note"] == "every outcome known") == (orders["level"] == "ok")
    none = look("health", left_home, "viewer").state("Differences")["none"]
    assert (none == "Books and venue agree.") == (level == "ok")


def test_two_currencies_have_tiles_of_their_own(left_home: Path, look: Look) -> None:
    def two(reading: Overview) -> Overview:
        first, *others = reading.accounts
        return replace(reading, accounts=(replace(first, quote="EUR", equity=Decimal(7)), *others))

    look.change = two
    tiles = look("overview", left_home, "viewer").tiles()
    assert (tiles["equity EUR"]["value"], tiles["equity EUR"]["unit"]) == ("7", "EUR")
    assert tiles["equity USD"]["note"] == "2 accounts"


def test_the_start_and_the_peak_of_a_curve_are_the_accounts(left_home: Path, look: Look) -> None:
    main = read_home(left_home).account("kraken", "main")
    for name in ("desk", "risk"):
        (curve,) = [one for one in look(name, left_home, "viewer", **MAIN).widgets if isinstance(one, Equity)]
        assert main.start is not None
        assert main.equity_peak is not None
        assert curve.start == {"time": main.start[0] / 1e9, "equity": float(main.start[1])}
        assert curve.peak == float(main.equity_peak)


@pytest.mark.parametrize(
    ("verb", "mode", "roles", "words"),
    [
        ("pause", Mode.PAUSED, [], "No new risk"),
        ("halt", Mode.HALTED, [], "Nothing is sent but cancels; stops stay."),
        ("close", Mode.NORMAL, [Role.EXIT], "Close what is held of it, at the market; the mode stays."),
        ("cancel", Mode.NORMAL, [], "Stops and exits stay."),
        ("flatten", Mode.REDUCE_ONLY, [Role.EXIT], "Close every position; then the account only reduces"),
        ("kill", Mode.REDUCE_ONLY, [Role.EXIT], "Close every position, then halt."),
        ("reconcile", Mode.NORMAL, [], "Ask the venue and compare"),
        ("resume", Mode.NORMAL, [], "Entries are allowed again."),
    ],
)
def test_a_button_says_what_its_verb_does(verb: str, mode: Mode, roles: list[Role], words: str) -> None:
    """A bug: flatten was said to leave the mode as it is."""
    scene = opened()
    if verb == "resume":
        scene.hear(CommandReceived(scene.wait(1), "c0", "pause", {}, "ops"))
    scene.hear(CommandReceived(scene.wait(1), "c1", verb, {"symbol": "BTC/USD"}, "ops"))
    assert scene.desk.books.mode is mode
    assert [one.request.role for one in scene.sent(Submit)] == roles
    assert DOES[verb].startswith(words)


def test_every_button_has_words_and_what_closes_waits_for_the_proof(left_home: Path, look: Look) -> None:
    change = LimitChangeState(1, 1, "positions_max", "limits", 3.0, 8.0, "c1", "web:ann")
    look.change = lambda reading: changed(reading, limit_changes=(change,))
    drawn = [look(name, left_home, "operator") for name in ("desk", "overview", "risk")]
    holds = {one.url.rpartition("/")[2]: one for page in drawn for one in page.holds}
    assert set(holds) <= set(DOES) <= set(VERBS)
    assert all(one.detail == DOES[verb] for verb, one in holds.items())
    assert {verb for verb, one in holds.items() if one.prove_s > 0} == {"flatten", "kill"}


def test_a_stop_that_is_not_at_the_venue_is_drawn_as_absent(left_home: Path) -> None:
    main = read_home(left_home).account("kraken", "main")
    prices = {"stop_price": Decimal(90), "target_price": Decimal(120)}
    told = {
        "": [("entry", "entry"), ("stop", "stop"), ("target", "target")],
        "it is on its way": [
            ("entry", "entry"),
            ("absent", "stop NOT at the venue"),
            ("absent", "target NOT at the venue"),
        ],
    }
    for reason, lines in told.items():
        held = position("BTC/USD", Decimal(100), stop_missing_reason=reason, **prices)
        found = lines_of(replace(main, positions=(held,), orders=()), "BTC/USD")
        assert [(one["kind"], one["text"]) for one in found] == lines
    moved = position("BTC/USD", Decimal(100), stop_status="REPLACE_PENDING", **prices)
    assert lines_of(replace(main, positions=(moved,), orders=()), "BTC/USD")[1]["text"] == "stop, being changed"


@pytest.mark.parametrize(
    ("second", "value", "level"),
    [
        ({"stop_price": Decimal(80), "mark_price": Decimal(90)}, "-15", "ok"),
        ({"stop_price": Decimal(80), "mark_price": None}, None, "unknown"),
        ({"stop_price": None, "stop_missing_reason": "none", "mark_price": Decimal(90)}, None, "over"),
        ({"stop_price": Decimal(80), "stop_missing_reason": "on its way", "mark_price": Decimal(90)}, None, "over"),
    ],
)
def test_what_is_lost_if_every_stop_is_hit_is_unknown_where_a_stop_is_not_in_force(
    left_home: Path, look: Look, second: dict[str, object], value: str | None, level: str
) -> None:
    one = position("BTC/USD", Decimal(100), stop_price=Decimal(95), mark_price=Decimal(100))
    look.change = lambda reading: changed(reading, positions=(one, position("ETH/USD", Decimal(90), **second)))
    drawn = look("risk", left_home, "viewer", **MAIN)
    tile = drawn.tiles()["if every stop is hit"]
    assert (tile["value"], tile["level"]) == (value, level)
    assert drawn.rows("Exposure by asset")[0]["at_stop"] == "-5"
    assert (drawn.rows("Exposure by asset")[1]["at_stop"] is None) == (value is None)


def test_an_alert_says_in_words_how_it_stands(left_home: Path, look: Look) -> None:
    new = AlertState(9, 9, "critical", "a", "it is halted", True)
    seen = replace(new, seq=8, key="b", acknowledged_by="web:ann")
    over = replace(seen, seq=7, key="c", is_open=False, over_text="the operator ended it")
    look.change = lambda reading: changed(reading, alerts=(new, seen, over))
    for name in ("desk", "health", "overview"):
        rows = look(name, left_home, "viewer").rows("Alerts")
        assert list(dict.fromkeys(row["state"] for row in rows)) == [
            "open",
            "open, seen by web:ann",
            "over: the operator ended it, seen by web:ann",
        ]
    assert {row["health"] for row in look("overview", left_home, "viewer").rows("Accounts")} == {"not healthy"}


def test_an_entry_is_shown_under_its_own_accounts_name_alone(left_home: Path, look: Look) -> None:
    """A bug: the page of one account showed the entry of another."""
    seq = read_home(left_home).account("kraken", "second").as_of_seq
    drawn = look("journal", left_home, "viewer", **MAIN, seq=str(seq))
    assert drawn.problem == f"entry {seq} is of second on kraken, not of main on kraken"
    fine = look("journal", left_home, "viewer", exchange="kraken", account_id="second", seq=str(seq))
    assert not fine.problem
    neighbours = [
        one for one in fine.links if parse_qs(urlsplit(one).query).get("seq") in ([str(seq - 1)], [str(seq + 1)])
    ]
    assert neighbours
    assert all("account_id" not in one for one in neighbours)


def test_an_unknown_kind_is_an_error_and_alerts_have_their_ends(left_home: Path, look: Look) -> None:
    assert look("journal", left_home, "viewer", kind="filz").problem.startswith("no kind filz: entries are fills,")
    kinds = {one for kind in ("alert_raised", "alert_cleared") for one in bodies_of(left_home, kind)}
    rows = look("journal", left_home, "viewer", kind="alerts").rows("Entries")
    assert kinds <= {row["kind"] for row in rows}


def test_reasons_are_told_as_words(left_home: Path) -> None:
    entry = entries.page(left_home, limit=1)[0]
    happened = KIND_TEXT[entry.kind]
    told = about_of(replace(entry, body={"why": ["it is old", "it is late"]}))
    assert told == f"{happened}: it is old; it is late"
    told = {"exit_reason": "EXIT_BREAKEVEN", "key": "breaker:stale_bars", "status": "CANCEL_PENDING"}
    words = "cancel pending, the stop at break-even was hit, breaker stale bars"
    assert about_of(replace(entry, body=told)) == f"{happened}: {words}"
    unfilled = about_of(replace(entry, body={"reason": "UNFILLED_NO_EDGE"}))
    assert unfilled == f"{happened}: the limit order was not filled and the price left no edge for a market order"
    assert about_of(replace(entry, body={}, kind="order_acked")) == "the venue took the order"
    # Bugs: the journal said that the mode changed and not to what, and an order that is to be sent had no instrument.
    mode = {"from": "NORMAL", "to": "REDUCE_ONLY", "why": ["the operator: reduce"]}
    changed_ = about_of(replace(entry, kind="mode_changed", body=mode))
    assert changed_ == "what the account may do has changed: reduce only, the operator: reduce"
    intended = {"client_order_id": "0123456789", "request": {"instrument": ["kraken", "BTC/USD"]}}
    told = about_of(replace(entry, kind="order_intended", body=intended))
    assert told == "an order is to be sent: BTC/USD, order 01234567"
    (leg, *_) = next(one for one in entries.page(left_home) if one.legs).legs
    moved = moved_of(replace(entry, legs=(replace(leg, amount=Decimal("-0.5")),)))
    assert moved == f"{leg.book} \N{MINUS SIGN}0.5 {leg.asset}"


def test_every_kind_of_entry_has_words(left_home: Path) -> None:
    with closing(sqlite3.connect(left_home / "ledger.db")) as ledger:
        written = {kind for (kind,) in ledger.execute("SELECT DISTINCT kind FROM event")}
    listed = {kind for kinds in journal._KINDS.values() for kind in kinds}
    assert written | listed | set(facts.KINDS) | set(queries.LISTINGS) | set(queries.FLOWS) <= set(KIND_TEXT)


def bodies_of(home: Path, kind: str) -> list[str]:
    """The kind, if any account's ledger has it."""
    return [kind for one in read_home(home).accounts if bodies(home, one.key, kind)]


def test_entries_are_shown_by_their_numbers(left_home: Path, look: Look) -> None:
    seqs = [one.seqs["cash"] for one in read_home(left_home).accounts]
    drawn = look("journal", left_home, "viewer", seqs=",".join(map(str, seqs)))
    assert [row["seq"] for row in drawn.rows("Entries behind")] == sorted(seqs, reverse=True)
    assert look("journal", left_home, "viewer", seqs="1,99999999").problem == "the ledger has no entry 99999999"
    assert look("journal", left_home, "viewer", seqs="1,x").problem == "an entry has a number, not x"
    for row in look("scanner", left_home, "viewer").rows("Strategies"):
        assert _seqs(row["href"]) == list(row["seqs"])


def _seqs(href: str) -> list[int]:
    asked = parse_qs(urlsplit(href).query)
    return [int(one) for one in ",".join([*asked.get("seqs", []), *asked.get("seq", [])]).split(",") if one]


def test_curves_that_are_not_drawn_are_spoken_of(left_home: Path, look: Look) -> None:
    def many(reading: Overview) -> Overview:
        first = reading.accounts[0]
        return replace(reading, accounts=tuple(replace(first, account_id=f"a{n}") for n in range(CURVES_MAX + 2)))

    look.change = many
    drawn = look("overview", left_home, "viewer")
    assert "The curves of 2 more accounts are not drawn here" in drawn.html


def test_a_chart_forgets_the_votes_of_bars_that_it_does_not_show(left_home: Path) -> None:
    main = read_home(left_home).account("kraken", "main")
    chart = Chart(left_home, main, "BTC/USD", Candles())
    first_ns = chart._first_ns
    for number in range(1, 50):
        votes = tuple(replace(one, votes_ns=first_ns - number, consensus=1.0) for one in main.votes)
        chart.show(_voted(main, votes))
    assert min(chart._seen, default=first_ns) >= first_ns - 49
    chart.show(_voted(main, tuple(replace(one, votes_ns=first_ns, consensus=1.0) for one in main.votes)))
    assert min(chart._seen) >= first_ns


def test_votes_between_two_readings_are_drawn_on_bars_that_stand_there_already(left_home: Path) -> None:
    """A bug: of ten closes a second one had votes, and the others stayed empty as long as the page was open."""
    main = read_home(left_home).account("kraken", "main")
    widget = Candles()
    chart = Chart(left_home, main, "BTC/USD", widget)
    last_ns, step_ns = chart._last_ns, chart.timeframe_ns
    before = tuple(VoteState(last_ns - back * step_ns, "range-high", 2.5, {"trend": float(back)}) for back in (3, 2, 1))
    votes = tuple(
        replace(one, votes_ns=last_ns, consensus=1.0, forecasts={"trend": 0.0}, votes_before=before)
        for one in main.votes
    )
    chart.show(_voted(main, votes))
    rows = np.frombuffer(widget.rows, "<f8")
    trend = rows[1:].reshape(-1, int(rows[0]))[-5:-1, 6 + widget.lanes.index("trend")]
    assert np.array_equal(trend, [np.nan, 3.0, 2.0, 1.0], equal_nan=True)
    (band,) = [one for one in chart._regimes() if one["from_ns"] == last_ns - 3 * step_ns]
    assert (band["name"], band["to_ns"] >= last_ns - step_ns) == ("range-high", True)


def _voted(account: AccountState, votes: object) -> AccountState:
    return replace(account, recent_decisions=(), votes=votes)


def test_the_strip_asks_for_the_session_only_behind_our_server(left_home: Path, look: Look) -> None:
    for role, url in (("viewer", "/api/v1/session"), ("", "")):
        (strip,) = [one for one in look("desk", left_home, role).widgets if isinstance(one, StatusStrip)]
        assert strip.session_url == url


@pytest.mark.parametrize("said", ["paper", "live", None])
@pytest.mark.parametrize("mode", ["paper", "live", ""])
def test_money_is_what_the_trader_says_and_a_server_that_says_otherwise_is_told_of(
    left_home: Path, look: Look, said: str | None, mode: str
) -> None:
    """A bug: a server for real money painted accounts on paper LIVE, and one for paper real money PAPER."""
    look.mode = mode
    look.change = lambda reading: changed(running(reading), money=said)
    (strip,) = [one for one in look("overview", left_home, "viewer").widgets if isinstance(one, StatusStrip)]
    assert {one["money"] for one in strip.state["accounts"]} == {said or "money not known"}
    differs = [one for one in strip.state["accounts"] for text in one["reasons"] if "the server is configured" in text]
    assert len(differs) == (len(strip.state["accounts"]) if said and mode and said != mode else 0)


def test_a_dead_trader_is_seen_on_a_home_that_was_copied(paper_home: Path, look: Look) -> None:
    beat(paper_home, accounts=json.loads((paper_home / "health.json").read_text())["accounts"])
    drawn = look("desk", paper_home, "viewer", **MAIN)
    assert {one.old for one in drawn.widgets} == {""}
    beat(paper_home, age_s=60.0)
    drawn.deliver(read_home(paper_home))
    assert any("the trader does not run" in one.old for one in drawn.widgets)


def test_what_came_after_the_page_was_drawn_is_counted(left_home: Path, look: Look) -> None:
    """A bug: an alert or a difference that came later had no button, and nothing said so."""
    look.change = lambda reading: changed(reading, alerts=(), breaks=())
    drawn = look("desk", left_home, "operator", **MAIN)
    since = [one for one in drawn.widgets if one.state.get("tiles") == []]
    assert len(since) == 2
    alert = AlertState(9, 9, "critical", "a", "it is halted", True)
    wrong = BreakState(8, 8, "order:foreign", "D4", "an order of nobody", "text", "", "", (), "")
    drawn.deliver(changed(read_home(left_home), alerts=(alert,), breaks=(wrong,)))
    told = [tile for one in since for tile in one.state["tiles"]]
    assert sorted((tile["label"], tile["value"]) for tile in told) == [
        ("alerts since", "1"),
        ("differences since", "1"),
    ]
    assert all("account_id=main" in tile["href"] for tile in told)


def test_health_shows_what_the_trader_measured_and_unknown_is_not_zero(left_home: Path, look: Look) -> None:
    measured = {"feed_silence": 0.5, "clock_skew": None, "disk_free": 0.25}
    look.change = lambda reading: changed(reading, measured=measured)
    rows = look("health", left_home, "viewer").rows("Measured")
    assert [{name: row[name] for name in measured} for row in rows] == [measured] * 3
    look.change = lambda reading: changed(reading, measured={})
    assert look("health", left_home, "viewer").state("Measured")["none"].startswith("Not known")


def test_what_was_measured_is_the_word_of_a_trader_that_runs(paper_home: Path) -> None:
    told = json.loads((paper_home / "health.json").read_text())["accounts"]
    beat(paper_home)
    for one in told:
        now = read_home(paper_home).account(one["exchange"], one["account_id"])
        assert dict(now.measured) == one["more"]["measured"]
    beat(paper_home, age_s=60.0)
    assert not any(one.measured for one in read_home(paper_home).accounts)


@pytest.mark.parametrize(("hour", "state"), [(16, "half-day"), (19, "closed")])
def test_pages_show_what_the_exchanges_calendar_says_at_the_accounts_own_time(
    paper_home: Path, look: Look, monkeypatch: pytest.MonkeyPatch, hour: int, state: str
) -> None:
    """New York on the short Friday after Thanksgiving, before and after its early close."""
    friday_ns = round(datetime(2026, 11, 27, hour, tzinfo=UTC).timestamp()) * 1_000_000_000
    asked: list[tuple[str, int]] = []

    def there(name: str, ts_ns: int) -> str:
        asked.append((name, ts_ns))
        return market_state("XNYS", friday_ns)

    monkeypatch.setattr("novapulse.monitor.home.market_state", there)
    main = read_home(paper_home).account("kraken", "main")
    assert main.last_close_ns is not None
    assert asked
    assert all((name, ts_ns >= main.last_close_ns) == ("24/7", True) and ts_ns < friday_ns for name, ts_ns in asked)
    markets = look("health", paper_home, "viewer").rows("Markets")
    assert {row["market_state"] for row in markets} == {state}
    assert look("desk", paper_home, "viewer", **MAIN).tiles()["last bar"]["note"] == f"market {state}"
    assert {row["market_state"] for row in look("overview", paper_home, "viewer").rows("Accounts")} == {state}
    closed = look("scanner", paper_home, "viewer").tiles()["markets closed"]["value"]
    assert closed == (str(len(markets)) if state == "closed" else "0")


@pytest.mark.parametrize(
    ("session", "note"),
    [
        ("20261128T215238.529246-17664", "since 2026-11-28 21:52:38 UTC"),
        ("one of a person's own", "one of a person's own"),
    ],
)
def test_the_tile_of_the_process_says_since_when_it_runs(left_home: Path, look: Look, session: str, note: str) -> None:
    """A bug: it showed the name of a folder, which on a phone was cut in two."""
    look.change = lambda reading: replace(reading, trader=replace(reading.trader, session=session))
    drawn = look("health", left_home, "viewer")
    told = [tile for one in drawn.widgets if isinstance(one, Tiles) for tile in one.state["tiles"]]
    assert [tile["note"] for tile in told if tile["label"] == "process"] == [note]
