"""The one door: a deed and its row stand or fall together, and the same wish is done once."""

import threading
from sqlite3 import Connection

import pytest

from novapulse.control.acts import Wish
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import NOBODY, Denied, Principal, Role, StepUpNeeded
from novapulse.control.storage import ControlError
from novapulse.core.instruments import AccountKey
from tests.control.conftest import ComeIn, rows_of


def deed(database: Connection) -> str:
    database.execute("INSERT INTO person (name, role, created_ns, changed_ns) VALUES ('deed', 'viewer', 1, 1)")
    return "done it"


def refused_deed(database: Connection) -> str:
    deed(database)
    raise ControlError("it cannot be")


def broken_deed(database: Connection) -> str:
    deed(database)
    raise RuntimeError


def is_done(plane: ControlPlane) -> bool:
    return plane.people.get("deed") is not None


def test_a_deed_and_its_row_come_together(plane: ControlPlane, shell: Principal) -> None:
    account = AccountKey("kraken", "main")
    done = plane.acts.run(shell, Wish("pause", account, {"reason": "x"}, "k", "here", "c1"), deed)
    (row,) = rows_of(plane)
    assert (done.result, done.audit_id, done.repeated) == ("done it", row.audit_id, False)
    assert (row.actor, row.action, row.account, row.outcome) == ("cli:root", "pause", account, "done")
    assert (row.arguments, row.idempotency_key, row.source, row.command_id) == ({"reason": "x"}, "k", "here", "c1")
    assert is_done(plane)


def test_what_is_refused_leaves_its_row_alone(plane: ControlPlane, shell: Principal) -> None:
    with pytest.raises(ControlError, match="it cannot be"):
        plane.acts.run(shell, Wish("pause", command_id="c1"), refused_deed)
    (row,) = rows_of(plane)
    assert (row.outcome, row.text, row.command_id) == ("refused", "it cannot be", "")
    assert not is_done(plane)


def test_a_bug_leaves_nothing(plane: ControlPlane, shell: Principal) -> None:
    with pytest.raises(RuntimeError):
        plane.acts.run(shell, Wish("pause"), broken_deed)
    assert (rows_of(plane), is_done(plane)) == ([], False)


def test_without_its_row_there_is_no_deed(plane: ControlPlane, shell: Principal) -> None:
    with plane.storage.writing() as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(ControlError, match="disk full"):
        plane.acts.run(shell, Wish("pause"), deed)
    assert not is_done(plane)


def test_the_same_wish_is_done_once(plane: ControlPlane, shell: Principal) -> None:
    wish = Wish("pause", arguments={"reason": "x"}, key="k")
    first = plane.acts.run(shell, wish, deed)
    again = plane.acts.run(shell, wish, broken_deed)
    assert (again.audit_id, again.result, again.repeated) == (first.audit_id, None, True)
    assert len(rows_of(plane)) == 1


@pytest.mark.parametrize(
    "other",
    [
        Wish("halt", key="k"),
        Wish("pause", key="k", account=AccountKey("kraken", "main")),
        Wish("pause", key="k", arguments={"reason": "y"}),
    ],
)
def test_a_key_that_comes_with_another_wish_is_refused(other: Wish, plane: ControlPlane, shell: Principal) -> None:
    plane.acts.run(shell, Wish("pause", key="k"), deed)
    with pytest.raises(ControlError, match="'k' already names another command of cli:root: pause"):
        plane.acts.run(shell, other, broken_deed)
    assert [row.outcome for row in rows_of(plane)] == ["done", "refused"]


def test_a_wish_that_failed_can_be_wished_again(plane: ControlPlane, shell: Principal) -> None:
    with pytest.raises(ControlError):
        plane.acts.run(shell, Wish("pause", key="k"), refused_deed)
    assert not plane.acts.run(shell, Wish("pause", key="k"), deed).repeated


def test_the_same_key_of_two_people_is_two_wishes(plane: ControlPlane, shell: Principal, come_in: ComeIn) -> None:
    ann = come_in("ann", Role.OPERATOR).session.principal
    assert plane.acts.run(shell, Wish("pause", key="k"), lambda _: 1).result == 1
    assert plane.acts.run(ann, Wish("pause", key="k"), lambda _: 2).result == 2


def test_many_at_once_do_it_once(plane: ControlPlane, shell: Principal) -> None:
    results: list[str | None] = []

    def run() -> None:
        results.append(plane.acts.run(shell, Wish("pause", key="k"), deed).result)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [None] * 5 + ["done it"]


def test_who_may_not_is_written_down_and_nothing_is_done(plane: ControlPlane, come_in: ComeIn) -> None:
    ann = come_in("ann", Role.VIEWER).session.principal
    for principal in (ann, NOBODY):
        with pytest.raises(Denied):
            plane.acts.run(principal, Wish("pause"), deed)
    assert [(row.actor, row.outcome) for row in rows_of(plane)[-2:]] == [
        ("web:ann", "denied"),
        ("web:(nobody signed in)", "denied"),
    ]
    assert not is_done(plane)


def test_a_step_up_is_wanted_for_what_loosens_and_not_for_its_answer(plane: ControlPlane, come_in: ComeIn) -> None:
    plain, wish = come_in("ann", Role.OPERATOR).session.principal, Wish("resume", key="k")
    with pytest.raises(StepUpNeeded):
        plane.acts.run(plain, wish, deed)
    stepped_up = come_in("ann", Role.OPERATOR, stepped_up=True).session.principal
    first = plane.acts.run(stepped_up, wish, deed)
    assert plane.acts.run(plain, wish, broken_deed).audit_id == first.audit_id, "the same wish, asked after"


@pytest.mark.parametrize("change", ["disable", "role"])
def test_power_that_was_taken_is_gone_at_once(
    change: str, plane: ControlPlane, shell: Principal, come_in: ComeIn
) -> None:
    recognised_before = come_in("ann", Role.OPERATOR).session.principal
    if change == "disable":
        plane.people.disable(shell, "ann")
    else:
        plane.people.change_role(shell, "ann", Role.VIEWER)
    with pytest.raises(Denied):
        plane.acts.run(recognised_before, Wish("pause"), deed)
    assert not is_done(plane)


HOSTILE = ["\ud800", "a\x00b\x1b[2J", "x" * 100_000, "<script>"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_in_a_row_that_can_be_read(text: str, plane: ControlPlane, shell: Principal) -> None:
    wish = Wish(text, AccountKey(text, text), {text: text}, text, text)
    with pytest.raises(ControlError):
        plane.acts.run(shell, wish, deed)
    (row,) = rows_of(plane)
    assert row.outcome == "denied"
    for kept in (row.action, row.source, row.idempotency_key, *row.arguments):
        assert kept.isprintable()
        assert len(kept) <= 200


def test_a_key_has_a_bound(plane: ControlPlane, shell: Principal) -> None:
    for key in ("k" * 201, "a\nb", "\ud800"):
        with pytest.raises(ControlError, match="printable characters"):
            plane.acts.run(shell, Wish("pause", key=key), deed)
