"""`novapulse health` (R-64): every account of the trader, exit 1 when one of them is not healthy."""

import json
import time
from pathlib import Path

import pytest

from novapulse.core.records import Mode
from novapulse.ops.health import AccountHealth, document, write
from tests.cli.conftest import Cli

ACCOUNTS = [("coinbase", "main"), ("kraken", "main"), ("kraken", "second")]


def written(home: Path, sick: int | None = None, age_s: float = 0.0, *, running: bool = True) -> None:
    home.mkdir(exist_ok=True)
    accounts = [
        AccountHealth(
            exchange,
            account_id,
            Mode.NORMAL,
            reasons=("its stream is down",) if number == sick else (),
            equity="1.5",
            last_bar_age_s=0.4,
        )
        for number, (exchange, account_id) in enumerate(ACCOUNTS)
    ]
    now_ns = time.time_ns() - int(age_s * 1e9)
    content = document(accounts, now_ns=now_ns, ledger_id="led9", ledger_place="here", version="4", running=running)
    write(home / "health.json", content)


def test_a_healthy_trader_is_listed_whole(cli: Cli, home: Path) -> None:
    written(home)
    outcome = cli("health")
    assert outcome.code == 0
    assert "ledger led9 in here, last sign of life 0 s ago, at 2" in outcome.out
    assert outcome.out.count("healthy") == 3
    told = json.loads(cli("health", "--json").out)
    assert told["healthy"] is True
    assert [(one["exchange"], one["account_id"], one["healthy"]) for one in told["accounts"]] == [
        (exchange, account_id, True) for exchange, account_id in ACCOUNTS
    ]


@pytest.mark.parametrize("sick", range(3))
def test_one_failing_account_of_three_fails_the_whole_and_is_named(sick: int, cli: Cli, home: Path) -> None:
    """HS-005: health looked at the first exchange only."""
    written(home, sick)
    outcome = cli("health")
    exchange, account_id = ACCOUNTS[sick]
    assert outcome.code == 1
    assert outcome.out.count("NOT HEALTHY") == 1
    assert f"{account_id} on {exchange}: its stream is down" in outcome.out
    assert f"account {account_id} on {exchange} is not healthy" in outcome.err
    told = cli("health", "--json")
    assert told.code == 1
    assert [one["healthy"] for one in json.loads(told.out)["accounts"]].count(False) == 1


def test_a_trader_that_fell_silent_is_not_healthy(cli: Cli, home: Path) -> None:
    written(home, age_s=31)
    outcome = cli("health")
    assert outcome.code == 1
    assert "does not run, or it hangs" in outcome.err


def test_what_a_stopped_trader_left_says_stopped_and_since_when(cli: Cli, home: Path) -> None:
    written(home, age_s=600, running=False)
    outcome = cli("health")
    assert outcome.code == 1
    assert "healthy" not in outcome.out
    assert "stopped 10 min ago, at 2" in outcome.out
    assert outcome.out.count("10 min ago") == 1 + len(ACCOUNTS), "the age of the last bar stood still"
    told = json.loads(cli("health", "--json").out)
    assert [one["healthy"] for one in told["accounts"]] == [False] * 3
    assert told["age_s"] >= 600


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"accounts": 3}'])
def test_no_document_or_a_damaged_one_is_one_sentence(content: str | None, cli: Cli, home: Path) -> None:
    if content is not None:
        home.mkdir()
        (home / "health.json").write_text(content)
    outcome = cli("health")
    assert (outcome.code, outcome.out) == (1, "")
    assert "health.json" in outcome.err
    told = cli("health", "--json")
    assert told.code == 1
    answer = json.loads(told.out)
    assert (answer["healthy"], answer["accounts"]) == (False, [])
