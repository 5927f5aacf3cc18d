"""`novapulse ledger`: prove the books, copy them, put a copy back, hand them to other tools, renew their schema."""

import argparse
import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, progress, show_json
from novapulse.cli.render import wrapped
from novapulse.config import home_folder
from novapulse.core.ports import JournalError
from novapulse.core.words import counted
from novapulse.ledger.audit import Audit
from novapulse.ledger.newer import Newer
from novapulse.ledger.opening import Place
from novapulse.ledger.walk import Fault

FILE, BACKUPS = "ledger.db", "backups"

_FAULTS_SHOWN = 10
_PROCESSES_MAX = 4


def audit(options: argparse.Namespace) -> int:
    """Prove every entry; the exit code says whether all is as it was written."""
    from novapulse.ledger.audit import audit as check

    where = _named(options)
    try:
        found = check(where, head=options.head or "", processes=_processes())
    except JournalError as wrong:
        if options.json:
            show_json({"ok": False, "entries": 0, "first_bad": _fault(Fault(None, "file", str(wrong)))})
        error(str(wrong))
        return EXIT_FAILED
    if options.json:
        show_json(_audited(found) | {"first_bad": _fault(found.first_bad)})
    else:
        _show_audit(found)
    if found.first_bad is not None:
        error(f"{found.place}: {_told(found.first_bad)}")
    return EXIT_DONE if found.ok else EXIT_FAILED


def backup(options: argparse.Namespace) -> int:
    """Copy the ledger while it is written, and check the copy."""
    from novapulse.ledger.backup import backup as copy

    where = _named(options)
    now = datetime.datetime.now(datetime.UTC)
    usual = home_folder(os.environ) / BACKUPS / f"ledger-{now:%Y%m%dT%H%M%SZ}.db"
    target = Path(options.file) if options.file else usual

    def work() -> dict[str, Any]:
        if target == usual:
            usual.parent.mkdir(exist_ok=True)
        with progress("backup") as told:
            done = copy(where, target, processes=_processes(), progress=told)
        if not options.json:
            print(f"{done.path}: {done.size:,} bytes, {done.audit.entries:,} entries, proven\nsha256 {done.sha256}")
        return {"path": str(done.path), "sha256": done.sha256, "bytes": done.size, **_audited(done.audit)}

    return _done(options, work)


def restore(options: argparse.Namespace) -> int:
    """Put a backup in the place of the ledger, if it is sound and nobody trades."""
    from novapulse.ledger.backup import restore as put_back

    where = _named(options, must_exist=False)

    def work() -> dict[str, Any]:
        done = put_back(
            Path(options.file), where, now_ns=time.time_ns(), processes=_processes(), drop_newer=options.drop_newer
        )
        aside = None if done.aside is None else str(done.aside)
        if not options.json:
            print(f"{done.place}: {done.audit.entries:,} entries of {options.file}, proven")
            print(f"what it replaced lies in {aside}" if aside else "it replaced nothing")
            if done.lost is not None:
                print("\n".join(wrapped(f"{'dropped' if done.lost.entries else 'not known'}: {done.lost.text}")))
            for account in done.halted:
                print(
                    f"{account.account_id} on {account.exchange}: halts at its next start, until you resume-from-halt"
                )
        return {
            "ledger": done.place,
            "backup": options.file,
            "replaced": aside,
            "dropped": _dropped(done.lost),
            "halted": [{"exchange": one.exchange, "account_id": one.account_id} for one in done.halted],
            **_audited(done.audit),
        }

    return _done(options, work)


def export(options: argparse.Namespace) -> int:
    """Write the ledger as tables and as a journal for plain-text accounting."""
    from novapulse.ledger.export import FORMS
    from novapulse.ledger.export import export as write

    where = _named(options)

    def work() -> dict[str, Any]:
        counts = write(where, Path(options.folder), forms=options.format or FORMS)
        if not options.json:
            print("\n".join(f"{Path(options.folder) / name}: {count:,} rows" for name, count in counts.items()))
        return {"ok": True, "folder": options.folder, "files": counts}

    return _done(options, work)


def migrate(options: argparse.Namespace) -> int:
    """Bring the schema of the ledger to what this version writes."""
    from novapulse.ledger.opening import migrate as bring

    where = _named(options)

    def work() -> dict[str, Any]:
        sentence = bring(where, now_ns=time.time_ns())
        if not options.json:
            print(sentence)
        return {"ok": True, "text": sentence}

    return _done(options, work)


def _named(options: argparse.Namespace, *, must_exist: bool = True) -> str:
    where = str(options.ledger or home_folder(os.environ) / FILE)
    try:
        path = Place.of(where).path
    except ValueError as wrong:
        raise UsageError(str(wrong)) from wrong
    if must_exist and path is not None and not path.is_file():
        raise UsageError(f"{path}: there is no ledger; 'novapulse live' makes one, --ledger names another")
    return where


def _processes() -> int:
    return min(os.cpu_count() or 1, _PROCESSES_MAX)


def _done(options: argparse.Namespace, work: Callable[[], dict[str, Any]]) -> int:
    try:
        values = work()
    except JournalError as wrong:
        if options.json:
            show_json({"ok": False, "error": str(wrong)})
        error(str(wrong))
        return EXIT_FAILED
    if options.json:
        show_json(values)
    return EXIT_DONE


def _audited(found: Audit) -> dict[str, Any]:
    head = {"seq": found.head_seq, "hash": found.head_hash}
    return {
        "ok": found.ok,
        "entries": found.entries,
        "faults": found.faulty,
        "ledger_id": found.ledger_id,
        "head": head,
    }


def _dropped(lost: Newer | None) -> dict[str, Any] | None:
    if lost is None:
        return None
    return {"entries": lost.entries, "from_ns": lost.from_ns, "until_ns": lost.until_ns, "text": lost.text}


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    return None if fault is None else {"seq": fault.seq, "where": fault.where, "what": fault.what}


def _told(fault: Fault) -> str:
    return f"{f'entry {fault.seq}: ' if fault.seq is not None else ''}{fault.where} {fault.what}"


def _show_audit(found: Audit) -> None:
    print(f"ledger {found.ledger_id} in {found.place}")
    if found.ok:
        print(f"{found.entries:,} entries, every one as it was written")
    else:
        print(f"{found.entries:,} entries, {counted(found.faulty, 'fault')}; the first entry that is bad comes first")
        for fault in found.faults[:_FAULTS_SHOWN]:
            print("\n".join(wrapped(f"  {_told(fault)}", indent=4)))
        if found.faulty > _FAULTS_SHOWN:
            print(f"  and {found.faulty - _FAULTS_SHOWN:,} more")
    print(f"head {found.head_seq} {found.head_hash}")
    advice = "note the head elsewhere: --head HASH shows later that nobody wrote the past anew, which no chain can show"
    print("\n".join(wrapped(advice)))
