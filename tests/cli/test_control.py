"""`novapulse control`: a command into the inbox, an answer per account out of it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from novapulse.cli.parser import parse
from novapulse.control import audit
from novapulse.control.inbox import ALL, CONFIGURED, FILE, VERBS, Inbox
from novapulse.control.proof import AccountProof, Proof
from novapulse.control.router import Router
from novapulse.control.storage import Storage
from novapulse.core.instruments import AccountKey
from novapulse.engine import limits
from tests.cli.conftest import Cli

ACCOUNTS = [AccountKey("coinbase", "main"), AccountKey("kraken", "main"), AccountKey("kraken", "second")]
KRAKEN = ("--exchange", "kraken", "--account", "main")


@contextmanager
def trader(home: Path, refusing: AccountKey | None = None, silent: AccountKey | None = None) -> Iterator[None]:
    """Answers like a trader would, from a thread of its own."""
    stop = threading.Event()

    def answer() -> None:
        inbox = Inbox(home / FILE)
        while not stop.wait(0.02):
            for command in inbox.pending():
                accounts = [command.account] if command.account else ACCOUNTS
                inbox.mark_taken(command.command_id, accounts, time.time_ns())
                for account in accounts:
                    if account != silent:
                        done = account != refusing
                        inbox.answered(command.command_id, account, done, command.verb, time.time_ns())

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_words_are_those_of_the_inbox() -> None:
    for verb in VERBS:
        options = parse(["control", verb.replace("_", "-"), "--all"])
        assert options.verb.replace("-", "_") == verb
        assert parse(["control", verb, "--all"]).verb == options.verb


def test_every_account_answers_a_command_for_all(cli: Cli, home: Path) -> None:
    with trader(home):
        outcome = cli("control", "reduce-only", "--all", "--reason", "maintenance")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "main on coinbase: done: reduce_only",
        "main on kraken: done: reduce_only",
        "second on kraken: done: reduce_only",
    ]
    assert Inbox(home / FILE).pending() == []


def test_one_account_alone_is_told_what_is_meant_for_it(cli: Cli, home: Path) -> None:
    with trader(home):
        outcome = cli("control", "close", *KRAKEN, "--symbol", "btc-usd", "--json")
    assert outcome.code == 0
    told = json.loads(outcome.out)
    assert (told["verb"], told["taken"], told["done"]) == ("close", True, True)
    assert told["accounts"] == [
        {"exchange": "kraken", "account_id": "main", "done": True, "text": "close", "details": {}}
    ]


def test_limits_are_set_and_reset_by_name(cli: Cli, home: Path) -> None:
    settings = ("--set", "positions_max=3", "--set", "daily_loss_max_fraction=0.02", "--reset", "risk_fraction")
    cli("control", "limits", *KRAKEN, *settings, "--reason", "news", "--wait", "0")
    cli("control", "limits", "--all", "--reset", "--wait", "0")
    first, second = Inbox(home / FILE).pending()
    text = "daily_loss_max_fraction=0.02, positions_max=3, risk_fraction=configured"
    assert (first.verb, first.account, first.arguments) == ("limits", ACCOUNTS[1], {"set": text, "reason": "news"})
    assert (second.account, second.arguments) == (None, {"set": "all=configured"})
    assert (CONFIGURED, ALL) == (limits.CONFIGURED, limits.ALL), "what the trader understands"


WRONG_LIMITS = {
    "no value": (["--set", "positions_max"], "--set positions_max: expected NAME=NUMBER"),
    "no name": (["--set", "=3"], "--set =3: expected NAME=NUMBER"),
    "twice": (["--set", "positions_max=3", "--reset", "positions_max"], "positions_max is named twice"),
    "two in one": (["--set", "positions_max=3,risk_fraction=0.1"], "--set positions_max=3,risk_fraction=0.1: expected"),
    "nothing": ([], "limits needs set"),
}


@pytest.mark.parametrize(("given", "said"), WRONG_LIMITS.values(), ids=WRONG_LIMITS)
def test_limits_that_are_not_clear_are_a_usage_error(cli: Cli, home: Path, given: list[str], said: str) -> None:
    outcome = cli("control", "limits", *KRAKEN, *given, "--wait", "0")
    assert outcome.code == 2
    assert said in outcome.err
    assert Inbox(home / FILE).pending() == []


def test_limits_go_with_no_other_verb(cli: Cli, home: Path) -> None:
    outcome = cli("control", "pause", *KRAKEN, "--set", "positions_max=3", "--wait", "0")
    assert outcome.code == 2
    assert "pause knows no set" in outcome.err


def test_one_order_is_cancelled_by_its_id(cli: Cli, home: Path) -> None:
    with trader(home):
        outcome = cli("control", "cancel", *KRAKEN, "--order", "O-1", "--json")
    assert outcome.code == 0
    with Storage(home / FILE).reading() as database:
        (row,) = audit.page(database)
    assert (row.action, row.arguments) == ("cancel", {"order": "O-1"})


def test_a_refusal_of_one_fails_the_whole(cli: Cli, home: Path) -> None:
    with trader(home, refusing=ACCOUNTS[1]):
        outcome = cli("control", "resume", "--all")
    assert outcome.code == 1
    assert "main on kraken: REFUSED: resume" in outcome.out
    assert outcome.out.count("done") == 2


def test_an_account_that_does_not_answer_is_told(cli: Cli, home: Path) -> None:
    with trader(home, silent=ACCOUNTS[2]):
        outcome = cli("control", "pause", "--all", "--wait", "1")
    assert outcome.code == 1
    assert "second on kraken: no answer yet" in outcome.out
    assert "not every account answered within 1 s" in outcome.err


def test_without_a_trader_the_command_waits_and_that_is_said(cli: Cli, home: Path) -> None:
    outcome = cli("control", "halt", "--all", "--wait", "0")
    assert (outcome.code, outcome.out) == (1, "")
    assert "nobody took command" in outcome.err
    assert "no trader runs on this home folder" in outcome.err
    assert [command.verb for command in Inbox(home / FILE).pending()] == ["halt"]


def test_the_same_key_is_obeyed_once(cli: Cli, home: Path) -> None:
    for _ in range(3):
        cli("control", "pause", "--all", "--wait", "0", "--key", "tonight")
    assert len(Inbox(home / FILE).pending()) == 1
    outcome = cli("control", "halt", "--all", "--wait", "0", "--key", "tonight")
    assert outcome.code == 2
    assert "'tonight' already names another command" in outcome.err


def test_what_the_shell_does_is_in_the_audit(cli: Cli, home: Path) -> None:
    with trader(home):
        told = json.loads(cli("control", "pause", "--all", "--json").out)
    with Storage(home / FILE).reading() as database:
        (row,) = audit.page(database)
    assert (row.audit_id, row.command_id) == (told["audit_id"], told["command_id"])
    assert (row.action, row.outcome) == ("pause", "done")
    assert row.actor.startswith("cli:")


def test_flat_that_is_not_proven_is_a_failure(cli: Cli, home: Path) -> None:
    with trader(home):
        outcome = cli("control", "flatten", "--all", "--prove", "--wait", "1")
        told = json.loads(cli("control", "kill", "--all", "--prove", "--wait", "1", "--json").out)
    assert outcome.code == 1
    assert "main on kraken: NOT proven flat: no trader is heard of" in outcome.out
    assert "it is NOT proven that the accounts are flat" in outcome.err
    assert (told["done"], told["flat"]) == (True, False)
    assert [one["flat"] for one in told["proof"]["accounts"]] == [False, False, False]


def test_flat_that_is_proven_is_told(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(_router: Router, _command_id: str, _wait_s: float) -> Proof:
        return Proof(tuple(AccountProof(account, True, ()) for account in ACCOUNTS), 1, "ledger", 7)

    monkeypatch.setattr(Router, "wait_for_proof", flat)
    with trader(home):
        outcome = cli("control", "flatten", "--all", "--prove")
    assert outcome.code == 0
    assert outcome.out.count("proven flat") == 3


def test_a_refusal_is_told_with_what_is_known_to_be_held(cli: Cli, home: Path) -> None:
    with trader(home, refusing=ACCOUNTS[0]):
        outcome = cli("control", "flatten", "--all", "--prove", "--wait", "1", "--json")
    assert outcome.code == 1
    told = json.loads(outcome.out)["proof"]
    assert told["flat"] is False
    assert told["accounts"][0]["reasons"][0].startswith("the account refused")


BAD = {
    "a proof of a pause": (["pause", "--all", "--prove"], "--prove shows that accounts are flat"),
    "no account": (["pause"], "give --exchange E --account A, or --all"),
    "half an account": (["pause", "--exchange", "kraken"], "give --exchange E --account A, or --all"),
    "an account and all": (["pause", "--all", *KRAKEN], "contradict each other"),
    "a close of nothing": (["close", "--all"], "close needs symbol"),
    "a symbol that is none": (["close", "--all", "--symbol", "B T C"], "B T C"),
    "a symbol for a pause": (["pause", "--all", "--symbol", "BTC/USD"], "pause knows no symbol"),
    "an unknown verb": (["explode", "--all"], "invalid choice: 'explode'"),
    "a wait of words": (["pause", "--all", "--wait", "long"], "'long': expected seconds"),
    "a wait for nothing": (["pause", "--all", "--wait", "nan"], "'nan': expected seconds"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_a_wish_that_cannot_be_is_one_sentence_and_writes_nothing(
    words: list[str], said: str, cli: Cli, home: Path
) -> None:
    outcome = cli("control", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (home / FILE).exists() or Inbox(home / FILE).pending() == []


def test_an_inbox_that_is_damaged_is_named(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / FILE).write_bytes(b"no database" * 200)
    outcome = cli("control", "pause", "--all")
    assert outcome.code == 1
    assert "control.db cannot be used" in outcome.err
