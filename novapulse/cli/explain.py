"""`novapulse explain`: why a bar was traded, or why not."""

import argparse

from novapulse.cli.backtest import load_run, read_run
from novapulse.cli.console import EXIT_DONE, UsageError, progress, say, show_json
from novapulse.cli.render import UNKNOWN, headline, table
from novapulse.confluence import pipeline
from novapulse.confluence.explain import Record
from novapulse.confluence.explain import explain as explain_votes
from novapulse.confluence.narrate import lines
from novapulse.confluence.plan import prepare
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import Reason
from novapulse.market.spelling import stamp_ns, symbol_of
from novapulse.parity.words import CAP_TEXT
from novapulse.research.decision import decision_at
from novapulse.research.inputs import Markets, checked_strategies, iso
from novapulse.research.running import refuse_lookahead
from novapulse.risk.settings import StopSettings


def explain(options: argparse.Namespace) -> int:
    """Print every number between what strategies said of a bar and what was done."""
    if options.at is None:
        return _from_ledger(options)
    if options.ledger:
        raise UsageError("--ledger belongs to --decision and --why-not: --at is worked out from the lake alone")
    loaded = load_run(options)
    at_ns = _moment(options)
    strategies = checked_strategies(loaded, say)
    whole = read_run(options, loaded)
    key = _key(options, whole)
    markets = _up_to(whole, key, at_ns, options.at)
    names = ", ".join(one.symbol for one in whole.bars)
    since = options.start or "the first recorded bar"
    say(f"as decided in an account that trades {names} on {key.exchange} from {since} on")
    settings = loaded.settings.backtest
    refuse_lookahead(settings, strategies, whole.bars[key])
    with progress("explain") as told:
        columns, calibrations = pipeline.signals(markets.bars, settings.confluence, strategies, progress=told)
    plan, bars = prepare(settings.confluence, strategies), markets.bars[key]
    record = explain_votes(bars, plan, calibrations, key=key, entry_forecast_min=settings.risk.entry_forecast_min)
    try:
        record["decision"] = decision_at(key, markets, columns, settings)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from wrong
    record["settings_hash"] = settings.hash
    if options.json:
        show_json(record)
    else:
        print("\n".join([*lines(record), "", *_decision_lines(record["decision"], settings.risk.stops)]))
    return EXIT_DONE


def _from_ledger(options: argparse.Namespace) -> int:
    given = [name for name in ("exchange", "symbol", "timeframe", "start", "end", "capital") if getattr(options, name)]
    if given and not (options.decision or options.why_not):
        raise UsageError(f"--at is needed beside --{', --'.join(given)}: the close of the bar that is meant")
    if given:
        raise UsageError(f"a ledger brings its own bars and settings: leave out --{', --'.join(given)}")
    from novapulse.cli.decision import explain_decision, explain_why_not, list_decisions

    if options.decision:
        return explain_decision(options)
    return explain_why_not(options) if options.why_not else list_decisions(options)


def _moment(options: argparse.Namespace) -> int:
    at_ns, end_ns = stamp_ns(options.at), stamp_ns(options.end)
    if at_ns is None:
        raise UsageError("--at is empty: expected a bar's close, ISO 8601 such as 2026-04-01T12:00Z")
    if end_ns is not None and at_ns > end_ns:
        raise UsageError(f"--at {options.at} is after --end {options.end}: the run was over")
    return at_ns


def _key(options: argparse.Namespace, markets: Markets) -> InstrumentKey:
    known = {key.symbol: key for key in markets.bars}
    listed = ", ".join(known)
    if options.of is None:
        if len(known) > 1:
            raise UsageError(f"--of is needed, as the account trades several symbols: {listed}")
        return next(iter(markets.bars))
    symbol = symbol_of(options.of)
    if symbol not in known:
        raise UsageError(f"--of {options.of}: the account trades {listed}")
    return known[symbol]


def _up_to(markets: Markets, key: InstrumentKey, at_ns: int, at: str) -> Markets:
    _refuse_no_bar(markets.bars[key].between(None, at_ns), markets.bars[key], at_ns, at)
    return markets.up_to(at_ns)


def _refuse_no_bar(before: BarColumns, bars: BarColumns, at_ns: int, at: str) -> None:
    if len(before) == 0:
        raise UsageError(f"--at {at}: no bar closes up to then; the first one closes {iso(int(bars.ts_close_ns[0]))}")
    last_ns = int(before.ts_close_ns[-1])
    if last_ns != at_ns:
        raise UsageError(f"--at {at}: no bar closes then; the last one before closes {iso(last_ns)}")


def _decision_lines(decision: Record, stops: StopSettings) -> list[str]:
    told = [
        headline(f"decision: {decision['verb']}, {decision['text']}"),
        f"equity {decision['equity']:,.2f}, position {decision['position_qty']:g}",
    ]
    if decision["stop_distance"]:
        told.append(f"stop {decision['stop_distance']:g} away, {_target(decision, stops)}")
    if decision["sizes"]:
        rows = [
            [CAP_TEXT[cap], UNKNOWN if size is None else f"{size:.6g}", "binds" if cap == decision["binding"] else ""]
            for cap, size in decision["sizes"].items()
        ]
        told += table(("allowed by", "size", ""), rows)
    return told


def _target(decision: Record, stops: StopSettings) -> str:
    if decision["reason"] == Reason.TARGET_BELOW_COSTS.name:
        return f"the costs would push the target beyond {stops.target_stretch_max:g} times where the range puts it"
    return f"target {decision['target_distance']:g} away" if decision["target_distance"] else f"target {UNKNOWN}"
