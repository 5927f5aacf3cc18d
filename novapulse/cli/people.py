"""`novapulse people`: who may sign in to the server of this home folder, and as what."""

import argparse
import datetime
import getpass
import os
import sys
import time

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, say, show_json
from novapulse.cli.render import table
from novapulse.config import home_folder
from novapulse.control import audit as audits
from novapulse.control.audit import Row
from novapulse.control.inbox import VERBS, Inbox
from novapulse.control.outcomes import outcome_of
from novapulse.control.people import link_address, spelled
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Principal, Role, Scope
from novapulse.control.shell import shell_principal, shell_source


def list_(options: argparse.Namespace) -> int:
    """List everybody."""
    people = _plane().people.all()
    if options.json:
        show_json({"people": [one.json() for one in people]})
        return EXIT_DONE
    rows = [
        (
            *(one.name, str(one.role), _state(one.has_password, one.disabled_ns is not None)),
            *("yes" if one.has_second_factor else "no", _date(one.created_ns)),
        )
        for one in people
    ]
    print("\n".join(table(("name", "role", "state", "second factor", "since"), rows)))
    return EXIT_DONE


def add(options: argparse.Namespace) -> int:
    """Add somebody, with a link or with a password."""
    plane, name = _plane(), spelled(options.name)
    password = _read_password() if options.password else None
    done = plane.people.add(_me(plane), name, Role(options.role), password=password, source=_source())
    token = None if options.password else done.result
    return _said_link(options, done.audit_id, name, token, "they can sign in with that password")


def link(options: argparse.Namespace) -> int:
    """Print a one-time link."""
    plane = _plane()
    if options.name:
        done = plane.people.make_link(_me(plane), spelled(options.name), source=_source())
        return _said_link(options, done.audit_id, spelled(options.name), done.result, "")
    token = plane.people.first_link(_me(plane).actor, _source())
    if token is None:
        raise UsageError("there is an admin already: name the person that the link is for")
    return _said_link(options, None, None, token, "")


def password(options: argparse.Namespace) -> int:
    """Set a password."""
    plane, name = _plane(), spelled(options.name)
    done = plane.people.set_password(_me(plane), name, _read_password(), source=_source())
    return _said(options, done.audit_id, f"{name} has a new password; sessions and keys of before have ended")


def role(options: argparse.Namespace) -> int:
    """Give somebody another role."""
    plane, name = _plane(), spelled(options.name)
    done = plane.people.change_role(_me(plane), name, Role(options.role), source=_source())
    return _said(options, done.audit_id, f"{name} is {options.role} now; sessions and keys of before have ended")


def disable(options: argparse.Namespace) -> int:
    """Let somebody in no more."""
    plane, name = _plane(), spelled(options.name)
    done = plane.people.disable(_me(plane), name, source=_source())
    return _said(options, done.audit_id, f"{name} may not come in any more; sessions and keys have ended")


def enable(options: argparse.Namespace) -> int:
    """Let somebody in again."""
    plane, name = _plane(), spelled(options.name)
    done = plane.people.enable(_me(plane), name, source=_source())
    return _said(options, done.audit_id, f"{name} may come in again")


def reset_second_factor(options: argparse.Namespace) -> int:
    """Take somebody's second factor away."""
    plane, name = _plane(), spelled(options.name)
    done = plane.second_factors.reset(_me(plane), name, source=_source())
    return _said(options, done.audit_id, f"{name} signs in by password alone now; sessions have ended")


def audit(options: argparse.Namespace) -> int:
    """Prove the audit and print its newest rows."""
    plane = _plane()
    with plane.storage.reading() as database:
        try:
            count, head = audits.verify(database, options.head)
            wrong = ""
        except audits.TamperedError as tampered:
            count, head, wrong = 0, "", str(tampered)
        rows = audits.page(database, limit=max(0, options.last))
    inbox, now_ns = Inbox(plane.storage.path), time.time_ns()
    became = {row.command_id: outcome_of(inbox, row.command_id, now_ns) for row in rows if row.command_id}
    if options.json:
        newest = [row.json() | {"became": became[row.command_id][0] if row.command_id else None} for row in rows]
        show_json({"ok": not wrong, "text": wrong, "rows": count, "head": head, "newest": newest})
    else:
        for row in reversed(rows):
            print(_told(row, *became.get(row.command_id, (row.outcome, ()))))
        if not wrong:
            print(f"{count} rows, proven; head {head}")
    if wrong:
        error(wrong)
    return EXIT_FAILED if wrong else EXIT_DONE


def key_list(options: argparse.Namespace) -> int:
    """List keys."""
    keys = _plane().keys.of(spelled(options.name))
    if options.json:
        show_json({"keys": [one.json() for one in keys]})
        return EXIT_DONE
    rows = [
        (
            *(one.prefix, one.person, one.label, " ".join(sorted(one.scopes)), _date(one.expires_ns)),
            *(" ".join(one.networks) or "anywhere", _date(one.used_ns) if one.used_ns else "never"),
            "revoked" if one.revoked_ns else "",
        )
        for one in keys
    ]
    print("\n".join(table(("prefix", "person", "for", "scopes", "until", "from", "used", ""), rows)))
    return EXIT_DONE


def key_add(options: argparse.Namespace) -> int:
    """Make a key and print it."""
    plane, scopes = _plane(), {Scope(scope) for scope in options.scope}
    done = plane.keys.make(
        *(_me(plane), options.label, scopes, options.days),
        networks=options.networks,
        person=spelled(options.name),
        source=_source(),
    )
    if options.json:
        show_json({"audit_id": done.audit_id, "key": done.result})
    else:
        print(done.result)
        say("keep it well: it is shown this once")
    return EXIT_DONE


def key_revoke(options: argparse.Namespace) -> int:
    """Let a key work no more."""
    plane = _plane()
    done = plane.keys.revoke(_me(plane), options.prefix, source=_source())
    return _said(options, done.audit_id, f"the key {options.prefix} works no more")


def _told(row: Row, outcome: str, answers: tuple[str, ...]) -> str:
    """Return a row in words; of a command that was written, the outcome is what the accounts answered."""
    whose = f" {row.account.account_id} on {row.account.exchange}" if row.account else ""
    if row.account is None and row.action in VERBS:
        whose = " all accounts"
    given = "".join(f" {name}={value}" for name, value in row.arguments.items())
    text = "; ".join(filter(None, (row.text, *answers)))
    text = f": {text}" if text else ""
    moment = datetime.datetime.fromtimestamp(row.ts_ns // 1_000_000_000, datetime.UTC)
    return f"{row.audit_id:>6}  {moment:%Y-%m-%d %H:%M:%S}  {row.actor}  {row.action}{whose}{given}  {outcome}{text}"


def _plane() -> ControlPlane:
    return ControlPlane(home_folder(os.environ))


def _me(plane: ControlPlane) -> Principal:
    return shell_principal(plane.home)


def _source() -> str:
    return shell_source(os.environ)


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("once more: "):
        raise UsageError("the two are not the same: nothing was changed")
    return first


def _said(options: argparse.Namespace, audit_id: int, sentence: str) -> int:
    if options.json:
        show_json({"audit_id": audit_id})
    else:
        print(sentence)
    return EXIT_DONE


def _said_link(
    options: argparse.Namespace, audit_id: int | None, name: str | None, token: str | None, otherwise: str
) -> int:
    address = link_address(options.server, token) if token else None
    if options.json:
        show_json({"audit_id": audit_id, "name": name, "link": address})
    elif address:
        print(address)
        say(f"{name or 'the first admin'} chooses a password there; it works once, within a day")
    else:
        print(f"{name} was added: {otherwise}")
    return EXIT_DONE


def _state(has_password: bool, is_disabled: bool) -> str:
    if is_disabled:
        return "disabled"
    return "may sign in" if has_password else "has to use the link first"


def _date(ts_ns: int) -> str:
    return f"{datetime.datetime.fromtimestamp(ts_ns // 1_000_000_000, datetime.UTC):%Y-%m-%d}"
