"""What the apps show of a real ledger is what the readings say, and what the ledger says where they ask it."""

import json
import shutil
import sqlite3
from collections import OrderedDict
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse.control import audit as audits
from novapulse.control.storage import FILE, Storage
from novapulse.core.instruments import AccountKey
from novapulse.ledger.audit import audit
from novapulse.monitor import AccountState, Overview, read_home, strategies
from novapulse.monitor.bars import bars_of
from novapulse.monitor.limits import Level, limits_of
from novapulse.monitor.rows import LimitChangeState
from novapulse.monitor.voted import Memory, Voted
from novapulse.parity.words import CAP_TEXT, LIMIT_TEXT
from novapulse.strategies import STRATEGIES
from novapulse.ui.apps import explained, lanes
from novapulse.ui.apps.chart import BARS_SHOWN, Chart
from novapulse.ui.apps.proof import proof_tiles
from novapulse.ui.jobs import Job
from novapulse.ui.widgets import Candles
from tests.ui.apps.conftest import Look, changed, position

MAIN = {"exchange": "kraken", "account_id": "main"}
KEY = AccountKey("kraken", "main")


@pytest.fixture
def main(left_home: Path) -> AccountState:
    return read_home(left_home).account("kraken", "main")


def test_a_desk_shows_what_the_reading_says(left_home: Path, look: Look, main: AccountState) -> None:
    drawn = look("desk", left_home, "viewer", **MAIN)
    tiles = drawn.tiles()
    assert (tiles["equity"]["value"], tiles["today"]["value"]) == (str(main.equity), str(main.day_pnl))
    assert tiles["open orders"]["value"] == str(main.open_orders)
    assert [row["href"] for row in drawn.rows("Fills")] == [
        f"/apps/journal/?seq={one.seq}" for one in main.recent_fills
    ]
    assert [row["seq"] for row in drawn.rows("Decisions")] == [one.seq for one in main.recent_decisions]
    assert [row["client_order_id"] for row in drawn.rows("Working orders")] == [
        one.client_order_id for one in main.orders
    ]
    assert [one["qty"] for one in drawn.state("Positions")["positions"]] == [str(one.qty) for one in main.positions]


def test_an_unknown_figure_is_shown_as_unknown(left_home: Path, look: Look) -> None:
    nothing = dict.fromkeys(("equity", "day_pnl", "day_pnl_fraction", "drawdown_fraction", "exposure_fraction"))
    look.change = lambda reading: changed(reading, **nothing, last_bar_age_s=None)
    tiles = look("desk", left_home, "viewer", **MAIN).tiles()
    assert {tiles[name]["value"] for name in ("equity", "today", "drawdown", "exposure", "last bar")} == {None}
    assert {tiles[name]["level"] for name in ("drawdown", "exposure", "last bar")} == {"unknown"}


def test_an_instrument_that_the_account_does_not_trade_is_an_error(left_home: Path, look: Look) -> None:
    drawn = look("desk", left_home, "viewer", exchange="kraken", account_id="second", symbol="ETH-USD")
    assert drawn.problem == "second on kraken does not trade ETH-USD: it trades BTC/USD"
    assert look("desk", left_home, "viewer", **MAIN, symbol="eth-usd").chart.label.startswith("ETH/USD on kraken · 15m")


def test_bars_follow_as_they_close_each_once(
    left_home: Path, main: AccountState, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bars_of(left_home, "kraken", "BTC/USD", last=BARS_SHOWN)
    at = len(whole) - 3
    now_ns = [int(whole.ts_close_ns[at])]
    monkeypatch.setattr(
        "novapulse.ui.apps.chart.bars_of",
        lambda *_, last: bars_of(left_home, "kraken", "BTC/USD", last=last, end_ns=now_ns[0]),
    )
    widget = Candles()
    chart = Chart(left_home, main, "BTC/USD", widget)
    sent: list[tuple[float, ...]] = []
    monkeypatch.setattr(widget, "append", lambda bar, votes=None: sent.append(tuple(bar)))
    for _ in range(2):
        for later in (1, 2, 2):
            now_ns[0] = int(whole.ts_close_ns[at + later])
            votes = tuple(replace(one, price_ns=now_ns[0]) for one in main.votes)
            chart.show(replace(main, votes=votes))
    assert [row[0] for row in sent] == whole.ts_close_ns[at + 1 : at + 3].tolist()
    assert sent[-1][4] == whole.close[at + 2]


def test_regimes_stand_only_where_a_reading_had_them(left_home: Path, main: AccountState) -> None:
    widget = Candles()
    chart = Chart(left_home, replace(main, recent_decisions=(), votes=()), "BTC/USD", widget)
    times = bars_of(left_home, "kraken", "BTC/USD", last=6).ts_close_ns.tolist()
    for at, regime in ((0, "range-low"), (1, "range-low"), (3, "range-low"), (4, "trend-high")):
        votes = tuple(
            replace(one, votes_ns=times[at], consensus=3.0, regime=regime)
            for one in main.votes
            if one.symbol == "BTC/USD"
        )
        chart.show(replace(main, recent_decisions=(), votes=votes))
    found = [one for one in widget.state["regimes"] if one["from"] >= times[0] / 1e9]
    assert [one["name"] for one in found] == ["range-low", "range-low", "trend-high"]
    assert found[0]["to"] < times[2] / 1e9


def test_a_lane_for_each_strategy_stands_where_its_vote_was_said(
    left_home: Path, main: AccountState, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = bars_of(left_home, "kraken", "BTC/USD", last=6).ts_close_ns.tolist()
    widget, memory = Candles(), Memory()
    shown: list[dict[str, np.ndarray[Any, Any]]] = []
    monkeypatch.setattr(widget, "show_bars", lambda bars, votes: shown.append(votes))
    sent: list[tuple[tuple[float, ...], Any]] = []
    monkeypatch.setattr(widget, "append", lambda bar, votes=None: sent.append((tuple(bar), votes)))

    def at(ts_ns: int, forecasts: dict[str, float] | None) -> AccountState:
        (one,) = [each for each in main.votes if each.symbol == "BTC/USD"]
        voted = replace(one, votes_ns=ts_ns, consensus=3.0, forecasts=forecasts)
        return replace(main, recent_decisions=(), votes=(voted,))

    reading = read_home(left_home)
    memory.note(replace(reading, accounts=(at(times[1], {"trend": 4.0, "momentum": -2.0}),)))
    chart = Chart(left_home, at(times[3], None), "BTC/USD", widget, memory)
    assert list(shown[-1]) == ["consensus", "momentum", "trend"]
    assert shown[-1]["trend"][-6:].tolist() == pytest.approx([np.nan, 4.0, *[np.nan] * 4], nan_ok=True)
    assert shown[-1]["consensus"][-6:].tolist() == pytest.approx([np.nan, 3, np.nan, 3, np.nan, np.nan], nan_ok=True)
    # Votes of the bar that is drawn already: the row is drawn again with them.
    chart.show(at(times[5], {"trend": 6.0, "momentum": 0.0}))
    assert sent[-1][0][0] == times[5]
    assert sent[-1][1] == {"consensus": 3.0, "trend": 6.0, "momentum": 0.0}
    # Another strategy is heard for the first time: another lane, all of it anew.
    chart.show(at(times[4], {"own": 1.0}))
    assert list(shown[-1]) == ["consensus", "momentum", "own", "trend"]
    assert shown[-1]["own"][-2] == 1.0


def test_meters_are_the_limits_that_are_on(left_home: Path, look: Look, main: AccountState) -> None:
    drawn = look("risk", left_home, "viewer", **MAIN)
    limits = limits_of(main)
    assert {one["name"] for one in drawn.state("Limits and how near")["meters"]} == {
        one.title for one in limits if one.level is not Level.OFF
    }
    assert {row["title"] for row in drawn.rows("Limits that are off")} == {
        one.title for one in limits if one.level is Level.OFF
    }


def test_a_limit_that_was_changed_says_by_whom_and_can_go_back(left_home: Path, look: Look) -> None:
    found = LimitChangeState(7, 10**18, "daily_loss_max_fraction", "limits", 0.02, 0.05, "c-9", "web:ann")
    other = LimitChangeState(7, 10**18, "position_notional_max", "sizing", 50.0, 200.0, "c-9", "web:ann")

    def tightened(reading: Overview) -> Overview:
        risk = {"limits": {"daily_loss_max_fraction": 0.02}}
        return changed(reading, risk=risk, limit_changes=(found, other))

    assert look("risk", left_home, "operator", **MAIN).holds == [], "nothing to take back"
    look.change = tightened
    drawn = look("risk", left_home, "operator", **MAIN)
    (meter,) = [one for one in drawn.state("Limits and how near")["meters"] if one["name"] == "loss of the day"]
    assert meter["limit"] == "2.00"
    assert meter["explanation"].endswith("Set by web:ann at 2001-09-09 01:46:40; configured is 5.00 %.")
    rows = drawn.rows("Limits that differ from the configuration")
    assert [(row["name"], row["value"], row["configured"], row["actor"], row["command_id"]) for row in rows] == [
        ("daily_loss_max_fraction", 0.02, 0.05, "web:ann", "c-9"),
        ("position_notional_max", 50.0, 200.0, "web:ann", "c-9"),
    ]
    assert {row["href"] for row in rows} == {"/apps/journal/?seq=7"}
    (button,) = drawn.holds
    assert (button.url, dict(button.body)) == ("/api/v1/control/limits", {**MAIN, "set": {"all": None}})
    drawn.deliver(read_home(left_home))
    assert button.state == {"allowed": False, "why": "Every limit is as configured."}
    assert drawn.rows("Limits that differ from the configuration") == []
    assert look("risk", left_home, "viewer", **MAIN).holds == []


@pytest.mark.parametrize(("worth", "whole"), [(Decimal(150), ("200", 0.2)), (None, (None, None))])
def test_exposure_by_group_is_unknown_where_a_part_is(
    left_home: Path, look: Look, worth: Decimal | None, whole: tuple[str | None, float | None]
) -> None:
    one, other = (position(symbol, value) for symbol, value in (("BTC/USD", worth), ("ETH/USD", Decimal(50))))
    more = {"groups": {"BTC/USD": "coins", "ETH/USD": "coins"}, "equity": Decimal(1000)}
    look.change = lambda reading: changed(reading, positions=(one, other), **more)
    (row,) = look("risk", left_home, "viewer", **MAIN).rows("Exposure by group")
    assert (row["what"], row["worth"], row["share"]) == ("coins", *whole)


MONEY = {"notional", "worth", "at_stop", "pnl", "average_pnl", "fees", "fee", "realized_pnl", "equity", "day_pnl"}
QTY = {"qty", "filled_qty"}


@pytest.mark.parametrize("name", ["overview", "desk", "risk", "orders", "decisions", "scanner"])
def test_every_amount_names_its_currency_and_every_quantity_its_asset(left_home: Path, look: Look, name: str) -> None:
    """A bug: a worth, a fee and what a trade brought stood there in nothing, and quantities of no asset."""
    held = position("BTC/USD", Decimal(150))
    look.change = lambda reading: changed(reading, positions=(held,), equity=Decimal(1000))
    drawn = look(name, left_home, "viewer", **MAIN)
    tables = [one.state for one in drawn.widgets if "rows" in one.state]
    columns = [(table, column) for table in tables for column in table["columns"]]
    amounts = [column["label"] for _, column in columns if column["key"] in MONEY]
    assert [label for label in amounts if not label.endswith(", USD")] == []
    for table, column in columns:
        if column["key"] in QTY:
            assert table["rows"]
            assert [row[column["unit"]] for row in table["rows"]] == [row["symbol"][:3] for row in table["rows"]]
    assert amounts or name == "decisions"


def test_amounts_of_different_currencies_name_each_its_own(left_home: Path, look: Look) -> None:
    def mixed(reading: Overview) -> Overview:
        first, *others = reading.accounts
        return replace(reading, accounts=(replace(first, quote="EUR"), *others))

    look.change = mixed
    accounts = look("overview", left_home, "viewer").state("Accounts")
    (equity,) = [column for column in accounts["columns"] if column["key"] == "equity"]
    assert (equity["label"], equity["unit"]) == ("equity", "quote")
    assert [row["quote"] for row in accounts["rows"]] == ["EUR", "USD", "USD"]
    look.change = lambda reading: changed(reading, quote="")
    unsaid = look("overview", left_home, "viewer").state("Accounts")
    assert "equity" in [column["label"] for column in unsaid["columns"]], "an unknown currency leaves no comma behind"


def test_what_stands_beside_a_figure_names_its_currency(left_home: Path, look: Look, main: AccountState) -> None:
    look.change = lambda reading: changed(reading, hold=Decimal(12))
    drawn = look("desk", left_home, "viewer", **MAIN)
    assert drawn.tiles()["equity"]["note"] == f"free {main.cash:,.2f} USD, reserved for entries 12.00 USD"
    assert {tile["unit"] for tile in drawn.tiles("Instruments").values()} == {"USD"}
    limits = tuple(
        LimitChangeState(7, 10**18, limit, "sizing", 0.5, 1.0, "c-9", "web:ann")
        for limit in ("position_notional_max", "risk_fraction")
    )
    look.change = lambda reading: changed(reading, limit_changes=limits)
    rows = look("risk", left_home, "viewer", **MAIN).rows("Limits that differ from the configuration")
    assert {row["name"]: row["unit"] for row in rows} == {"position_notional_max": "USD", "risk_fraction": ""}


def test_the_scanner_filters_and_its_monitor_is_the_ledgers_table(left_home: Path, look: Look) -> None:
    drawn = look("scanner", left_home, "viewer")
    votes = [one for account in read_home(left_home).accounts for one in account.votes]
    assert len(drawn.rows("Instruments")) == len(votes)
    flat = look("scanner", left_home, "viewer", **MAIN, state="flat").rows("Instruments")
    assert {row["state"] for row in flat} <= {"flat"}
    assert {(row["exchange"], row["account_id"]) for row in flat} <= {("kraken", "main")}
    wanted = {(one.exchange, one.account_id, one.strategy): str(one.pnl) for one in strategies.table(left_home)}
    said = {(row["exchange"], row["account_id"], row["symbol"]): row for row in drawn.rows("Votes of the strategies")}
    for account in read_home(left_home).accounts:
        for one in account.votes:
            row = said.pop((account.exchange, account.account_id, one.symbol))
            assert one.forecasts is not None
            assert {name: row[f"vote {name}"] for name in one.forecasts} == one.forecasts
            assert row["most"].startswith(max(one.weights or {}, key=(one.weights or {}).__getitem__))
    assert not said
    assert {column["label"] for column in drawn.state("Votes of the strategies")["columns"]} > {
        name.replace("_", " ") for name in STRATEGIES
    }
    look.change = lambda reading: changed(
        reading, votes=tuple(replace(one, forecasts=None, weights=None) for one in reading.accounts[0].votes)
    )
    silent = look("scanner", left_home, "viewer").state("Votes of the strategies")
    assert (silent["rows"], silent["none"].partition(":")[0]) == ([], "No trader has said what each strategy votes")
    look.change = None
    rows = drawn.rows("Strategies")
    assert {(row["exchange"], row["account_id"], row["strategy"]): row["pnl"] for row in rows} == wanted
    assert look("scanner", left_home, "viewer", state="nonsense").problem.startswith("no state nonsense")


def test_the_journal_pages_without_a_gap_and_shows_one_entry_whole(left_home: Path, look: Look) -> None:
    newest = look("journal", left_home, "viewer", **MAIN, kind="fills").rows("Entries")
    assert {row["kind"] for row in newest} <= {"fill_booked", "fill_busted"}
    first = look("journal", left_home, "viewer").rows("Entries")
    older = look("journal", left_home, "viewer", before=str(first[-1]["seq"])).rows("Entries")
    assert [row["seq"] for row in first + older] == list(range(first[0]["seq"], first[0]["seq"] - 100, -1))
    with closing(sqlite3.connect(f"file:{left_home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        seq, body, digest = ledger.execute(
            "SELECT seq, body, hash FROM event WHERE kind = 'fill_booked' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    drawn = look("journal", left_home, "viewer", seq=str(seq))
    assert digest.hex() in drawn.html
    assert all(f"{json.dumps(name)}:".replace('"', "&quot;") in drawn.html for name in json.loads(body))
    assert drawn.rows("What it moved")
    assert look("journal", left_home, "viewer", seq="999999").problem == "the ledger has no entry 999999"
    assert look("journal", left_home, "viewer", seq="<b>").problem == "an entry has a number, not <b>"


def test_the_audit_is_for_admins_alone(paper_home: Path, look: Look) -> None:
    with Storage(paper_home / FILE).writing() as database:
        audits.append(database, ts_ns=5, actor="web:ann", action="pause", outcome="done")
    (row,) = look("journal", paper_home, "admin").rows("What people did")
    assert (row["actor"], row["action"]) == ("web:ann", "pause")
    for role in ("operator", "viewer", ""):
        assert not [one for one in look("journal", paper_home, role).widgets if one.label == "What people did"]


def test_a_proof_says_what_was_changed(paper_home: Path) -> None:
    good = proof_tiles((audit(paper_home / "ledger.db"), 0.1), None)
    assert (good[0]["value"], good[0]["level"]) == ("every entry holds", "ok")
    damaged = paper_home / "damaged.db"
    shutil.copy(paper_home / "ledger.db", damaged)
    with closing(sqlite3.connect(damaged)) as ledger:
        for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ledger.execute(f'DROP TRIGGER "{name}"')
        ledger.execute("UPDATE event SET body = replace(body, '1', '2') WHERE kind = 'fill_booked'")
        ledger.commit()
    bad = proof_tiles((audit(damaged), 0.1), None)
    assert (bad[0]["value"], bad[0]["level"]) == ("NOT as it was written", "over")
    assert proof_tiles(None, "the ledger is locked")[0]["level"] == "unknown"


def test_a_decision_is_explained_on_its_own_accounts_page_alone(
    left_home: Path, look: Look, main: AccountState
) -> None:
    name = main.recent_decisions[0].decision_id
    drawn = look("decisions", left_home, "viewer", **MAIN, decision=name)
    explained.explanation(left_home, KEY, name).job.wait(120)
    drawn.deliver(read_home(left_home))
    tiles = drawn.tiles("Decision")
    assert (tiles["made again"]["value"], tiles["entry"]["value"]) == ("the same", str(main.recent_decisions[0].seq))
    assert float(tiles["consensus"]["value"]) == pytest.approx(main.recent_decisions[0].consensus, abs=5e-4)
    assert np.isclose(sum(row["share"] for row in drawn.rows("Votes")), 1.0)
    other = look("decisions", left_home, "viewer", exchange="kraken", account_id="second", decision=name)
    explained.explanation(left_home, AccountKey("kraken", "second"), name).job.wait(120)
    other.deliver(read_home(left_home))
    assert other.tiles("Decision")["decision"]["value"] == "cannot be explained"
    assert not other.rows("Votes")


def test_an_explained_decision_adds_up_from_votes_to_consensus(left_home: Path, look: Look, main: AccountState) -> None:
    """A bug: what strategies added summed to 10.81, the consensus read +19.67, and no factor between them was shown."""
    name = next(one for one in main.recent_decisions if one.action.lower() == "enter").decision_id
    drawn = look("decisions", left_home, "viewer", **MAIN, decision=name)
    explained.explanation(left_home, KEY, name).job.wait(120)
    drawn.deliver(read_home(left_home))
    digits = {
        board: {one["key"]: one.get("digits") for one in drawn.state(board)["columns"]}
        for board in ("Votes", "Each vote")
    }
    told = {row["name"]: row["figure"] for row in drawn.rows("From votes")}
    assert [*told] == [
        *("weighted mean", "diversification multiplier", "timeframe agreement", "product", "cap", "consensus"),
        "entry gate",
    ]
    assert told["entry gate"] == "abstained"
    weights, votes = drawn.rows("Votes"), drawn.rows("Each vote")
    for row in weights:
        own = [one for one in votes if one["strategy"] == row["name"]]
        assert own
        added = sum(round(one["adds"], digits["Each vote"]["adds"]) for one in own)
        assert added == pytest.approx(row["forecast"], abs=3e-4)
        assert round(row["forecast"], digits["Votes"]["forecast"]) * round(
            row["share"], digits["Votes"]["share"]
        ) == pytest.approx(round(row["adds"], digits["Votes"]["adds"]), abs=2e-4)
    mean, many, agreed = (
        float(told[name].replace("\N{MINUS SIGN}", "-").strip("\N{MULTIPLICATION SIGN} "))
        for name in ("weighted mean", "diversification multiplier", "timeframe agreement")
    )
    assert sum(round(row["adds"], digits["Votes"]["adds"]) for row in weights) == pytest.approx(mean, abs=5e-4)
    shown = float(drawn.tiles("Decision")["consensus"]["value"])
    assert max(-20, min(20, mean * many * agreed)) == pytest.approx(shown, abs=1e-3)
    assert drawn.tiles("Decision")["consensus"]["digits"] == 3


def test_an_explanation_has_the_figures_of_the_table_and_plain_words(
    left_home: Path, look: Look, main: AccountState
) -> None:
    """Bugs: 1.29954515 read 1.2995451, no limit read unknown, and what followed read as the kinds of the code."""
    entered = next(one for one in main.recent_decisions if one.action.lower() == "enter")
    drawn = look("decisions", left_home, "viewer", **MAIN, decision=entered.decision_id)
    explained.explanation(left_home, KEY, entered.decision_id).job.wait(120)
    drawn.deliver(read_home(left_home))
    assert drawn.tiles("Decision")["order"]["value"] == f"{entered.qty:f}"
    assert [one["label"] for one in drawn.state("Sizes")["columns"]][1] == f"size, {entered.symbol.partition('/')[0]}"
    assert not any(" units" in row["how"] for row in drawn.rows("Proof"))
    sizes = {row["key"]: row["size"] for row in drawn.rows("Sizes")}
    assert sizes["group"] == "no limit", "the sample markets are in no group"
    assert set(CAP_TEXT.values()) == {row["cap"] for row in drawn.rows("Sizes")}
    assert {one["name"] for one in drawn.state("Limits")["meters"]} <= set(LIMIT_TEXT.values())
    assert all(float(one["used"]) >= 0 for one in drawn.state("Limits")["meters"])
    followed = [row["what"] for row in drawn.rows("What followed")]
    assert any(what.endswith(": the venue took the order") for what in followed), followed


def test_earlier_votes_are_drawn_once_they_are_made_and_only_if_they_agree(
    left_home: Path, main: AccountState, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, np.ndarray[Any, Any]]] = []
    times = bars_of(left_home, "kraken", "BTC/USD", last=4).ts_close_ns.tolist()
    (one,) = [each for each in main.votes if each.symbol == "BTC/USD"]
    heard = replace(one, votes_ns=times[-1], consensus=1.0, regime="range-low", forecasts=None)
    reading = replace(main, recent_decisions=(), votes=(heard,))

    def chart_with(consensus: float) -> Chart:
        widget, job = Candles(), Job(lambda told: made(consensus))
        monkeypatch.setattr(widget, "show_bars", lambda bars, votes: shown.append(votes))
        chart = Chart(left_home, reading, "BTC/USD", widget, None, job)
        assert job.wait(60)
        chart.show(reading)
        chart.show(reading)
        return chart

    def made(consensus: float) -> dict[int, Voted]:
        return {ts_ns: Voted("range-low", consensus, {"trend": float(at)}) for at, ts_ns in enumerate(times)}

    chart_with(2.0)
    assert [list(one) for one in shown] == [["consensus"]]
    shown.clear()
    chart = chart_with(1.0)
    assert [list(one) for one in shown] == [["consensus"], ["consensus", "trend"]]
    assert shown[-1]["trend"][-4:].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert shown[-1]["consensus"][-4:].tolist() == [1.0] * 4
    assert [each["name"] for each in chart.widget.state["regimes"]] == ["range-low"]


def test_a_desk_draws_the_votes_of_the_closes_that_nobody_watched(
    left_home: Path, look: Look, main: AccountState, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an earlier page began may have read the places of an earlier test.
    monkeypatch.setattr(lanes, "_jobs", OrderedDict())
    drawn = look("desk", left_home, "viewer", **MAIN, symbol="BTC-USD")
    (begun,) = [one for whose, one in lanes._jobs.items() if whose[1:] == (KEY, "BTC/USD") and whose[0] == left_home]
    assert begun.job.wait(120)
    assert begun.job.problem is None
    drawn.deliver(read_home(left_home))
    assert drawn.chart.lanes == ["consensus", *sorted(STRATEGIES)]
    regimes = drawn.chart.state["regimes"]
    assert sum(one["to"] - one["from"] for one in regimes) > 200 * 15 * 60
