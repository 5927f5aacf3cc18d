"""Paper trading from the command line: what is traded, said, recorded and gone on with."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from novapulse.backtest import run as backtest
from novapulse.config import load, settings_of
from novapulse.core.instruments import InstrumentKey
from novapulse.market.lake import Lake
from novapulse.market.recorder import read_recording
from novapulse.ops import health
from tests.cli.conftest import Cli
from tests.cli.living import BARS, KEYS, NoHooks, configure, live
from tests.killing import (
    books_of,
    check_books,
)


def test_it_trades_three_accounts_over_two_exchanges_and_says_so(cli: Cli, stocked_home: Path) -> None:
    said = live(cli, stocked_home)
    assert [(one["exchange"], one["account_id"]) for one in said["accounts"]] == KEYS
    assert said["clean_stop"] is True
    assert said["feed"]["ended"] is True
    assert said["decisions"] > 10
    assert said["fills"] > 10
    assert said["ledger"]["place"] == str(stocked_home / "ledger.db")
    check_books(stocked_home)
    assert {key: len(book.round_trips) for key, book in books_of(stocked_home).items()} == {
        (one["exchange"], one["account_id"]): one["round_trips"] for one in said["accounts"]
    }


def test_started_again_it_goes_on_where_it_ended(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    books = books_of(stocked_home)
    outcome = cli("live", "--config", stocked_home / "config.yaml", "--json")
    again = json.loads(outcome.out)
    assert "going on behind 2024-" in outcome.err
    assert (again["closes"], again["decisions"], again["clean_stop"]) == (0, 0, True)
    assert books_of(stocked_home) == books


def test_it_says_what_it_trades_on_and_where_everything_lies(cli: Cli, stocked_home: Path) -> None:
    outcome = cli("live", "--config", stocked_home / "config.yaml")
    assert "recorded bars that close from 2024-01-17 16:30:00Z" in outcome.err
    for place in ("ledger.db", "logs", "sessions"):
        assert str(stocked_home / place) in outcome.err
    assert "second" in outcome.out
    assert "stopped because the feed has ended" in outcome.out


def test_without_any_bars_it_trades_on_a_sample_market_and_says_so(cli: Cli, home: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("novapulse.research.at_hand.recordings_folder", lambda environment: None)
    monkeypatch.setattr("novapulse.cli.live.CrashHooks", NoHooks)
    home.mkdir(parents=True)
    configure(home, feed={"source": "recorded", "start": "2031-01-01T00:00Z"})
    outcome = cli("live", "--config", home / "config.yaml", "--json", "--duration", "0.5")
    assert outcome.code == 0, outcome
    assert "sample market" in outcome.err
    assert "a generated sample market" in outcome.err
    said = json.loads(outcome.out)
    assert said["feed"]["is_sample"] is True
    assert said["why"] in ("it has run for 0.5 s", "the feed has ended")


def test_the_health_document_lists_every_account(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    verdict = health.read(stocked_home / health.FILE, time.time_ns())
    assert not verdict.healthy
    assert "was stopped" in verdict.reasons[0]
    assert {(one["exchange"], one["account_id"]) for one in verdict.accounts} == set(KEYS)
    assert all(one["healthy"] for one in verdict.document["accounts"])
    assert not any(one["healthy"] for one in verdict.accounts), "nobody looks after them any more"


@pytest.mark.parametrize("is_disturbed", [False, True], ids=["on a quiet machine", "on a busy one"])
def test_each_account_makes_the_round_trips_of_its_backtest(
    cli: Cli, stocked_home: Path, monkeypatch: Any, is_disturbed: bool
) -> None:
    if is_disturbed:
        # What goes by the machine's clock happens all the time, and finds that the clock was set: how long the run
        # takes on a busy machine changes nothing of what it does.
        for name in ("MEASURE_EVERY_S", "HEALTH_EVERY_S", "TIDY_EVERY_S"):
            monkeypatch.setattr(f"novapulse.cli.live_chores.{name}", 0.05)
        monkeypatch.setattr("novapulse.engine.lease_keeper.LeaseKeeper.every_s", 0.05)
        monkeypatch.setattr("novapulse.ops.clock.WallWatch.jump_ns", lambda watch: 3_000_000_000)
    configure(stocked_home, feed={"source": "recorded"})
    live(cli, stocked_home)
    books = books_of(stocked_home)
    loaded = load(os.environ, stocked_home / "config.yaml")
    lake = Lake(stocked_home / "lake")
    for account in loaded.settings.accounts:
        own = settings_of(loaded.settings, account)
        keys = [InstrumentKey(account.exchange, symbol) for symbol in account.symbols]
        bars = {key: lake.bars(key.exchange, key.symbol, "15m") for key in keys}
        result = backtest(
            bars, own.backtest, instruments={key: lake.instrument(key.exchange, key.symbol) for key in keys}
        )
        wanted = sorted(
            (
                result.instruments[int(one.instrument)].symbol,
                int(one.entry_ts_ns),
                int(one.exit_ts_ns),
                int(one.pnl_units),
            )
            for one in result.round_trips
        )
        found = books[account.exchange, account.account_id].round_trips
        assert [one[:4] for one in found] == wanted
        assert len(wanted) > 5


def test_what_a_session_saw_is_recorded_to_the_bit(cli: Cli, stocked_home: Path) -> None:
    said = live(cli, stocked_home)
    header, seen = read_recording(stocked_home / "sessions" / said["session"] / "kraken.bars")
    assert header["session"] == said["session"]
    bars = Lake(stocked_home / "lake").bars("kraken", "ETH/USD", "15m")
    last = [one for one in seen if one.instrument.symbol == "ETH/USD"]
    count = len(last)
    assert count == BARS - 1
    for name in ("ts_close_ns", "open", "high", "low", "close", "volume"):
        assert [one.bar[name] for one in last] == getattr(bars, name)[-count:].tolist()
    assert {one.problem for one in seen} == {""}
