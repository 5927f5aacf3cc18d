"""What each strategy's round trips came to, asked of the ledger each time and kept nowhere."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from sqlalchemy import Connection

from novapulse.core.amounts import from_units
from novapulse.core.instruments import AccountKey
from novapulse.ledger.queries import accounts, listings, reading, records, scales
from novapulse.ledger.statistics import StrategyStatistics
from novapulse.monitor.decisions import strategies_of, strategy
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.values import Value, average

_SEQS_KEPT = 50
_NAMES, _TRIPS = ("session_started", "calibration_learned"), ("round_trip_closed",)


@dataclass(frozen=True, slots=True)
class StrategyRow(Value):
    """One strategy in one account. Amounts are in the account's quote asset, fees paid.

    Attributes:
        exchange: Whose.
        account_id: Whose.
        strategy: Which led the entries; its number where the name was not kept, `nobody` where none led.
        quote: Asset of the amounts.
        trades: Closed round trips.
        wins: Those with a result above 0.
        losses: Those below.
        win_rate: Share of the trades that won.
        average_pnl: A trade; to ten digits where it does not end.
        profit_factor: Wins over losses; None without losses.
        pnl: Of all.
        fees: Of all.
        average_r: A trade in units of its risk.
        seqs: Entries of the last round trips, newest first, at most 50.
    """

    exchange: str
    account_id: str
    strategy: str
    quote: str
    trades: int
    wins: int
    losses: int
    win_rate: float
    average_pnl: Decimal
    profit_factor: float | None
    pnl: Decimal
    fees: Decimal
    average_r: float
    seqs: tuple[int, ...]


def table(
    home: Path, account: AccountKey | None = None, *, ledger: str | Path | None = None
) -> tuple[StrategyRow, ...]:
    """Return one row for every strategy that closed a round trip, by account and name.

    Args:
        home: Folder of the trader's state.
        account: Only this one; None for all.
        ledger: Where the ledger lies; None for the file in the folder.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    with reading(home / LEDGER_FILE if ledger is None else ledger) as connection:
        keys = accounts(connection) if account is None else (account,)
        return tuple(row for key in keys for row in _of_account(connection, key))


def _of_account(connection: Connection, key: AccountKey) -> list[StrategyRow]:
    digits, known = scales(connection), listings(connection, key)
    found: dict[tuple[str, str], tuple[StrategyStatistics, list[int]]] = {}
    names: tuple[str, ...] = ()
    for entry in records(connection, key, _NAMES + _TRIPS):
        body = entry.record.body
        if entry.record.kind not in _TRIPS:
            names = strategies_of(entry.record.kind, body) or names
            continue
        listing = next(one for one in known.values() if one.key.symbol == body["instrument"][1])
        finer = 10 ** (digits[listing.quote] - listing.cash_scale)
        name = strategy(names, body["lead"]) or "nobody"
        statistics, seqs = found.setdefault((name, listing.quote), (StrategyStatistics(name), []))
        statistics.add(
            body["pnl_units"] * finer, body["fee_units"] * finer, Fraction(float.fromhex(body["r_multiple"]))
        )
        seqs.append(entry.seq)
    return [
        _row(key, quote, digits[quote], statistics, seqs) for (_, quote), (statistics, seqs) in sorted(found.items())
    ]


def _row(key: AccountKey, quote: str, digits: int, one: StrategyStatistics, seqs: list[int]) -> StrategyRow:
    win_rate, pnl, average_r, factor = one.win_rate, one.average_pnl, one.average_r, one.profit_factor
    assert win_rate is not None
    assert pnl is not None
    assert average_r is not None
    return StrategyRow(
        exchange=key.exchange,
        account_id=key.account_id,
        strategy=one.strategy,
        quote=quote,
        trades=one.trades,
        wins=one.wins,
        losses=one.losses,
        win_rate=float(win_rate),
        average_pnl=average(pnl / 10**digits),
        profit_factor=None if factor is None else float(factor),
        pnl=from_units(one.pnl_units, digits),
        fees=from_units(one.fee_units, digits),
        average_r=float(average_r),
        seqs=tuple(reversed(seqs[-_SEQS_KEPT:])),
    )
