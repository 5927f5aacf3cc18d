"""Puts a trader together from what is configured, and opens its account in the ledger.

Invariants:
- an account is opened once, by a record that brings its capital in; every later start finds it, and lists what it did
  not trade before;
- scales of assets come from the instruments and never change.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.instruments import AccountKey, Instrument
from novapulse.core.messages import JSON, Record
from novapulse.core.postings import Book, move
from novapulse.engine.books import Books
from novapulse.engine.breakers import Breakers
from novapulse.engine.configuration import Configuration, History
from novapulse.engine.desk import Desk
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.engine.trader import Trader
from novapulse.execution.rules import with_own_fees


def scales_of(instruments: Iterable[Instrument]) -> dict[str, int]:
    """Return the decimal digits of each asset: as many as the finest of some instruments needs."""
    scales: dict[str, int] = {}
    for instrument in instruments:
        scales[instrument.base] = max(scales.get(instrument.base, 0), instrument.qty_scale)
        scales[instrument.quote] = max(scales.get(instrument.quote, 0), instrument.cash_scale)
    return scales


def new_trader(
    key: AccountKey,
    instruments: Sequence[Instrument],
    decides: BacktestSettings,
    settings: TraderSettings,
    breakers: BreakerSettings,
    timeframe_ns: int,
    scales: Mapping[str, int],
    history: History | None = None,
    *,
    spread_by_model: bool = False,
) -> Trader:
    """Put a trader together that has not traded yet.

    Args:
        key: The account.
        instruments: What it trades, in one quote asset.
        decides: Capital, confluence, risk and execution.
        settings: How the trader goes about its work.
        breakers: Limits of the circuit breakers.
        timeframe_ns: Width of a decision bar.
        scales: Asset -> decimal digits in the ledger.
        history: Which bars its signals are learned from; kept with the session, so that they can be made again.
        spread_by_model: Whether the venue fills by a spread of its configuration and no quotes come; else nothing is
            entered before quotes tell the spread.

    Raises:
        ValueError: The instruments do not fit one account.
    """
    facts = tuple(sorted(with_own_fees(instruments, decides.execution), key=lambda instrument: instrument.key))
    quotes = sorted({instrument.quote for instrument in facts})
    if len(quotes) != 1:
        raise ValueError(f"one account has one quote asset, {key.account_id} on {key.exchange} has {', '.join(quotes)}")
    configured = Configuration(facts, decides, settings, breakers, timeframe_ns, scales, history, spread_by_model)
    books = Books(facts, configured.rules, capital_units(decides, facts[0]))
    return Trader(Desk(key, configured, books, Breakers(breakers)))


def capital_units(decides: BacktestSettings, instrument: Instrument) -> int:
    """Return the opening cash in whole cash units."""
    units: int = round(decides.capital * 10**instrument.cash_scale)
    return units


def opening_record(trader: Trader, ts_ns: int) -> Record:
    """Return the record that opens an account with its capital."""
    desk = trader.desk
    cash = desk.cash_amount(int(desk.books.account[0].cash_units))
    return Record(
        "account_opened",
        ts_ns,
        {
            "quote": desk.quote,
            "settings": desk.settings_hash,
            "scales": {asset: desk.scales[asset] for asset in sorted(desk.scales)},
            "instruments": [_listed(instrument) for instrument in desk.instruments],
        },
        move(desk.quote, cash, Book.CAPITAL, Book.CASH),
    )


def listing_records(trader: Trader, listed: Collection[str], ts_ns: int) -> list[Record]:
    """Return the records of the instruments that an account trades and its ledger does not know yet.

    Args:
        trader: Of the account.
        listed: Symbols that the ledger knows.
        ts_ns: Now.
    """
    return [
        Record("instrument_listed", ts_ns, _listed(instrument))
        for instrument in trader.desk.instruments
        if instrument.symbol not in listed
    ]


def _listed(instrument: Instrument) -> dict[str, JSON]:
    return {
        "symbol": instrument.symbol,
        "base": instrument.base,
        "quote": instrument.quote,
        "tick": str(instrument.tick),
        "lot": str(instrument.lot),
        "cash_scale": instrument.cash_scale,
    }
