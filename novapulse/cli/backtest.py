"""`novapulse backtest`: bars of the lake through the configured strategies and rules."""

import argparse
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from novapulse.backtest import Result
from novapulse.cli.console import EXIT_DONE, UsageError, progress, say, show_json
from novapulse.cli.render import show_backtest
from novapulse.config import Loaded, load
from novapulse.research.analysis import Analysis, analyse
from novapulse.research.inputs import Markets, checked_strategies, open_lake, read_markets
from novapulse.research.running import backtest_markets
from novapulse.strategies import Strategy


def backtest(options: argparse.Namespace) -> int:
    """Run a backtest on the bars of the lake and print what came out."""
    if options.html:
        _refuse_unwritable(Path(options.html))
    loaded = load_run(options)
    strategies = checked_strategies(loaded, say)
    markets = read_run(options, loaded)
    tell_missing(markets, loaded)
    result = run_backtest(loaded, strategies, markets, metrics_only=options.metrics_only)
    analysis = analyse(result, markets, strategies)
    show(analysis, as_json=options.json)
    if options.html:
        _write_tear_sheet(Path(options.html), analysis, markets)
    return EXIT_DONE


def load_run(options: argparse.Namespace) -> Loaded:
    """Return the configuration of the run that options name."""
    return load(
        os.environ,
        options.config,
        {
            "data.exchange": ("--exchange", options.exchange),
            "data.timeframe": ("--timeframe", options.timeframe),
            "capital": ("--capital", options.capital),
        },
    )


def read_run(options: argparse.Namespace, loaded: Loaded) -> Markets:
    """Return the bars of the run that options name; errors as in `read_markets`."""
    data = loaded.settings.data
    return read_markets(
        open_lake(),
        data.exchange,
        options.symbol or data.symbols,
        data.timeframe,
        options.start,
        options.end,
        all_needed=bool(options.symbol),
    )


def tell_missing(markets: Markets, loaded: Loaded) -> None:
    """Say which configured symbols have no bars."""
    if markets.missing:
        names = ", ".join(markets.missing)
        data = loaded.settings.data
        say(f"no {data.timeframe} bars of {data.exchange} {names}: left out")


def run_backtest(loaded: Loaded, strategies: Mapping[str, Strategy], markets: Markets, *, metrics_only: bool) -> Result:
    """Run a backtest and show how far it is; errors as in `backtest_markets`."""
    with progress("backtest") as told:
        return backtest_markets(markets, loaded.settings.backtest, strategies, metrics_only=metrics_only, told=told)


def show(analysis: Analysis, *, as_json: bool) -> None:
    """Print an analysis as tables or as one JSON object."""
    values = analysis.as_data()
    if as_json:
        show_json(values)
    else:
        result = analysis.result
        show_backtest(values, result.decisions(), result.instruments[0].quote, result.settings.capital)


def _refuse_unwritable(path: Path) -> None:
    if find_spec("jinja2") is None:
        raise UsageError("--html needs the extra 'research' of NovaPulse (Jinja2 is not installed here)")
    if path.is_dir():
        raise UsageError(f"--html {path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.absolute().parent}")


def _write_tear_sheet(path: Path, analysis: Analysis, markets: Markets) -> None:
    from novapulse.research.tearsheet import tear_sheet

    whole = path.with_name(f"{path.name}.part")
    whole.write_text(tear_sheet(analysis, markets), encoding="utf-8")
    whole.replace(path)
    say(f"tear sheet: {path}")
