"""Accounts on a virtual loop: real runners, real paper venues in memory, a journal that can be broken."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import MINUTE_NS
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Alert, Answer, Commit, Record
from novapulse.core.orders import Fact
from novapulse.core.ports import Fenced, Unwritable
from novapulse.core.records import Mode
from novapulse.engine.committer import Committer
from novapulse.engine.feed import Feed, Listener, RecordedSignals, RecordedSource
from novapulse.engine.gather import Gather
from novapulse.engine.lease_keeper import LeaseKeeper
from novapulse.engine.life import Link
from novapulse.engine.opening import new_trader, opening_record, scales_of
from novapulse.engine.rows import Ticks
from novapulse.engine.runner import AccountRunner
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.engine.supervisor import Supervisor
from novapulse.engine.timeline import VirtualLoop, VirtualTimeline, run
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record
from novapulse.venues.simulated import PaperVenue, SimulatedExchange
from tests.engine.harness import NAMES, ORIGIN_NS, decides, facts_of

T = TypeVar("T")
LINK = Link(200_000_000, 50_000_000)
PATIENT = TraderSettings(absence_after_s=0.0, absences_apart_s=0.0, quote_age_s_max=45.0)


@dataclass
class Books:
    """What an account's journal holds, and what the trader starts from."""

    records: list[Record] = field(default_factory=list)
    state: bytes = b""
    ts_close_ns: int = 0

    def facts(self) -> tuple[list[Fact], list[Fact]]:
        closed = {one.body["client_order_id"] for one in self.records if one.kind == "order_closed"}
        every = [one for one in self.records if one.kind in KINDS]
        open_ = [one for one in every if one.body["client_order_id"] not in closed]
        return [from_body(one.kind, one.body) for one in open_], [from_body(one.kind, one.body) for one in every]


class SharedJournal:
    """One ledger for several accounts, in memory. `refuse` is asked before anything is written."""

    def __init__(self) -> None:
        self.books: dict[AccountKey, Books] = {}
        self.refuse: Callable[[AccountKey, Commit], Exception | None] = lambda account, commit: None
        self.sizes: list[int] = []

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        for account, commit in commits:
            if (wrong := self.refuse(account, commit)) is not None:
                raise wrong
        self.sizes.append(len(commits))
        for account, commit in commits:
            books = self.books.setdefault(account, Books())
            books.records += commit.records
            books.ts_close_ns = commit.ts_close_ns or books.ts_close_ns
            books.state = commit.state or books.state

    def of(self, account: AccountKey, *kinds: str) -> list[Record]:
        records = self.books.get(account, Books()).records
        return [record for record in records if not kinds or record.kind in kinds]


def failing(times: int, hits: Callable[[AccountKey, Commit], bool]) -> Callable[[AccountKey, Commit], Exception | None]:
    """Return what refuses the first commits of some kind, each also when it is tried once more by itself."""
    refused: list[Commit] = []

    def refuse(account: AccountKey, commit: Commit) -> Exception | None:
        if not hits(account, commit):
            return None
        if not any(commit is one for one in refused):
            if len(refused) == times:
                return None
            refused.append(commit)
        return Unwritable("disk is full")

    return refuse


class Leases:
    """A book of leases in memory."""

    def __init__(self) -> None:
        self.held: dict[AccountKey, str] = {}

    def take_lease(self, account: AccountKey, holder: str, now_ns: int, ttl_ns: int, host: str = "") -> int:
        if account in self.held:
            raise Fenced(f"{account.account_id} at {account.exchange} is traded by {self.held[account]}")
        self.held[account] = holder
        return 1

    def renew_lease(self, account: AccountKey, now_ns: int, ttl_ns: int) -> None:
        if account not in self.held:
            raise Fenced(f"{account.account_id} at {account.exchange} was overtaken")

    def release_lease(self, account: AccountKey, now_ns: int) -> None:
        self.held.pop(account, None)


class Told:
    """Hears what accounts say."""

    def __init__(self) -> None:
        self.alerts: list[tuple[AccountKey, Alert]] = []
        self.answers: list[tuple[AccountKey, Answer]] = []

    def alerted(self, account: AccountKey, alert: Alert) -> None:
        self.alerts.append((account, alert))

    def answered(self, account: AccountKey, answer: Answer) -> None:
        self.answers.append((account, answer))


class House:
    """Accounts of one exchange on a virtual loop."""

    def __init__(
        self,
        ticks: Ticks,
        accounts: Sequence[AccountKey],
        settings: BacktestSettings | None = None,
        trader: TraderSettings = PATIENT,
        journal: SharedJournal | None = None,
        symbols: Sequence[str] = NAMES,
        venues: dict[AccountKey, PaperVenue] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.ticks = ticks
        self.settings = settings or decides()
        self.trader_settings = trader
        self.facts = facts_of(symbols)
        self.scales = scales_of(self.facts)
        self.journal = journal or SharedJournal()
        self.timeline = VirtualTimeline(loop)
        self.committer = Committer(self.journal, None)
        self.told = Told()
        self.leases = Leases()
        self.made: list[Trader] = []
        self.venues = venues or {key: self.venue(key) for key in accounts}
        self.runners = {
            key: AccountRunner(
                key, lambda key=key: self.reborn(key), self.venues[key], self.timeline, self.committer, self.told, LINK
            )
            for key in accounts
        }

    def venue(self, key: AccountKey) -> PaperVenue:
        rules = rules_record(self.settings.risk, self.settings.execution, MINUTE_NS)
        first = self.fresh(key)
        facts = first.desk.instruments
        cash = int(first.desk.books.account[0].cash_units)
        return PaperVenue(lambda: SimulatedExchange(key, facts, rules, cash, scales=self.scales), self.timeline)

    def fresh(self, key: AccountKey) -> Trader:
        return new_trader(
            key,
            self.facts,
            self.settings,
            self.trader_settings,
            BreakerSettings(),
            MINUTE_NS,
            self.scales,
            spread_by_model=True,
        )

    def reborn(self, key: AccountKey) -> Trader:
        trader = self.fresh(key)
        books = self.journal.books.get(key)
        if books is None or not books.records:
            self.journal.commit([(key, Commit((opening_record(trader, self.timeline.now_ns()),)))])
            books = self.journal.books[key]
        facts, every = books.facts()
        trader.restore(books.ts_close_ns, books.state, facts, every)
        self.made.append(trader)
        return trader

    def feed(self) -> Feed:
        signals = RecordedSignals(self.ticks, ())
        shape = self.ticks.present.shape
        numbers = (self.ticks.ts_close_ns[:, None] // MINUTE_NS) * np.ones(shape, np.int64)
        source = RecordedSource(self.ticks, numbers, np.zeros(shape, np.bool_), self.timeline, MINUTE_NS)
        listeners = [
            Listener(runner, signals, self.venues[key].play, {"c0"}, self.journal.books.get(key, Books()).ts_close_ns)
            for key, runner in self.runners.items()
        ]
        return Feed("kraken", source, Gather(self.ticks.keys, 2_000_000_000), listeners, self.timeline)

    def supervisor(self, **settings: Any) -> Supervisor:
        keeper = LeaseKeeper(self.leases, "we", "here", 30_000_000_000, self.timeline.now_ns)
        keeper.take(list(self.runners))
        chosen = self.trader_settings.model_copy(update={"stop_entries": "keep", **settings})
        return Supervisor(list(self.runners.values()), [self.feed()], self.timeline, chosen, keeper, session="s1")


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, T]], start_ns: int = ORIGIN_NS) -> T:
    return run(VirtualLoop(start_ns), work())


def trips(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """Return the round trips among some records, as far as they say what was traded."""
    names = (
        "instrument",
        "entry_ns",
        "exit_ns",
        "direction",
        "qty_units",
        "pnl_units",
        "entry_price",
        "exit_price",
        "exit_reason",
        "bars_held",
    )
    return [tuple(str(one.body[name]) for name in names) for one in records if one.kind == "round_trip_closed"]


def mode_of(house: House, account: AccountKey) -> Mode:
    """Return what an account of a house may do."""
    trader = house.runners[account].trader
    assert trader is not None
    return trader.desk.books.mode
