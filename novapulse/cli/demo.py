"""`novapulse demo`: bars from wherever there are any, a backtest of all strategies, and what to try next."""

import argparse
import os
from pathlib import Path

from novapulse.backtest import Result
from novapulse.cli.backtest import run_backtest, show, tell_missing
from novapulse.cli.console import EXIT_DONE, progress, say
from novapulse.cli.inputs import Markets, checked_strategies, iso, open_lake, read_markets
from novapulse.config import Loaded, load, recordings_folder
from novapulse.core.bars import timeframe_ns
from novapulse.core.instruments import InstrumentKey, path_symbol
from novapulse.market.importer import RecordedFile, import_file, recorded_files
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market

SAMPLE_EXCHANGE = "sample"
_SAMPLE_BARS = 43_200
_SAMPLE_SEED = 7


def demo(options: argparse.Namespace) -> int:
    """Run a backtest on the bars at hand, and say which these are."""
    loaded = load(os.environ, options.config)
    strategies = checked_strategies(loaded)
    lake = open_lake()
    exchange = _bars_at_hand(lake, loaded)
    data = loaded.settings.data
    markets = read_markets(lake, exchange, data.symbols, data.timeframe, all_needed=False)
    tell_missing(markets, loaded)
    result = run_backtest(loaded, strategies, markets, metrics_only=False)
    show(result, markets, strategies, as_json=options.json, metrics_only=False)
    if not options.json:
        _show_next(*_worth_explaining(result, markets), data.timeframe)
    return EXIT_DONE


def _bars_at_hand(lake: Lake, loaded: Loaded) -> str:
    data = loaded.settings.data
    there = {
        info.symbol
        for info in lake.series()
        if (info.exchange, info.timeframe) == (data.exchange, data.timeframe) and info.symbol in data.symbols
    }
    if there:
        say(f"real bars: the lake {lake.path} has {len(there)} of {len(data.symbols)} configured symbols")
        return data.exchange
    folder = recordings_folder(os.environ)
    files = _wanted(folder, loaded) if folder else []
    if files:
        say(f"real bars: importing {len(files)} recorded files of {folder} into the lake {lake.path}")
        _import(lake, files)
        return data.exchange
    say(
        f"sample market: no recorded bars were found, so {len(data.symbols)} symbols are generated, "
        f"into the lake {lake.path} as exchange '{SAMPLE_EXCHANGE}'; results on them say nothing about real markets"
    )
    _generate(lake, loaded)
    return SAMPLE_EXCHANGE


def _wanted(folder: Path, loaded: Loaded) -> list[RecordedFile]:
    data = loaded.settings.data
    return [
        file
        for file in recorded_files(folder)
        if (file.exchange, file.timeframe) == (data.exchange, data.timeframe) and file.symbol in data.symbols
    ]


def _import(lake: Lake, files: list[RecordedFile]) -> None:
    with progress("import") as told:
        for done, file in enumerate(files):
            told(done, len(files))
            import_file(
                lake, file.path, file.exchange, file.symbol, file.timeframe, "open", calendar_name=file.calendar
            )


def _generate(lake: Lake, loaded: Loaded) -> None:
    data = loaded.settings.data
    market = sample_market(data.symbols, _SAMPLE_BARS, _SAMPLE_SEED, timeframe_ns(data.timeframe))
    with progress("sample market") as told:
        for done, (symbol, bars) in enumerate(market.items()):
            told(done, len(market))
            source = f"generated sample market, seed {_SAMPLE_SEED}"
            lake.append(SAMPLE_EXCHANGE, symbol, data.timeframe, bars, source=source)


def _worth_explaining(result: Result, markets: Markets) -> tuple[InstrumentKey, int]:
    if result.fills.size:
        last = result.fills[-1]
        return result.instruments[int(last["instrument"])].key, int(last["decision_ts_ns"])
    key, bars = next(iter(markets.bars.items()))
    return key, int(bars.ts_close_ns[-1])


def _show_next(key: InstrumentKey, moment_ns: int, timeframe: str) -> None:
    symbol = path_symbol(key.symbol)
    print(
        "\nNext:\n"
        f"  novapulse backtest --exchange {key.exchange} --symbol {symbol} --timeframe {timeframe}\n"
        f"  novapulse explain --exchange {key.exchange} --of {symbol} --at {iso(moment_ns)}\n"
        "  novapulse bias\n"
        "  novapulse config check\n"
        "  novapulse data import FILE --exchange E --symbol S --timeframe T --stamps open"
    )
