"""The one router of commands: web, keys, command line and chat are thin channels over it.

Invariants:
- a command is authorised, written into the inbox and into the audit in one transaction, or not at all;
- the same key of the same principal is one command and one receipt;
- an account is two fields; one that the running trader, or the ledger while none runs, does not have is refused and
  named, never another one's.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from novapulse.control.acts import Acts, Wish
from novapulse.control.inbox import POLL_S, VERBS, Inbox, InboxAnswer, command_id_of, insert
from novapulse.control.proof import Proof, prove
from novapulse.control.roles import Principal
from novapulse.control.storage import ControlError
from novapulse.core.instruments import AccountKey, canonical_symbol
from novapulse.core.messages import JSON
from novapulse.core.ports import JournalError
from novapulse.ops import health

LEDGER_FILE = "ledger.db"


class UnknownCommandError(ControlError):
    """There is no such command."""


class NotRunHereError(ControlError):
    """The running trader, or the ledger while none runs, does not have the account; the message names those it has."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a channel gets for a command.

    Attributes:
        audit_id: Its row in the audit.
        command_id: Its name in the inbox.
        repeated: Whether the same was sent before under the same key: nothing was written this time.
    """

    audit_id: int
    command_id: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command.

    Attributes:
        command_id: Its name.
        verb: What was to be done.
        taken: Whether the trader has seen it.
        accounts: What each account answered, by exchange and id; `done` is None while one has not.
    """

    command_id: str
    verb: str
    taken: bool
    accounts: tuple[InboxAnswer, ...]

    @property
    def complete(self) -> bool:
        """Whether every account has answered."""
        return bool(self.accounts) and all(answer.done is not None for answer in self.accounts)

    @property
    def done(self) -> bool:
        """Whether every account did it."""
        return self.complete and all(answer.done for answer in self.accounts)


class Router:
    """The router of one home folder."""

    def __init__(self, acts: Acts, home: Path) -> None:
        self._acts = acts
        self._home = home
        self._inbox = Inbox(acts.storage.path)

    def submit(
        self,
        principal: Principal,
        verb: str,
        account: AccountKey | None,
        arguments: Mapping[str, JSON],
        idempotency_key: str,
        source: str,
    ) -> Receipt:
        """Write a command, if the principal may.

        Args:
            principal: Who wants it.
            verb: One of `inbox.VERBS`.
            account: Who is to obey; None for all.
            arguments: What the verb needs, and perhaps `reason`; all texts.
            idempotency_key: Names this wish of this principal.
            source: Where from, for the audit.

        Raises:
            StepUpNeeded: The password is wanted once more.
            Denied: The principal may not do that.
            NotRunHereError: The running trader does not have the account, or no trader runs and the ledger does not.
                Nothing was sent.
            ControlError: The verb or an argument is wrong, the key names another command, or control.db
                cannot be written. Nothing was sent.
        """
        arguments, wrong = _canonical(arguments)
        name = command_id_of(principal.actor, idempotency_key)
        wish = Wish(verb, account, arguments, idempotency_key, source, name)

        def work(database: Connection) -> str:
            if verb not in VERBS:
                raise ControlError(f"{verb!r} is no command for a trader")
            if wrong:
                raise ControlError(wrong)
            self._check_account(account)
            return insert(database, verb, account, arguments, principal.actor, idempotency_key, self._acts.clock())

        done = self._acts.run(principal, wish, work)
        return Receipt(done.audit_id, name, done.repeated)

    def result(self, command_id: str) -> Result:
        """Return what became of a command so far.

        Raises:
            UnknownCommandError: There is no such command.
            ControlError: control.db cannot be read.
        """
        verb = self._inbox.verb(command_id)
        if verb is None:
            raise UnknownCommandError("there is no such command")
        answers = self._inbox.answers(command_id)
        return Result(command_id, verb, answers is not None, answers or ())

    def wait(self, command_id: str, wait_s: float) -> Result:
        """Return what became of a command as soon as every account has answered, or when the time is over. Blocks.

        Raises:
            UnknownCommandError: There is no such command.
            ControlError: control.db cannot be read.
        """
        until_s = time.monotonic() + wait_s
        while True:
            result = self.result(command_id)
            if result.complete or time.monotonic() >= until_s:
                return result
            time.sleep(POLL_S)

    def proof(self, command_id: str) -> Proof:
        """Return whether every account that obeyed a command is flat, as ledger and trader agree on it.

        Raises:
            UnknownCommandError: There is no such command.
            ControlError: control.db cannot be read.
        """
        return prove(self._home, self.result(command_id).accounts, self._acts.clock())

    def wait_for_proof(self, command_id: str, wait_s: float) -> Proof:
        """Return the proof as soon as it says flat, or when the time is over. Blocks.

        Raises:
            UnknownCommandError: There is no such command.
            ControlError: control.db cannot be read.
        """
        until_s = time.monotonic() + wait_s
        while True:
            proof = self.proof(command_id)
            if proof.flat or time.monotonic() >= until_s:
                return proof
            time.sleep(POLL_S)

    def _check_account(self, account: AccountKey | None) -> None:
        now_ns = self._acts.clock()
        document = health.read(self._home / health.FILE, now_ns).document
        is_heard = document.get("running") and now_ns - int(document["heartbeat_ns"]) < health.STALE_S * 1e9
        if account is None:
            return
        if is_heard:
            known = [AccountKey(str(one["exchange"]), str(one["account_id"])) for one in document["accounts"]]
            says = "this trader does not run"
        else:
            # Without a trader the command waits for one, if the ledger has the account or says of none.
            known = _in_ledger(self._home / LEDGER_FILE)
            says = "no trader runs, and the ledger does not know"
        if account not in known and (known or is_heard):
            there = ", ".join(f"{one.account_id} on {one.exchange}" for one in known)
            name = f"{account.account_id} on {account.exchange}"
            raise NotRunHereError(f"{says} account {name}: {there}")


def _in_ledger(path: Path) -> list[AccountKey]:
    """Return the accounts of a ledger; none where it cannot be read: then nobody knows which there are."""
    from novapulse.ledger import queries
    from novapulse.ledger.snapshots import UNREADABLE

    try:
        with queries.reading(path) as connection:
            return list(queries.accounts(connection))
    except (JournalError, *UNREADABLE):
        return []


def _canonical(arguments: Mapping[str, JSON]) -> tuple[dict[str, JSON], str]:
    symbol = arguments.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        return dict(arguments), ""
    try:
        return {**arguments, "symbol": canonical_symbol(symbol)}, ""
    except ValueError as wrong:
        return dict(arguments), str(wrong)
