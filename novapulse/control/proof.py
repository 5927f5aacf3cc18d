"""The proof that accounts are flat: ledger and trader have to say so, each for itself, after the command was obeyed.

Invariants:
- what cannot be read, is too old, or speaks of another ledger proves nothing, and nothing proven is not flat;
- any order that may still fill is in the way, also one whose outcome is not known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novapulse.control.inbox import InboxAnswer
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON
from novapulse.core.ports import JournalError
from novapulse.core.postings import Book
from novapulse.ops import health


@dataclass(frozen=True, slots=True)
class AccountProof:
    """What is proven of one account.

    Attributes:
        account: Whose.
        flat: Whether it holds nothing and has no order at work.
        reasons: Why that is not proven; empty when it is.
    """

    account: AccountKey
    flat: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proven of all accounts of a command.

    Attributes:
        accounts: By exchange and id; empty while no trader took the command.
        as_of_ns: When it was looked at, ns UTC.
        ledger_id: Which ledger says so; empty when none could be read.
        head_seq: Up to which event of it.
    """

    accounts: tuple[AccountProof, ...]
    as_of_ns: int
    ledger_id: str
    head_seq: int

    @property
    def flat(self) -> bool:
        """Whether every account is."""
        return bool(self.accounts) and all(one.flat for one in self.accounts)

    def json(self) -> dict[str, JSON]:
        """Return plain values."""
        return {
            "flat": self.flat,
            "as_of_ns": self.as_of_ns,
            "ledger": {"id": self.ledger_id, "head_seq": self.head_seq},
            "accounts": [
                {
                    "exchange": one.account.exchange,
                    "account_id": one.account.account_id,
                    "flat": one.flat,
                    "reasons": list(one.reasons),
                }
                for one in self.accounts
            ],
        }


def prove(home: Path, answers: Iterable[InboxAnswer], now_ns: int) -> Proof:
    """Look at ledger and health document, and return what they prove of the accounts that answered a command.

    Args:
        home: The home folder.
        answers: What the accounts answered.
        now_ns: ns UTC.
    """
    answers = tuple(answers)
    document = health.read(home / health.FILE, now_ns).document
    try:
        ledger_id, head_seq, in_books = _books(document, [answer.account for answer in answers])
        unread = ""
    except (JournalError, ValueError) as wrong:
        ledger_id, head_seq, in_books, unread = "", 0, {}, f"the ledger cannot be read: {wrong}"
    proofs = []
    for answer in answers:
        held = _of_health(document, answer, now_ns)
        held += [unread] if unread else in_books.get(answer.account, ["the ledger does not know the account"])
        reasons = [*_of_answer(answer), *held]
        if answer.done is False and not held:
            reasons.append("ledger and trader agree that it holds nothing and that no order of it may fill")
        proofs.append(AccountProof(answer.account, not reasons, tuple(reasons)))
    return Proof(tuple(proofs), now_ns, ledger_id, head_seq)


def _of_answer(answer: InboxAnswer) -> list[str]:
    if answer.done is None:
        return ["the account has not answered yet"]
    return [] if answer.done else [f"the account refused: {answer.text}"]


def _of_health(document: dict[str, Any], answer: InboxAnswer, now_ns: int) -> list[str]:
    beat_ns = int(document.get("heartbeat_ns", 0))
    if not document.get("running") or now_ns - beat_ns > health.STALE_S * 1e9:
        return ["no trader is heard of"]
    if answer.answered_ns is not None and beat_ns <= answer.answered_ns:
        return ["the trader has not told how the account is since it answered"]
    whose = answer.account.exchange, answer.account.account_id
    found = next((one for one in document["accounts"] if (one["exchange"], one["account_id"]) == whose), None)
    if found is None:
        return ["the trader does not run the account"]
    counted = {"positions": "positions are held", "open_orders": "orders may still fill"}
    counted["unknown_orders"] = "orders have an outcome that is not known"
    return [f"the trader says: {found[name]} {text}" for name, text in counted.items() if found[name] != 0]


def _books(document: dict[str, Any], accounts: list[AccountKey]) -> tuple[str, int, dict[AccountKey, list[str]]]:
    """Id and head of the trader's ledger, and what in it speaks against each account's being flat."""
    from sqlalchemy import func, select

    from novapulse.ledger import queries, schema

    said = document.get("ledger", {})
    if not said.get("place"):
        raise ValueError("no trader says where it is")
    with queries.reading(said["place"]) as connection:
        ledger_id = str(connection.execute(select(schema.ledger.c.ledger_id)).scalar())
        if ledger_id != said.get("id"):
            raise ValueError(f"{said['place']} is another ledger than the trader's")
        head_seq = int(connection.execute(select(func.max(schema.event.c.seq))).scalar() or 0)
        known = set(queries.accounts(connection))
        found: dict[AccountKey, list[str]] = {}
        for account in known.intersection(accounts):
            held = [
                f"the ledger holds {one.amount:f} {one.asset}"
                for one in queries.balances(connection, account)
                if one.book is Book.INVENTORY
            ]
            at_work = [
                f"in the ledger order {row.order.client_order_id} is {row.order.status}"
                for row in queries.orders(connection, account, only_open=True)
            ]
            found[account] = held + at_work
    return ledger_id, head_seq, found
