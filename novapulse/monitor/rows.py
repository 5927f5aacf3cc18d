"""What an account holds, asks for, did and was told: one frozen row each.

Invariants:
- every row has the number of the ledger entry behind it;
- amounts and prices are exact decimals (text in JSON), times are ns UTC; unknown is None, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from novapulse.monitor.values import Value


@dataclass(frozen=True, slots=True)
class LimitChangeState(Value):
    """A limit that an operator changed while the trader ran, and that is otherwise than configured since.

    Attributes:
        seq: Entry that says so.
        ts_ns: When, in the account's own time.
        name: Of the limit, as its setting is called.
        section: Of the settings: `sizing`, `limits` or `breakers`.
        value: What is in force; 0 is off where the setting says so.
        configured: What the last session's configuration says; None where it was not kept.
        command_id: Command that set it.
        actor: Who gave it.
    """

    seq: int
    ts_ns: int
    name: str
    section: str
    value: float
    configured: float | None
    command_id: str
    actor: str


@dataclass(frozen=True, slots=True)
class PositionState(Value):
    """What an account holds of one instrument.

    Attributes:
        symbol: What.
        base: Asset that is held.
        is_ours: Whether orders of ours made it; False for what came from elsewhere.
        direction: +1 long, -1 short.
        qty: Signed, base units.
        entry_price: Average of what is held, fees apart, quote per base; to ten digits where it does not end.
        mark_price: Last close of the instrument that the account has seen; None while unknown.
        mark_ns: That close.
        notional: `abs(qty)` at the mark, quote.
        unrealized_pnl: What it is worth at the mark, less what it cost, fees paid so far included; quote.
        unrealized_r: The same in units of what was risked at the entry, fees included; None where that is unknown.
        stop_price: Trigger of its protective order, whether the venue has it or not; None where there is none.
        stop_order: Client order id of that order.
        stop_status: How that order stands, a name of `core.orders.OrderStatus`.
        stop_missing_reason: Why no protective order is known to be in force at the venue, also where there is a price;
            empty where one is: one that is being changed counts.
        target_price: Take-profit price of the same order; None where it has none.
        opened_ns: When its oldest part was booked.
        opened_seq: Entry of that execution.
        lead: Strategy that led its entry; empty where that is unknown.
        decision_id: Decision that opened it; empty where that is unknown.
        seqs: Entries of the executions that it is made of, at most 50.
    """

    symbol: str
    base: str
    is_ours: bool
    direction: int
    qty: Decimal
    entry_price: Decimal
    mark_price: Decimal | None
    mark_ns: int | None
    notional: Decimal | None
    unrealized_pnl: Decimal | None
    unrealized_r: float | None
    stop_price: Decimal | None
    stop_order: str
    stop_status: str
    stop_missing_reason: str
    target_price: Decimal | None
    opened_ns: int
    opened_seq: int
    lead: str
    decision_id: str
    seqs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderState(Value):
    """An order that has not ended.

    Attributes:
        client_order_id: Ours.
        venue_order_id: The venue's; empty while unknown.
        symbol: What.
        side: `buy` or `sell`.
        role: `entry`, `exit` or `protect`.
        kind: `market`, `limit` or `bracket`.
        status: A name of `core.orders.OrderStatus`.
        qty: Of the terms in force, base units.
        filled_qty: Executed so far.
        leaves_qty: What may still be executed.
        limit_price: None without one.
        stop_price: None without one.
        target_price: None without one.
        avg_fill_price: None before the first execution.
        decided_ns: Close of the bar that decided.
        expires_ns: The venue ends it after this; None for never.
        decision_id: The decision that wants it.
        seq: Entry of its intent.
        why: Reason of the order, and what is wrong with it where something is.
        facts: Entries that speak of it, in order, at most the last 100.
    """

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: str
    role: str
    kind: str
    status: str
    qty: Decimal
    filled_qty: Decimal
    leaves_qty: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    avg_fill_price: Decimal | None
    decided_ns: int
    expires_ns: int | None
    decision_id: str
    seq: int
    why: str
    facts: tuple[int, ...]

    @property
    def waits(self) -> bool:
        """Whether it is a stop that goes out only for what its entry fills."""
        return self.role == "protect" and self.status == "INTENT"


@dataclass(frozen=True, slots=True)
class FillState(Value):
    """An execution, or one that was taken back (`is_bust`).

    Attributes:
        seq: Its entry.
        ts_ns: When it was booked.
        ts_event_ns: The venue's time; None for a bust.
        symbol: What; empty for a bust of something unknown.
        side: `buy` or `sell`; empty for a bust.
        qty: Base units, > 0; of a bust what it took back, signed.
        price: Quote per base; None for a bust.
        cash: What came in of the quote asset, fee apart; negative for what was paid.
        fee: Paid, quote; negative for a rebate.
        liquidity: `maker` or `taker`; empty for a bust.
        client_order_id: Our order; empty where it is not ours.
        venue_trade_id: The venue's execution.
        realized_pnl: What it closed brought, fees paid, quote; None where it closed nothing.
        is_bust: Whether it takes an execution back.
    """

    seq: int
    ts_ns: int
    ts_event_ns: int | None
    symbol: str
    side: str
    qty: Decimal
    price: Decimal | None
    cash: Decimal
    fee: Decimal
    liquidity: str
    client_order_id: str
    venue_trade_id: str
    realized_pnl: Decimal | None
    is_bust: bool


@dataclass(frozen=True, slots=True)
class DecisionState(Value):
    """A decision that did something.

    Attributes:
        decision_id: Its name.
        seq: Its entry.
        ts_ns: Close of the bar it decided on.
        symbol: What about.
        action: `ENTER`, `EXIT` or `WITHDRAW`.
        reason: A name of `core.records.Reason`.
        why: That reason in words.
        side: `buy`, `sell` or empty.
        qty: Base units of the order it wants.
        limit_price: None for an order at the market.
        consensus: -20..20; None where the inputs were not kept, as all that follows.
        confidence: 0..1.
        lead: Strategy that weighed most; empty where there is none.
        regime: Label of the market's state.
        atr: Average true range, quote per base.
        gate_probability: None where the gate abstained.
        equity: Of the account, as it saw it.
        close: Price it decided at.
        mode: Of the account.
    """

    decision_id: str
    seq: int
    ts_ns: int
    symbol: str
    action: str
    reason: str
    why: str
    side: str
    qty: Decimal
    limit_price: Decimal | None
    consensus: float | None
    confidence: float | None
    lead: str
    regime: str
    atr: float | None
    gate_probability: float | None
    equity: Decimal | None
    close: Decimal | None
    mode: str


@dataclass(frozen=True, slots=True)
class RoundTripState(Value):
    """From flat to flat.

    Attributes:
        seq: Its entry.
        number: In order of the account's entries.
        symbol: What.
        direction: +1 long, -1 short.
        lead: Strategy that led the entry.
        regime: Label at the entry.
        entry_ns: First execution.
        exit_ns: Last one.
        bars_held: Closes it lived through; None where that was not kept.
        qty: Base units entered.
        entry_price: Average, quote per base; None where that was not kept.
        exit_price: Average.
        pnl: Fees paid, quote.
        fees: Quote.
        r_multiple: Result in units of what was risked.
        exit_reason: A name of `core.records.Reason`.
        why: That reason in words.
    """

    seq: int
    number: int
    symbol: str
    direction: int
    lead: str
    regime: str
    entry_ns: int
    exit_ns: int
    bars_held: int | None
    qty: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    pnl: Decimal
    fees: Decimal
    r_multiple: float
    exit_reason: str
    why: str


@dataclass(frozen=True, slots=True)
class DayState(Value):
    """A day, UTC, in the account's own time. Amounts are in its quote asset, fees paid.

    Attributes:
        day_ns: When it began.
        trades: Round trips that closed on it.
        wins: Those with a result above 0.
        pnl: What they brought.
        fees: What they cost.
        equity: At the last close of the day that is kept; None without one.
        equity_ns: That close.
        seqs: Entries of the last round trips, newest first, at most 20.
    """

    day_ns: int
    trades: int
    wins: int
    pnl: Decimal
    fees: Decimal
    equity: Decimal | None
    equity_ns: int | None
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AlertState(Value):
    """What people were told.

    Attributes:
        seq: Its entry.
        ts_ns: When it was raised first.
        severity: `info`, `warning` or `critical`.
        key: The same key is the same matter.
        text: In words, as it was raised first.
        is_open: Whether the ledger has no end of it.
        times: How often it was raised: 2 where nobody acknowledged it in time.
        acknowledged_ns: When somebody acknowledged it; None for not yet.
        acknowledged_by: Who did; empty for nobody.
        over_ns: When it was over; None while it is open.
        over_text: Why it was over; empty while it is open.
    """

    seq: int
    ts_ns: int
    severity: str
    key: str
    text: str
    is_open: bool
    times: int = 1
    acknowledged_ns: int | None = None
    acknowledged_by: str = ""
    over_ns: int | None = None
    over_text: str = ""


@dataclass(frozen=True, slots=True)
class BreakerState(Value):
    """A circuit breaker that has tripped and was not cleared.

    Attributes:
        seq: Entry of the trip.
        ts_ns: When.
        name: Of the breaker.
        symbol: Whose entries it blocks; empty where it restricts the account.
        effect: What the account may do meanwhile, a name of `core.records.Mode`.
        text: What happened.
    """

    seq: int
    ts_ns: int
    name: str
    symbol: str
    effect: str
    text: str


@dataclass(frozen=True, slots=True)
class BreakState(Value):
    """A difference between ledger and venue that is not resolved.

    Attributes:
        seq: Its entry.
        ts_ns: When it was found.
        key: Its name, by which an operator adopts or ignores it.
        kind: `D1` to `D16`.
        meaning: Of its kind.
        text: What differs.
        ours: What the ledger says.
        theirs: What the venue shows.
        symbols: Instruments that it touches.
        client_order_id: The order it is about; empty for none.
    """

    seq: int
    ts_ns: int
    key: str
    kind: str
    meaning: str
    text: str
    ours: str
    theirs: str
    symbols: tuple[str, ...]
    client_order_id: str


@dataclass(frozen=True, slots=True)
class VoteState(Value):
    """What was voted at a close before the last one.

    Attributes:
        ts_ns: The close.
        regime: Label of the market's state at it.
        consensus: -20..20.
        forecasts: Strategy -> forecast, -20..20.
    """

    ts_ns: int
    regime: str
    consensus: float
    forecasts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LockState(Value):
    """Something that keeps entries away.

    Attributes:
        symbol: Whose entries; empty for every instrument of the account.
        strategy: Only entries that this one leads; empty for whoever leads.
        reason: A name of `core.records.Reason`.
        why: In words.
        until_ns: When it ends by itself, in the account's own time; None where something else has to end it.
        seq: Entry that made it; None for a cooldown, which follows from the executions before it.
    """

    symbol: str
    strategy: str
    reason: str
    why: str
    until_ns: int | None
    seq: int | None
