"""The one door of every action: allowed or denied, done once, and written down in the same transaction.

Invariants:
- nothing is done without its row in the audit, and no refusal either;
- the same key of the same principal acts once and is answered with the same row; with another wish it is refused;
- a person who was disabled or whose role changed is denied from that moment on, whenever they were recognised.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Generic, TypeVar

from novapulse.control import audit, roles
from novapulse.control.roles import Denied, Principal, Role, Via
from novapulse.control.storage import ControlError, Storage
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON

T = TypeVar("T")

_KEY_CHARACTERS_MAX = 200
_TEXT_CHARACTERS_MAX = 200
_ARGUMENTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants.

    Attributes:
        action: One of `roles.ACTIONS`.
        account: For which account; None for all, or where it is about none.
        arguments: With what; no secrets, they are written into the audit.
        key: Names this wish of this principal, so that it is done once; empty for as often as it comes.
        source: Where from: an address, a terminal.
        command_id: The command that is written; empty for none.
    """

    action: str
    account: AccountKey | None = None
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    key: str = ""
    source: str = ""
    command_id: str = ""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What became of a wish.

    Attributes:
        audit_id: Its row in the audit.
        result: What came of it; None where it was done before under the same key.
        repeated: Whether it was.
    """

    audit_id: int
    result: T | None
    repeated: bool = False


class Acts:
    """Does what may be done.

    Attributes:
        storage: The control.db.
        clock: Tells the time, ns UTC.
        second_factor_of: Roles that have to have a second factor before they may do anything.
    """

    def __init__(
        self, storage: Storage, clock: Callable[[], int], second_factor_of: frozenset[Role] = frozenset()
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.second_factor_of = second_factor_of

    def run(self, principal: Principal, wish: Wish, work: Callable[[Connection], T]) -> Done[T]:
        """Do something, once, if the principal may.

        Args:
            principal: Who wants it.
            wish: What.
            work: Does it within the transaction it is given; what it raises takes it back.

        Raises:
            StepUpNeeded: The password is wanted once more.
            Denied: The principal may not do that.
            ControlError: It cannot be done: `work` said so, or the key names another wish.
        """
        now_ns = self.clock()
        with self.storage.writing() as database:
            try:
                earlier = _permitted(database, principal, wish, now_ns)
                if earlier:
                    return Done(earlier, None, repeated=True)
                result = _taken_back_if_refused(database, work)
            except ControlError as wrong:
                refusal = wrong
                _write(database, principal, wish, _outcome(wrong), str(wrong), now_ns)
            else:
                return Done(_write(database, principal, wish, audit.DONE, "", now_ns), result)
        raise refusal

    def turned_away(self, principal: Principal, wish: Wish, wrong: ControlError) -> int:
        """Write down that somebody was denied or refused something elsewhere, and return the row's number.

        Args:
            principal: Who; `roles.NOBODY` for who was not recognised.
            wish: What was wanted.
            wrong: Why not.

        Raises:
            ControlError: It cannot be written.
        """
        with self.storage.writing() as database:
            return _write(database, principal, wish, _outcome(wrong), str(wrong), self.clock())


def _permitted(database: Connection, principal: Principal, wish: Wish, now_ns: int) -> int:
    """The number of the row of the same wish of before; 0 when it is new and may be done."""
    roles.check(principal, wish.action)
    _check_person(database, principal)
    if len(wish.key) > _KEY_CHARACTERS_MAX or not wish.key.isprintable():
        raise ControlError(f"an idempotency key has at most {_KEY_CHARACTERS_MAX} printable characters")
    earlier = audit.done_before(database, principal.actor, wish.key)
    if earlier is not None:
        if (earlier.action, earlier.account, dict(earlier.arguments)) != (
            wish.action,
            wish.account,
            dict(wish.arguments),
        ):
            raise ControlError(
                f"the key {wish.key!r} already names another command of {principal.actor}: {earlier.action}"
            )
        return earlier.audit_id
    roles.check_step_up(principal, wish.action, now_ns)
    return 0


def _check_person(database: Connection, principal: Principal) -> None:
    if principal.via is Via.CLI:
        return
    found = database.execute("SELECT role, disabled_ns FROM person WHERE name = ?", (principal.name,)).fetchone()
    if found is None or found[1] is not None:
        raise Denied(f"{principal.name or 'nobody'} may not do anything here any more")
    if Role(found[0]) is not principal.role:
        raise Denied(f"the role of {principal.name} has changed: sign in again")


def _taken_back_if_refused(database: Connection, work: Callable[[Connection], T]) -> T:
    database.execute("SAVEPOINT work")
    try:
        return work(database)
    except ControlError:
        database.execute("ROLLBACK TO work")
        raise
    except UnicodeEncodeError as wrong:
        database.execute("ROLLBACK TO work")
        raise ControlError("that is not a text: it holds half a character") from wrong


def _write(database: Connection, principal: Principal, wish: Wish, outcome: str, text: str, now_ns: int) -> int:
    done = outcome == audit.DONE
    return audit.append(
        database,
        ts_ns=now_ns,
        actor=principal.actor,
        credential=principal.credential,
        source=plain(wish.source),
        action=plain(wish.action),
        account=_plain_account(wish.account),
        arguments=dict(wish.arguments) if done else _bounded(wish.arguments),
        outcome=outcome,
        text=plain(text),
        idempotency_key=wish.key if done else plain(wish.key),
        command_id=wish.command_id if done else "",
    )


def _outcome(wrong: ControlError) -> str:
    return audit.DENIED if isinstance(wrong, Denied) else audit.REFUSED


def plain(text: str) -> str:
    """Return what the audit can hold of a text that anybody may have sent: short, printable, whole characters."""
    cut = text[:_TEXT_CHARACTERS_MAX]
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def _plain_account(account: AccountKey | None) -> AccountKey | None:
    return AccountKey(plain(account.exchange), plain(account.account_id)) if account else None


def _bounded(arguments: Mapping[str, JSON]) -> dict[str, JSON]:
    return {plain(str(name)): plain(str(value)) for name, value in list(arguments.items())[:_ARGUMENTS_MAX]}
