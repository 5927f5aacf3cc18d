"""Answers beside the reading: bars, limits, strategies, entries and the scan, each against a second computation."""

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from novapulse.config import load
from novapulse.confluence import pipeline
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import prepare
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.ledger.queries import UnknownAccountError
from novapulse.market.lake import Lake
from novapulse.market.recorder import ARRIVAL
from novapulse.monitor import entries, read_home, scan, strategies
from novapulse.monitor.bars import NoBarsError, bars_of
from novapulse.monitor.limits import Level, limits_of
from novapulse.monitor.rows import OrderState
from novapulse.strategies import STRATEGIES
from tests.monitor.conftest import BARS, beat, bodies

MAIN, SECOND = AccountKey("kraken", "main"), AccountKey("kraken", "second")


def test_strategies_earn_what_their_round_trips_say(left_home: Path) -> None:
    rows = strategies.table(left_home)
    assert {(one.exchange, one.account_id) for one in rows} == {
        ("kraken", "main"),
        ("kraken", "second"),
        ("coinbase", "main"),
    }
    names = bodies(left_home, MAIN, "calibration_learned")[0]["strategies"]
    trips: dict[str, list[Fraction]] = defaultdict(list)
    for body in bodies(left_home, MAIN, "round_trip_closed"):
        trips[names[body["lead"]]].append(Fraction(body["pnl_units"], 10**8))
    mine = {one.strategy: one for one in strategies.table(left_home, MAIN)}
    assert set(mine) == set(trips)
    assert len(trips) > 1
    for name, results in trips.items():
        wins, losses = [one for one in results if one > 0], [-one for one in results if one < 0]
        one = mine[name]
        assert (one.trades, one.wins, one.losses) == (len(results), len(wins), len(losses))
        assert one.win_rate == len(wins) / len(results)
        assert Fraction(one.pnl) == sum(results)
        assert one.average_pnl == pytest.approx(Decimal(float(sum(results) / len(results))), abs=Decimal("1e-10"))
        assert one.profit_factor == (float(sum(wins) / sum(losses)) if losses else None)
    with pytest.raises(UnknownAccountError, match="no account nobody at kraken"):
        strategies.table(left_home, AccountKey("kraken", "nobody"))


def test_bars_of_a_session_go_on_from_those_of_the_lake(left_home: Path) -> None:
    whole = Lake(left_home / "lake").bars("kraken", "ETH/USD", "15m")
    for last in (1, 50, BARS + 700):
        found = bars_of(left_home, "kraken", "ETH/USD", last=last)
        wanted = whole[len(whole) - last :]
        assert len(found) == last
        for name in ("ts_close_ns", "open", "high", "low", "close", "volume", "number", "made"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), (last, name)
    middle = int(whole.ts_close_ns[-100])
    assert (
        bars_of(left_home, "kraken", "ETH/USD", last=3, end_ns=middle).ts_close_ns.tolist()
        == whole.ts_close_ns[-102:-99].tolist()
    )
    with pytest.raises(NoBarsError, match=r"no bars of SOL/USD on kraken"):
        bars_of(left_home, "kraken", "SOL/USD", last=3)


def test_bars_that_decided_nothing_and_a_cut_record_are_left_out(left_home: Path, tmp_path: Path) -> None:
    session = next((left_home / "sessions").iterdir())
    copied = tmp_path / "sessions" / session.name
    copied.mkdir(parents=True)
    head, _, rest = (session / "kraken.bars").read_bytes().partition(b"\n")
    rows = np.frombuffer(rest, ARRIVAL).copy()
    mine = np.flatnonzero(rows["instrument"] == json.loads(head)["instruments"].index(["kraken", "BTC/USD"]))
    rows["problem"][mine[-1]] = 0
    (copied / "kraken.bars").write_bytes(head + b"\n" + rows.tobytes()[:-5])
    found = bars_of(tmp_path, "kraken", "BTC/USD", last=10)
    assert found.ts_close_ns.tolist() == rows["ts_close_ns"][mine[-11:-1]].tolist()


def test_limits_say_how_near_they_are_and_what_they_do_not_know(left_home: Path) -> None:
    account = read_home(left_home).account("kraken", "main")
    assert account.equity is not None
    account = replace(account, gross_exposure=account.equity * Decimal("0.41"), pending_exposure=Decimal(0))
    losing = replace(account, day_pnl_fraction=-0.031, drawdown_fraction=None)
    meters = {one.name: one for one in limits_of(losing)}
    assert meters["gross_exposure_max_fraction"].level is Level.NEAR
    assert meters["daily_loss_reduce_only_fraction"].level is Level.OVER
    assert (meters["daily_loss_max_fraction"].level, meters["daily_loss_max_fraction"].limit) == (Level.OK, 0.05)
    assert (meters["drawdown_max_fraction"].level, meters["drawdown_max_fraction"].used) == (Level.UNKNOWN, None)
    assert meters["loss_streak_max"].level is Level.OFF
    assert {one.level for one in limits_of(replace(account, risk={}))} == {Level.UNKNOWN}
    tighter = {**account.risk, "limits": {**account.risk["limits"], "gross_exposure_max_fraction": 0.4}}
    assert {one.name: one.level for one in limits_of(account, tighter)}["gross_exposure_max_fraction"] is Level.OVER


def test_the_exposure_of_a_group_counts_open_entries_as_its_cap_does(left_home: Path) -> None:
    account = read_home(left_home).account("kraken", "main")
    symbol = account.votes[0].symbol
    entry = OrderState(
        *("a", "", symbol, "buy", "entry", "limit", "ACCEPTED", Decimal(2), Decimal(1), Decimal(1), Decimal(250)),
        *(None, None, None, 0, None, "d", 1, "", ()),
    )
    shown = replace(account, positions=(), orders=(entry,), groups={symbol: "coins"}, equity=Decimal(1000))
    assert limits_of(shown)[-1].used == 0.25
    unpriced = replace(entry, limit_price=None)
    votes = tuple(replace(one, price=None) for one in account.votes)
    assert limits_of(replace(shown, orders=(unpriced,), votes=votes))[-1].level is Level.UNKNOWN


def test_exposure_of_a_group_is_that_of_its_positions(left_home: Path) -> None:
    account = read_home(left_home).account("coinbase", "main")
    assert account.positions, "nothing is held: choose another length of the session"
    grouped = replace(account, groups={one.symbol: "coins" for one in account.positions})
    meter = limits_of(grouped)[-1]
    assert meter.title == "exposure of group coins, open entries included"
    assert meter.used == pytest.approx(account.exposure_fraction)
    unknown = replace(grouped, positions=tuple(replace(one, notional=None) for one in account.positions))
    assert limits_of(unknown)[-1].level is Level.UNKNOWN


def test_entries_come_in_pages_with_legs_that_sum_to_nothing(left_home: Path) -> None:
    pages, before = [], None
    while found := entries.page(left_home, SECOND, before_seq=before, limit=40):
        pages += found
        before = found[-1].seq
    with closing(sqlite3.connect(f"file:{left_home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        query = "SELECT seq FROM event WHERE exchange = 'kraken' AND account_id = 'second' ORDER BY seq DESC"
        assert [one.seq for one in pages] == [seq for (seq,) in ledger.execute(query)]
    for one in pages:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for leg in one.legs:
            sums[leg.asset] += leg.amount
        assert not any(sums.values())
    fill = entries.page(left_home, SECOND, ["fill_booked"], limit=1)[0]
    assert entries.one(left_home, fill.seq) == fill
    order = entries.page(left_home, SECOND, client_order_id=fill.body["client_order_id"])
    assert {"order_intended", "fill_booked"} <= {one.kind for one in order}
    assert {one.body["client_order_id"] for one in order} == {fill.body["client_order_id"]}
    with pytest.raises(entries.UnknownEntryError, match="no entry 999999"):
        entries.one(left_home, 999_999)
    with pytest.raises(UnknownAccountError, match="no account second at coinbase"):
        entries.page(left_home, AccountKey("coinbase", "second"))


def test_every_number_of_an_account_leads_to_its_entries(left_home: Path) -> None:
    account = read_home(left_home).account("coinbase", "main")
    kinds = {
        "fill_booked": [one.seq for one in account.recent_fills],
        "decision_taken": [one.seq for one in account.recent_decisions],
        "round_trip_closed": [one.seq for one in account.recent_round_trips],
        "order_intended": [one.seq for one in account.orders],
        "session_started": [account.seqs["session"]],
    }
    for kind, seqs in kinds.items():
        assert seqs
        assert {(one.kind, one.account_id, one.exchange) for one in entries.some(left_home, seqs)} == {
            (kind, "main", "coinbase")
        }


def test_the_scan_lists_every_instrument_of_every_account(paper_home: Path) -> None:
    overview = read_home(paper_home)
    rows = scan.rows(overview)
    assert sorted((one.exchange, one.account_id, one.instrument.symbol) for one in rows) == [
        ("coinbase", "main", "BTC/USD"),
        ("kraken", "main", "BTC/USD"),
        ("kraken", "main", "ETH/USD"),
        ("kraken", "second", "BTC/USD"),
    ]
    sizes = [abs(one.instrument.consensus or 0.0) for one in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert {one.instrument.symbol for one in scan.rows(overview, text="eth")} == {"ETH/USD"}
    assert {one.exchange for one in scan.rows(overview, exchange="coinbase")} == {"coinbase"}
    assert not scan.rows(overview, consensus_min=20.1)
    with pytest.raises(UnknownAccountError, match="no account second at coinbase"):
        scan.rows(overview, exchange="coinbase", account_id="second")


def test_the_vote_of_each_strategy_is_what_the_lakes_bars_make_it(left_home: Path) -> None:
    settings = load({"NOVAPULSE_CONFIG": str(left_home / "config.yaml")}).settings
    lake, whole = Lake(left_home / "lake"), read_home(left_home)
    plan = prepare(settings.confluence, STRATEGIES)
    seen = 0
    for account in settings.accounts:
        keys = [InstrumentKey(account.exchange, symbol) for symbol in account.symbols]
        bars = {key: lake.bars(key.exchange, key.symbol, "15m") for key in keys}
        _, calibrations = pipeline.signals(bars, settings.confluence, STRATEGIES)
        for one in whole.account(account.exchange, account.account_id).votes:
            key = InstrumentKey(account.exchange, one.symbol)
            (row,) = np.flatnonzero(bars[key].ts_close_ns == one.votes_ns).tolist()
            told = explain(bars[key], plan, calibrations, key=key, row=row)
            assert one.forecasts == {each["name"]: each["forecast"] for each in told["strategies"]}
            assert one.weights == {each["name"]: each["share_of_weight"] for each in told["strategies"]}
            assert (one.consensus, one.regime, one.lead) == (told["consensus"], told["regime"], told["lead"] or "")
            mean = sum(one.weights[name] * forecast for name, forecast in one.forecasts.items())
            factor = told["diversification"] * told["agreement_multiplier"]
            assert one.consensus == pytest.approx(max(-20.0, min(20.0, factor * mean)))
            seen += any(one.forecasts.values())
    assert seen == 4


def test_votes_that_the_trader_does_not_say_are_unknown(paper_home: Path) -> None:
    document = json.loads((paper_home / "health.json").read_text())
    for account in document["accounts"]:
        for signal in account["more"]["signals"].values():
            del signal["votes"]
    beat(paper_home, accounts=document["accounts"])
    for one in read_home(paper_home).account("kraken", "main").votes:
        assert one.consensus is not None
        assert (one.forecasts, one.weights) == (None, None)


def test_votes_are_those_of_the_last_close_while_the_trader_says_them(paper_home: Path) -> None:
    one = read_home(paper_home).account("kraken", "main").votes[0]
    assert one.votes_ns == one.price_ns
    assert one.votes_seq is None or one.votes_ns == one.decision_ns
    document = json.loads((paper_home / "health.json").read_text())
    for account in document["accounts"]:
        account["more"] = {}
    beat(paper_home, accounts=document["accounts"])
    other = read_home(paper_home).account("kraken", "main").votes[0]
    assert (other.votes_ns, other.votes_seq) == (other.decision_ns, other.decision_seq)
