"""Foreign files of bars, Parquet or CSV, as typed columns: which column is what, and what its stamps mean.

Invariants:
- columns are taken by name; by position only in files without a header whose layout leaves no doubt;
- stamps become ns UTC only when their unit and zone are certain;
- rows are counted from 1, a header not counted; every error names file, column and first row.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from novapulse.core.bars import DAY_NS, Flags, Floats, Integers
from novapulse.market.storage import PRICE_COLUMNS, DataError

NAMES = {
    "close_stamp": ("ts_close_ns", "ts_close", "close_time", "closetime", "close_timestamp"),
    "open_stamp": ("open_time", "opentime", "ts_open", "ts_open_ns", "open_timestamp"),
    "stamp": ("ts", "time", "timestamp", "date", "datetime", "date_time", "unix", "unixtime", "t"),
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c"),
    "volume": ("volume", "vol", "base_volume", "volume_base", "v"),
    "vwap": ("vwap", "vw", "weighted_average"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "volume_quote", "quotevolume", "turnover"),
    "trades": ("trades", "trade_count", "number_of_trades", "count", "n"),
    "symbol": ("symbol", "ticker", "pair", "instrument", "market"),
}
EXTRAS = ("vwap", "quote_volume", "trades")

# Layouts without a header that exchanges publish: bars; bars with a trade count; bars of twelve columns.
_HEADERLESS = {
    6: ("stamp", *PRICE_COLUMNS),
    7: ("stamp", *PRICE_COLUMNS, "trades"),
    12: ("open_stamp", *PRICE_COLUMNS, "_close_stamp", "quote_volume", "trades", "_", "__", "___"),
}
_UNITS = ((10**11, 10**9, "s"), (10**14, 10**6, "ms"), (10**17, 10**3, "us"), (2**63, 1, "ns"))
_ZONED = re.compile(r"(Z|[+-]\d{2}:?\d{2}|[+-]\d{2}|UTC|GMT)$")
_DATE = re.compile(r"^\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns under our names.

    Attributes:
        stamps_ns: int64[N], ns UTC, as the file has them.
        stamped: `open` or `close` where the column's name says so, else empty.
        stamp_column: Name of the column the stamps come from.
        dates: True when the stamps are dates without a time of day.
        values: float64[N] by our name: prices, volume, extras.
        symbols: The symbol column, if there is one.
    """

    stamps_ns: Integers
    stamped: str
    stamp_column: str
    dates: bool
    values: dict[str, Floats]
    symbols: pl.Series | None


def read_table(path: Path, zone: str | None = None) -> Table:
    """Read a file of bars.

    Args:
        path: `.parquet`/`.pq`, or a text file with `,` `;` or tab between columns.
        zone: IANA zone of stamps that name none; None refuses them.

    Raises:
        DataError: The file is empty or damaged, a column is missing, twice there or no number, or stamps are uncertain.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    frame = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_text(path)
    if frame.height == 0:
        raise DataError(f"{path}: there are no rows")
    names = _roles(path, frame.columns)
    role = next((role for role in ("open_stamp", "close_stamp", "stamp") if role in names), None)
    missing = [name for name in PRICE_COLUMNS if name not in names]
    if role is None or missing:
        wanted = "a time (such as ts, timestamp, date, open_time)" if role is None else f"column {missing[0]}"
        raise DataError(f"{path}: {wanted} is missing; found {', '.join(frame.columns)}")
    stamps, dates = _stamps(path, frame[names[role]], zone)
    values = {name: _numbers(path, frame[names[name]]) for name in (*PRICE_COLUMNS, *EXTRAS) if name in names}
    stamped = {"open_stamp": "open", "close_stamp": "close"}.get(role, "")
    symbols = frame[names["symbol"]] if "symbol" in names else None
    return Table(stamps, stamped, names[role], dates, values, symbols)


def first_row(bad: Flags | pl.Series) -> int:
    """Return the first row, counted from 1, where a mask is True."""
    return int(np.argmax(np.asarray(bad))) + 1


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as wrong:
        raise DataError(f"{path}: cannot be read as Parquet ({str(wrong).splitlines()[0]})") from wrong


def _read_text(path: Path) -> pl.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
    except (OSError, UnicodeDecodeError) as wrong:
        raise DataError(f"{path}: cannot be read as text ({wrong})") from wrong
    separator = max(",;\t", key=head.count)
    cells = next(csv.reader([head], delimiter=separator), [])
    headerless = bool(cells) and all(_is_number(cell) for cell in cells[1:6]) and len(cells) > 1
    if headerless and len(cells) not in _HEADERLESS:
        raise DataError(
            f"{path}: {len(cells)} columns without a header leave open which is which; add a line with their names"
        )
    if not headerless and len({cell.strip().lower() for cell in cells}) < len(cells):
        raise DataError(f"{path}: a column name stands twice in the header: {', '.join(cells)}")
    try:
        frame = pl.read_csv(path, separator=separator, has_header=not headerless, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as wrong:
        ragged = _ragged_row(path, separator, len(cells), headerless)
        what = f"row {ragged}: not {len(cells)} columns" if ragged else str(wrong).splitlines()[0]
        raise DataError(f"{path}: cannot be read as CSV, {what}") from wrong
    if headerless:
        frame.columns = list(_HEADERLESS[len(cells)])
    return frame


def _ragged_row(path: Path, separator: str, columns: int, headerless: bool) -> int | None:
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        for row, cells in enumerate(csv.reader(file, delimiter=separator), start=int(headerless)):
            if cells and len(cells) != columns:
                return row
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _roles(path: Path, columns: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, aliases in NAMES.items():
        matches = [name for name in columns if re.sub(r"[\s-]+", "_", name.strip().lower()) in (role, *aliases)]
        if len(matches) > 1:
            raise DataError(f"{path}: columns {matches[0]} and {matches[1]} both look like {role.replace('_', ' ')}")
        if matches:
            found[role] = matches[0]
    return found


def _numbers(path: Path, column: pl.Series) -> Floats:
    cast = column.cast(pl.String).str.strip_chars() if column.dtype == pl.String else column
    values = cast.cast(pl.Float64, strict=False)
    bad = values.is_null()
    if bad.any():
        row = first_row(bad)
        what = f"{column[row - 1]!r} is no number" if column[row - 1] else "the value is missing"
        raise DataError(f"{path}: column {column.name}, row {row}: {what}")
    return np.ascontiguousarray(values.to_numpy())


def _stamps(path: Path, column: pl.Series, zone: str | None) -> tuple[Integers, bool]:
    if column.null_count():
        raise DataError(f"{path}: column {column.name}, row {first_row(column.is_null())}: the time is missing")
    if column.dtype == pl.Date:
        return column.cast(pl.Int32).to_numpy().astype(np.int64) * DAY_NS, True
    if isinstance(column.dtype, pl.Datetime):
        if column.dtype.time_zone is None:
            column = _localised(path, column, zone)
        return _as_ns(column), False
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        if not _is_number(column[0]) or _DATE.match(column[0]):
            return _parsed(path, column, zone)
    return _epochs(path, column), False


def _epochs(path: Path, column: pl.Series) -> Integers:
    values = column.cast(pl.Float64, strict=False)
    whole = column.cast(pl.Int64, strict=False)
    # 1609459200.0 is a whole number of seconds, written by a program that made it a float.
    whole = whole.fill_null(values.cast(pl.Int64, strict=False))
    bad = values.is_null() | whole.is_null() | ~values.is_finite() | (values != values.floor()) | (values <= 0)
    if bad.any():
        row = first_row(bad.fill_null(True))
        raise DataError(f"{path}: column {column.name}, row {row}: {column[row - 1]!r} is no time")
    stamps = whole.to_numpy()
    limit, factor, unit = next(known for known in _UNITS if stamps[0] < known[0])
    other = (stamps >= limit) | (stamps < (limit // 1000 if unit != "s" else 0))
    if other.any():
        row = first_row(other)
        raise DataError(f"{path}: column {column.name}, row {row}: {stamps[row - 1]} is not in {unit} as row 1 is")
    return stamps * factor


def _parsed(path: Path, column: pl.Series, zone: str | None) -> tuple[Integers, bool]:
    where = f"{path}: column {column.name}, row "
    first_zone = _zone_of(column[0])
    zones = column.str.extract(_ZONED.pattern, 1).fill_null("") if not _DATE.match(column[0]) else None
    if zones is not None and zones.n_unique() > 1:
        row = first_row(zones != zones[0])
        raise DataError(
            f"{where}{row}: {column[row - 1]!r} has zone {zones[row - 1] or 'none'} where row 1 has "
            f"{zones[0] or 'none'}: mixed time zones"
        )
    text = column.str.replace(_ZONED.pattern, "") if first_zone else column
    text = text.str.strip_chars().str.replace("T", " ", literal=True).str.replace_all("/", "-", literal=True)
    dates = bool(_DATE.match(column[0]))
    parsed = _datetimes(text, dates)
    if parsed.null_count():
        row = first_row(parsed.is_null())
        raise DataError(f"{where}{row}: {column[row - 1]!r} is no time such as 2024-01-31 12:00:00Z, as row 1 is")
    if dates:
        return _as_ns(parsed), True
    if first_zone:
        return _as_ns(parsed) - _offset_ns(first_zone), False
    return _as_ns(_localised(path, parsed.alias(column.name), zone)), False


def _datetimes(text: pl.Series, dates: bool) -> pl.Series:
    forms = ["%Y-%m-%d", "%Y%m%d"] if dates else ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
    tried = [text.str.to_datetime(form, time_unit="ns", strict=False) for form in forms]
    return min(tried, key=lambda parsed: parsed.null_count())


def _zone_of(text: str) -> str:
    found = _ZONED.search(text)
    return found.group(1) if found and not _DATE.match(text) else ""


def _offset_ns(zone: str) -> int:
    if zone in ("Z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return (seconds if zone[0] == "+" else -seconds) * 1_000_000_000


def _localised(path: Path, column: pl.Series, zone: str | None) -> pl.Series:
    if zone is None:
        raise DataError(
            f"{path}: column {column.name}, row 1: {column[0]} names no time zone; say which one it is, such as UTC"
        )
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as wrong:
        raise DataError(f"time zone {zone!r}: expected an IANA name such as UTC or America/New_York") from wrong
    aware = column.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    if aware.null_count():
        row = first_row(aware.is_null())
        raise DataError(
            f"{path}: column {column.name}, row {row}: {column[row - 1]} happens twice or never in {zone}: "
            "clocks change"
        )
    return aware


def _as_ns(column: pl.Series) -> Integers:
    return np.ascontiguousarray(column.dt.cast_time_unit("ns").dt.timestamp("ns").to_numpy()).astype(np.int64)
