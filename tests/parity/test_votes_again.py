"""Votes made again from ledger and lake: those of every bar by another way, and none where a bar is not what it was."""

import shutil
from pathlib import Path

import pytest

from novapulse.config import load
from novapulse.confluence import pipeline
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import prepare
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.market.spelling import stamp_ns
from novapulse.monitor import read_home
from novapulse.parity import votes_again as module
from novapulse.parity.kept import Kept, KeptError
from novapulse.parity.votes_again import VotesAgain, configuration_for, votes_again
from novapulse.strategies import STRATEGIES
from tests.killing import WARM_BARS, WIDTH_NS
from tests.monitor.conftest import BARS, left_home

__all__ = ["left_home"]

MAIN = AccountKey("kraken", "main")


def made(home: Path, symbol: str = "BTC/USD", last: int = 10_000, account: AccountKey = MAIN) -> VotesAgain:
    with Kept(home / "ledger.db") as kept:
        return votes_again(kept, account, symbol, Lake(home / "lake"), STRATEGIES, last)


@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/USD"])
def test_they_are_what_each_bar_is_explained_with(left_home: Path, symbol: str) -> None:
    found, key = made(left_home, symbol), InstrumentKey("kraken", symbol)
    loaded = load({"NOVAPULSE_CONFIG": str(left_home / "config.yaml")}).settings
    settings, start_ns = loaded.confluence, stamp_ns(loaded.feed.start)
    assert start_ns is not None
    lake, plan = Lake(left_home / "lake"), prepare(settings, STRATEGIES)
    bars = {InstrumentKey("kraken", one): lake.bars("kraken", one, "15m") for one in ("BTC/USD", "ETH/USD")}
    _, calibrations = pipeline.signals(bars, settings, STRATEGIES)
    stamps = bars[key].ts_close_ns.tolist()
    # Those that the session decided on, and none before.
    assert found.ts_close_ns.tolist() == [ts_ns for ts_ns in stamps if ts_ns > start_ns]
    for row in range(0, len(found.ts_close_ns), 13):
        told = explain(bars[key], plan, calibrations, key=key, row=stamps.index(int(found.ts_close_ns[row])))
        assert {name: float(one[row]) for name, one in found.forecasts.items()} == {
            one["name"]: one["forecast"] for one in told["strategies"]
        }
        assert (float(found.consensus[row]), found.regimes[row]) == (told["consensus"], told["regime"])
    decisions = [one for one in read_home(left_home).account("kraken", "main").recent_decisions if one.symbol == symbol]
    assert found.compared >= len([one for one in decisions if one.consensus is not None]) > 0


def test_only_so_many_as_are_asked_for(left_home: Path) -> None:
    whole, few = made(left_home), made(left_home, last=7)
    assert few.ts_close_ns.tolist() == whole.ts_close_ns[-7:].tolist()
    assert {name: one.tolist() for name, one in few.forecasts.items()} == {
        name: one[-7:].tolist() for name, one in whole.forecasts.items()
    }


def test_other_bars_than_those_decided_on_give_no_answer(left_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(left_home, home)
    shutil.rmtree(home / "lake" / "kraken")
    other = sample_market(["BTC/USD", "ETH/USD"], WARM_BARS + BARS, 6, WIDTH_NS)
    for symbol, columns in other.items():
        Lake(home / "lake").append("kraken", symbol, "15m", columns, source="another market")
    with pytest.raises(KeptError, match="made again, are not those that were decided on"):
        made(home)


def test_what_cannot_be_made_again_says_why(left_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeptError, match="main on kraken does not trade SOL/USD"):
        made(left_home, "SOL/USD")
    with pytest.raises(KeptError, match="nobody on kraken has no session yet"):
        made(left_home, account=AccountKey("kraken", "nobody"))
    monkeypatch.setattr(module, "BARS_MAX", 1_000)
    with pytest.raises(KeptError, match=r"3,720 bars would be worked through for it, and at most 1,000 are"):
        made(left_home)


def test_closes_are_those_since_the_configuration_last_changed(
    left_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kept(left_home / "ledger.db") as kept:
        (only,) = kept.sessions(MAIN)
        older = [
            type(only)(only.ledger_id, MAIN, seq, seq, 0, begins, begins + 10, text)
            for seq, begins, text in ((1, 10, "another"), (2, 20, only.configuration), (3, 30, only.configuration))
        ]
        monkeypatch.setattr(kept, "sessions", lambda account: older)
        assert configuration_for(kept, MAIN)[1:] == (20, 40)
        monkeypatch.setattr(kept, "sessions", lambda account: [only])
        assert configuration_for(kept, MAIN)[1:] == (only.started_ns, only.until_ns)
