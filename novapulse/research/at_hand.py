"""Bars from wherever there are any: the lake, else recordings beside the checkout, else a generated sample market."""

import os
from collections.abc import Mapping
from pathlib import Path

from novapulse.config import recordings_folder
from novapulse.config.settings import DataSettings
from novapulse.core.bars import timeframe_ns
from novapulse.market.importer import RecordedFile, import_file, recorded_files
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.research.inputs import Tell, Told

SAMPLE_EXCHANGE = "sample"
_SAMPLE_BARS = 43_200
_SAMPLE_SEED = 7


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
    _generate(lake, data, told)
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


def _generate(lake: Lake, data: DataSettings, told: Told) -> None:
    market = sample_market(data.symbols, _SAMPLE_BARS, _SAMPLE_SEED, timeframe_ns(data.timeframe))
    for done, (symbol, bars) in enumerate(market.items()):
        told(done, len(market))
        source = f"generated sample market, seed {_SAMPLE_SEED}"
        lake.append(SAMPLE_EXCHANGE, symbol, data.timeframe, bars, source=source)
