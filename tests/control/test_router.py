"""R-70: every channel by every role, every verb, every account: allowed, recorded, answered, or denied and recorded."""

import itertools

import pytest

from novapulse.control import audit
from novapulse.control.acts import Wish
from novapulse.control.inbox import VERBS, Inbox
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import ACTIONS, SCOPES, Denied, Principal, Role, Scope, StepUpNeeded, Via
from novapulse.control.router import LEDGER_FILE, NotRunHereError, Receipt
from novapulse.control.storage import ControlError
from novapulse.core.instruments import AccountKey
from novapulse.core.records import Mode
from novapulse.ops import health
from novapulse.ops.health import AccountHealth
from tests.control.conftest import Add, Clock, rows_of
from tests.ledger.written import write_life

MAIN, SECOND, OTHER = AccountKey("kraken", "main"), AccountKey("kraken", "second"), AccountKey("coinbase", "main")
STRANGE = (AccountKey("coinbase", "second"), AccountKey("kraken-main", "main"), AccountKey("", ""))
NEEDED = {"symbol": "BTC/USD", "order": "O-1", "alert": "all", "set": "positions_max=3"}


@pytest.fixture
def running(plane: ControlPlane, clock: Clock) -> None:
    """A trader of three accounts that is heard of."""
    told(plane, clock())


def told(plane: ControlPlane, beat_ns: int) -> None:
    accounts = [AccountHealth(one.exchange, one.account_id, Mode.NORMAL) for one in (MAIN, SECOND, OTHER)]
    content = health.document(accounts, now_ns=beat_ns, ledger_id="l", ledger_place="here", version="4")
    health.write(plane.home / health.FILE, content)


def expected(role: Role, via: Via, stepped_up: bool, verb: str) -> type[Exception] | None:
    action = ACTIONS[verb]
    if action.scope not in SCOPES[role]:
        return Denied
    if action.step_up and via in (Via.WEB, Via.CHAT) and not stepped_up:
        return StepUpNeeded
    return None


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("verb", VERBS)
def test_the_matrix(verb: str, plane: ControlPlane, add: Add, clock: Clock) -> None:
    for role in Role:
        add(str(role), role)
    inbox, arguments = Inbox(plane.storage.path), {name: NEEDED[name] for name in VERBS[verb]}
    cases = itertools.product(Role, Via, (False, True), (None, MAIN, STRANGE[0]))
    number = 0
    for number, (role, via, stepped_up, account) in enumerate(cases):
        until_ns = clock.now_ns + 1 if stepped_up else 0
        principal = Principal(str(role), role, SCOPES[role], via, "c1", until_ns)
        wrong = expected(role, via, stepped_up, verb) or (ControlError if account is STRANGE[0] else None)
        before = inbox.pending()
        if wrong is None:
            receipt = plane.router.submit(principal, verb, account, arguments, str(number), "there")
            (command,) = inbox.pending(before[-1].seq if before else 0)
            assert (command.command_id, command.verb, command.account) == (receipt.command_id, verb, account)
            assert (command.actor, command.arguments) == (principal.actor, arguments)
        else:
            with pytest.raises(wrong):
                plane.router.submit(principal, verb, account, arguments, str(number), "there")
            assert inbox.pending() == before
        with plane.storage.reading() as database:
            (row,) = audit.page(database, limit=1)
        assert (row.actor, row.action, row.account, row.source) == (principal.actor, verb, account, "there")
        outcome = "done" if wrong is None else "refused" if wrong is ControlError else "denied"
        assert (row.outcome, row.credential) == (outcome, "c1")
    assert len(rows_of(plane)) == 3 + number + 1


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("account", STRANGE)
def test_an_account_that_is_not_there_is_named_with_those_that_are(
    account: AccountKey, plane: ControlPlane, shell: Principal
) -> None:
    """HS-002: never another account's, never all."""
    with pytest.raises(ControlError, match="main on coinbase, main on kraken, second on kraken"):
        plane.router.submit(shell, "kill", account, {}, "k", "")
    assert Inbox(plane.storage.path).pending() == []


def test_without_a_trader_the_command_waits(plane: ControlPlane, shell: Principal, clock: Clock) -> None:
    plane.router.submit(shell, "halt", STRANGE[0], {}, "1", "")
    told(plane, clock() - 31 * 1_000_000_000)
    plane.router.submit(shell, "halt", STRANGE[0], {}, "2", "")
    assert len(Inbox(plane.storage.path).pending()) == 2


def test_without_a_trader_the_ledger_says_which_accounts_there_are(plane: ControlPlane, shell: Principal) -> None:
    place = plane.home / LEDGER_FILE
    place.write_bytes(b"no ledger")
    plane.router.submit(shell, "halt", STRANGE[0], {}, "nobody knows", "there")
    place.unlink()
    write_life(place, seed=1, rounds=1)
    for account in (MAIN, SECOND, OTHER, None):
        plane.router.submit(shell, "halt", account, {}, f"k {account}", "there")
    said = "the ledger does not know account second on coinbase: main on coinbase, main on kraken, second on kraken"
    with pytest.raises(NotRunHereError, match=f"no trader runs, and {said}"):
        plane.router.submit(shell, "flatten", STRANGE[0], {}, "k0", "there")
    assert "flatten" not in {command.verb for command in Inbox(plane.storage.path).pending()}


def test_a_replayed_command_acts_once_and_gets_the_same_receipt(plane: ControlPlane, shell: Principal) -> None:
    first = plane.router.submit(shell, "close", MAIN, {"symbol": "btc-usd"}, "k", "here")
    again = plane.router.submit(shell, "close", MAIN, {"symbol": "BTC/USD"}, "k", "elsewhere")
    assert again == Receipt(first.audit_id, first.command_id, repeated=True)
    assert len(Inbox(plane.storage.path).pending()) == len(rows_of(plane)) == 1
    with pytest.raises(ControlError, match="already names another command"):
        plane.router.submit(shell, "close", MAIN, {"symbol": "ETH/USD"}, "k", "here")
    assert len(Inbox(plane.storage.path).pending()) == 1


def test_one_order_or_every_entry_can_be_cancelled(plane: ControlPlane, shell: Principal) -> None:
    plane.router.submit(shell, "cancel", MAIN, {"order": "O-1"}, "one", "")
    plane.router.submit(shell, "cancel", MAIN, {}, "every", "")
    assert [command.arguments for command in Inbox(plane.storage.path).pending()] == [{"order": "O-1"}, {}]
    with pytest.raises(ControlError, match="already names another command"):
        plane.router.submit(shell, "cancel", MAIN, {"order": "O-2"}, "one", "")


def test_limits_are_meant_for_now_and_a_cancel_for_whenever_it_arrives(plane: ControlPlane, shell: Principal) -> None:
    plane.router.submit(shell, "limits", MAIN, {"set": "positions_max=3"}, "1", "")
    plane.router.submit(shell, "cancel", MAIN, {"order": "O-1"}, "2", "")
    expiries = [command.expires_ns is None for command in Inbox(plane.storage.path).pending()]
    assert expiries == [False, True]


def test_a_command_of_an_older_version_is_not_written_twice(plane: ControlPlane, shell: Principal) -> None:
    written = Inbox(plane.storage.path).submit("halt", None, {}, shell.actor, "k", 5)
    assert plane.router.submit(shell, "halt", None, {}, "k", "").command_id == written
    (command,) = Inbox(plane.storage.path).pending()
    assert command.submitted_ns == 5


BAD = {
    "no verb of a trader": ("read", {}, "k", "is no command for a trader"),
    "no verb": ("explode", {}, "k", "there is no action"),
    "no symbol": ("close", {}, "k", "close needs symbol"),
    "a symbol that is none": ("close", {"symbol": "B T C"}, "k", "B T C"),
    "a symbol that is a number": ("close", {"symbol": 7}, "k", "symbol has to be text"),
    "an argument too many": ("pause", {"symbol": "BTC/USD"}, "k", "pause knows no symbol"),
    "limits of nothing": ("limits", {}, "k", "limits needs set"),
    "limits that are numbers": ("limits", {"set": 3}, "k", "set has to be text"),
    "a kill of one order": ("kill", {"order": "O-1"}, "k", "kill knows no order"),
    "a reason that is a list": ("pause", {"reason": ["x"]}, "k", "reason has to be text"),
    "half a character": ("pause", {"reason": "\ud800"}, "k", "half a character"),
    "a novel": ("pause", {"reason": "x" * 5000}, "k", "too long"),
    "no key": ("pause", {}, "", "idempotency key"),
    "a key without end": ("pause", {}, "k" * 300, "idempotency key"),
    "half a key": ("pause", {}, "\ud800", "idempotency key"),
}


@pytest.mark.parametrize(("verb", "arguments", "key", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_in_the_audit_and_not_sent(
    verb: str, arguments: dict[str, object], key: str, said: str, plane: ControlPlane, shell: Principal
) -> None:
    with pytest.raises(ControlError, match=said):
        plane.router.submit(shell, verb, None, arguments, key, "")
    assert Inbox(plane.storage.path).pending() == []
    (row,) = rows_of(plane)
    assert row.outcome in ("refused", "denied")


def test_a_command_that_cannot_be_written_is_an_error_and_leaves_nothing(plane: ControlPlane, shell: Principal) -> None:
    with plane.storage.writing() as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(ControlError, match="disk full"):
        plane.router.submit(shell, "kill", None, {}, "k", "")
    assert Inbox(plane.storage.path).pending() == []


def test_the_result_is_per_account(plane: ControlPlane, shell: Principal) -> None:
    inbox = Inbox(plane.storage.path)
    command_id = plane.router.submit(shell, "pause", None, {}, "k", "").command_id
    result = plane.router.result(command_id)
    assert (result.verb, result.taken, result.complete, result.done) == ("pause", False, False, False)
    inbox.mark_taken(command_id, [MAIN, OTHER], 5)
    inbox.answered(command_id, OTHER, True, "paused", 6)
    assert [answer.done for answer in plane.router.result(command_id).accounts] == [True, None]
    inbox.answered(command_id, MAIN, False, "no", 7)
    result = plane.router.wait(command_id, 0)
    assert (result.taken, result.complete, result.done) == (True, True, False)
    assert [answer.answered_ns for answer in result.accounts] == [6, 7]
    for call in (plane.router.result, plane.router.proof):
        with pytest.raises(ControlError, match="no such command"):
            call("nothing")


def test_a_refusal_elsewhere_is_written_down_too(plane: ControlPlane, shell: Principal) -> None:
    plane.acts.turned_away(shell, Wish("read", MAIN, source="there"), Denied("not this page"))
    plane.acts.turned_away(shell, Wish("read"), ControlError("no such page"))
    assert [(row.outcome, row.text) for row in rows_of(plane)] == [
        ("denied", "not this page"),
        ("refused", "no such page"),
    ]


def test_every_verb_of_the_inbox_is_an_action_of_a_scope_that_viewers_lack() -> None:
    assert all(ACTIONS[verb].scope not in (Scope.READ, Scope.ADMIN) for verb in VERBS)
