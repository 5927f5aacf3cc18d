"""Files of the lake: Parquet years and JSON sidecars, replaced whole or not at all.

Invariants:
- a file is written beside its place, synced, and moved over it: a reader sees the old one or the new one;
- several files of one append are all written before the first is moved, so a full disk changes nothing;
- whatever is wrong with a file, the error names it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
BAR_COLUMNS = ("ts_close_ns", *PRICE_COLUMNS)


class DataError(ValueError):
    """Data that cannot be used: one sentence naming the file, the column and the first row that is wrong."""


def read_year(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Return one year of a series as it was recorded.

    Args:
        path: A Parquet file of the lake.
        columns: Names to read; None reads all.

    Raises:
        DataError: The file is missing, damaged or no file of the lake.
    """
    try:
        frame = pl.read_parquet(path, columns=columns).rechunk()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as wrong:
        raise DataError(f"{path}: cannot be read as Parquet ({_first_line(wrong)})") from wrong
    kinds = [frame.schema.get(name) for name in BAR_COLUMNS]
    if kinds != [pl.Int64, *[pl.Float64] * len(PRICE_COLUMNS)]:
        raise DataError(f"{path}: expected columns {', '.join(BAR_COLUMNS)} (int64, then float64), got {frame.schema}")
    empty = [name for name in BAR_COLUMNS if frame[name].null_count()]
    if empty:
        raise DataError(f"{path}: column {empty[0]} has empty values")
    return frame


def year_hash(frame: pl.DataFrame) -> str:
    """Return the sha256 of a year's columns: it depends on names and values, not on how the file is laid out."""
    digest = hashlib.sha256()
    for name in [*BAR_COLUMNS, *sorted(set(frame.columns) - set(BAR_COLUMNS))]:
        digest.update(f"{name}:{frame.height}\0".encode())
        digest.update(frame[name].to_numpy().tobytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return a sidecar.

    Raises:
        DataError: The file is missing or no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise DataError(f"{path}: cannot be read as JSON ({_first_line(wrong)})") from wrong
    if not isinstance(values, dict):
        raise DataError(f"{path}: expected a JSON object")
    return values


def replace_all(frames: Mapping[Path, pl.DataFrame], sidecar: Path, facts: Mapping[str, Any]) -> None:
    """Write Parquet files and their sidecar, each one atomically, the sidecar last.

    Args:
        frames: Content by final place.
        sidecar: Final place of the JSON.
        facts: JSON values.

    Raises:
        DataError: A file cannot be written; then none was replaced.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, frame in frames.items():
            staged[path] = _beside(path)
            frame.write_parquet(staged[path], compression="zstd")
            _sync(staged[path])
        staged[sidecar] = _beside(sidecar)
        staged[sidecar].write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _sync(staged[sidecar])
        for path, temporary in staged.items():
            os.replace(temporary, path)
        for folder in {path.parent for path in staged}:
            _sync(folder)
    except (OSError, pl.exceptions.PolarsError) as wrong:
        raise DataError(f"{sidecar.parent}: cannot be written ({_first_line(wrong)})") from wrong
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(wrong: BaseException) -> str:
    return (str(wrong).strip() or type(wrong).__name__).splitlines()[0]
