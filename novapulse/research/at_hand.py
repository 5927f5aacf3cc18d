"""Bars from wherever there are any: the lake, else recordings beside the checkout, else a generated sample market.

Invariant: generated bars never lie in the lake under the name of a real exchange.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from novapulse.config import recordings_folder, sample_folder
from novapulse.config.settings import DataSettings
from novapulse.core.bars import timeframe_ns
from novapulse.market.importer import RecordedFile, import_file, recorded_files
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.research.inputs import InputError, Tell, Told

SAMPLE_EXCHANGE = "sample"
_SAMPLE_BARS = 43_200
_SAMPLE_SEED = 7


@dataclass(frozen=True)
class Provided:
    """Bars of several exchanges.

    Attributes:
        lake: Where they are.
        is_sample: Whether they were generated: then every exchange has the same invented market, and a start or an end
            that was meant for recorded bars means nothing.
    """

    lake: Lake
    is_sample: bool


def provide(
    lake: Lake,
    wanted: Mapping[str, Collection[str]],
    timeframe: str,
    tell: Tell,
    told: Told,
    environment: Mapping[str, str] | None = None,
    *,
    sample: bool = False,
) -> Provided:
    """Make sure that there are bars of several exchanges, and return where.

    What the lake lacks is imported from recorded files. Where there is nothing of anything, or `sample` asks for it, a
    sample market is generated under each exchange's own name, into a lake of its own.

    Args:
        lake: Looked into first, and written to where recordings fill it.
        wanted: Canonical symbols by exchange.
        timeframe: Width of the bars.
        tell: Given the sentence that says which bars these are.
        told: Called with (files or symbols done, all of them).
        environment: Where folders are named; None for the process's own.
        sample: Generate, whatever there is.

    Raises:
        InputError: There are bars of some, and not of all.
        DataError: A recorded file cannot be used.
    """
    environment = os.environ if environment is None else environment
    pairs = {(exchange, symbol) for exchange, symbols in wanted.items() for symbol in symbols}
    folder = None if sample else recordings_folder(environment)
    missing = set() if sample else pairs - _there(lake, timeframe)
    files = [
        file
        for file in (recorded_files(folder) if folder else [])
        if (file.exchange, file.symbol) in missing and file.timeframe == timeframe
    ]
    if sample or (missing == pairs and not files):
        return _provided_sample(wanted, timeframe, tell, told, environment, asked=sample)
    missing -= {(file.exchange, file.symbol) for file in files}
    if missing:
        listed = ", ".join(f"{exchange} {symbol}" for exchange, symbol in sorted(missing))
        raise InputError(
            f"there are no {timeframe} bars of {listed}, neither in {lake.path} nor in a recorded file; "
            "'novapulse data import' adds bars, feed.source: sample trades on a generated market"
        )
    if files:
        tell(f"real bars: importing {len(files)} recorded files of {folder} into the lake {lake.path}")
        _import(lake, files, told)
    else:
        tell(f"real bars: the lake {lake.path} has all {len(pairs)} series")
    return Provided(lake, is_sample=False)


def _there(lake: Lake, timeframe: str) -> set[tuple[str, str]]:
    return {(info.exchange, info.symbol) for info in lake.series() if info.timeframe == timeframe}


def _provided_sample(
    wanted: Mapping[str, Collection[str]],
    timeframe: str,
    tell: Tell,
    told: Told,
    environment: Mapping[str, str],
    *,
    asked: bool,
) -> Provided:
    lake = Lake(sample_folder(environment))
    why = "it was asked for" if asked else "no recorded bars were found"
    tell(
        f"sample market: {why}, so generated bars stand in for {', '.join(sorted(wanted))}, the same on each of them, "
        f"in {lake.path}; they never were prices of these exchanges: results on them say nothing about real markets"
    )
    there = _there(lake, timeframe)
    for exchange, symbols in sorted(wanted.items()):
        new = sorted(symbol for symbol in symbols if (exchange, symbol) not in there)
        _generate(lake, exchange, new, timeframe, told)
    return Provided(lake, is_sample=True)


def bars_at_hand(
    lake: Lake, data: DataSettings, tell: Tell, told: Told, environment: Mapping[str, str] | None = None
) -> str:
    """Make sure that the lake has bars of the configured symbols, and return the exchange they are filed under.

    Args:
        lake: Looked into first, and written to when it has none.
        data: Exchange, symbols and timeframe that are wanted.
        tell: Given the sentence that says which bars these are.
        told: Called with (files or symbols done, all of them).
        environment: Where the folder of recordings is named; None for the process's own.
    """
    there = {
        info.symbol
        for info in lake.series()
        if (info.exchange, info.timeframe) == (data.exchange, data.timeframe) and info.symbol in data.symbols
    }
    if there:
        tell(f"real bars: the lake {lake.path} has {len(there)} of {len(data.symbols)} configured symbols")
        return data.exchange
    folder = recordings_folder(os.environ if environment is None else environment)
    files = _wanted(folder, data) if folder else []
    if files:
        tell(f"real bars: importing {len(files)} recorded files of {folder} into the lake {lake.path}")
        _import(lake, files, told)
        return data.exchange
    tell(
        f"sample market: no recorded bars were found, so {len(data.symbols)} symbols are generated, "
        f"into the lake {lake.path} as exchange '{SAMPLE_EXCHANGE}'; results on them say nothing about real markets"
    )
    _generate(lake, SAMPLE_EXCHANGE, data.symbols, data.timeframe, told)
    return SAMPLE_EXCHANGE


def _wanted(folder: Path, data: DataSettings) -> list[RecordedFile]:
    return [
        file
        for file in recorded_files(folder)
        if (file.exchange, file.timeframe) == (data.exchange, data.timeframe) and file.symbol in data.symbols
    ]


def _import(lake: Lake, files: list[RecordedFile], told: Told) -> None:
    for done, file in enumerate(files):
        told(done, len(files))
        import_file(lake, file.path, file.exchange, file.symbol, file.timeframe, "open", calendar_name=file.calendar)


def _generate(lake: Lake, exchange: str, symbols: Sequence[str], timeframe: str, told: Told) -> None:
    market = sample_market(symbols, _SAMPLE_BARS, _SAMPLE_SEED, timeframe_ns(timeframe))
    for done, (symbol, bars) in enumerate(market.items()):
        told(done, len(market))
        lake.append(exchange, symbol, timeframe, bars, source=f"generated sample market, seed {_SAMPLE_SEED}")
