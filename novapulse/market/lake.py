"""The lake: recorded bars in Parquet, `exchange/symbol/timeframe/year.parquet`, years by the UTC close.

Invariants:
- only what was recorded is stored; flat bars for quiet intervals are made when reading, and flagged;
- a range is (start, end] on closes, and reading a range equals reading everything and cutting it;
- a stored bar never changes: an append whose overlap differs is refused, and then nothing is written; extra columns
  that a stored bar lacks are added to it;
- appends to one series wait for each other, so none of two at once is lost; readers never wait;
- `content_hash` depends on the bars alone, not on files, chunks or the order of appends.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, BarError, Integers, timeframe_ns
from novapulse.core.instruments import Instrument, path_symbol
from novapulse.market import facts
from novapulse.market.calendars import CONTINUOUS, Calendar, CalendarError, calendar
from novapulse.market.locks import writing
from novapulse.market.resample import fill_flat
from novapulse.market.sessions import Exchange, load_sessions
from novapulse.market.spelling import When, stamp_ns, symbol_of
from novapulse.market.storage import (
    BAR_COLUMNS,
    PRICE_COLUMNS,
    DataError,
    by_year,
    describe,
    merge,
    read_json,
    read_rows,
    read_sessions,
    read_year,
    replace_all,
    sessions_file,
    sessions_frame,
    year_hash,
)

QUIET_NS_MAX = 120 * MINUTE_NS

_MARGIN_NS = 10 * DAY_NS
_SERIES, _INSTRUMENT = "series.json", "instrument.json"


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One series of the lake, as its sidecar describes it.

    Attributes:
        exchange: Lower-case id.
        symbol: Canonical symbol.
        timeframe: Width, e.g. `1m`.
        calendar: `24/7` or an exchange calendar.
        bars: Recorded bars.
        first_ns: Close of the first bar.
        last_ns: Close of the last bar.
        source: Where the newest append came from, and how it was stamped.
        content_hash: sha256 of all recorded bars.
    """

    exchange: str
    symbol: str
    timeframe: str
    calendar: str
    bars: int
    first_ns: int
    last_ns: int
    source: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What an append did: bars added, and bars that were there already, equal to the bit in what both know."""

    added: int
    already_there: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Bars that were read, and what was done to them.

    Attributes:
        bars: The columns.
        content_hash: sha256 of the columns, made bars included.
        made: Flat bars made for intervals without trades.
        outside_sessions: Recorded bars of the range left out because the market was not in a regular session.
        calendar: Name of the calendar.
    """

    bars: BarColumns
    content_hash: str
    made: int
    outside_sessions: int
    calendar: str


class Lake:
    """Recorded bars under one folder. Methods read the files anew each time; instances hold nothing else."""

    def __init__(self, path: str | Path) -> None:
        """Name the folder; it is created by the first append."""
        self.path = Path(path)

    def bars(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        start: When = None,
        end: When = None,
        flat_fill_max_bars: int | None = None,
    ) -> BarColumns:
        """Return the bars that close in (start, end]; arguments and errors as in `read`."""
        return self.read(exchange, symbol, timeframe, start, end, flat_fill_max_bars).bars

    def read(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        start: When = None,
        end: When = None,
        flat_fill_max_bars: int | None = None,
    ) -> Reading:
        """Read the bars that close in (start, end].

        Args:
            exchange: Lower-case id.
            symbol: `BTC/USD`, `BTC-USD`, `FIL-USDT-PERP` or `SPY`.
            timeframe: Width, e.g. `1m`.
            start: Close before the first bar, ns UTC, ISO 8601 (UTC unless it names a zone), a datetime with a time
                zone, a date (its 00:00 UTC) or np.datetime64 (UTC); None for all.
            end: Close of the last bar, in the same forms; None for all.
            flat_fill_max_bars: Longest run without trades that is filled with flat bars; None is as many as fit into
                two hours (none for daily bars). Longer runs stay gaps.

        Raises:
            DataError: There is no such series, a file is damaged, or a time cannot be read.
        """
        folder, info = self._find(exchange, symbol, timeframe)
        width = timeframe_ns(timeframe)
        quiet = QUIET_NS_MAX // width if flat_fill_max_bars is None else flat_fill_max_bars
        start_ns, end_ns = stamp_ns(start), stamp_ns(end)
        margin = quiet * width + _MARGIN_NS
        frame = read_rows(
            folder,
            _years(info),
            None if start_ns is None else start_ns - margin,
            None if end_ns is None else end_ns + margin,
        )
        stamps = frame["ts_close_ns"].to_numpy()
        market = self.calendar(info["calendar"])
        regular = market.regular(stamps)
        outside = stamps[~regular]
        if outside.size:
            frame = frame.filter(pl.Series(regular))
        bars = _checked(frame, folder, market, width)
        bars = fill_flat(bars, market, quiet).between(start_ns, end_ns)
        return Reading(
            bars,
            content_hash(bars),
            int(bars.made.sum()),
            _count_between(outside, start_ns, end_ns),
            info["calendar"],
        )

    def series(self) -> list[SeriesInfo]:
        """List what the lake holds, by exchange, symbol and width.

        Raises:
            DataError: A sidecar is damaged.
        """
        return self._listed("*/*")

    def _listed(self, below: str) -> list[SeriesInfo]:
        infos = [_info(read_json(path)) for path in self.path.glob(f"{below}/*/{_SERIES}")]
        return sorted(infos, key=lambda info: (info.exchange, info.symbol, timeframe_ns(info.timeframe)))

    def instrument(self, exchange: str, symbol: str) -> Instrument:
        """Return an instrument as its venue described it, or as its bars show it (`inferred`).

        Raises:
            DataError: There is no bar of it in the lake, or a file is damaged.
        """
        folder = self._symbol_folder(exchange, symbol)
        found = self._listed(f"{folder.parent.name}/{folder.name}")
        given = folder / _INSTRUMENT
        if given.is_file():
            try:
                return facts.from_json(read_json(given)["facts"])
            except (KeyError, ValueError) as wrong:
                raise DataError(f"{given}: {wrong}") from wrong
        if not found:
            raise self._unknown(exchange, symbol, None)
        narrowest = found[0]
        folder, info = self._find(exchange, symbol, narrowest.timeframe)
        frame = read_rows(folder, _years(info), None, None)
        prices = [frame[name].to_numpy() for name in ("open", "high", "low", "close")]
        return facts.inferred(exchange, narrowest.symbol, narrowest.calendar, prices, frame["volume"].to_numpy())

    def set_instrument(self, instrument: Instrument, as_of: str, source: str) -> None:
        """Keep what a venue says about an instrument.

        Args:
            instrument: The venue's own steps, minimums and fees; not `inferred`.
            as_of: Date of the snapshot, `2026-03-01`.
            source: Where it came from.

        Raises:
            DataError: The instrument was inferred, the date cannot be read, or the file cannot be written.
        """
        if instrument.inferred:
            raise DataError(f"{instrument.key}: steps read off the bars are no facts of the venue")
        stamp_ns(as_of)
        sidecar = self._symbol_folder(instrument.exchange, instrument.symbol) / _INSTRUMENT
        replace_all({}, sidecar, {"as_of": as_of, "source": source, "facts": facts.to_json(instrument)})

    def append(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        bars: BarColumns,
        *,
        calendar_name: str = CONTINUOUS,
        source: str = "",
        extras: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> AppendReport:
        """Add recorded bars to a series, creating it where it does not exist.

        Args:
            exchange: Lower-case id.
            symbol: As in `read`.
            timeframe: Width, e.g. `1m`.
            bars: Checked columns; their numbers are not stored, and bars that were made are left out.
            calendar_name: The series' calendar; must be the same on every append.
            source: Where the bars came from, kept in the sidecar.
            extras: More columns by name, float64[N] each.

        Raises:
            CalendarError: Nobody knows a calendar of this name.
            DataError: The overlap with stored bars differs, the calendar or width is another one, or a file cannot be
                read or written; nothing was written.
        """
        symbol = symbol_of(symbol)
        if bars.timeframe_ns != timeframe_ns(timeframe):
            raise DataError(f"bars of {bars.timeframe_ns / 1e9:g} s cannot go into a {timeframe} series")
        fresh = _frame(bars, extras or {})
        folder = self._symbol_folder(exchange, symbol) / timeframe
        with writing(folder):
            return self._append(folder, (exchange, symbol, timeframe), fresh, calendar_name, source)

    def _append(
        self, folder: Path, key: tuple[str, str, str], fresh: pl.DataFrame, calendar_name: str, source: str
    ) -> AppendReport:
        facts_before = read_json(folder / _SERIES) if (folder / _SERIES).is_file() else {"years": {}}
        if facts_before.get("calendar", calendar_name) != calendar_name:
            raise DataError(f"{folder}: the series has calendar {facts_before['calendar']}, not {calendar_name}")
        years = dict(facts_before["years"])
        frames: dict[Path, pl.DataFrame] = {}
        for year, part in by_year(fresh):
            path = folder / f"{year}.parquet"
            stored = read_year(path) if path.is_file() else None
            merged = part if stored is None else merge(stored, part, path)
            if str(year) not in years or merged is not stored:
                frames[path] = merged
                years[str(year)] = describe(merged)
        after = {
            **dict(zip(("exchange", "symbol", "timeframe"), key, strict=True)),
            "calendar": calendar_name,
            "source": source or facts_before.get("source", ""),
            "years": years,
        }
        if frames:
            frames |= self._missing_sessions(calendar_name)
            replace_all(frames, folder / _SERIES, after)
        added = sum(y["bars"] for y in years.values()) - sum(y["bars"] for y in facts_before["years"].values())
        return AppendReport(added, fresh.height - added)

    def calendar(self, name: str) -> Calendar:
        """Return a calendar, from the sessions kept in the lake where they are (a hundred times faster).

        Raises:
            CalendarError: Nobody knows a calendar of this name.
            DataError: The file of sessions is damaged.
        """
        if name != CONTINUOUS:
            kept = sessions_file(self.path, name)
            if kept.is_file():
                return Exchange(name, read_sessions(kept))
        return calendar(name)

    def verify(self, exchange: str, symbol: str, timeframe: str) -> int:
        """Compare a series' files with the hashes of its sidecar and return how many bars they hold.

        Raises:
            DataError: A file is missing, damaged or differs from its hash.
        """
        folder, info = self._find(exchange, symbol, timeframe)
        total = 0
        for year, facts_of_year in sorted(info["years"].items()):
            path = folder / f"{year}.parquet"
            frame = read_year(path)
            if year_hash(frame) != facts_of_year["hash"]:
                raise DataError(f"{path}: content differs from the hash in {_SERIES}")
            total += frame.height
        return total

    def _missing_sessions(self, calendar_name: str) -> dict[Path, pl.DataFrame]:
        if calendar_name == CONTINUOUS or sessions_file(self.path, calendar_name).is_file():
            return {}
        return {sessions_file(self.path, calendar_name): sessions_frame(load_sessions(calendar_name))}

    def _symbol_folder(self, exchange: str, symbol: str) -> Path:
        if not exchange.isidentifier() or exchange != exchange.lower():
            raise DataError(f"exchange {exchange!r}: expected a lower-case id such as 'kraken'")
        return self.path / exchange / path_symbol(symbol_of(symbol))

    def _find(self, exchange: str, symbol: str, timeframe: str) -> tuple[Path, dict[str, Any]]:
        folder = self._symbol_folder(exchange, symbol) / timeframe
        if not (folder / _SERIES).is_file():
            raise self._unknown(exchange, symbol, timeframe)
        info = read_json(folder / _SERIES)
        _info(info)
        return folder, info

    def _unknown(self, exchange: str, symbol: str, timeframe: str | None) -> DataError:
        names = {f"{info.exchange} {path_symbol(info.symbol)} {info.timeframe}" for info in self.series()}
        wanted = f"{exchange} {path_symbol(symbol_of(symbol))} {timeframe or ''}".strip()
        near = difflib.get_close_matches(wanted, sorted(names), n=5, cutoff=0.4)
        if not names:
            return DataError(f"no bars of {wanted}: the lake at {self.path} is empty")
        return DataError(f"no bars of {wanted} in {self.path}; nearest: {', '.join(near or sorted(names)[:5])}")


def content_hash(bars: BarColumns) -> str:
    """Return the sha256 of bars: width, closes, prices, volume, numbers and flags."""
    digest = hashlib.sha256(f"{bars.timeframe_ns}:{len(bars)}\0".encode())
    columns = (bars.ts_close_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.number, bars.made)
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _info(values: dict[str, Any]) -> SeriesInfo:
    try:
        years = sorted(values["years"].items())
        hashes = "".join(f"{year}:{facts_of_year['hash']}\n" for year, facts_of_year in years)
        return SeriesInfo(
            exchange=values["exchange"],
            symbol=values["symbol"],
            timeframe=values["timeframe"],
            calendar=values["calendar"],
            bars=sum(facts_of_year["bars"] for _, facts_of_year in years),
            first_ns=years[0][1]["first_ns"],
            last_ns=years[-1][1]["last_ns"],
            source=values["source"],
            content_hash=hashlib.sha256(hashes.encode()).hexdigest(),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as wrong:
        raise DataError(f"{_SERIES} of {values.get('symbol', 'a series')} is incomplete: {wrong}") from wrong


def _years(info: dict[str, Any]) -> dict[int, tuple[int, int]]:
    return {int(year): (known["first_ns"], known["last_ns"]) for year, known in sorted(info["years"].items())}


def _checked(frame: pl.DataFrame, folder: Path, market: Calendar, width: int) -> BarColumns:
    stamps = frame["ts_close_ns"].to_numpy()
    try:
        numbers = market.numbers(stamps, width)
        prices = [frame[name].to_numpy() for name in PRICE_COLUMNS]
        return BarColumns.checked(stamps, *prices, timeframe_ns=width, number=numbers)
    except (BarError, CalendarError) as wrong:
        raise DataError(f"{folder}: {wrong}") from wrong


def _frame(bars: BarColumns, extras: Mapping[str, np.ndarray[Any, Any]]) -> pl.DataFrame:
    columns = {name: getattr(bars, name) for name in BAR_COLUMNS}
    clash = sorted(set(extras) & set(columns))
    if clash:
        raise DataError(f"extra column {clash[0]} has the name of a bar's own column")
    frame = pl.DataFrame(columns | {name: np.asarray(values, np.float64) for name, values in extras.items()})
    return frame.filter(pl.Series(~bars.made)) if bars.made.any() else frame


def _count_between(stamps: Integers, start_ns: int | None, end_ns: int | None) -> int:
    first = 0 if start_ns is None else int(np.searchsorted(stamps, start_ns, side="right"))
    last = stamps.size if end_ns is None else int(np.searchsorted(stamps, end_ns, side="right"))
    return last - first
