"""Runs that were kept to be compared with: one JSON file each, in the folder `runs` of the home folder.

Invariants:
- a file is written whole or not at all, and never changed afterwards;
- a file that cannot be read is named in a sentence and does not hide the others;
- what is not known is None.
"""

import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.backtest import Result
from novapulse.config import home_folder
from novapulse.core.bars import DAY_NS, Floats, Integers
from novapulse.research.inputs import Markets, iso

VERSION = 1

_SUFFIX = ".json"
_NAME_LENGTH_MAX = 60


class SavedRunError(ValueError):
    """A saved run that cannot be written, read or deleted: one sentence naming the file."""


@dataclass(frozen=True)
class SavedRun:
    """What is kept of a backtest.

    Attributes:
        name: As its owner called it.
        saved_at: When, ISO 8601 in UTC.
        data_hash: Hash of the bars it ran on.
        data: Exchange, symbols, timeframe, start, end and bars.
        settings_hash: Hash of the settings it ran with.
        settings: Those settings.
        summary: Its figures; None where one is not known.
        day_ts_ns: Close of the last tick of each UTC day.
        equity: Equity at those ticks, quote.
        file: Name of its file without the folder; empty before it is saved.
    """

    name: str
    saved_at: str
    data_hash: str
    data: dict[str, Any]
    settings_hash: str
    settings: dict[str, Any]
    summary: dict[str, float | None]
    day_ts_ns: list[int] = field(repr=False)
    equity: list[float] = field(repr=False)
    file: str = ""


def runs_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of saved runs; it need not exist yet."""
    return home_folder(environment) / "runs"


def run_of(name: str, saved_at_ns: int, result: Result, markets: Markets, summary: Mapping[str, Any]) -> SavedRun:
    """Return what is kept of a backtest.

    Args:
        name: As people shall find it again; surrounding blanks go.
        saved_at_ns: Now.
        result: The run, with its curve.
        markets: What it ran on.
        summary: Its figures as they were shown.

    Raises:
        SavedRunError: The name is empty or too long, or there is no curve.
    """
    label = " ".join(name.split())
    if not label or len(label) > _NAME_LENGTH_MAX:
        raise SavedRunError(f"a run needs a name of 1 to {_NAME_LENGTH_MAX} characters, got {len(label)}")
    if result.equity.size == 0:
        raise SavedRunError("a run without an equity curve cannot be saved")
    days, equity = daily(result.equity_ts_ns, result.equity)
    described = markets.description
    return SavedRun(
        name=label,
        saved_at=iso(saved_at_ns // 1_000_000_000 * 1_000_000_000),
        data_hash=described["hash"],
        data={
            "exchange": described["instruments"][0]["exchange"],
            "symbols": [one["symbol"] for one in described["instruments"]],
            **{key: described[key] for key in ("timeframe", "start", "end", "bars")},
        },
        settings_hash=result.settings.hash,
        settings=result.settings.model_dump(mode="json"),
        summary={key: _known(value) for key, value in summary.items()},
        day_ts_ns=days.tolist(),
        equity=equity.tolist(),
    )


def daily(ts_ns: Integers, equity: Floats) -> tuple[Integers, Floats]:
    """Thin a curve to the last tick of each UTC day.

    Args:
        ts_ns: int64[T], closes, ascending.
        equity: float64[T], quote.
    """
    if ts_ns.size == 0:
        return ts_ns, equity
    day = (ts_ns - 1) // DAY_NS
    last = np.append(np.flatnonzero(np.diff(day)), ts_ns.size - 1)
    return ts_ns[last], equity[last]


def save(folder: Path, run: SavedRun) -> SavedRun:
    """Write a run and return it with the name of its file.

    Raises:
        SavedRunError: It cannot be written.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-") or "run"
    stamp = re.sub(r"\D", "", run.saved_at)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _free(folder, f"{stamp}_{stem}_{run.settings_hash[:8]}")
        _write(folder / file, {"version": VERSION, **_plain(run)})
    except OSError as wrong:
        raise SavedRunError(f"{folder}: the run cannot be written, {wrong.strerror or wrong}") from wrong
    return _named(run, file)


def load(path: Path) -> SavedRun:
    """Read one run.

    Raises:
        SavedRunError: It cannot be read, or is not a saved run.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as wrong:
        raise SavedRunError(f"saved run {path.name} cannot be read: {wrong.strerror or wrong}") from wrong
    except ValueError as wrong:
        raise SavedRunError(f"saved run {path.name} is damaged: it is no JSON text") from wrong
    return _checked(values, path.name)


def listed(folder: Path) -> tuple[list[SavedRun], list[str]]:
    """Return all runs, the newest first, and a sentence about each file that cannot be read."""
    runs, complaints = [], []
    for path in sorted(folder.glob(f"*{_SUFFIX}"), reverse=True):
        try:
            runs.append(load(path))
        except SavedRunError as wrong:
            complaints.append(str(wrong))
    return sorted(runs, key=lambda run: run.saved_at, reverse=True), complaints


def delete(folder: Path, file: str) -> None:
    """Delete one run.

    Raises:
        SavedRunError: There is no such run, or it cannot be deleted.
    """
    path = folder / file
    if path.parent != folder or path.suffix != _SUFFIX or not path.is_file():
        raise SavedRunError(f"there is no saved run {file!r}")
    try:
        path.unlink()
    except OSError as wrong:
        raise SavedRunError(f"saved run {file} cannot be deleted: {wrong.strerror or wrong}") from wrong


def _plain(run: SavedRun) -> dict[str, Any]:
    values = asdict(run)
    del values["file"]
    return values


def _named(run: SavedRun, file: str) -> SavedRun:
    return SavedRun(**{**_plain(run), "file": file})


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _free(folder: Path, stem: str) -> str:
    names = (f"{stem}{f'-{number}' if number else ''}{_SUFFIX}" for number in range(1000))
    return next(name for name in names if not (folder / name).exists())


def _write(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


_KINDS: dict[str, type] = {
    "name": str,
    "saved_at": str,
    "data_hash": str,
    "data": dict,
    "settings_hash": str,
    "settings": dict,
    "summary": dict,
    "day_ts_ns": list,
    "equity": list,
}


def _checked(values: Any, file: str) -> SavedRun:
    wanted = {one.name for one in fields(SavedRun)} - {"file"}
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise SavedRunError(f"saved run {file} is not a run of version {VERSION}")
    for key in sorted(wanted):
        if not isinstance(values.get(key), _KINDS[key]):
            raise SavedRunError(f"saved run {file} is damaged: {key} is missing or of the wrong kind")
    if len(values["day_ts_ns"]) != len(values["equity"]) or not all(
        isinstance(value, int | float) for value in (*values["day_ts_ns"], *values["equity"])
    ):
        raise SavedRunError(f"saved run {file} is damaged: equity does not fit its days")
    summary = {str(key): _known(value) for key, value in values["summary"].items()}
    return SavedRun(**{**{key: values[key] for key in wanted}, "summary": summary, "file": file})
