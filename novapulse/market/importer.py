"""Bars from files into the lake.

Invariants:
- everything is checked before the first byte is written, and nothing is repaired: what does not fit is refused with the
  file, the column and the first row;
- what the stamps mean (open or close) is named by the caller or by the column itself, never guessed;
- rows are counted from 1, a header not counted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from novapulse.core.bars import DAY_NS, BarColumns, Flags, Integers, format_ns, timeframe_ns, timeframe_text
from novapulse.core.instruments import path_symbol
from novapulse.market.calendars import CONTINUOUS, CalendarError, calendar
from novapulse.market.lake import Lake
from novapulse.market.spelling import symbol_of
from novapulse.market.storage import PRICE_COLUMNS, DataError
from novapulse.market.tables import EXTRAS, Table, first_row, read_table

Stamps = Literal["open", "close"]

# Vendors stamp a close as the last moment before it, in their unit.
_JUST_BEFORE_NS = (1, 1_000, 1_000_000, 1_000_000_000)
_RECORDED = re.compile(r"^(?P<exchange>[a-z0-9]+)_(?P<symbol>[A-Z0-9.-]+)_(?P<timeframe>\d+[smhd])$")
_US_CALENDAR = "XNYS"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The file.
        exchange: Where the bars are from.
        symbol: Canonical symbol.
        timeframe: Width.
        stamps: How the file's stamps were read, `open` or `close`.
        stamp_column: The column they came from.
        added: Bars that are new in the lake.
        already_there: Bars that were in the lake, equal to the bit.
        sorted: True when the rows were not in time order and were sorted as asked.
        first_ns: Close of the file's first bar.
        last_ns: Close of the file's last bar.
    """

    path: Path
    exchange: str
    symbol: str
    timeframe: str
    stamps: Stamps
    stamp_column: str
    added: int
    already_there: int
    sorted: bool
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file named `exchange_SYMBOL_timeframe.parquet`, and what its name says."""

    path: Path
    exchange: str
    symbol: str
    timeframe: str
    calendar: str


def import_file(
    lake: Lake,
    path: str | Path,
    exchange: str,
    symbol: str,
    timeframe: str,
    stamps: Stamps | None = None,
    *,
    calendar_name: str = CONTINUOUS,
    zone: str | None = None,
    sort: bool = False,
) -> ImportReport:
    """Import a Parquet or CSV file into a lake.

    Args:
        lake: Where the bars go.
        path: The file.
        exchange: Lower-case id.
        symbol: `BTC/USD`, `BTC-USD` or `SPY`.
        timeframe: Width, e.g. `1m`.
        stamps: Whether the file stamps bars with their open or their close; None only where the column's name says it.
        calendar_name: `24/7`, or the exchange calendar of a stock.
        zone: IANA zone of stamps that name none; None refuses them.
        sort: Accept rows that are not in time order.

    Returns:
        What was added.

    Raises:
        DataError: The file, its stamps or its bars cannot be used; nothing was written.
    """
    path = Path(path)
    try:
        width = timeframe_ns(timeframe)
    except ValueError as wrong:
        raise DataError(str(wrong)) from wrong
    table = read_table(path, zone)
    meaning = _meaning(path, table, stamps)
    _refuse_other_symbols(path, table, symbol)
    closes = _closes(path, table, meaning, width, calendar_name)
    order, was_sorted = _time_order(path, table, closes, sort)
    _refuse_the_impossible(path, table)
    values = {name: column[order] for name, column in table.values.items()}
    closes = closes[order]
    bars = BarColumns.checked(
        closes,
        *(values[name] for name in PRICE_COLUMNS),
        timeframe_ns=width,
        number=np.arange(closes.size),
    )
    done = lake.append(
        exchange,
        symbol,
        timeframe,
        bars,
        calendar_name=calendar_name,
        source=f"{path.name}, {meaning} stamps in column {table.stamp_column}",
        extras={name: values[name] for name in EXTRAS if name in values},
    )
    return ImportReport(
        path,
        exchange,
        symbol_of(symbol),
        timeframe,
        meaning,
        table.stamp_column,
        done.added,
        done.already_there,
        was_sorted,
        int(closes[0]),
        int(closes[-1]),
    )


def recorded_file(path: str | Path) -> RecordedFile | None:
    """Return what a file's name says, e.g. `binance_BTC-USDT_1m.parquet`, or None when it is not named like that.

    Exchange `us` stands for the stocks of the New York calendar; a year or date behind a stock's name
    (`us_SPY-2011_1m`) belongs to the file and not to the symbol; `-PERP` marks a perpetual.
    """
    path = Path(path)
    named = _RECORDED.match(path.stem)
    if path.suffix != ".parquet" or named is None:
        return None
    stock = named["exchange"] == "us"
    symbol = re.sub(r"-(\d{4}|\d{8})$", "", named["symbol"]) if stock else named["symbol"]
    try:
        canonical = symbol_of(symbol)
    except DataError:
        return None
    if stock and "/" in canonical:
        return None
    return RecordedFile(path, named["exchange"], canonical, named["timeframe"], _US_CALENDAR if stock else CONTINUOUS)


def recorded_files(folder: str | Path) -> list[RecordedFile]:
    """Return the recorded bar files of a folder, by name."""
    found = (recorded_file(path) for path in sorted(Path(folder).glob("*.parquet")))
    return [file for file in found if file is not None]


def read_recorded(lake: Lake, path: str | Path) -> Iterator[ImportReport]:
    """Import recorded files with open stamps, named `exchange_SYMBOL_timeframe.parquet`, one after the other.

    Args:
        lake: Where the bars go.
        path: One such file, or a folder of them; other files of the folder are passed over.

    Yields:
        A report after each file.

    Raises:
        DataError: The path has no such file, or a file cannot be used.
    """
    path = Path(path)
    files = recorded_files(path) if path.is_dir() else [file for file in [recorded_file(path)] if file]
    if not files:
        raise DataError(f"{path}: no file named like binance_BTC-USDT_1m.parquet")
    for file in files:
        yield import_file(
            lake, file.path, file.exchange, file.symbol, file.timeframe, "open", calendar_name=file.calendar
        )


def _meaning(path: Path, table: Table, stamps: Stamps | None) -> Stamps:
    named: Stamps | None = "open" if table.stamped == "open" else "close" if table.stamped == "close" else None
    if stamps is not None and named is not None and stamps != named:
        raise DataError(f"{path}: column {table.stamp_column} holds {named} stamps, not {stamps} stamps")
    meaning = stamps or named
    if meaning is None:
        raise DataError(
            f"{path}: column {table.stamp_column} does not say whether a stamp is a bar's open or its close: say "
            "stamps open or stamps close (--stamps on the command line)"
        )
    return meaning


def _refuse_other_symbols(path: Path, table: Table, symbol: str) -> None:
    if table.symbols is None:
        return
    names = table.symbols.cast(str).fill_null("")
    other = names != names[0]
    if other.any():
        row = first_row(other)
        raise DataError(
            f"{path}: column {names.name}, row {row}: {names[row - 1]!r} after {names[0]!r}: bars of several symbols "
            "cannot go into one series"
        )
    if _letters(names[0]) not in (_letters(symbol), _letters(path_symbol(symbol_of(symbol)))):
        raise DataError(f"{path}: column {names.name}, row 1: bars of {names[0]!r}, not of {symbol}")


def _letters(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def _closes(path: Path, table: Table, meaning: Stamps, width: int, calendar_name: str) -> Integers:
    stamps = table.stamps_ns
    try:
        market = calendar(calendar_name)
        labels = table.dates and width == DAY_NS and calendar_name != CONTINUOUS
        if meaning == "open" or labels:
            closes = market.closes_of_opens(stamps, width)
        else:
            closes = stamps
            for before in _JUST_BEFORE_NS:
                closes = np.where(closes % (1000 * before) == 999 * before, closes + before, closes)
            closes = np.where((stamps + 1_000_000_000) % width == 0, stamps + 1_000_000_000, closes)
        regular = market.regular(closes)
        stray = ~regular & ~market.near_session(closes)
        off = regular & ~market.on_grid(closes, width)
    except CalendarError as wrong:
        if wrong.row is None:
            raise DataError(f"{path}: {wrong}") from wrong
        stray, off = (np.arange(stamps.size) == wrong.row, np.zeros(stamps.size, np.bool_))
        closes = stamps
    _refuse_stamp(path, table, stray, f"is no session of {calendar_name}, nor near one")
    _refuse_stamp(path, table, off, f"is not on the grid of {timeframe_text(width)} bars of {calendar_name}")
    return closes


def _refuse_stamp(path: Path, table: Table, bad: Flags, what: str) -> None:
    if bad.any():
        row = first_row(bad)
        stamp = format_ns(int(table.stamps_ns[row - 1]))
        raise DataError(f"{path}: column {table.stamp_column}, row {row}: {stamp} {what}")


def _time_order(path: Path, table: Table, closes: Integers, sort: bool) -> tuple[Integers, bool]:
    where = f"{path}: column {table.stamp_column}, row "
    order = np.argsort(closes, kind="stable")
    unsorted = bool((np.diff(closes) < 0).any())
    twice = np.diff(closes[order]) == 0
    if twice.any():
        at = int(np.argmax(twice))
        first, second = int(order[at]) + 1, int(order[at + 1]) + 1
        stamp = format_ns(int(table.stamps_ns[second - 1]))
        raise DataError(f"{where}{second}: {stamp} is a duplicate of row {first} ({int(twice.sum())} in all)")
    if unsorted and not sort:
        row = first_row(np.diff(closes) < 0) + 1
        stamp = format_ns(int(table.stamps_ns[row - 1]))
        raise DataError(f"{where}{row}: {stamp} is earlier than the row before; the file is not sorted by time")
    return order, unsorted


def _refuse_the_impossible(path: Path, table: Table) -> None:
    values = table.values
    for name in PRICE_COLUMNS:
        column = values[name]
        _refuse(path, table, name, np.isnan(column), "is not a number")
        _refuse(path, table, name, np.isinf(column), "is infinite")
        _refuse(path, table, name, column < 0, "is negative")
        if name != "volume":
            _refuse(path, table, name, column == 0, "is zero")
    _refuse(path, table, "high", values["high"] < values["low"], "is below low")
    _refuse(path, table, "low", values["low"] > np.minimum(values["open"], values["close"]), "is above open or close")
    _refuse(path, table, "high", values["high"] < np.maximum(values["open"], values["close"]), "is below open or close")
    if "vwap" in values:
        _refuse_swapped_volume(path, table)


def _refuse_swapped_volume(path: Path, table: Table) -> None:
    low, high = table.values["low"], table.values["high"]
    within = {name: (table.values[name] >= low) & (table.values[name] <= high) for name in ("volume", "vwap")}
    if within["volume"].mean() > 0.5 > within["vwap"].mean():
        raise DataError(
            f"{path}: columns volume and vwap look swapped: volume lies between low and high, vwap does not"
        )


def _refuse(path: Path, table: Table, name: str, bad: Flags, what: str) -> None:
    if bad.any():
        row = first_row(bad)
        stamp = format_ns(int(table.stamps_ns[row - 1]))
        more = int(bad.sum()) - 1
        rest = f" (and {more} more rows)" if more else ""
        raise DataError(
            f"{path}: column {name}, row {row}, stamped {stamp}: {table.values[name][row - 1]} {what}{rest}"
        )
