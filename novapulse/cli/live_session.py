"""Puts a paper trader together: ledger, leases, venues, runners, feeds and everything that watches them.

Invariants:
- an account goes on where the ledger says it stopped, its venue where its own file says it stopped;
- the feed goes on behind the last close that was decided; a venue that is behind is brought there first.
"""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from novapulse import __version__
from novapulse.cli.console import UsageError
from novapulse.cli.live_market import AccountPlan, Market
from novapulse.cli.live_recording import Keepers
from novapulse.cli.live_roster import check_cash, check_dropped, symbols_listed, traded_before
from novapulse.control.inbox import FILE as INBOX_FILE
from novapulse.control.inbox import Inbox
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import print_of_state
from novapulse.core.messages import Answer, Commit, Record
from novapulse.core.orders import Fact
from novapulse.core.ports import Venue
from novapulse.core.postings import Book
from novapulse.engine.calibrations import KIND as CALIBRATION
from novapulse.engine.committer import Committer
from novapulse.engine.feed import Bars, Feed, Listener, RecordedSignals, RecordedSource
from novapulse.engine.gather import Gather
from novapulse.engine.lease_keeper import LeaseKeeper
from novapulse.engine.life import Link
from novapulse.engine.memory import fills_since_clean
from novapulse.engine.opening import capital_units, listing_records, new_trader, opening_record, scales_of
from novapulse.engine.orderly import Orderly
from novapulse.engine.runner import AccountRunner
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.engine.supervisor import Supervisor, Voice
from novapulse.engine.timeline import Timeline
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record, with_own_fees
from novapulse.ledger import queries
from novapulse.ledger.journal import Ledger
from novapulse.ledger.reads import RESTORED, RestoredAccount
from novapulse.market.recorder import SESSIONS, prune_sessions
from novapulse.venues.simulated import PaperVenue, SimulatedExchange, print_of

_log = structlog.get_logger("novapulse.live")

LEDGER_FILE = "ledger.db"
ANSWER_BACK_NS = 50_000_000
BEAT_S = 5.0
"""How long a recording that is played fast may pause, seconds of the machine: that is no silence of the feed."""

FILLS_KNOWN = 64
_CLOCKS_APART_NS = 60_000_000_000
_EVENTS_READ = 20_000


@dataclass
class Session:
    """One run of the paper trader.

    Attributes:
        name: Of this run.
        home: Folder of the state.
        market: What is traded on.
        ledger: Open for writing.
        leases: Taken.
        restored: What each account starts from.
        pace: Market seconds per second of the machine; 1 where the market waits for the machine.
        left_alone: Accounts of the ledger with open orders or holdings that nobody looks after.
    """

    name: str
    home: Path
    market: Market
    ledger: Ledger
    leases: LeaseKeeper
    restored: dict[AccountKey, RestoredAccount]
    pace: float = 1.0
    left_alone: tuple[AccountKey, ...] = ()
    stack: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Give everything back."""
        self.leases.release()
        self.stack.close()

    @property
    def decided_ns(self) -> int:
        """The last close that any account decided; 0 before the first."""
        return max(one.ts_close_ns for one in self.restored.values())

    @property
    def start_ns(self) -> int:
        """The moment at which time goes on: behind everything that was written."""
        written = [entry.record.ts_ns for key in self.restored for entry in self._last_entries(key)]
        return max([self.decided_ns, *written]) or self.market.first_close_ns - self.market.timeframe_ns

    def _last_entries(self, key: AccountKey) -> Iterator[Any]:
        if self.decided_ns:
            yield from self.ledger.records(key, ("session_started", "session_stopped", *KINDS), self._recent())

    def _recent(self) -> int:
        return max(self.ledger.head()[0] - _EVENTS_READ, 0)


def open_session(
    name: str, home: Path, market: Market, settings: TraderSettings, *, leave_accounts: bool = False
) -> Session:
    """Open the ledger, take the accounts and read what they start from.

    Args:
        name: Of the run.
        home: Folder of the state.
        market: What is traded on.
        settings: How long leases last.
        leave_accounts: Whether accounts with open orders or holdings may be left alone.

    Raises:
        UsageError: The ledger has such accounts, and the configuration does not name them; or an account cannot go on
            with the instruments that the configuration names.
        Fenced: Another process has an account.
        JournalError: The ledger cannot be used.
    """
    ledger, leases = Ledger.open(home / LEDGER_FILE), None
    try:
        for notice in ledger.notices:
            _log.info(notice)
        left_alone = tuple(_unnamed(home / LEDGER_FILE, {plan.key for plan in market.accounts}))
        if left_alone and not leave_accounts:
            raise UsageError(
                f"{ledger.place} has open orders or holdings of {listed(left_alone)}, which the configuration does not "
                "name, so nobody would look after them: name them under accounts:, or say --leave-accounts to leave "
                "them as they are"
            )
        for plan in market.accounts:
            check_cash(ledger, plan)
        wanted = scales_of(instrument for plan in market.accounts for instrument in plan.instruments)
        known = ledger.assets
        ledger.register_assets({asset: max(digits, known.get(asset, 0)) for asset, digits in wanted.items()})
        holder = f"{name} (process {os.getpid()} on {socket.gethostname()})"
        ttl_ns = round(settings.lease_s * 1e9)
        leases = LeaseKeeper(ledger, holder, socket.gethostname(), ttl_ns, time.time_ns)
        leases.take([plan.key for plan in market.accounts])
        restored = {plan.key: ledger.restore(plan.key) for plan in market.accounts}
        for plan in market.accounts:
            check_dropped(ledger, plan, restored[plan.key], partial(recent_facts, ledger, plan.key))
    except BaseException:
        if leases is not None:
            leases.release()
        ledger.close()
        raise
    session = Session(name, home, market, ledger, leases, restored, left_alone=left_alone)
    session.stack.callback(ledger.close)
    return session


def _unnamed(ledger: Path, named: Collection[AccountKey]) -> Iterator[AccountKey]:
    with queries.reading(ledger) as connection:
        for account in queries.accounts(connection):
            if account in named:
                continue
            holds = any(one.book == Book.INVENTORY and one.units for one in queries.balances(connection, account))
            if holds or next(iter(queries.orders(connection, account, only_open=True)), None) is not None:
                yield account


def listed(accounts: Iterable[AccountKey]) -> str:
    """Return accounts in words."""
    return ", ".join(f"account {one.account_id} on {one.exchange}" for one in accounts)


def trader_settings(plan: AccountPlan, timeframe_ns: int, pace: float) -> TraderSettings:
    """Return how an account's trader goes about its work at a venue in its own process: absence is certain at once.

    Args:
        plan: The account.
        timeframe_ns: Width of a bar.
        pace: Market seconds per second of the machine, >= 1: answers take the machine's time, whatever the market's.
    """
    own = plan.settings.trader
    return own.model_copy(
        update={
            "absence_after_s": 0.0,
            "absences_apart_s": 0.0,
            "quote_age_s_max": max(own.quote_age_s_max, 0.75 * timeframe_ns / 1e9),
            "submit_deadline_s": own.submit_deadline_s * pace,
            "escalation_s": own.escalation_s * pace,
        }
    )


def breaker_settings(plan: AccountPlan, timeframe_ns: int, pace: float) -> BreakerSettings:
    """Return the limits of an account's breakers; see `trader_settings`. A machine that pauses makes no data stale."""
    own = plan.settings.breakers
    waits = ("unknown_order_alert_s", "unknown_order_halt_s")
    pause_bars = BEAT_S * 1e9 * pace / timeframe_ns
    return own.model_copy(
        update={
            "bar_age_bars_max": max(own.bar_age_bars_max, pause_bars),
            **{name: getattr(own, name) * pace for name in waits},
        }
    )


def reborn(session: Session, plan: AccountPlan, venue: Venue, timeline: Timeline) -> Callable[[], Trader]:
    """Return what makes an account's trader from the ledger, now and after every failure."""
    ledger, market = session.ledger, session.market
    scales = {asset: ledger.assets[asset] for one in plan.instruments for asset in (one.base, one.quote)}

    def make() -> Trader:
        trader = new_trader(
            plan.key,
            plan.instruments,
            plan.settings.backtest,
            trader_settings(plan, market.timeframe_ns, session.pace),
            breaker_settings(plan, market.timeframe_ns, session.pace),
            market.timeframe_ns,
            scales,
            plan.said.history,
            spread_by_model=venue.models_spread and not RecordedSource.has_quotes,
        )
        found = ledger.restore(plan.key)
        if not found.state and not any(ledger.records(plan.key, ("account_opened",))):
            ledger.commit([(plan.key, Commit((opening_record(trader, timeline.now_ns()),)))])
        facts = [from_body(entry.record.kind, entry.record.body) for entry in found.open_facts]
        try:
            found.check()
            trader.restore(
                found.ts_close_ns,
                found.state,
                facts,
                recent_facts(ledger, plan.key, FILLS_KNOWN + fills_since_clean(found.state)),
                [entry.record for entry in found.entries if entry.record.kind == RESTORED],
            )
        except ValueError as wrong:
            raise UsageError(f"{ledger.place}: {wrong}") from wrong
        if added := listing_records(trader, symbols_listed(ledger, plan.key), timeline.now_ns()):
            ledger.commit([(plan.key, Commit(tuple(added)))])
        return trader

    return make


def recent_facts(ledger: Ledger, key: AccountKey, fills: int = FILLS_KNOWN) -> list[Fact]:
    """Return an account's facts as far back as its venue may tell them again: by the venue's time, not by ours."""
    head, back = ledger.head()[0], _EVENTS_READ
    while True:
        after = max(head - back, 0)
        records = [entry.record for entry in ledger.records(key, tuple(KINDS), after)]
        if after == 0 or (_reach_back(records, fills) and _are_whole(records)):
            return [from_body(record.kind, record.body) for record in records]
        back *= 4


def _reach_back(records: Sequence[Record], fills: int) -> bool:
    # What was heard late is booked behind what happened after it. Nothing is booked before it happened: what was
    # written before all of these is older than the newest executions among them.
    happened = sorted(record.body["ts_event_ns"] for record in records if record.kind == "fill_booked")[-fills:]
    return len(happened) == fills and records[0].ts_ns + _CLOCKS_APART_NS < happened[0]


def _are_whole(records: Sequence[Record]) -> bool:
    # Executions of one order reach the ledger in any order: all of an order's facts are read, or none.
    booked = [record for record in records if record.kind == "fill_booked"]
    intended = {record.body["client_order_id"] for record in records if record.kind == "order_intended"}
    return all(record.body["client_order_id"] in intended | {""} for record in booked)


def paper_venue(session: Session, plan: AccountPlan, timeline: Timeline) -> PaperVenue:
    """Return an account's venue, open where it was left.

    Raises:
        PaperFileError: Its file cannot be used.
    """
    own, market = plan.settings, session.market
    facts = sorted(with_own_fees(plan.instruments, own.execution), key=lambda one: one.key)
    only = facts[0] if len(facts) == 1 else None
    rules = rules_record(own.risk, own.execution, market.timeframe_ns, only)
    scales = {asset: session.ledger.assets[asset] for one in facts for asset in (one.base, one.quote)}
    capital = capital_units(own.backtest, facts[0])
    path = session.home / f"paper-{plan.key.exchange}-{plan.key.account_id}.db"
    # A process that is killed loses nothing; of the simulated venue, a power cut may take the last moments, and the
    # comparison at the next start says so. The ledger waits for the disk.
    venue = PaperVenue(
        lambda: SimulatedExchange(plan.key, facts, rules, capital, scales=scales),
        timeline,
        path=path,
        synchronous="NORMAL",
        ledger_id=session.ledger.ledger_id,
    )
    session.stack.callback(venue.close)
    return venue


@dataclass
class Parts:
    """A supervisor and what it runs on."""

    supervisor: Supervisor
    runners: tuple[AccountRunner, ...]
    feeds: tuple[Feed, ...]
    committer: Committer


def put_together(session: Session, timeline: Timeline, committer: Committer, settings: TraderSettings) -> Parts:
    """Make everything that runs on the loop; call it there.

    Raises:
        PaperFileError: The file of a paper account cannot be used.
        OSError: The recording of the session cannot be written.
    """
    voice, market = Voice(), session.market
    runners: dict[AccountKey, AccountRunner] = {}
    venues: dict[AccountKey, PaperVenue] = {}
    for plan in market.accounts:
        venue = venues[plan.key] = paper_venue(session, plan, timeline)
        link = Link(round(plan.settings.execution.latency_ms * 1_000_000), ANSWER_BACK_NS)
        make = reborn(session, plan, venue, timeline)
        runners[plan.key] = AccountRunner(plan.key, make, venue, timeline, committer, voice, link)
    feeds = _feeds(session, timeline, runners, venues, settings)
    inbox = Inbox(session.home / INBOX_FILE)
    orderly = Orderly(inbox, runners, partial(_answered, session), time.time_ns)
    voice.orderly = orderly
    supervisor = Supervisor(
        list(runners.values()), feeds, timeline, settings, session.leases, orderly, session=session.name
    )
    return Parts(supervisor, tuple(runners.values()), feeds, committer)


def _feeds(
    session: Session,
    timeline: Timeline,
    runners: Mapping[AccountKey, AccountRunner],
    venues: Mapping[AccountKey, PaperVenue],
    settings: TraderSettings,
) -> tuple[Feed, ...]:
    market, signals = session.market, dict[int, RecordedSignals]()
    folder = session.home / SESSIONS
    for gone in prune_sessions(folder):
        _log.info("the recording of an old session was removed", session=gone)
    facts = {
        "session": session.name,
        "timeframe_ns": market.timeframe_ns,
        "ledger_id": session.ledger.ledger_id,
        "is_sample": market.is_sample,
        "version_of_program": __version__,
    }
    keepers = Keepers(folder, session.name, facts, session.stack)
    feeds = []
    for exchange, recording in market.recordings.items():
        plans = [plan for plan in market.accounts if plan.key.exchange == exchange]
        listeners = []
        resume_ns = []
        for plan in plans:
            own = plan.said
            said = signals.setdefault(id(own), RecordedSignals(own.ticks, own.calibrations, own.past))
            decided_ns, played_ns = _progress(session, plan, venues[plan.key])
            found = _beginning(session, plan.key, venues[plan.key], decided_ns)
            resume_ns.append(min(decided_ns, played_ns))
            listeners.append(
                Listener(
                    runners[plan.key],
                    said,
                    _player(venues[plan.key]),
                    _known(session, plan.key),
                    decided_ns,
                    keepers.of_account(plan.key, said.keys, found),
                )
            )
        ahead = recording.after(min(resume_ns))
        beat_ns = max(market.timeframe_ns, round(BEAT_S * session.pace * 1e9))
        source = RecordedSource(ahead.ticks, ahead.numbers, ahead.made, timeline, beat_ns)
        gather = Gather(ahead.ticks.keys, round(settings.tick_deadline_s * 1e9))
        feeds.append(
            Feed(exchange, source, gather, listeners, timeline, keepers.of_exchange(exchange, ahead.ticks.keys))
        )
    return tuple(feeds)


def _beginning(session: Session, key: AccountKey, venue: PaperVenue, decided_ns: int) -> Mapping[str, Any]:
    # Whatever ended the session before, this is how far it and its venue had come.
    return {
        "behind_seq": session.ledger.head()[0],
        "state": print_of_state(session.restored[key].state),
        "venue": print_of(venue.exchange),
        "decided_ns": decided_ns,
    }


def _progress(session: Session, plan: AccountPlan, venue: PaperVenue) -> tuple[int, int]:
    """Return the last close that an account is not to be told any more, and the last one that its venue has played."""
    latest, own = session.decided_ns, session.restored[plan.key].ts_close_ns
    stamps = plan.said.ticks.ts_close_ns
    row = int(stamps.searchsorted(latest))
    before = int(stamps[row - 1]) if 0 < row <= stamps.size else 0
    # An account that missed more than the last close decides nothing on what is over.
    decided_ns = own if own >= before else latest
    # An instrument that was added has nothing to catch up with: not played yet, or last when it was traded before.
    traded, slots = traded_before(session.restored[plan.key]), venue.exchange.slots
    played = [slot.last_close_ns for key, slot in slots.items() if key in traded or not traded]
    played_ns = min(filter(None, played), default=0)
    is_new = not played or (own == 0 and played_ns == 0)
    return decided_ns, latest if is_new else played_ns


def _player(venue: PaperVenue) -> Callable[[Bars, int], object]:
    return venue.play


def _known(session: Session, key: AccountKey) -> set[str]:
    return {str(entry.record.body["id"]) for entry in session.ledger.records(key, (CALIBRATION,))}


def _answered(session: Session, key: AccountKey) -> dict[str, Answer]:
    bodies = [entry.record.body for entry in session.ledger.records(key, ("command_answered",))]
    return {one["command_id"]: Answer(str(one["command_id"]), bool(one["done"]), str(one["text"])) for one in bodies}
