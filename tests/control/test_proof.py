"""Flat is what ledger and trader both say after the command was obeyed; whatever else is not proven."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from novapulse.control.inbox import InboxAnswer
from novapulse.control.proof import Proof, prove
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Commit, Record
from novapulse.core.orders import Intended, OrderType, Role
from novapulse.core.postings import Book, move
from novapulse.core.records import Mode
from novapulse.ledger.journal import Ledger
from novapulse.ops import health
from novapulse.ops.health import AccountHealth
from tests.control.conftest import NOW, SECOND_NS
from tests.ledger.written import MAIN, OTHER, SCALES, SECOND, START_NS, Life, open_accounts

ACCOUNTS = (MAIN, SECOND, OTHER)
ANSWERED_NS = NOW - 5 * SECOND_NS
ANSWERS = tuple(InboxAnswer(account, True, "closing", {}, ANSWERED_NS) for account in ACCOUNTS)

Records = Callable[[Life], list[Record]]


def nothing(_life: Life) -> list[Record]:
    return []


def a_holding(life: Life) -> list[Record]:
    body: dict[str, object] = {"flow_id": "F1", "kind": "deposit"}
    return [life.record("flow_booked", body, move("BTC", 5, Book.CAPITAL, Book.INVENTORY))]


def an_order(life: Life) -> list[Record]:
    key = InstrumentKey("kraken", "BTC/USD")
    request = life._request(key, "D1", "entry", Role.ENTRY, 1, OrderType.LIMIT, 5)
    return [life.fact(Intended(request.client_order_id, request))]


def written(home: Path, records: Records = nothing, ledger_id: str = "the ledger", **said: Any) -> None:
    """A ledger where the first account has these records, and a health document that says all is flat but `said`."""
    home.mkdir()
    place = home / "ledger.db"
    with Ledger.open(place, durable=False, now_ns=START_NS, ledger_id="the ledger") as journal:
        journal.register_assets(SCALES)
        life = open_accounts(journal, 1, ACCOUNTS)[MAIN]
        if found := records(life):
            journal.commit([(MAIN, Commit(tuple(found), life.ts_ns, b"state"))])
    accounts = [AccountHealth(account.exchange, account.account_id, Mode.REDUCE_ONLY) for account in ACCOUNTS]
    accounts[0] = replace(accounts[0], **{name: said[name] for name in said if hasattr(accounts[0], name)})
    content = health.document(
        accounts[: said.get("listed", len(accounts))],
        now_ns=said.get("beat_ns", NOW - SECOND_NS),
        ledger_id=ledger_id,
        ledger_place=str(said.get("place", place)),
        version="4",
        running=said.get("running", True),
    )
    health.write(home / health.FILE, content)


def proven(home: Path, answers: tuple[InboxAnswer, ...] = ANSWERS) -> Proof:
    return prove(home, answers, NOW)


def test_flat_is_proven_for_every_account(tmp_path: Path) -> None:
    written(tmp_path / "home")
    proof = proven(tmp_path / "home")
    assert proof.flat
    assert [(one.account, one.flat, one.reasons) for one in proof.accounts] == [(one, True, ()) for one in ACCOUNTS]
    assert (proof.ledger_id, proof.head_seq, proof.json()["flat"]) == ("the ledger", 3, True)


AGAINST: dict[str, tuple[dict[str, Any], str]] = {
    "a holding in the ledger": ({"records": a_holding}, r"the ledger holds 0\.00000005 BTC"),
    "an order in the ledger": ({"records": an_order}, "in the ledger order .* is INTENT"),
    "a position at the trader": ({"positions": 1}, "the trader says: 1 positions are held"),
    "an order at the trader": ({"open_orders": 2}, "the trader says: 2 orders may still fill"),
    "an order nobody knows of": ({"unknown_orders": 1}, "1 orders have an outcome that is not known"),
    "a word from before the answer": ({"beat_ns": ANSWERED_NS}, "not told how the account is since"),
    "an old word": ({"beat_ns": NOW - 31 * SECOND_NS}, "no trader is heard of"),
    "a trader that stopped": ({"running": False}, "no trader is heard of"),
    "another ledger": ({"ledger_id": "another"}, "another ledger than the trader's"),
    "a ledger that is gone": ({"place": "/nowhere/ledger.db"}, "the ledger cannot be read"),
    "a ledger of no place": ({"place": ""}, "no trader says where it is"),
    "an account that is not run": ({"listed": 0}, "the trader does not run the account"),
}


@pytest.mark.parametrize(("state", "said"), AGAINST.values(), ids=AGAINST)
def test_whatever_speaks_against_it_is_told(state: dict[str, Any], said: str, tmp_path: Path) -> None:
    written(tmp_path / "home", **state)
    proof = proven(tmp_path / "home")
    assert not proof.flat
    first = next(one for one in proof.accounts if one.account == MAIN)
    assert not first.flat
    with pytest.raises(AssertionError, match=said):
        raise AssertionError("; ".join(first.reasons))


ANSWERS_AGAINST: dict[str, tuple[InboxAnswer, str]] = {
    "none yet": (InboxAnswer(MAIN, None, "", {}), "the account has not answered yet"),
    "a refusal": (InboxAnswer(MAIN, False, "halted", {}, ANSWERED_NS), "the account refused: halted"),
    "of an account the ledger does not know": (
        InboxAnswer(replace(MAIN, account_id="third"), True, "", {}, ANSWERED_NS),
        "the ledger does not know the account",
    ),
}


@pytest.mark.parametrize(("answer", "said"), ANSWERS_AGAINST.values(), ids=ANSWERS_AGAINST)
def test_who_did_not_obey_is_not_proven_flat(answer: InboxAnswer, said: str, tmp_path: Path) -> None:
    written(tmp_path / "home")
    proof = proven(tmp_path / "home", (answer, *ANSWERS[1:]))
    assert [one.flat for one in proof.accounts] == [False, True, True]
    assert said in proof.accounts[0].reasons
    assert not proof.flat


def test_who_refused_is_told_with_what_it_holds(tmp_path: Path) -> None:
    refusal = InboxAnswer(MAIN, False, "halted", {}, ANSWERED_NS)
    for name, state, known in (
        ("nothing", {}, "ledger and trader agree that it holds nothing and that no order of it may fill"),
        ("something", {"positions": 1}, "the trader says: 1 positions are held"),
    ):
        written(tmp_path / name, **state)
        first = proven(tmp_path / name, (refusal, *ANSWERS[1:])).accounts[0]
        assert first.reasons == ("the account refused: halted", known)


def test_nothing_is_not_flat(tmp_path: Path) -> None:
    assert not prove(tmp_path, (), NOW).flat
    assert not prove(tmp_path, ANSWERS, NOW).flat
