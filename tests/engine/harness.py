"""A small market with made-up signals, a journal in memory, and a trader to talk to."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import MINUTE_NS
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import Commit, Record
from novapulse.core.orders import Fact
from novapulse.core.postings import Book, imbalance
from novapulse.core.records import BAR, SIGNAL
from novapulse.engine.opening import new_trader, scales_of
from novapulse.engine.rows import Ticks
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record
from novapulse.simulation.world import Link, Node, Timeline, World
from novapulse.venues.simulated import SimulatedExchange

ORIGIN_NS = 1_700_000_040_000_000_000 // MINUTE_NS * MINUTE_NS
SECOND_NS = 1_000_000_000
END_S = 10
"""So long behind a close everything that followed from it has happened."""
ACCOUNT = AccountKey("kraken", "main")
NAMES = ("BTC/USD", "ETH/USD", "SOL/USD")


def facts_of(symbols: Sequence[str] = NAMES) -> tuple[Instrument, ...]:
    return tuple(
        Instrument(
            "kraken",
            symbol,
            symbol.split("/")[0],
            "USD",
            tick=Decimal("0.01"),
            lot=Decimal("0.0001"),
            notional_min=Decimal(5),
        )
        for symbol in sorted(symbols)
    )


def decides(**risk: Any) -> BacktestSettings:
    """Return settings that trade often: no cooldowns, and targets within reach of a small market."""
    limits = {"loss_cooldown_s": 0, "instrument_cooldown_s": 0, "strategy_cooldown_s": 0, "loss_streak_max": 0}
    return BacktestSettings.model_validate(
        {
            "risk": {"limits": limits, "stops": {"target_stretch_max": 20.0}, **risk},
            "execution": {"maker_fee_bps": 1.0, "taker_fee_bps": 2.0},
        }
    )


def noisy_ticks(symbols: Sequence[str] = NAMES, bars: int = 600, seed: int = 3) -> Ticks:
    """Return random walks with random opinions: a few dozen entries per instrument."""
    rng = np.random.default_rng(seed)
    keys = tuple(InstrumentKey("kraken", symbol) for symbol in sorted(symbols))
    rows, signals = np.zeros((bars, len(keys)), BAR), np.zeros((bars, len(keys)), SIGNAL)
    stamps = ORIGIN_NS + MINUTE_NS * np.arange(1, bars + 1)
    for column in range(len(keys)):
        close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0, 0.001, bars))), 2)
        open_ = np.concatenate([[100.0], close[:-1]])
        wick = np.round(np.abs(rng.normal(0, 0.06, (2, bars))), 2)
        rows["ts_close_ns"][:, column] = stamps
        rows["open"][:, column] = open_
        rows["close"][:, column] = close
        rows["high"][:, column] = np.maximum(open_, close) + wick[0]
        rows["low"][:, column] = np.minimum(open_, close) - wick[1]
        rows["volume"][:, column] = np.round(rng.uniform(1, 400, bars), 4)
        signals["consensus"][:, column] = np.where(rng.random(bars) < 0.15, rng.uniform(-12, 14, bars), 0.0)
        signals["atr"][:, column] = 0.12
        signals["confidence"][:, column] = 0.8
        signals["volatility"][:, column] = 0.6
        signals["gate_probability"][:, column] = np.nan
        signals["warm"][:, column] = 1
    present = np.ones((bars, len(keys)), np.int64)
    return Ticks(keys, stamps, rows, signals, present, ("c0",) * bars)


class MemoryJournal:
    """Keeps what it is given; can be told to refuse, and restores like the ledger."""

    def __init__(self) -> None:
        self.commits: list[tuple[AccountKey, Commit]] = []
        self.error: Exception | None = None

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        if self.error is not None:
            raise self.error
        for _, commit in commits:
            for record in commit.records:
                assert not imbalance(record.postings), record
        self.commits += commits

    def records(self, *kinds: str) -> list[Record]:
        return [record for _, commit in self.commits for record in commit.records if not kinds or record.kind in kinds]

    def held(self) -> int:
        return sum(
            posting.amount for record in self.records() for posting in record.postings if posting.book is Book.HOLD
        )

    def restored(self) -> tuple[int, bytes, list[Fact], list[Fact]]:
        """Return the last close, the last state, the facts of the orders without an end, and all facts."""
        stateful = [commit for _, commit in self.commits if commit.state]
        closed: dict[str, int] = {}
        facts: list[Fact] = []
        every: list[Fact] = []
        for number, record in enumerate(self.records()):
            if record.kind == "order_closed":
                closed[record.body["client_order_id"]] = number
            elif record.kind == "order_reopened":
                del closed[record.body["client_order_id"]]
        for record in self.records():
            if record.kind in KINDS:
                every.append(from_body(record.kind, record.body))
                if record.body["client_order_id"] not in closed and record.body["client_order_id"]:
                    facts.append(every[-1])
        return stateful[-1].ts_close_ns, stateful[-1].state, facts, every


def trader_of(
    symbols: Sequence[str] = NAMES,
    settings: BacktestSettings | None = None,
    trader: TraderSettings | None = None,
    account: AccountKey = ACCOUNT,
    *,
    has_quotes: bool = False,
    shortable: bool = False,
) -> Trader:
    facts = tuple(replace(one, shortable=shortable) for one in facts_of(symbols))
    return new_trader(
        account,
        facts,
        settings or decides(),
        trader or TraderSettings(),
        BreakerSettings(),
        MINUTE_NS,
        scales_of(facts),
        spread_by_model=not has_quotes,
    )


def world_of(
    trader: Trader, settings: BacktestSettings | None = None, journal: MemoryJournal | None = None
) -> tuple[World, Node, MemoryJournal]:
    """Return a world with one account and its venue, not started."""
    chosen = settings or decides()
    desk = trader.desk
    rules = rules_record(chosen.risk, chosen.execution, MINUTE_NS)
    cash = int(desk.books.account[0].cash_units)
    exchange = SimulatedExchange(ACCOUNT, desk.instruments, rules, cash, scales=desk.scales)
    kept = journal or MemoryJournal()
    world = World(Timeline(ORIGIN_NS), kept)
    node = Node(ACCOUNT, trader, exchange, Link(200_000_000, 50_000_000))
    world.add(node)
    return world, node, kept


def closes(world: World, node: Node, ticks: Ticks) -> Iterator[int]:
    """Let closes happen one by one; yield the row of each when what followed from it has."""
    for row in range(len(ticks)):
        world.timeline.at(
            int(ticks.ts_close_ns[row]),
            lambda row=row: world.tick(node, ticks, ticks.event(row, world.timeline.now_ns)),
        )
        world.timeline.run(int(ticks.ts_close_ns[row]) + END_S * SECOND_NS)
        yield row


def start_anew(world: World, node: Node, journal: MemoryJournal) -> None:
    """Let a trader begin once more, from what its journal has."""
    node.trader = trader_of()
    node.trader.restore(*journal.restored())
    node.life += 1
    node.timers.clear()
    world.start(node)
    world.timeline.run(world.timeline.now_ns + END_S * SECOND_NS)
