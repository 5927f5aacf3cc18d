"""Files of the lake: Parquet years and JSON sidecars, replaced whole or not at all.

Invariants:
- a file is written beside its place, synced, and moved over it: a reader sees the old one or the new one;
- several files of one append are all written before the first is moved, so a full disk changes nothing;
- whatever is wrong with a file, the error names it.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from novapulse.core.bars import Integers, format_ns
from novapulse.market.sessions import Sessions

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


def read_rows(
    folder: Path, years: Mapping[int, tuple[int, int]], start_ns: int | None, end_ns: int | None
) -> pl.DataFrame:
    """Return the recorded bars of a series that close in (start, end].

    Args:
        folder: The series.
        years: First and last close by year, ns UTC, in order.
        start_ns: Close before the first bar; None for all.
        end_ns: Close of the last bar; None for all.

    Raises:
        DataError: A file is missing or damaged.
    """
    parts = []
    for year, (first_ns, last_ns) in years.items():
        if (start_ns is None or last_ns > start_ns) and (end_ns is None or first_ns <= end_ns):
            frame = read_year(folder / f"{year}.parquet", list(BAR_COLUMNS))
            stamps = frame["ts_close_ns"].to_numpy()
            low = 0 if start_ns is None else int(np.searchsorted(stamps, start_ns, side="right"))
            high = frame.height if end_ns is None else int(np.searchsorted(stamps, end_ns, side="right"))
            parts.append(frame[low:high])
    empty = pl.DataFrame(schema={"ts_close_ns": pl.Int64, **dict.fromkeys(PRICE_COLUMNS, pl.Float64)})
    return pl.concat([empty, *parts], rechunk=True)


def by_year(frame: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the rows of each UTC year of the closes, in order."""
    years: Integers = frame["ts_close_ns"].to_numpy().astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64)
    for year in np.unique(years).tolist():
        first, last = np.searchsorted(years, (year, year + 1))
        yield 1970 + year, frame[int(first) : int(last)]


def merge(stored: pl.DataFrame, fresh: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return stored rows and new ones in time order; `stored` itself where nothing comes that it lacks.

    Args:
        stored: What the file holds.
        fresh: What comes, ascending.
        path: The file, for the message.

    Raises:
        DataError: A bar is in both and differs, in its prices or in an extra column that both know.
    """
    stamps, known = fresh["ts_close_ns"].to_numpy(), stored["ts_close_ns"].to_numpy()
    at = np.minimum(np.searchsorted(known, stamps), known.size - 1)
    there = known[at] == stamps
    for name in sorted(set(stored.columns) & set(fresh.columns)):
        before, now = stored[name].to_numpy()[at[there]], fresh[name].to_numpy()[there]
        differs = before != now
        if name not in BAR_COLUMNS:
            differs &= ~(np.isnan(before) | np.isnan(now))
        if differs.any():
            row = int(np.argmax(differs))
            raise DataError(
                f"{path}: bar closing {format_ns(int(stamps[there][row]))} is stored with {name} {before[row]} and "
                f"comes with {now[row]}"
            )
    gained = _gained(stored, fresh.filter(pl.Series(there)), at[there])
    completed = stored.with_columns(gained) if gained else stored
    added = fresh.filter(pl.Series(~there))
    return pl.concat([completed, added], how="diagonal").sort("ts_close_ns") if added.height else completed


def describe(frame: pl.DataFrame) -> dict[str, Any]:
    """Return what a sidecar says about one year."""
    stamps = frame["ts_close_ns"]
    return {"bars": frame.height, "first_ns": stamps[0], "last_ns": stamps[-1], "hash": year_hash(frame)}


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


def sessions_file(root: Path, name: str) -> Path:
    """Return where a lake keeps the sessions of an exchange, as the installed `exchange_calendars` knows them."""
    return root / "calendars" / f"{name}-{metadata.version('exchange_calendars')}.parquet"


def sessions_frame(sessions: Sessions) -> pl.DataFrame:
    """Return sessions as a table."""
    ends = np.isin(sessions.closes, sessions.session_closes)
    return pl.DataFrame({"open_ns": sessions.opens, "close_ns": sessions.closes, "ends_session": ends})


def read_sessions(path: Path) -> Sessions:
    """Return the sessions that `sessions_frame` made a table of.

    Raises:
        DataError: The file is damaged.
    """
    try:
        frame = pl.read_parquet(path)
        opens, closes = frame["open_ns"].to_numpy(), frame["close_ns"].to_numpy()
        return Sessions(opens, closes, closes[frame["ends_session"].to_numpy()])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as wrong:
        raise DataError(f"{path}: cannot be read as sessions ({_first_line(wrong)})") from wrong


def _gained(stored: pl.DataFrame, again: pl.DataFrame, rows: Integers) -> list[pl.Series]:
    columns = []
    for name in sorted(set(again.columns) - set(BAR_COLUMNS)):
        values = stored[name].to_numpy().copy() if name in stored.columns else np.full(stored.height, np.nan)
        comes = again[name].to_numpy()
        lacking = np.isnan(values[rows]) & ~np.isnan(comes)
        if lacking.any():
            values[rows[lacking]] = comes[lacking]
            columns.append(pl.Series(name, values).fill_nan(None))
    return columns


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(wrong: BaseException) -> str:
    return (str(wrong).strip() or type(wrong).__name__).splitlines()[0]
