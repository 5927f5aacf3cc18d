"""Roles and scopes: the whole table of who may do what, written down a second time."""

import itertools

import pytest

from novapulse.control.inbox import VERBS
from novapulse.control.roles import (
    ACTIONS,
    KEY_SCOPES,
    NOBODY,
    SCOPES,
    Denied,
    Principal,
    Role,
    Scope,
    SecondFactorNeeded,
    StepUpNeeded,
    Via,
    check,
    check_step_up,
)
from tests.control.conftest import NOW

# Action -> least role, whether the password is wanted once more, whether an API key may.
TABLE: dict[str, tuple[Role, bool, bool]] = {
    "read": (Role.VIEWER, False, True),
    "who_am_i": (Role.VIEWER, False, True),
    "pause": (Role.OPERATOR, False, True),
    "reduce_only": (Role.OPERATOR, False, True),
    "halt": (Role.OPERATOR, False, True),
    "cancel": (Role.OPERATOR, False, True),
    "close": (Role.OPERATOR, False, True),
    "reconcile": (Role.OPERATOR, False, True),
    "acknowledge": (Role.OPERATOR, False, True),
    "kill": (Role.OPERATOR, False, True),
    "flatten": (Role.OPERATOR, True, True),
    "resume": (Role.OPERATOR, True, True),
    "resume_from_halt": (Role.OPERATOR, True, True),
    "adopt": (Role.OPERATOR, True, True),
    "ignore": (Role.OPERATOR, True, True),
    "settle": (Role.OPERATOR, True, True),
    "limits": (Role.OPERATOR, True, True),
    "read_audit": (Role.ADMIN, False, False),
    "read_people": (Role.ADMIN, False, False),
    "add_person": (Role.ADMIN, True, False),
    "change_role": (Role.ADMIN, True, False),
    "enable_person": (Role.ADMIN, True, False),
    "make_link": (Role.ADMIN, True, False),
    "set_password": (Role.ADMIN, True, False),
    "reset_second_factor": (Role.ADMIN, True, False),
    "disable_person": (Role.ADMIN, False, False),
    "revoke_key_of_other": (Role.ADMIN, False, False),
    "end_session_of_other": (Role.ADMIN, False, False),
    "make_key": (Role.VIEWER, True, False),
    "begin_second_factor": (Role.VIEWER, True, False),
    "enrol_second_factor": (Role.VIEWER, False, False),
    "remove_second_factor": (Role.VIEWER, True, False),
    "revoke_key": (Role.VIEWER, False, False),
    "end_session": (Role.VIEWER, False, False),
    "change_password": (Role.VIEWER, False, False),
    "step_up": (Role.VIEWER, False, False),
    "sign_out": (Role.VIEWER, False, False),
}
# What somebody may do who has yet to set up the second factor that the role wants.
WHILE_OWING = {
    *("who_am_i", "step_up", "sign_out", "change_password", "begin_second_factor", "enrol_second_factor"),
}
RANK = {role: place for place, role in enumerate(Role)}


def test_the_table_knows_every_action_and_every_verb() -> None:
    assert set(TABLE) == set(ACTIONS)
    assert set(VERBS) <= set(TABLE)


def outcome(principal: Principal, action: str) -> str:
    try:
        check(principal, action)
        check_step_up(principal, action, NOW)
    except StepUpNeeded:
        return "step up"
    except SecondFactorNeeded:
        return "set up"
    except Denied:
        return "denied"
    return "allowed"


@pytest.mark.parametrize("action", TABLE)
def test_every_role_by_every_channel_is_let_do_what_the_table_says(action: str) -> None:
    least, wants_password, by_key = TABLE[action]
    for role, via, stepped_up in itertools.product(Role, Via, (False, True)):
        principal = Principal("ann", role, SCOPES[role], via, step_up_until_ns=NOW + 1 if stepped_up else NOW)
        expected = "allowed"
        if RANK[role] < RANK[least] or (via is Via.KEY and not by_key):
            expected = "denied"
        elif wants_password and via in (Via.WEB, Via.CHAT) and not stepped_up:
            expected = "step up"
        assert outcome(principal, action) == expected, (role, via, stepped_up)


def test_who_owes_a_second_factor_may_set_it_up_and_leave() -> None:
    for role in Role:
        owing = Principal("ann", role, SCOPES[role], Via.WEB, step_up_until_ns=NOW + 1, owes_second_factor=True)
        for action, (least, _, _) in TABLE.items():
            expected = "allowed" if action in WHILE_OWING else "set up"
            assert outcome(owing, action) == ("denied" if RANK[role] < RANK[least] else expected), (role, action)


@pytest.mark.parametrize("action", [*TABLE, "explode", ""])
def test_nobody_may_do_anything(action: str) -> None:
    assert outcome(NOBODY, action) == "denied"


@pytest.mark.parametrize("scope", Scope)
def test_a_principal_without_a_scope_may_do_nothing_of_it(scope: Scope) -> None:
    less = Principal("ann", Role.ADMIN, frozenset(Scope) - {scope}, Via.CLI)
    for action, needed in ACTIONS.items():
        assert outcome(less, action) == ("denied" if needed.scope is scope else "allowed")


def test_a_scope_beyond_the_role_is_worth_nothing() -> None:
    forged = Principal("eve", Role.VIEWER, frozenset(Scope), Via.WEB, step_up_until_ns=NOW + 1)
    assert {action for action in ACTIONS if outcome(forged, action) == "allowed"} == {
        action for action, (least, _, _) in TABLE.items() if least is Role.VIEWER
    }


def test_no_key_can_be_given_power_over_people() -> None:
    assert frozenset(Scope) - KEY_SCOPES == {Scope.ADMIN}
