"""What an account earned: lots, realised results, round trips, statistics of strategies, risk by day. All are queries.

Invariants:
- nothing is rounded: the parts of a round trip sum to what moved in the ledger, to the unit;
- what belongs to nobody has lots of its own: it never enters a strategy's result. Whose quantity an execution changed
  is what its record says: somebody else may close a position of ours, and then that is its end;
- a quantity that came or went without a trade has the worth that its record says;
- a position of which a split leaves nothing went without a trade.
"""

import base64
import binascii
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from sqlalchemy import Connection

from novapulse.core.bars import DAY_NS, day_start_ns
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.postings import Book
from novapulse.core.records import ACCOUNT
from novapulse.ledger.lots import Inventory, Realised
from novapulse.ledger.movements import Execution, shares
from novapulse.ledger.queries import (
    BREAKERS,
    DECISIONS,
    Split,
    listings,
    movements,
    records,
    scales,
    splits,
)


@dataclass(frozen=True, slots=True)
class Position:
    """What is open of one instrument.

    Attributes:
        instrument: What.
        is_ours: Whether orders of ours made it.
        units: Signed, ledger units of the base asset.
        money: What it brought so far, fees paid, ledger units of the quote asset: negative for what was bought.
        since_ns: When its oldest lot was booked.
    """

    instrument: InstrumentKey
    is_ours: bool
    units: int
    money: Fraction
    since_ns: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """From flat to flat, out of executions alone.

    Attributes:
        instrument: What.
        direction: +1 long, -1 short.
        opened: First execution.
        closed: Last execution, or the split that left nothing.
        executions: How many, such a split among them.
        pnl_units: Fees paid, ledger units of the quote asset; whole where no execution was ours in part.
        fee_units: Of these.
    """

    instrument: InstrumentKey
    direction: int
    opened: Execution
    closed: Execution
    executions: int
    pnl_units: Fraction
    fee_units: Fraction


def _by_instrument(connection: Connection, account: AccountKey) -> Iterator[tuple[Inventory, bool, Execution]]:
    inventories: dict[tuple[InstrumentKey, bool], Inventory] = {}
    due = deque(splits(connection, account))
    for one in movements(connection, account):
        yield from _split_up_to(inventories, due, one.seq)
        if one.instrument is not None:
            for is_ours, part in shares(one):
                yield inventories.setdefault((one.instrument, is_ours), Inventory(one.instrument)), is_ours, part
    yield from _split_up_to(inventories, due, None)


def _split_up_to(
    inventories: Mapping[tuple[InstrumentKey, bool], Inventory], due: deque[Split], seq: int | None
) -> Iterator[tuple[Inventory, bool, Execution]]:
    while due and (seq is None or due[0].seq < seq):
        one = due.popleft()
        for is_ours, before, after in one.parts:
            if (inventory := inventories.get((one.instrument, is_ours))) is None:
                continue
            if after:
                inventory.split(Fraction(after, before))
            else:
                yield inventory, is_ours, one.end(is_ours=is_ours)


def realised(connection: Connection, account: AccountKey) -> Iterator[Realised]:
    """Yield what was realised by lot, fees included, in the order of the executions that closed.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    for inventory, _, one in _by_instrument(connection, account):
        yield from inventory.take(one)


def positions(connection: Connection, account: AccountKey) -> tuple[Position, ...]:
    """Return what is open by instrument, ours first.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    return tuple(
        Position(
            key,
            not foreign,
            held.units,
            sum((lot.money for lot in held.lots), Fraction(0)),
            held.lots[0].execution.ts_ns,
        )
        for (foreign, key), held in open_lots(connection, account).items()
    )


def open_lots(connection: Connection, account: AccountKey) -> dict[tuple[bool, InstrumentKey], Inventory]:
    """Return (whether it is nobody's, instrument) -> its open lots, ours first; without what is flat.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    kept: dict[tuple[bool, InstrumentKey], Inventory] = {}
    for inventory, is_ours, one in _by_instrument(connection, account):
        kept[not is_ours, inventory.instrument] = inventory
        deque(inventory.take(one), maxlen=0)
    return {key: kept[key] for key in sorted(kept) if kept[key].lots}


def round_trips(connection: Connection, account: AccountKey) -> Iterator[RoundTrip]:
    """Yield the round trips of our positions, from flat to flat, whoever closed them.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    running: dict[InstrumentKey, list[Execution]] = defaultdict(list)
    held: dict[InstrumentKey, int] = defaultdict(int)
    due = deque(splits(connection, account))
    for one in movements(connection, account):
        yield from _trips_ended_up_to(running, held, due, one.seq)
        if one.instrument is None:
            continue
        for part in [part for is_ours, part in shares(one) if is_ours]:
            running[one.instrument].append(part)
            held[one.instrument] += part.base_units
            if held[one.instrument] == 0:
                yield _round_trip(one.instrument, running.pop(one.instrument))
    yield from _trips_ended_up_to(running, held, due, None)


def _trips_ended_up_to(
    running: dict[InstrumentKey, list[Execution]], held: dict[InstrumentKey, int], due: deque[Split], seq: int | None
) -> Iterator[RoundTrip]:
    while due and (seq is None or due[0].seq < seq):
        one = due.popleft()
        held[one.instrument] += one.own[1] - one.own[0]
        if held[one.instrument] == 0 and (parts := running.pop(one.instrument, [])):
            yield _round_trip(one.instrument, [*parts, one.end(is_ours=True)])


def _round_trip(instrument: InstrumentKey, parts: Sequence[Execution]) -> RoundTrip:
    opening = next((part.base_units for part in parts if part.base_units), 0)
    fees = sum((Fraction(part.fee_units) for part in parts), Fraction(0))
    pnl = sum(part.cash_units for part in parts) - fees
    direction = (opening > 0) - (opening < 0)
    return RoundTrip(instrument, direction, parts[0], parts[-1], len(parts), pnl, fees)


# ---- what was recorded of round trips ----


@dataclass(slots=True)
class StrategyStatistics:
    """What one strategy's round trips came to, by the strategy that led the entry.

    Attributes:
        strategy: Its name, or its number where the name is not given.
        trades: Closed round trips.
        wins: Those with a result above 0.
        losses: Those below.
        gross_profit: Sum of the wins, ledger units of the quote asset, fees paid.
        gross_loss: Sum of the losses, >= 0.
        fee_units: Fees, ledger units.
        r_sum: Sum of the results in units of their risk.
    """

    strategy: str
    trades: int = 0
    wins: int = 0
    losses: int = 0
    gross_profit: int = 0
    gross_loss: int = 0
    fee_units: int = 0
    r_sum: Fraction = Fraction(0)

    def add(self, pnl_units: int, fee_units: int, r_multiple: Fraction) -> None:
        """Count a round trip."""
        self.trades += 1
        self.wins += pnl_units > 0
        self.losses += pnl_units < 0
        self.gross_profit += max(pnl_units, 0)
        self.gross_loss += max(-pnl_units, 0)
        self.fee_units += fee_units
        self.r_sum += r_multiple

    @property
    def pnl_units(self) -> int:
        """What is left, ledger units of the quote asset."""
        return self.gross_profit - self.gross_loss

    @property
    def win_rate(self) -> Fraction | None:
        """Share of the trades that won; None without trades."""
        return Fraction(self.wins, self.trades) if self.trades else None

    @property
    def average_pnl(self) -> Fraction | None:
        """Ledger units a trade; None without trades."""
        return Fraction(self.pnl_units, self.trades) if self.trades else None

    @property
    def average_r(self) -> Fraction | None:
        """Result of a trade in units of its risk; None without trades."""
        return self.r_sum / self.trades if self.trades else None

    @property
    def profit_factor(self) -> Fraction | None:
        """Wins over losses; None without losses."""
        return Fraction(self.gross_profit, self.gross_loss) if self.gross_loss else None


def strategy_statistics(
    connection: Connection, account: AccountKey, names: Sequence[str] = ()
) -> tuple[StrategyStatistics, ...]:
    """Return the statistics of the round trips that were recorded, by strategy.

    Args:
        connection: From `queries.reading`.
        account: Whose.
        names: Names of the strategies by number; a number without one is shown as it is.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    known, found = scales(connection), dict[str, StrategyStatistics]()
    finer = {key: 10 ** (known[one.quote] - one.cash_scale) for key, one in listings(connection, account).items()}
    for entry in records(connection, account, ("round_trip_closed",)):
        body = entry.record.body
        lead = body["lead"]
        name = names[lead] if isinstance(lead, int) and 0 <= lead < len(names) else str(lead)
        factor = finer[InstrumentKey(*body["instrument"])]
        found.setdefault(name, StrategyStatistics(name)).add(
            body["pnl_units"] * factor, body["fee_units"] * factor, Fraction(float.fromhex(body["r_multiple"]))
        )
    return tuple(found[name] for name in sorted(found))


# ---- risk by day ----


@dataclass(slots=True)
class RiskDay:
    """One UTC day of an account; amounts in ledger units of its quote asset.

    Attributes:
        day: Days since 1970-01-01.
        realised: Result of what was closed, fees paid.
        fees: Fees of the day's executions.
        flows: What came in without a trade, quantities at their worth then; negative for what went out.
        executions: How many.
        trips: Breakers that tripped.
        equity: Cash that came and what was realised of it until the end of the day: open positions at what they cost.
        drawdown: `1 - equity / peak`, flows taken out of the peak; 0 where there is none.
        marked_equity: Equity with positions at their marks, quote, as the day's last decision saw it; None without.
    """

    day: int
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    flows: Fraction = Fraction(0)
    executions: int = 0
    trips: int = 0
    equity: Fraction = Fraction(0)
    drawdown: Fraction = Fraction(0)
    marked_equity: Decimal | None = None

    @property
    def date(self) -> str:
        """The day as people write it."""
        return str(np.datetime64(self.day, "D"))


def risk_history(connection: Connection, account: AccountKey) -> tuple[RiskDay, ...]:
    """Return the risk of an account day by day, days on which nothing was recorded left out.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    days: dict[int, RiskDay] = {}

    def of(ts_ns: int) -> RiskDay:
        number = day_start_ns(ts_ns) // DAY_NS
        return days.setdefault(number, RiskDay(number))

    last = 0
    for inventory, _, one in _by_instrument(connection, account):
        today = of(one.ts_ns)
        today.executions += one.fill is not None and one.seq != last
        today.fees += one.fee_units
        last = one.seq
        if one.is_flow:
            today.flows -= one.cash_units
        today.realised += sum((part.pnl for part in inventory.take(one)), Fraction(0))
    quotes = {listing.quote for listing in listings(connection, account).values()}
    for entry in records(connection, account, ("account_opened", "flow_booked", "break_adopted", "dust_swept")):
        moved = (leg.amount for leg in entry.record.postings if leg.book is Book.CASH and leg.asset in quotes)
        of(entry.record.ts_ns).flows += sum(moved)
    for entry in records(connection, account, BREAKERS):
        of(entry.record.ts_ns).trips += entry.record.kind == "breaker_tripped"
    for entry in records(connection, account, DECISIONS):
        today = of(entry.record.ts_ns)
        today.marked_equity = _marked_equity(entry.record.body.get("inputs")) or today.marked_equity
    equity = peak = Fraction(0)
    for _, today in sorted(days.items()):
        equity += today.realised + today.flows
        peak = max(peak + today.flows, equity)
        today.equity = equity
        today.drawdown = 1 - equity / peak if peak > 0 else Fraction(0)
    return tuple(day for _, day in sorted(days.items()))


def _marked_equity(inputs: object) -> Decimal | None:
    text = inputs.get("account") if isinstance(inputs, dict) else None
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        return None
    if len(raw) != ACCOUNT.itemsize:
        return None
    value = Decimal(repr(float(np.frombuffer(raw, ACCOUNT)["equity"][0])))
    return value if value.is_finite() else None
