"""What closed round trips came to: by instrument, by why they were closed, by strategy, by day, week and month.

Invariants:
- every round trip of the ledger counts, once, in the row of its own key;
- amounts are exact; a period is one of UTC and begins at midnight, a week on its Monday, a month on its first;
- a round trip counts in the period in which its last execution was.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from sqlalchemy import Connection

from novapulse.core.instruments import AccountKey
from novapulse.ledger.queries import accounts, listings, reading, records
from novapulse.monitor.decisions import round_trip_state, strategies_of
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.rows import RoundTripState
from novapulse.monitor.values import Value, average

_NAMES, _TRIPS = ("session_started", "calibration_learned"), ("round_trip_closed",)
_SECOND_NS = 1_000_000_000


class By(StrEnum):
    """What round trips are put together by."""

    SYMBOL = "symbol"
    EXIT_REASON = "exit_reason"
    STRATEGY = "strategy"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class ResultRow(Value):
    """Round trips of one account that have something in common. Amounts are in the quote asset, fees paid.

    Attributes:
        exchange: Whose.
        account_id: Whose.
        by: What they have in common, a name of `By`.
        key: Which: a symbol, a name of `core.records.Reason`, a strategy, or the date on which the period begins.
        quote: Asset of the amounts.
        trades: Closed round trips.
        wins: Those with a result above 0.
        losses: Those below.
        win_rate: Share of the trades that won.
        pnl: Of all.
        fees: Of all.
        average_pnl: A trade; to ten digits where it does not end.
        profit_factor: Wins over losses; None without losses.
        average_r: A trade in units of its risk.
        first_seq: Entry of the first of them.
        last_seq: Entry of the last of them.
    """

    exchange: str
    account_id: str
    by: str
    key: str
    quote: str
    trades: int
    wins: int
    losses: int
    win_rate: float
    pnl: Decimal
    fees: Decimal
    average_pnl: Decimal
    profit_factor: float | None
    average_r: float
    first_seq: int
    last_seq: int


@dataclass(slots=True)
class _Sum:
    seqs: list[int] = field(default_factory=list)
    wins: int = 0
    losses: int = 0
    won: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    r_sum: float = 0.0

    def add(self, trip: RoundTripState) -> None:
        self.seqs.append(trip.seq)
        self.wins += trip.pnl > 0
        self.losses += trip.pnl < 0
        self.won += max(trip.pnl, Decimal(0))
        self.lost -= min(trip.pnl, Decimal(0))
        self.fees += trip.fees
        self.r_sum += trip.r_multiple


def results(home: Path, by: By, account: AccountKey | None = None) -> tuple[ResultRow, ...]:
    """Return a row for every key there is, by account and key.

    Args:
        home: Folder of the trader's state.
        by: What round trips are put together by.
        account: Only this one; None for all.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    with reading(home / LEDGER_FILE) as connection:
        keys = accounts(connection) if account is None else (account,)
        return tuple(row for key in keys for row in _of_account(connection, key, by))


def round_trip(home: Path, account: AccountKey, number: int) -> RoundTripState | None:
    """Return a round trip by its number; None where the account has closed none of that number.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    with reading(home / LEDGER_FILE) as connection:
        return next((trip for trip, _ in _trips(connection, account) if trip.number == number), None)


def _of_account(connection: Connection, key: AccountKey, by: By) -> Iterator[ResultRow]:
    found: dict[tuple[str, str], _Sum] = {}
    for trip, quote in _trips(connection, key):
        found.setdefault((_KEYS[by](trip), quote), _Sum()).add(trip)
    for (name, quote), one in sorted(found.items()):
        trades, pnl = len(one.seqs), one.won - one.lost
        yield ResultRow(
            exchange=key.exchange,
            account_id=key.account_id,
            by=by.value,
            key=name,
            quote=quote,
            trades=trades,
            wins=one.wins,
            losses=one.losses,
            win_rate=one.wins / trades,
            pnl=pnl,
            fees=one.fees,
            average_pnl=average(Fraction(pnl) / trades),
            profit_factor=float(one.won / one.lost) if one.lost else None,
            average_r=one.r_sum / trades,
            first_seq=one.seqs[0],
            last_seq=one.seqs[-1],
        )


def _trips(connection: Connection, key: AccountKey) -> Iterator[tuple[RoundTripState, str]]:
    known = {one.key.symbol: one for one in listings(connection, key).values()}
    names: tuple[str, ...] = ()
    for entry in records(connection, key, _NAMES + _TRIPS):
        kind, body = entry.record.kind, entry.record.body
        if kind not in _TRIPS:
            names = strategies_of(kind, body) or names
            continue
        listing = known[body["instrument"][1]]
        yield round_trip_state(entry.seq, body, listing, names), listing.quote


def _date(trip: RoundTripState) -> datetime:
    return datetime.fromtimestamp(trip.exit_ns // _SECOND_NS, UTC)


def _week(trip: RoundTripState) -> str:
    date = _date(trip)
    return f"{date - timedelta(days=date.weekday()):%Y-%m-%d}"


_KEYS: Mapping[By, Callable[[RoundTripState], str]] = {
    By.SYMBOL: lambda trip: trip.symbol,
    By.EXIT_REASON: lambda trip: trip.exit_reason,
    By.STRATEGY: lambda trip: trip.lead or "nobody",
    By.DAY: lambda trip: f"{_date(trip):%Y-%m-%d}",
    By.WEEK: _week,
    By.MONTH: lambda trip: f"{_date(trip):%Y-%m}-01",
}
