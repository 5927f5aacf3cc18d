"""The inbox: every wish is written once, answered per account, and survives whoever wrote or read it."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.control.inbox import LOOSENING_VALID_NS, TIGHTENING, VERBS, Inbox, InboxError
from novapulse.core.instruments import AccountKey

NOW = 1_700_000_000_000_000_000
MAIN, SECOND, COINBASE = AccountKey("kraken", "main"), AccountKey("kraken", "second"), AccountKey("coinbase", "main")
NEEDED = {"symbol": "BTC/USD", "order": "O-1", "alert": "breaker:feed_silent", "set": "positions_max=3"}


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "home" / "control.db")


def sent(inbox: Inbox, verb: str = "pause", account: AccountKey | None = None, key: str = "k", **arguments: Any) -> str:
    return inbox.submit(verb, account, arguments, "cli:ann", key, NOW)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_arrives_as_it_was_sent(verb: str, inbox: Inbox) -> None:
    arguments = {name: NEEDED[name] for name in VERBS[verb]} | {"reason": "because: \u2713"}
    command_id = inbox.submit(verb, MAIN, arguments, "cli:ann", "k", NOW)
    (command,) = inbox.pending()
    assert (command.command_id, command.verb, command.account) == (command_id, verb, MAIN)
    assert (dict(command.arguments), command.actor, command.submitted_ns) == (arguments, "cli:ann", NOW)
    assert command.expires_ns == (None if verb in TIGHTENING else NOW + LOOSENING_VALID_NS)


def test_the_same_key_is_the_same_command(inbox: Inbox) -> None:
    first = sent(inbox, reason="x")
    assert inbox.submit("pause", None, {"reason": "x"}, "cli:ann", "k", NOW + 5) == first
    (command,) = inbox.pending()
    assert command.submitted_ns == NOW
    assert sent(inbox, key="l", reason="x") != first
    assert inbox.submit("pause", None, {"reason": "x"}, "cli:bob", "k", NOW) != first, "another actor's key"


@pytest.mark.parametrize(
    "other",
    [{"verb": "halt"}, {"account": MAIN}, {"arguments": {"reason": "y"}}],
    ids=["another verb", "another account", "another argument"],
)
def test_a_key_that_comes_with_another_wish_is_refused(other: dict[str, Any], inbox: Inbox) -> None:
    wish: dict[str, Any] = {"verb": "pause", "account": None, "arguments": {}}
    inbox.submit(**wish, actor="a", idempotency_key="k", now_ns=NOW)
    with pytest.raises(InboxError, match="already names another command of a: pause"):
        inbox.submit(**wish | other, actor="a", idempotency_key="k", now_ns=NOW)
    assert len(inbox.pending()) == 1


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a verb that is none": ("explode", {}, "'explode': expected one of pause"),
    "a close of nothing": ("close", {}, "close needs symbol"),
    "a close of emptiness": ("close", {"symbol": ""}, "close needs symbol"),
    "an adoption of nothing": ("adopt", {"reason": "x"}, "adopt needs order"),
    "an argument that it knows not": ("pause", {"symbol": "BTC/USD"}, "pause knows no symbol"),
    "a novel": ("pause", {"reason": "x" * 5000}, "too long"),
}


@pytest.mark.parametrize(("verb", "arguments", "said"), BAD.values(), ids=BAD)
def test_a_wish_that_cannot_be_is_refused_and_not_written(
    verb: str, arguments: dict[str, Any], said: str, inbox: Inbox
) -> None:
    with pytest.raises(InboxError, match=said):
        inbox.submit(verb, None, arguments, "a", "k", NOW)
    assert inbox.pending() == []


@pytest.mark.parametrize(("actor", "key"), [("", "k"), ("a", "")])
def test_a_wish_of_nobody_is_refused(actor: str, key: str, inbox: Inbox) -> None:
    with pytest.raises(InboxError, match="an actor and an idempotency key"):
        inbox.submit("pause", None, {}, actor, key, NOW)


def test_commands_come_in_order_and_only_those_behind_the_place(inbox: Inbox) -> None:
    ids = [sent(inbox, key=str(number)) for number in range(5)]
    commands = inbox.pending()
    assert [command.command_id for command in commands] == ids
    assert [command.command_id for command in inbox.pending(commands[2].seq)] == ids[3:]
    assert inbox.pending(commands[-1].seq) == []


def test_a_command_for_all_stays_until_the_last_account_has_answered(inbox: Inbox) -> None:
    command_id = sent(inbox, "halt")
    assert inbox.answers(command_id) is None
    inbox.mark_taken(command_id, [MAIN, SECOND, COINBASE], NOW + 1)
    assert [answer.done for answer in inbox.answers(command_id) or ()] == [None, None, None]
    inbox.answered(command_id, SECOND, True, "halted", NOW + 2, {"orders": 2})
    inbox.answered(command_id, COINBASE, False, "no", NOW + 2)
    assert [command.command_id for command in Inbox(inbox.path).pending()] == [command_id], "a restart sees it again"
    inbox.answered(command_id, MAIN, True, "halted", NOW + 3)
    assert inbox.pending() == []
    answers = inbox.answers(command_id) or ()
    assert [(answer.account, answer.done, answer.text) for answer in answers] == [
        (COINBASE, False, "no"),
        (MAIN, True, "halted"),
        (SECOND, True, "halted"),
    ]
    assert dict(answers[2].details) == {"orders": 2}


def test_the_first_answer_stays(inbox: Inbox) -> None:
    command_id = sent(inbox, account=MAIN)
    inbox.answered(command_id, MAIN, True, "paused", NOW)
    inbox.answered(command_id, MAIN, False, "again", NOW + 1)
    inbox.mark_taken(command_id, [MAIN], NOW + 2)
    assert [(answer.done, answer.text) for answer in inbox.answers(command_id) or ()] == [(True, "paused")]


def test_a_command_that_nobody_wrote_cannot_be_answered(inbox: Inbox) -> None:
    assert inbox.answers("nothing") is None
    with pytest.raises(InboxError, match="no command nothing"):
        inbox.answered("nothing", MAIN, True, "", NOW)


def test_a_file_that_is_no_inbox_is_named(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(b"these are not the pages of a database" * 100)
    with pytest.raises(InboxError, match=r"control\.db cannot be used"):
        Inbox(path)


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(InboxError, match="home"):
        Inbox(tmp_path / "home" / "control.db")


def test_an_inbox_that_somebody_holds_is_an_error_and_no_loss(inbox: Inbox) -> None:
    inbox = Inbox(inbox.path, busy_s=0.05)
    holder = sqlite3.connect(inbox.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InboxError, match="locked"):
        sent(inbox)
    holder.execute("ROLLBACK")
    holder.close()
    assert sent(inbox) == inbox.pending()[0].command_id


def test_many_writers_at_once_write_each_wish_once(inbox: Inbox) -> None:
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(10):
                sent(Inbox(inbox.path), key=str((number + writer) % 10))
        except BaseException as wrong:
            failed.append(wrong)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    commands = inbox.pending()
    assert [command.seq for command in commands] == list(range(1, 11))
    assert len({command.command_id for command in commands}) == 10


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 3)),
        st.tuples(st.just("take"), st.integers(0, 3), st.sets(st.sampled_from([MAIN, SECOND, COINBASE]), min_size=1)),
        st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from([MAIN, SECOND, COINBASE])),
    ),
    max_size=25,
)


@settings(max_examples=20)
@given(steps=STEPS)
def test_pending_is_what_was_sent_and_is_not_answered_by_all_that_took_it(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    inbox = Inbox(tmp_path_factory.mktemp("inbox") / "control.db")
    taken: dict[str, dict[AccountKey, bool]] = {}
    order: list[str] = []
    for what, key, *rest in steps:
        if what == "submit":
            command_id = sent(inbox, key=str(key))
            if command_id not in taken:
                order.append(command_id)
                taken[command_id] = {}
        elif (command_id := sent(Inbox(inbox.path), key=str(key))) in taken:
            if what == "take":
                inbox.mark_taken(command_id, rest[0], NOW)
                taken[command_id] = {account: False for account in rest[0]} | taken[command_id]
            else:
                inbox.answered(command_id, rest[0], True, "", NOW)
                taken[command_id][rest[0]] = True
        else:
            order.append(command_id)
            taken[command_id] = {}
        expected = [one for one in order if not taken[one] or not all(taken[one].values())]
        assert [command.command_id for command in inbox.pending()] == expected
