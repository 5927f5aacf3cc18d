"""Copies of a ledger that can be trusted, and the way back.

Invariants:
- a backup is one state, taken while the trader goes on; under its final name there is only what was checked: written
  to a temporary name, integrity-checked, audited, hashed, synchronised, renamed;
- a backup is one file without a write-ahead log, and `<file>.sha256` beside it, in the form that `sha256sum -c` reads;
- a backup of a server is the same kind of file, filled from one snapshot: either can be restored to a file or a server;
- a restore checks first (hash, integrity, audit) and touches nothing if anything is wrong. To a file: it holds the
  writer's lock and keeps the replaced file aside. To a server: only where nothing is, and audited there once more;
- what a restore to a file drops is counted first, and dropped only where that was said; unless a backup has everything
  that was there, each account finds a record of the restore, and halts when it starts;
- nothing is restored while a lease is held. A lease of this host over a file whose lock is free is of a dead process:
  whoever writes holds the lock until it ends, however it ends. It does not stand in the way.
"""

import hashlib
import os
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text

from novapulse import locks
from novapulse.core.instruments import AccountKey
from novapulse.core.ports import JournalError, Unwritable
from novapulse.ledger.audit import Audit, audit
from novapulse.ledger.files import BUSY_MS
from novapulse.ledger.lease import held
from novapulse.ledger.newer import NOTHING_THERE, Newer, NewerEntriesError, newer, note
from novapulse.ledger.opening import Place, SchemaError, reader
from novapulse.ledger.portable import carried_in, carry_out
from novapulse.ledger.snapshots import UNREADABLE
from novapulse.ledger.storage import lock_file, sqlite_problem

PAGES = 256
PAUSE_S = 0.005
"""After each step of `PAGES` the source is let go, so that a commit never waits longer than a step."""

_CHUNK = 1 << 20


class BrokenBackupError(JournalError):
    """A backup is not what it was made as, or what it was made from is broken."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was checked.

    Attributes:
        path: The file.
        sha256: Its hash, hex.
        size: Its bytes.
        audit: What the audit of it said; ok.
    """

    path: Path
    sha256: str
    size: int
    audit: Audit


@dataclass(frozen=True, slots=True)
class Restored:
    """A ledger that was put back.

    Attributes:
        place: Where the ledger lies.
        aside: Where the replaced file lies; None when there was none.
        audit: What the audit said, of the backup and, on a server, of what was made of it; ok.
        lost: What was dropped, as far as it is known; None where the backup had everything.
        halted: Accounts that halt when they start, because something was dropped or may have been.
    """

    place: str
    aside: Path | None
    audit: Audit
    lost: Newer | None
    halted: tuple[AccountKey, ...]


def backup(
    where: str | Path,
    target: Path,
    *,
    pages: int = PAGES,
    pause_s: float = PAUSE_S,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Backup:
    """Copy a ledger while it is written, and check the copy.

    Args:
        where: The ledger: a path, `sqlite:///PATH` or `postgresql://HOST/DATABASE`.
        target: The new file, in a folder that is there: what is missing may be a disk that is not mounted.
        pages: Pages in one step, of a file.
        pause_s: Seconds between two steps.
        processes: How many audit the copy.
        progress: Told pages done and all pages; of a server, rows.

    Raises:
        BrokenBackupError: The copy is not sound, so the ledger is not: nothing is left under `target`.
        Unwritable: The ledger is not there, or the target cannot be written or is there already.
        SchemaError: It is no ledger, or a server's of another schema than this code writes.
    """
    source = Place.of(where)
    if source.path is not None and not source.path.is_file():
        raise Unwritable(f"{source}: there is no such ledger")
    if target.exists():
        raise Unwritable(f"{target}: is there already")
    if not target.parent.exists():
        parents = (target.parent, *target.parent.parents)
        missing = next(one for one in reversed(parents) if not one.exists())
        raise Unwritable(f"{target}: there is no folder {missing}: mount its disk, or make the folder first")
    with _temporary_beside(target) as copy:
        if source.path is None:
            carry_out(where, copy, progress)
        else:
            _copy(source.path, copy, target, pages, pause_s, progress)
        found = _sound(copy, processes, f"{source}: not backed up, it is broken")
        digest = _sha256(copy)
        _publish(_note_of(target), f"{digest}  {target.name}\n".encode())
        size = copy.stat().st_size
        copy.chmod(0o640)
        _rename(copy, target)
    return Backup(target, digest, size, found)


def check_backup(path: Path, *, processes: int = 1) -> Audit:
    """Check a backup: hash, integrity, audit.

    Raises:
        BrokenBackupError: Something is wrong with it; the message says what.
        Unwritable: It is not there.
    """
    if not path.is_file():
        raise Unwritable(f"{path}: there is no such backup")
    note = _note_of(path)
    try:
        noted = note.read_text("ascii").split()[0]
    except FileNotFoundError as wrong:
        raise BrokenBackupError(
            f"{path}: its hash {note} is not there: a backup is two files, put the other one beside it"
        ) from wrong
    except OSError as wrong:
        raise BrokenBackupError(f"{path}: its hash {note} cannot be read: {wrong.strerror or wrong}") from wrong
    except (UnicodeDecodeError, IndexError) as wrong:
        raise BrokenBackupError(f"{path}: {note} is no hash, as 'novapulse ledger backup' writes one") from wrong
    if (digest := _sha256(path)) != noted:
        raise BrokenBackupError(f"{path}: has the hash {digest[:16]}..., {note.name} says {noted[:16]}...")
    return _sound(path, processes, f"{path}: is broken")


def restore(path: Path, where: str | Path, *, now_ns: int, processes: int = 1, drop_newer: bool = False) -> Restored:
    """Put a backup in the place of a ledger.

    Args:
        path: The backup.
        where: The ledger: a path or `sqlite:///PATH`, which need not exist, or `postgresql://HOST/DATABASE`, which has
            to be empty.
        now_ns: Now, ns UTC: whether leases are held.
        processes: How many audit the backup.
        drop_newer: Whether entries may be dropped that the ledger there has and the backup does not.

    Raises:
        BrokenBackupError: The backup is not what it was made as.
        NewerEntriesError: There are such entries, or there may be, and they may not be dropped; nothing was touched.
        Unwritable: The backup is not there, or a process writes the ledger.
        SchemaError: A lease is held: stop the trader first; or the server is not empty.
    """
    place = Place.of(where)
    found = check_backup(path, processes=processes)
    if place.path is None:
        return _restore_to_server(path, where, now_ns, found)
    with _temporary_beside(place.path) as copy, _held(place.path, now_ns):
        lost = newer(place.path, path, found)
        if lost is not None and lost.is_there and not drop_newer:
            raise NewerEntriesError(f"{place}: not restored, {lost.text}: --drop-newer drops them")
        _write_copy(path, copy)
        halted = () if lost is None else note(copy, path, lost, now_ns)
        if halted:
            _make_one_file(copy)
        aside = _aside(place.path, now_ns)
        copy.chmod(0o660)
        _rename(copy, place.path)
    return Restored(str(place), aside, found, lost, halted)


def _restore_to_server(path: Path, where: str | Path, now_ns: int, found: Audit) -> Restored:
    with carried_in(path, where, now_ns):
        made = _sound(where, 1, f"{Place.of(where)}: not restored, what the server took is broken")
        if made.head_hash != found.head_hash:
            raise BrokenBackupError(f"{made.place}: not restored, its head is {made.head_hash}, not {found.head_hash}")
        halted = note(where, path, NOTHING_THERE, now_ns)
    return Restored(made.place, None, made, NOTHING_THERE, halted)


@contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as wrong:
        raise Unwritable(f"{target}: cannot be written ({wrong})") from wrong
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        for leftover in (path, *_log_of(path), lock_file(path)):
            leftover.unlink(missing_ok=True)


_WRITES_FAILED = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
"""What only the copy can answer: the source is open for reading alone."""


def _copy(
    source: Path, copy: Path, target: Path, pages: int, pause_s: float, progress: Callable[[int, int], None] | None
) -> None:
    def step(_status: int, left: int, total: int) -> None:
        if progress is not None:
            progress(total - left, total)

    read_only = f"file:{quote(str(source.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(read_only, uri=True)) as ours, closing(sqlite3.connect(copy)) as theirs:
            ours.execute(f"PRAGMA busy_timeout = {BUSY_MS:d}")
            # One read transaction around all steps: a commit meanwhile does not start the copy anew.
            ours.execute("BEGIN")
            ours.execute("SELECT count(*) FROM sqlite_master").fetchone()
            ours.backup(theirs, pages=pages, sleep=pause_s, progress=step)
            ours.rollback()
            theirs.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as wrong:
        if getattr(wrong, "sqlite_errorcode", 0) in _WRITES_FAILED:
            raise Unwritable(f"{target}: cannot be written, {sqlite_problem(wrong)[0]} ({wrong})") from wrong
        raise Unwritable(f"{source}: cannot be copied ({wrong})") from wrong


def _make_one_file(copy: Path) -> None:
    try:
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as wrong:
        raise Unwritable(f"{copy}: cannot be written ({wrong})") from wrong


def _sound(path: str | Path, processes: int, complaint: str) -> Audit:
    try:
        found = audit(path, processes=processes)
    except (SchemaError, Unwritable) as wrong:
        raise BrokenBackupError(f"{complaint}: {wrong}") from wrong
    bad = found.first_bad
    if bad is not None:
        at = f"event {bad.seq}, " if bad.seq is not None else ""
        raise BrokenBackupError(f"{complaint}: {at}{bad.where} {bad.what} ({found.faulty} faults)")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _log_of(path: Path) -> tuple[Path, Path, Path]:
    return (
        path.with_name(path.name + "-wal"),
        path.with_name(path.name + "-shm"),
        path.with_name(path.name + "-journal"),
    )


def _publish(path: Path, content: bytes) -> None:
    with _temporary_beside(path) as temporary:
        try:
            temporary.write_bytes(content)
        except OSError as wrong:
            raise Unwritable(f"{path}: cannot be written ({wrong})") from wrong
        temporary.chmod(0o640)
        _rename(temporary, path)


def _rename(temporary: Path, target: Path) -> None:
    try:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as wrong:
        raise Unwritable(f"{target}: cannot be written ({wrong})") from wrong


def _write_copy(path: Path, copy: Path) -> None:
    try:
        with path.open("rb") as source, copy.open("wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
    except OSError as wrong:
        raise Unwritable(f"{copy}: cannot be written ({wrong})") from wrong
    if _sha256(copy) != _sha256(path):
        raise Unwritable(f"{copy}: what was written is not what is read back: the disk fails")


@contextmanager
def _held(ledger: Path, now_ns: int) -> Iterator[None]:
    try:
        handle = locks.take(lock_file(ledger))
    except locks.HeldError as wrong:
        raise Unwritable(f"{ledger}: not restored, {wrong.holder} writes this ledger: stop it first") from wrong
    try:
        if sentences := _leases(ledger, now_ns):
            told = "; ".join(sentences)
            raise SchemaError(f"{ledger}: not restored, a lease is held: {told}: stop the trader first")
        yield
    finally:
        os.close(handle)


def _leases(ledger: Path, now_ns: int) -> list[str]:
    if not ledger.is_file():
        return []
    engine = reader(ledger)
    running = text("SELECT * FROM lease WHERE expires_ns > :now ORDER BY exchange, account_id")
    try:
        with engine.connect() as connection:
            rows = connection.execute(running, {"now": now_ns}).mappings().all()
    except UNREADABLE:
        # It is damaged, or no ledger: what is restored may be wanted for just that, and the lock says nobody writes it.
        return []
    finally:
        engine.dispose()
    # The lock is ours: a holder on this host, which would have it until its end, is gone.
    elsewhere = [row for row in rows if row.get("host") != socket.gethostname()]
    return held([(r["exchange"], r["account_id"], r["holder"], r["expires_ns"]) for r in elsewhere], now_ns)


def _aside(ledger: Path, now_ns: int) -> Path | None:
    if not ledger.exists():
        return None
    aside = ledger.with_name(f"{ledger.name}.replaced-{now_ns}")
    log, shared, journal = _log_of(ledger)
    try:
        os.link(ledger, aside)
        for part, kept in zip((log, journal), (_log_of(aside)[0], _log_of(aside)[2]), strict=True):
            # A log that stayed would be replayed into the restored file.
            if part.exists():
                part.rename(kept)
        shared.unlink(missing_ok=True)
    except OSError as wrong:
        raise Unwritable(f"{ledger}: cannot be kept aside as {aside.name} ({wrong})") from wrong
    return aside
