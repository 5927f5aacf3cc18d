"""Writes what a session saw: every bar as it came, those that decided nothing included.

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

from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import BAR, Record

SESSIONS_KEPT = 32
_VERSION = 1
_SUFFIX = ".bars"

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


class SessionRecorder:
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
        self.path = path
        self._instruments = {key: number for number, key in enumerate(instruments)}
        self._problems = {name: number for number, name in enumerate(problems)}
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "version": _VERSION,
            "instruments": [[key.exchange, key.symbol] for key in instruments],
            "problems": list(problems),
            **facts,
        }
        # Without a buffer: what was written is with the operating system, and outlives the process.
        self._file = path.open("xb", buffering=0)
        self._file.write(json.dumps(header, sort_keys=True).encode() + b"\n")

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

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_recording(path: Path) -> tuple[dict[str, Any], list[Seen]]:
    """Return what a recording says of itself, and its bars in the order in which they came.

    Raises:
        RecorderError: The file is not there, no recording, or damaged before its last record.
    """
    try:
        whole = path.read_bytes()
        line, _, rest = whole.partition(b"\n")
        header = json.loads(line)
        version = header["version"]
        keys = [InstrumentKey(*parts) for parts in header["instruments"]]
        problems = list(header["problems"])
    except OSError as wrong:
        raise RecorderError(f"{path}: {wrong.strerror or wrong}") from wrong
    except (ValueError, KeyError, TypeError) as wrong:
        raise RecorderError(f"{path} is no recording of a session: {wrong}") from wrong
    if version != _VERSION:
        raise RecorderError(f"{path} is of version {version}, this program reads {_VERSION}")
    rows: NDArray[np.void] = np.frombuffer(rest[: len(rest) // ARRIVAL.itemsize * ARRIVAL.itemsize], ARRIVAL)
    bad = (rows["exact"] != 1) | (rows["instrument"] < 0) | (rows["instrument"] >= len(keys))
    if bad.any():
        raise RecorderError(f"{path}: record {int(np.argmax(bad))} is damaged")
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


def recording_path(folder: Path, session: str, exchange: str) -> Path:
    """Return where the recording of an exchange in a session lies."""
    return folder / session / f"{exchange}{_SUFFIX}"
