"""`novapulse demo`: bars from wherever there are any, a backtest of all strategies, and then the whole product."""

import argparse
import os

from novapulse.backtest import Result
from novapulse.cli.backtest import run_backtest, show, tell_missing
from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, error, progress, say
from novapulse.cli.demo_whole import running, show_whole
from novapulse.config import load
from novapulse.core.instruments import InstrumentKey, path_symbol
from novapulse.research.analysis import analyse
from novapulse.research.at_hand import bars_at_hand
from novapulse.research.inputs import Markets, checked_strategies, iso, open_lake, read_markets


def demo(options: argparse.Namespace) -> int:
    """Run a backtest on the bars at hand, and say which these are."""
    if not (options.once or options.json) and (address := running()):
        error(f"a demo runs already at {address}")
        return EXIT_FAILED
    loaded = load(os.environ, options.config)
    strategies = checked_strategies(loaded, say)
    lake = open_lake()
    data = loaded.settings.data
    with progress("bars") as told:
        exchange = bars_at_hand(lake, data, say, told)
    markets = read_markets(lake, exchange, data.symbols, data.timeframe, all_needed=False)
    tell_missing(markets, loaded)
    result = run_backtest(loaded, strategies, markets, metrics_only=False)
    show(analyse(result, markets, strategies), as_json=options.json)
    if options.json:
        return EXIT_DONE
    _show_next(*_worth_explaining(result, markets), data.timeframe)
    return show_whole(once=options.once, port=options.port)


def _worth_explaining(result: Result, markets: Markets) -> tuple[InstrumentKey, int]:
    if result.fills.size:
        last = result.fills[-1]
        return result.instruments[int(last["instrument"])].key, int(last["decision_ts_ns"])
    key, bars = next(iter(markets.bars.items()))
    return key, int(bars.ts_close_ns[-1])


def _show_next(key: InstrumentKey, moment_ns: int, timeframe: str) -> None:
    symbol = path_symbol(key.symbol)
    print(
        "\nNext, after '. .venv/bin/activate':\n"
        f"  novapulse backtest --exchange {key.exchange} --symbol {symbol} --timeframe {timeframe}\n"
        f"  novapulse explain --exchange {key.exchange} --of {symbol} --at {iso(moment_ns)}\n"
        "  novapulse bias\n"
        "  novapulse config check\n"
        "  novapulse data import FILE --exchange E --symbol S --timeframe T --stamps open"
    )
