"""Writes what a session saw: every bar as it came, those that decided nothing included; and what its accounts heard.

Invariants:
- a file is a line of JSON and then records of one size, each written before its close is told: whatever kills the
  process, all that was decided on is there, and at most the last record is cut;
- what is read back is what came, to the bit and in its order;
- the folder holds the last sessions, no more.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import BAR, SIGNAL, Record

SESSIONS = "sessions"
"""Folder of the recordings, beside the ledger."""

SESSIONS_KEPT = 32
_VERSION = 1
_SUFFIX = ".bars"
_HEARD_SUFFIX = ".heard"

ARRIVAL = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("instrument", "<i4"),
        ("problem", "<i4"),  # index into the header's problems; -1 where there is none
        ("number", "<i8"),
        ("made", "<i4"),
        ("exact", "<i4"),  # 1, so that a cut or foreign record is noticed
        *[(name, "<f8" if name != "ts_close_ns" else "<i8") for name in BAR.names or ()],
    ]
)


HEARD = np.dtype(
    [
        ("exact", "<i4"),  # 1, so that a cut or foreign record is noticed
        ("instrument", "<i4"),
        ("calibration", "S16"),
        ("bar", BAR),
        ("signal", SIGNAL),
    ]
)


class RecorderError(ValueError):
    """A recording that cannot be read; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A bar as it came: see `engine.gather.Arrival`. `problem` is empty for one that was decided on."""

    ts_ns: int
    instrument: InstrumentKey
    bar: Record
    number: int
    made: bool
    problem: str


class _Recording:
    def __init__(self, path: Path, instruments: Sequence[InstrumentKey], facts: Mapping[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        listed = [[key.exchange, key.symbol] for key in instruments]
        # Without a buffer: what was written is with the operating system, and outlives the process.
        self._file = path.open("xb", buffering=0)
        self._file.write(
            json.dumps({"version": _VERSION, "instruments": listed, **facts}, sort_keys=True).encode() + b"\n"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class SessionRecorder(_Recording):
    """The recording of one exchange in one session."""

    def __init__(
        self,
        path: Path,
        instruments: Sequence[InstrumentKey],
        problems: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        """Make the file.

        Args:
            path: Where; its folder is made.
            instruments: Whose bars come.
            problems: Names of what can be wrong with a bar.
            facts: What else a replay needs to know: text and numbers.

        Raises:
            OSError: It cannot be written.
        """
        super().__init__(path, instruments, {"problems": list(problems), **facts})
        self._instruments = {key: number for number, key in enumerate(instruments)}
        self._problems = {name: number for number, name in enumerate(problems)}

    def write(self, bars: Sequence[Seen]) -> None:
        """Add bars in the order in which they came; those of instruments that nobody trades are left out.

        Raises:
            OSError: The disk did not take them.
        """
        known = [bar for bar in bars if bar.instrument in self._instruments]
        rows = np.zeros(len(known), ARRIVAL)
        for row, seen in zip(rows, known, strict=True):
            row["ts_ns"], row["number"], row["made"], row["exact"] = seen.ts_ns, seen.number, seen.made, 1
            row["instrument"] = self._instruments[seen.instrument]
            row["problem"] = self._problems.get(seen.problem, -1)
            for name in BAR.names or ():
                row[name] = seen.bar[name]
        if known:
            self._file.write(rows.tobytes())


class HeardRecorder(_Recording):
    """The recording of what one account was told in one session: bars and signals of every close."""

    def __init__(self, path: Path, instruments: Sequence[InstrumentKey], facts: Mapping[str, Any]) -> None:
        """Make the file.

        Args:
            path: Where; its folder is made.
            instruments: The account's, sorted.
            facts: Whose it is: text and numbers.

        Raises:
            OSError: It cannot be written.
        """
        super().__init__(path, instruments, facts)

    def write(self, bars: Record, signals: Record, present: Record, calibration: str) -> None:
        """Add a close: BAR[P], SIGNAL[P], int64[P], and the id of the calibration.

        Raises:
            OSError: The disk did not take it.
        """
        here = np.flatnonzero(present)
        rows = np.zeros(here.size, HEARD)
        rows["exact"], rows["instrument"], rows["calibration"] = 1, here, calibration.encode()
        rows["bar"], rows["signal"] = bars[here], signals[here]
        self._file.write(rows.tobytes())


def read_recording(path: Path) -> tuple[dict[str, Any], list[Seen]]:
    """Return what a recording says of itself, and its bars in the order in which they came.

    Raises:
        RecorderError: The file is not there, no recording, or damaged before its last record.
    """
    header, keys, rows = _read(path, ARRIVAL)
    problems = list(header.get("problems", ()))
    bars = np.zeros(rows.size, BAR)
    for name in BAR.names or ():
        bars[name] = rows[name]
    return header, [
        Seen(
            int(row["ts_ns"]),
            keys[int(row["instrument"])],
            bars[number],
            int(row["number"]),
            bool(row["made"]),
            problems[int(row["problem"])] if row["problem"] >= 0 else "",
        )
        for number, row in enumerate(rows)
    ]


def read_heard(path: Path) -> tuple[dict[str, Any], tuple[InstrumentKey, ...], NDArray[np.void]]:
    """Return what a recording of an account says of itself, its instruments, and its HEARD rows in their order.

    Raises:
        RecorderError: The file is not there, no recording, or damaged before its last record.
    """
    return _read(path, HEARD)


def read_header(path: Path) -> dict[str, Any]:
    """Return what a recording says of itself.

    Raises:
        RecorderError: The file is not there, or no recording.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
    except OSError as wrong:
        raise RecorderError(f"{path}: {wrong.strerror or wrong}") from wrong
    except ValueError as wrong:
        raise RecorderError(f"{path} is no recording of a session: {wrong}") from wrong
    if not isinstance(header, dict):
        raise RecorderError(f"{path} is no recording of a session")
    return header


def _read(path: Path, dtype: "np.dtype[np.void]") -> tuple[dict[str, Any], tuple[InstrumentKey, ...], NDArray[np.void]]:
    try:
        whole = path.read_bytes()
        line, _, rest = whole.partition(b"\n")
        header = json.loads(line)
        version = header["version"]
        keys = tuple(InstrumentKey(*parts) for parts in header["instruments"])
    except OSError as wrong:
        raise RecorderError(f"{path}: {wrong.strerror or wrong}") from wrong
    except (ValueError, KeyError, TypeError) as wrong:
        raise RecorderError(f"{path} is no recording of a session: {wrong}") from wrong
    if version != _VERSION:
        raise RecorderError(f"{path} is of version {version}, this program reads {_VERSION}")
    rows: NDArray[np.void] = np.frombuffer(rest[: len(rest) // dtype.itemsize * dtype.itemsize], dtype)
    bad = (rows["exact"] != 1) | (rows["instrument"] < 0) | (rows["instrument"] >= len(keys))
    if bad.any():
        raise RecorderError(f"{path}: record {int(np.argmax(bad))} is damaged")
    return header, keys, rows


def prune_sessions(folder: Path, keep: int = SESSIONS_KEPT) -> list[str]:
    """Forget the oldest sessions of a folder, by name, but the last `keep`; return the names of those that went."""
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.is_symlink())
    gone = names[: max(len(names) - keep, 0)]
    for name in gone:
        shutil.rmtree(folder / name, ignore_errors=True)
    return gone


def recordings(folder: Path) -> list[Path]:
    """Return the recordings of one session, by exchange."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def heard_path(folder: Path, session: str, account: AccountKey) -> Path:
    """Return where the recording of what an account heard in a session lies."""
    return folder / session / f"{account.exchange}-{account.account_id}{_HEARD_SUFFIX}"


def heard_paths(folder: Path, account: AccountKey) -> list[Path]:
    """Return the recordings of what an account heard, of all sessions in a folder, in the order of their names."""
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return [path for name in names if (path := heard_path(folder, name, account)).is_file()]


def recording_path(folder: Path, session: str, exchange: str) -> Path:
    """Return where the recording of an exchange in a session lies."""
    return folder / session / f"{exchange}{_SUFFIX}"
