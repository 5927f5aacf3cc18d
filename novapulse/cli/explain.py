"""`novapulse explain`: why a bar was traded, or why not."""

import argparse
import os

from novapulse.cli.console import EXIT_DONE, UsageError, progress, say, show_json
from novapulse.cli.decision import decision_at
from novapulse.cli.inputs import Markets, checked_strategies, iso, open_lake, read_markets
from novapulse.cli.render import UNKNOWN, headline
from novapulse.config import Loaded, load
from novapulse.confluence import pipeline
from novapulse.confluence.explain import Record
from novapulse.confluence.explain import explain as explain_votes
from novapulse.confluence.narrate import lines
from novapulse.confluence.plan import prepare
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey, path_symbol
from novapulse.market.spelling import stamp_ns, symbol_of


def explain(options: argparse.Namespace) -> int:
    """Print every number between what strategies said of a bar and what was done."""
    loaded = load(os.environ, options.config)
    strategies = checked_strategies(loaded)
    key = InstrumentKey(options.exchange, symbol_of(options.symbol))
    markets = _markets(key, options.at, loaded)
    bars = markets.bars[key]
    _refuse_no_bar(bars, options.at)
    settings = loaded.settings.backtest
    with progress("explain") as told:
        columns, calibrations = pipeline.signals(markets.bars, settings.confluence, strategies, progress=told)
    plan = prepare(settings.confluence, strategies)
    record = explain_votes(bars, plan, calibrations, key=key, entry_forecast_min=settings.risk.entry_forecast_min)
    record["decision"] = decision_at(key, markets, columns, settings)
    record["settings_hash"] = settings.hash
    if options.json:
        show_json(record)
    else:
        print("\n".join([*lines(record), "", *_decision_lines(record["decision"])]))
    return EXIT_DONE


def _markets(key: InstrumentKey, at: str, loaded: Loaded) -> Markets:
    data = loaded.settings.data
    lake = open_lake()
    # An unknown symbol is refused before anything long begins.
    lake.bars(key.exchange, key.symbol, data.timeframe, at, at)
    if key.exchange == data.exchange and key.symbol in data.symbols:
        markets = read_markets(lake, key.exchange, data.symbols, data.timeframe, None, at, all_needed=False)
    else:
        markets = read_markets(lake, key.exchange, [key.symbol], data.timeframe, None, at, all_needed=True)
    names = ", ".join(path_symbol(one.symbol) for one in markets.bars)
    say(f"as decided in an account that trades {names} on {key.exchange} from the first recorded bar on")
    return markets


def _refuse_no_bar(bars: BarColumns, at: str) -> None:
    if bars.ts_close_ns[-1] != stamp_ns(at):
        raise UsageError(f"--at {at}: no bar closes then; the last one before closes {iso(int(bars.ts_close_ns[-1]))}")


def _decision_lines(decision: Record) -> list[str]:
    told = [
        headline(f"decision: {decision['verb']}, {decision['text']}"),
        f"equity {decision['equity']:,.2f}, position {decision['position_qty']:g}",
    ]
    if decision["stop_distance"]:
        target = decision["target_distance"]
        told.append(f"stop {decision['stop_distance']:g} away, target {f'{target:g} away' if target else UNKNOWN}")
    if decision["sizes"]:
        sizes = ", ".join(
            f"{cap} {UNKNOWN if size is None else f'{size:.6g}'}" for cap, size in decision["sizes"].items()
        )
        told.append(f"sizes allowed: {sizes}; {decision['binding']} binds")
    return told
