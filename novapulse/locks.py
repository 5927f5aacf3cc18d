"""A file that one process has at a time, with a note of who that is; the system lets go of it when the process ends."""

import fcntl
import os
from pathlib import Path

_NOTE_BYTES_MAX = 200


class HeldError(Exception):
    """Another process has the file; `holder` is what it noted of itself."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def take(path: Path, note: str = "") -> int:
    """Take a file, made where there is none, until its descriptor is closed.

    Args:
        path: The file.
        note: What is told of this process besides its number.

    Returns:
        The descriptor.

    Raises:
        HeldError: Another process has it.
        OSError: The file cannot be opened or written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}{note}".encode(), 0)
    except BlockingIOError as wrong:
        holder = _note(handle)
        os.close(handle)
        raise HeldError(holder) from wrong
    except OSError:
        os.close(handle)
        raise
    return handle


def holder_of(path: Path) -> str:
    """Return what the process noted that has a file; empty where none has it, or where it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _note(handle)
    finally:
        os.close(handle)
    return ""


def _note(handle: int) -> str:
    return os.pread(handle, _NOTE_BYTES_MAX, 0).decode(errors="replace") or "another process"
