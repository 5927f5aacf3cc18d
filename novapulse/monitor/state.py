"""What the monitor says: of the trader, of every account, and of what an account holds, asks for and decided.

Invariants:
- every value names the moment it is from, and `seq` is the number of the ledger entry behind it;
- amounts and prices are exact decimals (text in JSON), times are ns UTC, an account is `exchange` and `account_id`;
- unknown is None, never 0 and never "flat": an account whose ledger cannot be read keeps what was proven last, and
  says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from novapulse.core.instruments import AccountKey
from novapulse.ledger.queries import UnknownAccountError
from novapulse.monitor.rows import (
    AlertState,
    BreakerState,
    BreakState,
    DayState,
    DecisionState,
    FillState,
    LimitChangeState,
    LockState,
    OrderState,
    PositionState,
    RoundTripState,
    VoteState,
)
from novapulse.monitor.values import Value

__all__ = [
    "AccountState",
    "AlertState",
    "BreakState",
    "BreakerState",
    "DayState",
    "DecisionState",
    "FillState",
    "InstrumentState",
    "LedgerHealth",
    "Life",
    "OrderState",
    "Overview",
    "PositionState",
    "RoundTripState",
    "TraderState",
    "UnknownAccountError",
]


class Life(StrEnum):
    """How the trader's process is, as far as its health document shows."""

    RUNNING = "running"
    SILENT = "silent"
    """Its last sign of life is too old: it has died, or it hangs."""
    STOPPED = "stopped"
    """It said that it stops."""
    ABSENT = "absent"
    """No trader has ever written a document here."""
    UNREADABLE = "unreadable"
    """There is a document, and it cannot be read or believed."""


class LedgerHealth(StrEnum):
    """How the ledger could be read."""

    OK = "ok"
    MISSING = "missing"
    LOCKED = "locked"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"
    REPLACED = "replaced"
    """It was read, but it is not the ledger that was there before: another id, or an older state of it."""


@dataclass(frozen=True, slots=True)
class TraderState(Value):
    """The trader's process.

    Attributes:
        life: How it is.
        running: Whether it runs, as far as can be seen; only RUNNING is.
        healthy: Whether it runs and says that everything is well.
        reasons: Why it is not healthy, in words.
        heartbeat_ns: Its last sign of life, machine clock; None without one.
        heartbeat_age_s: Age of that; None without one.
        session: Id of its session; empty without one.
        version: Of its program.
        pid: Its process; None without one.
        ledger_id: The ledger it writes; empty without one.
        bars: Where its bars are from, `recorded` or `sample`; empty while unknown, which is not "of now".
    """

    life: Life
    running: bool
    healthy: bool
    reasons: tuple[str, ...]
    heartbeat_ns: int | None = None
    heartbeat_age_s: float | None = None
    session: str = ""
    version: str = ""
    pid: int | None = None
    ledger_id: str = ""
    bars: str = ""


@dataclass(frozen=True, slots=True)
class InstrumentState(Value):
    """One instrument of one account: what was voted, what is held, and why nothing was done.

    Attributes:
        symbol: What.
        state: `flat`, `long`, `short`, or `working` for an entry at work without a position.
        has_working_order: Whether an entry or exit is at work.
        consensus: -20..20, of the bar `votes_ns`; None where none was kept.
        confidence: 0..1.
        lead: Strategy that weighed most in it.
        regime: Label of the market's state at that bar.
        gate_probability: None where the gate abstained.
        forecasts: Strategy -> forecast at that bar, -20..20, as the trader says it beside its consensus; None where it
            does not: the ledger keeps the consensus, and `novapulse explain` makes the votes again.
        weights: Strategy -> its share of the whole weight at that bar, 0..1; None where `forecasts` is.
        votes_ns: The bar that these are of.
        votes_before: Those of the closes shortly before it that the reading before this one may have missed, ascending;
            none where bars close no more often than the trader speaks.
        votes_seq: The decision that they were kept with; None where they are newer than the last decision.
        action: Of the last decision; empty before the first.
        reason: Of the last decision.
        decision_id: Of the last decision.
        decision_ns: Its bar; None before the first.
        decision_seq: Its entry.
        why_not: Why the last bars decided nothing, in words; empty where the last bar decided something, None unknown.
        why_not_reason: The same as a name of `core.records.Reason`.
        why_not_since_ns: First of those bars.
        why_not_bars: How many.
        price: Last close.
        price_ns: That close.
        market_state: `open`, `closed`, `half-day` or `24/7`.
    """

    symbol: str
    state: str
    has_working_order: bool
    consensus: float | None = None
    confidence: float | None = None
    lead: str = ""
    regime: str = ""
    gate_probability: float | None = None
    forecasts: Mapping[str, float] | None = None
    weights: Mapping[str, float] | None = None
    votes_ns: int | None = None
    votes_before: tuple[VoteState, ...] = ()
    votes_seq: int | None = None
    action: str = ""
    reason: str = ""
    decision_id: str = ""
    decision_ns: int | None = None
    decision_seq: int | None = None
    why_not: str | None = None
    why_not_reason: str = ""
    why_not_since_ns: int | None = None
    why_not_bars: int = 0
    price: Decimal | None = None
    price_ns: int | None = None
    market_state: str = ""


@dataclass(frozen=True, slots=True)
class AccountState(Value):
    """Everything that is known of one account.

    Amounts are in its quote asset. What comes from the ledger is as of entry `as_of_seq`; what only the trader knows
    (healthy, connected, last_bar_age_s) is as of its last sign of life.

    Attributes:
        exchange: Lower-case id.
        account_id: Name of the account there.
        mode: What it may do, a lower-case name of `core.records.Mode`; None while unknown.
        money: With what it trades, as its trader said last: `paper` or `live`; None where no trader of this ledger
            says.
        healthy: Whether the trader runs, says that this account is well, and the ledger can be read.
        reasons: Why it is not.
        notes: What restricts or worries without making it unhealthy.
        proven: False where the ledger cannot be read now and this is what was proven last.
        connected: Whether the venue's stream stands; None while unknown.
        quote: Its quote asset.
        equity: `cash + hold + holdings at their marks`; None where a mark is missing.
        equity_said: What the trader itself said last, with its sign of life; None while unknown.
        cash: Free.
        hold: Reserved by open entries.
        day_pnl: Equity less what the day (UTC, of the account's own time) began with; None while unknown, and from the
            end of the last close's day to the first close of the next.
        day_pnl_fraction: The same over what the day began with.
        drawdown_fraction: `1 - equity / peak`, >= 0; None while unknown.
        gross_exposure: Holdings at their marks, sizes added.
        exposure_fraction: The same over the equity.
        pending_exposure: What open entries may still add to it; None while unknown.
        loss_streak: Losses in a row; None while unknown.
        realized_pnl: Of everything closed, fees paid.
        unrealized_pnl: Of everything held; None where a mark is missing.
        fees: Paid so far.
        last_close_ns: Last bar that was decided; None before the first.
        last_bar_age_s: Its age in the account's own time, the age of the word added; None while unknown.
        open_orders: Orders that may still fill.
        unknown_orders: Orders whose outcome is not known.
        open_breaks: Differences to the venue.
        trades: Round trips closed so far.
        positions: Sorted by symbol.
        orders: Not ended, in the order of their intents.
        recent_fills: The last ones, newest first, as the three that follow.
        recent_decisions: The last ones.
        recent_round_trips: The last ones.
        alerts: All that are open, then the last that are over, each newest first.
        breakers: Tripped.
        breaks: Open.
        equity_points: (ts_ns, equity) at closes, ascending, at most 500: at decisions, whenever the account is flat,
            and at the last close.
        start: (ts_ns, equity) of the first moment at which the equity was known; None before it.
        equity_peak: What `drawdown_fraction` is counted from; None while unknown.
        days: What each of the last days brought, newest first, at most 31.
        compared_ns: When books and venue were compared last, as far as it was written down; None for never.
        as_of_seq: Last entry of this account that is counted in.
        as_of_ns: When that was written, in the account's own time.
        market_state: `open`, `closed`, `some closed`, `half-day` or `24/7`, from the calendars, at the account's own
            time.
        votes: One for every instrument, sorted by symbol.
        seqs: Name of a value -> the last entry that changed it: `mode`, `cash`, `fees`, `realized_pnl`, `session`,
            `limits`, `compared`.
        risk: Limits the account runs with, as its session recorded them and operators changed them since: `risk` of
            the settings, with `breakers` and `timeframe_ns` beside it; empty while unknown.
        limit_changes: Those of them that are otherwise than configured, by name.
        groups: Symbol -> correlated group whose exposure is capped together; without those that are in none.
        bases: Symbol -> asset that its quantities are counted in, of every instrument that was ever listed.
        settings_hash: Of what decides.
        measured: What the trader measured last besides: `feed_silence` (heartbeats of the feed), `clock_skew` (ms) and
            `disk_free` (fraction), each None while it could not be measured; empty without a trader that runs.
        locks: What keeps entries away, of the account, an instrument or a strategy.
    """

    exchange: str
    account_id: str
    mode: str | None
    healthy: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    proven: bool
    connected: bool | None
    quote: str
    equity: Decimal | None
    equity_said: Decimal | None
    cash: Decimal | None
    hold: Decimal | None
    day_pnl: Decimal | None
    day_pnl_fraction: float | None
    drawdown_fraction: float | None
    gross_exposure: Decimal | None
    exposure_fraction: float | None
    pending_exposure: Decimal | None
    loss_streak: int | None
    realized_pnl: Decimal | None
    unrealized_pnl: Decimal | None
    fees: Decimal | None
    last_close_ns: int | None
    last_bar_age_s: float | None
    open_orders: int
    unknown_orders: int
    open_breaks: int
    trades: int
    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...]
    recent_fills: tuple[FillState, ...]
    recent_decisions: tuple[DecisionState, ...]
    recent_round_trips: tuple[RoundTripState, ...]
    alerts: tuple[AlertState, ...]
    breakers: tuple[BreakerState, ...]
    breaks: tuple[BreakState, ...]
    equity_points: tuple[tuple[int, Decimal], ...]
    start: tuple[int, Decimal] | None
    equity_peak: Decimal | None
    days: tuple[DayState, ...]
    compared_ns: int | None
    as_of_seq: int
    as_of_ns: int
    market_state: str
    votes: tuple[InstrumentState, ...]
    seqs: Mapping[str, int] = field(default_factory=dict)
    risk: Mapping[str, Any] = field(default_factory=dict)
    limit_changes: tuple[LimitChangeState, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""
    measured: Mapping[str, float | None] = field(default_factory=dict)
    locks: tuple[LockState, ...] = ()
    money: str | None = None

    @property
    def key(self) -> AccountKey:
        """Exchange and account id."""
        return AccountKey(self.exchange, self.account_id)

    @property
    def is_flat(self) -> bool | None:
        """Whether nothing is held, as far as is proven now; None where the ledger cannot be read."""
        return not self.positions if self.proven else None


@dataclass(frozen=True, slots=True)
class Overview(Value):
    """One reading of everything.

    Attributes:
        as_of_ns: When it was made, machine clock.
        ledger: How the ledger could be read.
        ledger_problem: What is wrong with it, in words; empty where nothing is.
        ledger_read_ns: When it was last read whole, machine clock; 0 where it never was.
        ledger_id: Its name; empty where it was never read.
        ledger_place: Where it lies, without passwords.
        head_seq: Number of its last entry.
        head_ns: When that was written, in its account's own time; None without entries.
        trader: Its process.
        accounts: Sorted by exchange and account id.
    """

    as_of_ns: int
    ledger: LedgerHealth
    ledger_problem: str
    ledger_read_ns: int
    ledger_id: str
    ledger_place: str
    head_seq: int
    head_ns: int | None
    trader: TraderState
    accounts: tuple[AccountState, ...]

    def account(self, exchange: str, account_id: str) -> AccountState:
        """Return one account.

        Raises:
            UnknownAccountError: There is no such account; the message names those there are.
        """
        for one in self.accounts:
            if (one.exchange, one.account_id) == (exchange, account_id):
                return one
        there = ", ".join(f"{one.account_id} at {one.exchange}" for one in self.accounts) or "none"
        raise UnknownAccountError(f"no account {account_id} at {exchange} in this ledger: it has {there}")

    @property
    def healthy(self) -> bool:
        """Whether the trader runs, the ledger is read, and every account is well."""
        return (
            self.trader.healthy
            and self.ledger is LedgerHealth.OK
            and bool(self.accounts)
            and all(one.healthy for one in self.accounts)
        )
