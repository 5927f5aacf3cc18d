"""`novapulse live`: trade all configured accounts, on paper, until the feed ends or somebody stops it."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, error, progress, say, show_json
from novapulse.cli.live_chores import chores, last_health
from novapulse.cli.live_market import read_market
from novapulse.cli.live_session import LEDGER_FILE, Parts, Session, listed, open_session, put_together
from novapulse.cli.render import table
from novapulse.config import Loaded, check_mode, home_folder, load
from novapulse.core.bars import format_ns
from novapulse.core.ports import JournalError
from novapulse.engine.committer import Committer
from novapulse.engine.feed import RecordedSource
from novapulse.engine.history import HistoryReader
from novapulse.engine.report import summary_of
from novapulse.engine.supervisor import Ended
from novapulse.engine.timeline import SECOND_NS, RealTimeline, Timeline, VirtualLoop, VirtualTimeline, run
from novapulse.market.recorder import SESSIONS
from novapulse.ops.crash import CrashHooks
from novapulse.ops.logs import Logs
from novapulse.research.inputs import checked_strategies, open_lake
from novapulse.venues.simulated import PaperFileError

LOGS = "logs"
STACKS = "stacks.txt"


def live(options: argparse.Namespace) -> int:
    """Trade on paper; the exit code says whether everything ended well."""
    loaded = load(os.environ, options.config)
    check_mode(loaded.settings)
    strategies = checked_strategies(loaded, say)
    home = home_folder(os.environ)
    # Names sort by time, and two runs of one second have two.
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"
    with ExitStack() as stack:
        try:
            logs = Logs(home / LOGS, console=sys.stderr)
            stack.callback(logs.close)
            logging.getLogger("alembic").setLevel(logging.WARNING)
            hooks = CrashHooks(home / LOGS / STACKS, logs.flush)
            stack.callback(hooks.close)
            with progress("bars") as told, progress("signals") as signals_told:
                market = read_market(loaded, open_lake(), strategies, say, told, signals_told)
            session = open_session(name, home, market, loaded.settings.trader, leave_accounts=options.leave_accounts)
            stack.callback(session.close)
            _tell_where(session, loaded)
            outcome = _run(session, loaded, options.duration, hooks)
        except (JournalError, PaperFileError) as wrong:
            error(str(wrong))
            return EXIT_FAILED
    _show(outcome, session, as_json=options.json)
    return EXIT_DONE if outcome.ended.clean else EXIT_FAILED


def _tell_where(session: Session, loaded: Loaded) -> None:
    market, feed = session.market, loaded.settings.feed
    what = "a generated sample market" if market.is_sample else "recorded bars"
    speed = "as fast as possible" if feed.speed == 0 else f"{feed.speed:g} bars a second"
    first, last = format_ns(market.first_close_ns), format_ns(market.last_close_ns)
    say(f"feed: {what} that close from {first} to {last}, {speed}: nothing of it happens now")
    if not RecordedSource.has_quotes:
        halves = sorted({plan.settings.execution.half_spread_bps for plan in market.accounts})
        known = " or ".join(f"{2 * half:g}" for half in halves)
        say(f"quotes: the feed has none; the spread is the paper venues' own, {known} bps by configuration")
    if session.decided_ns:
        say(f"going on behind {format_ns(session.decided_ns)}, where the ledger ends")
    if session.left_alone:
        say(f"WARNING: nobody looks after the open orders and holdings of {listed(session.left_alone)}")
    say(f"ledger: {session.home / LEDGER_FILE}; logs: {session.home / LOGS}; what is seen: {session.home / SESSIONS}")


@dataclass
class Outcome:
    """What a run left behind."""

    ended: Ended
    parts: Parts
    seconds: float
    now_ns: int
    closes: int


def _run(session: Session, loaded: Loaded, duration_s: float | None, hooks: CrashHooks) -> Outcome:
    speed = loaded.settings.feed.speed
    start_ns = session.start_ns
    if speed == 0:
        virtual = VirtualLoop(start_ns)
        hooks.watch(virtual)
        return run(virtual, _trade(session, loaded, VirtualTimeline(virtual), None, duration_s))
    loop = asyncio.new_event_loop()
    hooks.watch(loop)
    pace = speed * session.market.timeframe_ns / SECOND_NS
    session.pace = max(pace, 1.0)
    timeline = RealTimeline(start_ns, pace, loop)
    with ThreadPoolExecutor(1, "ledger") as writer:
        return run(loop, _trade(session, loaded, timeline, writer, duration_s))


async def _trade(
    session: Session, loaded: Loaded, timeline: Timeline, writer: ThreadPoolExecutor | None, duration_s: float | None
) -> Outcome:
    settings = loaded.settings.trader
    committer = Committer(session.ledger, writer)
    parts = put_together(session, timeline, committer, settings)
    supervisor = parts.supervisor
    supervisor.chores = chores(session, supervisor, timeline)
    unbooked = session.ledger.unbooked
    supervisor.histories = [HistoryReader(one, unbooked, timeline, writer) for one in parts.runners]
    before = _on_signals(supervisor.ask_stop)
    limit = asyncio.get_running_loop().create_task(_stop_after(timeline, duration_s, supervisor.ask_stop))
    began_s = time.monotonic()
    try:
        ended = await supervisor.run()
    finally:
        limit.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        last_health(session, supervisor, timeline)
    closes = sum(feed.closes for feed in parts.feeds)
    return Outcome(ended, parts, time.monotonic() - began_s, timeline.now_ns(), closes)


async def _stop_after(timeline: Timeline, duration_s: float | None, ask_stop: Callable[[str], None]) -> None:
    if duration_s is not None:
        await timeline.real(duration_s)
        ask_stop(f"it has run for {duration_s:g} s")


def _on_signals(ask_stop: Callable[[str], None]) -> dict[int, Any]:
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        why = f"it was asked to by {number.name}"

        def heard(*_: object, why: str = why) -> None:
            loop.call_soon_threadsafe(ask_stop, why)

        before[number] = signal.signal(number, heard)
    return before


def _show(outcome: Outcome, session: Session, *, as_json: bool) -> None:
    accounts = [summary_of(runner, outcome.now_ns) for runner in outcome.parts.runners]
    market, ended = session.market, outcome.ended
    values: dict[str, Any] = {
        "accounts": accounts,
        "decisions": sum(account["decisions"] for account in accounts),
        "fills": sum(account["fills"] for account in accounts),
        "clean_stop": ended.clean,
        "left": ended.left,
        "why": ended.why,
        "session": session.name,
        "seconds": round(outcome.seconds, 3),
        "closes": outcome.closes,
        "feed": {
            "is_sample": market.is_sample,
            "first_close_ns": market.first_close_ns,
            "last_close_ns": market.last_close_ns,
            "rejected": sum(feed.rejected for feed in outcome.parts.feeds),
            "ended": all(feed.ended for feed in outcome.parts.feeds),
        },
        "ledger": {"id": session.ledger.ledger_id, "place": str(session.ledger.place)},
        "commits": {"transactions": outcome.parts.committer.transactions, "commits": outcome.parts.committer.commits},
    }
    if as_json:
        show_json(values)
        return
    rows = [
        (
            account["exchange"],
            account["account_id"],
            account["mode"].replace("_", " "),
            *(str(account[name]) for name in ("decisions", "fills", "round_trips")),
            str(len(account["positions"])),
            f"{account['equity']} {account.get('quote', '')}".strip(),
        )
        for account in accounts
    ]
    head = ("exchange", "account", "mode", "decisions", "fills", "round trips", "positions", "equity")
    print("\n".join(table(head, rows)))
    print(f"{outcome.closes} closes in {outcome.seconds:.1f} s; stopped because {ended.why}")
    for left in ended.left:
        error(left)
