"""Who may do what. Deny by default: an action that is not in the table, and a principal without its scope, is refused.

Invariants:
- every action has one scope, and every role a fixed set of scopes;
- what loosens, sells everything or gives power to people wants the password once more (step-up); what tightens never
  waits for one, the kill switch included;
- a person whose role owes a second factor may do nothing but set it up, and leave;
- an API key holds the scopes it was given, at most those of its person, and never `admin`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from novapulse.control.storage import ControlError


class Role(enum.StrEnum):
    """What a person is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Scope(enum.StrEnum):
    """A kind of action."""

    READ = "read"  # look at everything but people
    CONTROL = "control"  # tighten: pause, halt, cancel, close one position, compare; say that an alert was seen
    LOOSEN = "loosen"  # allow risk again: resume, decide about differences; change limits, either way
    FLATTEN = "flatten"  # sell everything
    ADMIN = "admin"  # people, their keys and sessions, the audit


class Via(enum.StrEnum):
    """The channel that a principal came through."""

    WEB = "web"
    KEY = "key"
    CLI = "cli"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Action:
    """What an action needs.

    Attributes:
        scope: That a principal must have.
        step_up: Whether the password must have been given within the last minutes, where there is one to give.
        by_key: Whether an API key may do it.
        while_owing: Whether somebody may do it who has yet to set up the second factor that the role wants.
    """

    scope: Scope
    step_up: bool = False
    by_key: bool = True
    while_owing: bool = False


_TIGHTEN, _LOOSEN = Action(Scope.CONTROL), Action(Scope.LOOSEN, step_up=True)
_PEOPLE, _OWN = Action(Scope.ADMIN, step_up=True, by_key=False), Action(Scope.READ, by_key=False)
_WAY_IN = Action(Scope.READ, by_key=False, while_owing=True)

ACTIONS: Mapping[str, Action] = {
    "read": Action(Scope.READ),
    "who_am_i": Action(Scope.READ, while_owing=True),
    "read_audit": Action(Scope.ADMIN, by_key=False),
    "read_people": Action(Scope.ADMIN, by_key=False),
    **dict.fromkeys(("pause", "reduce_only", "halt", "cancel", "close", "reconcile", "acknowledge"), _TIGHTEN),
    **dict.fromkeys(("resume", "resume_from_halt", "adopt", "ignore", "settle", "limits"), _LOOSEN),
    "flatten": Action(Scope.FLATTEN, step_up=True),
    # An emergency does not wait for a password: the button is held down, and every press is in the audit.
    "kill": Action(Scope.FLATTEN),
    **dict.fromkeys(("add_person", "change_role", "enable_person", "make_link", "set_password"), _PEOPLE),
    "reset_second_factor": _PEOPLE,
    **dict.fromkeys(
        ("disable_person", "revoke_key_of_other", "end_session_of_other"), Action(Scope.ADMIN, by_key=False)
    ),
    "make_key": Action(Scope.READ, step_up=True, by_key=False),
    "begin_second_factor": Action(Scope.READ, step_up=True, by_key=False, while_owing=True),
    "remove_second_factor": Action(Scope.READ, step_up=True, by_key=False),
    **dict.fromkeys(("revoke_key", "end_session"), _OWN),
    **dict.fromkeys(("enrol_second_factor", "change_password", "step_up", "sign_out"), _WAY_IN),
}
"""Every action there is, by its name. The verbs of the inbox are among them."""

SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.CONTROL, Scope.LOOSEN, Scope.FLATTEN}),
    Role.ADMIN: frozenset(Scope),
}
KEY_SCOPES = frozenset(Scope) - {Scope.ADMIN}
"""What an API key can be given."""

_WITHOUT_PASSWORD = frozenset({Via.KEY, Via.CLI})


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was recognised, and how.

    Attributes:
        name: Of the person; of the operating system's user where via is CLI.
        role: What the person is.
        scopes: What this way in allows, at most those of the role.
        via: The channel.
        credential: Handle of the session or prefix of the key; for people to recognise, no secret.
        step_up_until_ns: Until when the password counts as just given, ns UTC; 0 for not at all.
        barred: Why nothing at all is allowed, whatever the scopes; empty for nothing is in the way.
        owes_second_factor: Whether the role wants a second factor that the person has yet to set up.
    """

    name: str
    role: Role
    scopes: frozenset[Scope]
    via: Via
    credential: str = ""
    step_up_until_ns: int = 0
    barred: str = ""
    owes_second_factor: bool = False

    @property
    def actor(self) -> str:
        """The name in commands and in the audit, such as `web:ann`."""
        return actor_of(self.via, self.name)

    def may(self, scope: Scope) -> bool:
        """Return whether a scope is there."""
        return scope in self.scopes and scope in SCOPES[self.role] and not self.barred


def actor_of(via: Via, name: str) -> str:
    """Return who did something, as commands and audit name it; nobody by words that are no person's name.

    Args:
        via: How they came.
        name: Of the person; empty for nobody.
    """
    return f"{via}:{name or '(nobody signed in)'}"


NOBODY = Principal("", Role.VIEWER, frozenset(), Via.WEB)
"""Who was not recognised."""


class Denied(ControlError):
    """The principal may not do that."""


class SecondFactorNeeded(Denied):
    """The principal may do that, after setting up a second factor."""


class StepUpNeeded(Denied):
    """The principal may do that, after giving the password once more."""


def check(principal: Principal, action: str) -> None:
    """Refuse an action that the principal may not do; whether a password is wanted is another question.

    Raises:
        SecondFactorNeeded: It has to be set up first.
        Denied: The message says what is missing.
    """
    needed = ACTIONS.get(action)
    if needed is None:
        raise Denied(f"there is no action {action!r}")
    if principal.barred:
        raise Denied(principal.barred)
    if not principal.may(needed.scope):
        raise Denied(f"{principal.name or 'nobody'} may not do that: it needs the scope {needed.scope}")
    if principal.via is Via.KEY and not needed.by_key:
        raise Denied("an API key may not do that")
    if principal.owes_second_factor and not needed.while_owing:
        raise SecondFactorNeeded("set up a second factor first: your role needs one here")


def check_step_up(principal: Principal, action: str, now_ns: int) -> None:
    """Refuse an action that wants the password once more. Keys and the command line have none to give.

    Raises:
        StepUpNeeded: It was not given lately.
    """
    waived = principal.via in _WITHOUT_PASSWORD or not ACTIONS[action].step_up
    if not waived and now_ns >= principal.step_up_until_ns:
        raise StepUpNeeded("give your password once more for that")
