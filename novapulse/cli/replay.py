"""`novapulse replay`: the whole engine over bars of the lake, in virtual time and without faults."""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from novapulse.cli.backtest import load_run, read_run, tell_missing
from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, progress, say, show_json
from novapulse.cli.render import headline, number, percent, table, wrapped
from novapulse.config import Loaded
from novapulse.core.messages import HoldRun
from novapulse.core.ports import JournalError
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.parity.kept import new_ledger
from novapulse.parity.ladder import Stretch, stretch_of
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Played, play
from novapulse.research.inputs import Markets, checked_strategies
from novapulse.research.running import refuse_lookahead
from novapulse.strategies import Strategy

_KEPT = frozenset({"round_trip_closed", "entry_unfilled", "fill_booked"})
_ORDERS = {"intended": "order_intended", "sent": "order_attempted", "amended": "amend_done", "refused": "order_refused"}


def replay(options: argparse.Namespace) -> int:
    """Run the engine over bars of the lake and print what came out."""
    loaded = load_run(options)
    strategies = checked_strategies(loaded, say)
    markets = read_run(options, loaded)
    tell_missing(markets, loaded)
    stretch = stretch_at_hand(loaded, strategies, markets)
    path = Path(options.ledger) if options.ledger else None
    began_s = time.perf_counter()
    try:
        played = _played(stretch, path)
    except JournalError as wrong:
        error(str(wrong))
        return EXIT_FAILED
    values = _values(stretch, played, markets, time.perf_counter() - began_s, path)
    if options.json:
        show_json(values)
    else:
        _show(values, stretch)
    return EXIT_DONE


def stretch_at_hand(loaded: Loaded, strategies: Mapping[str, Strategy], markets: Markets) -> Stretch:
    """Return bars and signals of a run as all drivers look at them.

    Raises:
        UsageError: One account cannot trade these.
        InputError: A strategy of the user looks ahead.
    """
    settings = loaded.settings
    refuse_lookahead(settings.backtest, strategies, next(iter(markets.bars.values())))
    try:
        with progress("signals") as told:
            return stretch_of(
                settings.data.exchange,
                markets.bars,
                markets.instruments,
                settings.backtest,
                strategies,
                settings.trader,
                settings.breakers,
                told,
            )
    except ValueError as wrong:
        if type(wrong) is ValueError:
            raise UsageError(str(wrong)) from wrong
        raise


def _played(stretch: Stretch, path: Path | None) -> Played:
    ledger = None
    if path is not None:
        begin_ns = int(stretch.ticks.ts_close_ns[0]) - stretch.configuration.timeframe_ns
        ledger = new_ledger(path, stretch.key, stretch.configuration.scales, begin_ns)
    try:
        with progress("replay") as told:
            journal = MemoryJournal(_KEPT, ledger)
            return play(stretch.key, stretch.configuration, stretch.ticks, journal, told=told)
    finally:
        if ledger is not None:
            ledger.release_lease(stretch.key, int(stretch.ticks.ts_close_ns[-1]))
            ledger.close()


def _values(stretch: Stretch, played: Played, markets: Markets, seconds: float, path: Path | None) -> dict[str, Any]:
    account, counts = played.trader.desk.books.account[0], played.journal.counts
    trips = _bodies(played, "round_trip_closed")
    unfilled = Counter(body["reason"] for body in _bodies(played, "entry_unfilled"))
    factor = 10 ** stretch.configuration.instruments[0].cash_scale
    pnl = sum(trip["pnl_units"] for trip in trips) / factor
    pair_bars = int(stretch.ticks.present.sum())
    capital = stretch.configuration.decides.capital
    return {
        "account": {"exchange": stretch.key.exchange, "account_id": stretch.key.account_id},
        "data": markets.description,
        "settings_hash": stretch.configuration.decides.hash,
        "summary": {
            "round_trips": len(trips),
            "won": sum(trip["pnl_units"] > 0 for trip in trips),
            "pnl": pnl,
            "fees": sum(fill["fee_units"] for fill in _bodies(played, "fill_booked")) / factor,
            "final_equity": float(account.equity),
            "total_return": float(account.equity) / capital - 1.0,
            "mode": played.trader.desk.books.mode.name,
        },
        "decisions": counts["decision_taken"],
        "fills": counts["fill_booked"],
        "orders": {name: counts[kind] for name, kind in _ORDERS.items()},
        "unfilled": dict(sorted(unfilled.items())),
        "why_not": why_not(played.holds),
        "records": dict(sorted(counts.items())),
        "alerts": {key: alert.text for key, alert in sorted(played.alerts.items())},
        "seconds": round(seconds, 3),
        "us_per_bar_and_pair": round(1e6 * seconds / max(pair_bars, 1), 1),
        "ledger": str(path) if path else None,
    }


def _bodies(played: Played, kind: str) -> list[Mapping[str, Any]]:
    return [record.body for record in played.journal.records if record.kind == kind]


def why_not(runs: Iterable[HoldRun]) -> dict[str, dict[str, int]]:
    """Return for each reason why nothing was done: on how many bars, in how many runs of bars."""
    found: dict[str, dict[str, int]] = {}
    for run in runs:
        one = found.setdefault(Reason(run.reason).name, {"bars": 0, "runs": 0})
        one["bars"] += run.bars
        one["runs"] += 1
    return dict(sorted(found.items(), key=lambda item: -item[1]["bars"]))


def why_not_lines(reasons: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the reasons why nothing was done as people read them."""
    rows = [[f"{one['bars']:,}", f"{one['runs']:,}"] for one in reasons.values()]
    header, *figures = table(("bars", "runs"), rows, first_left=False)
    lines = [f"{header}  why"]
    for text, name in zip(figures, reasons, strict=True):
        lines += wrapped(f"{text}  {REASON_TEXT[Reason[name]]}", indent=len(header) + 2)
    return lines


def _show(values: Mapping[str, Any], stretch: Stretch) -> None:
    summary, quote = values["summary"], stretch.configuration.instruments[0].quote
    orders = values["orders"]
    sent = ", ".join(f"{count:,} {name}" for name, count in orders.items())
    capital = stretch.configuration.decides.capital
    lines = [
        f"Return      {percent(summary['total_return']):>10}   {number(capital)} became "
        f"{number(summary['final_equity'])} {quote}, mode {summary['mode']}",
        f"Round trips {summary['round_trips']:>10,}   {summary['won']:,} won, PnL {number(summary['pnl'])}, "
        f"fees {number(summary['fees'])} {quote}",
        f"Decisions   {values['decisions']:>10,}   {values['fills']:,} fills",
        f"Orders      {orders['intended']:>10,}   {sent}",
        f"Speed       {values['us_per_bar_and_pair']:>10,}   µs a bar and pair, signals apart",
    ]
    print("\n".join(lines))
    if values["unfilled"]:
        told = ", ".join(f"{count} {REASON_TEXT[Reason[name]]}" for name, count in values["unfilled"].items())
        print("\n".join(wrapped(f"Entries without a fill: {told}")))
    print("\n".join(["", headline("Why not more: bars on which nothing was done"), *why_not_lines(values["why_not"])]))
    for key, text in values["alerts"].items():
        print(f"alert {key}: {text}")
    data = values["data"]
    print(f"\ndata {data['hash'][:16]}, {data['bars']:,} bars, settings {values['settings_hash']}")
    if values["ledger"]:
        print(
            f"ledger {values['ledger']}: novapulse explain --decision ID --ledger {values['ledger']}, "
            f"novapulse explain --why-not --ledger {values['ledger']}"
        )


def default_ledger(options: argparse.Namespace) -> Path:
    """Return the ledger that options name, else the one of this machine's trader."""
    from novapulse.config import home_folder

    return Path(options.ledger) if options.ledger else home_folder(os.environ) / "ledger.db"
