"""`novapulse backtest`: bars of the lake through the configured strategies and rules."""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from novapulse.backtest import Result
from novapulse.cli.console import EXIT_DONE, progress, say, show_json
from novapulse.cli.render import show_backtest
from novapulse.config import Loaded, load
from novapulse.core.instruments import InstrumentKey, path_symbol
from novapulse.research.inputs import Markets, checked_strategies, open_lake, read_markets
from novapulse.research.running import backtest_markets
from novapulse.research.warmth import cold_notes
from novapulse.strategies import Strategy


def backtest(options: argparse.Namespace) -> int:
    """Run a backtest on the bars of the lake and print what came out."""
    loaded = load_run(options)
    strategies = checked_strategies(loaded, say)
    markets = read_run(options, loaded)
    tell_missing(markets, loaded)
    result = run_backtest(loaded, strategies, markets, metrics_only=options.metrics_only)
    show(result, markets, strategies, as_json=options.json, metrics_only=options.metrics_only)
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
        names = ", ".join(path_symbol(symbol) for symbol in markets.missing)
        data = loaded.settings.data
        say(f"no {data.timeframe} bars of {data.exchange} {names}: left out")


def run_backtest(loaded: Loaded, strategies: Mapping[str, Strategy], markets: Markets, *, metrics_only: bool) -> Result:
    """Run a backtest and show how far it is; errors as in `backtest_markets`."""
    with progress("backtest") as told:
        return backtest_markets(markets, loaded.settings.backtest, strategies, metrics_only=metrics_only, told=told)


def show(
    result: Result, markets: Markets, strategies: Mapping[str, Strategy], *, as_json: bool, metrics_only: bool
) -> None:
    """Print a result as tables or as one JSON object."""
    values = as_data(result, markets, strategies, metrics_only=metrics_only)
    if as_json:
        show_json(values)
    else:
        show_backtest(values, result.decisions(), result.instruments[0].quote, result.settings.capital)


def as_data(
    result: Result, markets: Markets, strategies: Mapping[str, Strategy], *, metrics_only: bool
) -> dict[str, Any]:
    """Return a result as plain data; what is not known is None."""
    values = {
        "data": {**markets.description, "instruments": _with_fees(markets.description["instruments"], result)},
        "settings_hash": result.settings.hash,
        "summary": result.summary(),
        # Without round trips there is nothing to share out; zeros would be a lie.
        "by_strategy": None if metrics_only else result.by_strategy,
        "denials": result.denial_counts(),
        "bands": {name: dict(band) for name, band in result.bands.items()},
        "notes": cold_notes(result, markets.bars, strategies),
    }
    cleaned: dict[str, Any] = _finite(values)
    return cleaned


def _with_fees(described: Sequence[Mapping[str, Any]], result: Result) -> list[dict[str, Any]]:
    facts = {fact.key: fact for fact in result.instruments}
    is_configured = result.settings.execution.taker_fee_bps is not None
    with_fees = []
    for one in described:
        fact = facts[InstrumentKey(one["exchange"], one["symbol"])]
        fees = {
            "maker_fee_bps": float(fact.maker_fee_bps),
            "taker_fee_bps": float(fact.taker_fee_bps),
            "fees_from": "configured" if is_configured else "assumed" if fact.inferred else "venue",
        }
        with_fees.append({**one, **fees})
    return with_fees


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
