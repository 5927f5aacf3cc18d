"""One writer at a time: an exclusive lock on a folder, between threads and between processes.

The lock is advisory and held on a file of its own, so that readers never wait; it ends with its holder, even a crashed
one. The file stays: taking it away would let a second writer lock another file of the same name.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from novapulse.market.storage import DataError

LOCK = ".lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a folder for one writer, creating it where it does not exist; wait while another writer holds it.

    Args:
        folder: What is written to.

    Raises:
        DataError: The folder cannot be locked, or this platform has no file locks.
    """
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError as wrong:
        raise DataError(f"{folder}: cannot be written, this platform has no file locks (fcntl)") from wrong
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a")
    except OSError as wrong:
        raise DataError(f"{folder}: cannot be written ({wrong})") from wrong
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as wrong:
            raise DataError(f"{folder / LOCK}: cannot be locked ({wrong})") from wrong
        yield
