"""What a run works on: the configuration, the strategies that take part, and bars from the lake."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from novapulse.backtest.columns import fine_of
from novapulse.config import Loaded, lake_folder, sample_folder, settings_of
from novapulse.confluence.plan import prepare
from novapulse.confluence.settings import ConfluenceError
from novapulse.core.bars import BarColumns, format_ns, timeframe_ns, timeframe_text
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.execution.rules import rules_record
from novapulse.market.calendars import check_bars_per_year
from novapulse.market.lake import Lake, Reading, SeriesInfo
from novapulse.market.spelling import stamp_ns, symbol_of
from novapulse.strategies import STRATEGIES, Strategy
from novapulse.strategies.loader import load as load_strategies


class InputError(ValueError):
    """Something a person asked for that cannot be had, in one sentence."""


Tell = Callable[[str], None]
"""Takes a remark."""

Told = Callable[[int, int], None]
"""Takes how far a long task is: steps done, steps in all."""


@dataclass(frozen=True)
class Markets:
    """Bars of the instruments of one run.

    Attributes:
        bars: Decision bars by instrument.
        instruments: Their facts.
        finer: Narrower bars of the same instruments, for fills inside the decision bars.
        missing: Configured symbols that have no bars here.
        description: The `data` part of a result: hash, bars, start, end, bars per year, gaps, instruments.
    """

    bars: dict[InstrumentKey, BarColumns]
    instruments: dict[InstrumentKey, Instrument]
    finer: dict[InstrumentKey, BarColumns]
    missing: tuple[str, ...]
    description: dict[str, Any] = field(repr=False)

    def up_to(self, at_ns: int) -> Self:
        """Return the bars that close at a moment or before it; an instrument without any is left out."""
        bars = {key: columns.between(None, at_ns) for key, columns in self.bars.items()}
        return replace(
            self,
            bars={key: columns for key, columns in bars.items() if len(columns)},
            finer={key: columns.between(None, at_ns) for key, columns in self.finer.items() if len(bars[key])},
        )


def open_lake() -> Lake:
    """Return the lake of this machine."""
    return Lake(lake_folder(os.environ))


def lake_with(keys: Iterable[InstrumentKey], width_ns: int) -> Lake:
    """Return the lake of this machine that has these series: where it lacks one, that of the generated bars.

    Args:
        keys: Instruments.
        width_ns: Width of their bars.
    """
    lake, timeframe = open_lake(), timeframe_text(width_ns)
    there = {(one.exchange, one.symbol) for one in lake.series() if one.timeframe == timeframe}
    if all((key.exchange, key.symbol) in there for key in keys):
        return lake
    return Lake(sample_folder(os.environ))


def checked_strategies(loaded: Loaded, tell: Tell) -> dict[str, Strategy]:
    """Return the strategies there are, the built-in ones and the user's own, checked against the weights.

    Args:
        loaded: Names the user's folder.
        tell: Given a sentence about a strategy of the user that takes no part.

    Raises:
        InputError: A weight, a parameter or another key names something that is not there.
        StrategyError: A strategy file cannot be used.
    """
    folder = loaded.settings.data.strategies_folder
    own = load_strategies(folder) if folder else {}
    weights = loaded.settings.confluence.weights
    for name in own:
        if not weights.get(name):
            tell(f"strategy {name} of {folder} has no weight in confluence.weights: it takes no part")
    strategies = {**STRATEGIES, **own}
    try:
        prepare(loaded.settings.confluence, strategies)
    except ConfluenceError as wrong:
        path = ("confluence", *str(wrong).partition(":")[0].split("."))
        raise InputError(f"{loaded.place(path)}: confluence.{wrong}") from wrong
    for account in loaded.settings.accounts:
        try:
            prepare(settings_of(loaded.settings, account).confluence, strategies)
        except ConfluenceError as wrong:
            whose = f"account {account.account_id} on {account.exchange}"
            raise InputError(f"{loaded.place(('accounts',))}: {whose}: confluence.{wrong}") from wrong
    return strategies


def check_fixed_qty(loaded: Loaded) -> None:
    """Refuse a fixed quantity that the configured symbols cannot trade.

    Raises:
        InputError: There are several symbols, or it is less than one lot.
    """
    settings, data, lake = loaded.settings, loaded.settings.data, open_lake()
    if settings.risk.sizing.fixed_qty == 0:
        return
    symbol = data.symbols[0]
    if len(data.symbols) == 1 and all((one.exchange, one.symbol) != (data.exchange, symbol) for one in lake.series()):
        return
    instrument = lake.instrument(data.exchange, symbol) if len(data.symbols) == 1 else None
    try:
        rules_record(settings.risk, settings.execution, timeframe_ns(data.timeframe), instrument)
    except ValueError as wrong:
        raise InputError(f"{loaded.place(('risk', 'sizing', 'fixed_qty'))}: risk.{wrong}") from wrong


def read_markets(
    lake: Lake,
    exchange: str,
    symbols: Sequence[str],
    timeframe: str,
    start: str | None = None,
    end: str | None = None,
    *,
    all_needed: bool,
) -> Markets:
    """Read the bars of some symbols.

    Args:
        lake: Where they are.
        exchange: Lower-case id.
        symbols: In any spelling.
        timeframe: Width of a decision bar.
        start: Bars close after it, ISO 8601; None for all.
        end: Bars close up to it; None for all.
        all_needed: Whether a symbol without bars is an error; else it is left out, unless none has any.

    Raises:
        InputError: No symbol has bars, or not in the range asked for.
        DataError: A symbol is unknown, a time cannot be read or a file is damaged.
        CalendarError: Bars and their calendar contradict each other.
    """
    _refuse_empty_range(start, end)
    wanted = list(dict.fromkeys(symbol_of(symbol) for symbol in symbols))
    series = lake.series()
    there = {info.symbol for info in series if (info.exchange, info.timeframe) == (exchange, timeframe)}
    if all_needed:
        chosen, missing = wanted, []
    else:
        chosen, missing = [symbol for symbol in wanted if symbol in there], [s for s in wanted if s not in there]
    if not chosen:
        listed = ", ".join(wanted)
        raise InputError(
            f"there are no {timeframe} bars of {exchange} {listed} in {lake.path}; "
            "'novapulse data list' shows what is there, 'novapulse data import' adds bars, "
            "'novapulse demo' brings its own"
        )
    readings = {InstrumentKey(exchange, s): lake.read(exchange, s, timeframe, start, end) for s in sorted(chosen)}
    for key, reading in readings.items():
        if len(reading.bars) == 0:
            limits = [f"after {start}" if start else "", f"up to {end}" if end else ""]
            raise InputError(f"no {timeframe} bar of {key} closes {' and '.join(filter(None, limits))}")
    found = {key: _finest(lake, key, reading.bars, series, start, end) for key, reading in readings.items()}
    finer = {key: one for key, one in found.items() if one}
    instruments = {key: lake.instrument(key.exchange, key.symbol) for key in readings}
    return Markets(
        {key: reading.bars for key, reading in readings.items()},
        instruments,
        {key: one.bars for key, one in finer.items()},
        tuple(missing),
        _described(lake, readings, instruments, finer, timeframe),
    )


def _refuse_empty_range(start: str | None, end: str | None) -> None:
    start_ns, end_ns = stamp_ns(start), stamp_ns(end)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise InputError(f"the start {start} is not before the end {end}: no bar closes in between")


@dataclass(frozen=True)
class _Finer:
    """Narrower bars of an instrument, and how many of its decision bars they cover without a hole."""

    timeframe: str
    bars: BarColumns
    covered: int


def _finest(
    lake: Lake, key: InstrumentKey, bars: BarColumns, series: list[SeriesInfo], start: str | None, end: str | None
) -> _Finer | None:
    best: _Finer | None = None
    for info in sorted(series, key=lambda info: timeframe_ns(info.timeframe)):
        is_narrower = timeframe_ns(info.timeframe) < bars.timeframe_ns
        if not is_narrower or InstrumentKey(info.exchange, info.symbol) != key:
            continue
        narrow = lake.bars(key.exchange, key.symbol, info.timeframe, start, end)
        inside = fine_of([bars], [narrow])
        covered = int((inside.stops > inside.starts).sum())
        if covered > (best.covered if best else 0):
            best = _Finer(info.timeframe, narrow, covered)
    return best


def _described(
    lake: Lake,
    readings: dict[InstrumentKey, Reading],
    instruments: dict[InstrumentKey, Instrument],
    finer: dict[InstrumentKey, "_Finer"],
    timeframe: str,
) -> dict[str, Any]:
    each: list[dict[str, Any]] = []
    annual = []
    for key, reading in readings.items():
        bars = reading.bars
        annual.append(check_bars_per_year(bars, lake.calendar(reading.calendar)))
        each.append(
            {
                "exchange": key.exchange,
                "symbol": key.symbol,
                "bars": len(bars),
                "start": iso(int(bars.ts_close_ns[0])),
                "end": iso(int(bars.ts_close_ns[-1])),
                "gaps": int((np.diff(bars.number) != 1).sum()),
                "made": reading.made,
                "outside_sessions": reading.outside_sessions,
                "finer": finer[key].timeframe if key in finer else None,
                "finer_bars": finer[key].covered if key in finer else 0,
                "inferred": instruments[key].inferred,
                "hash": reading.content_hash,
            }
        )
    names = "".join(f"{one['exchange']} {one['symbol']} {one['hash']}\n" for one in each)
    return {
        "hash": each[0]["hash"] if len(each) == 1 else hashlib.sha256(names.encode()).hexdigest(),
        "bars": sum(one["bars"] for one in each),
        "start": min(one["start"] for one in each),
        "end": max(one["end"] for one in each),
        "bars_per_year": max(annual),
        "gaps": sum(one["gaps"] for one in each),
        "timeframe": timeframe,
        "instruments": each,
    }


def iso(moment_ns: int) -> str:
    """Return a moment as ISO 8601 in UTC: `2026-03-23T12:10:00Z`."""
    return format_ns(moment_ns).replace(" ", "T")
