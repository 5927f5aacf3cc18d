"""Queries answer what was written: counted a second time, in plain integers, while the ledger was made."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from novapulse.core.bars import DAY_NS
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Commit, HoldRun, Record
from novapulse.core.orders import Filled, OrderStatus, Side
from novapulse.core.postings import Book
from novapulse.core.records import ACCOUNT
from novapulse.engine.ticks import encoded
from novapulse.ledger import queries, statistics
from novapulse.ledger.journal import Ledger
from novapulse.ledger.lots import Inventory
from novapulse.ledger.movements import Execution
from novapulse.ledger.opening import SchemaError
from novapulse.ledger.queries import UnknownAccountError
from novapulse.ledger.statistics import StrategyStatistics
from tests.ledger.written import (
    ACCOUNTS,
    MAIN,
    OTHER,
    SCALES,
    SECOND,
    START_NS,
    STRATEGIES,
    Life,
    open_accounts,
    write_life,
)

BTC = InstrumentKey("kraken", "BTC/USD")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[AccountKey, Life]]:
    path = tmp_path_factory.mktemp("queries") / "ledger.db"
    return path, write_life(path, seed=4, rounds=40)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_balances_are_what_was_posted(ledger: tuple[Path, dict[AccountKey, Life]], account: AccountKey) -> None:
    path, lives = ledger
    with queries.reading(path) as connection:
        found = queries.balances(connection, account)
    held: dict[str, int] = {}
    for one in found:
        if one.book in (Book.CASH, Book.HOLD, Book.INVENTORY):
            held[one.asset] = held.get(one.asset, 0) + one.units
    assert held == {asset: units for asset, units in lives[account].held.items() if units}
    assert all(one.amount == Decimal(one.units).scaleb(-SCALES[one.asset]) for one in found)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_executions_are_those_of_the_account_and_of_no_other(
    ledger: tuple[Path, dict[AccountKey, Life]], account: AccountKey
) -> None:
    path, lives = ledger
    with queries.reading(path) as connection:
        found = [one for one in queries.executions(connection, account) if one.fill is not None]
    assert [(one.venue_trade_id, one.base_units, abs(one.cash_units)) for one in found] == lives[account].fills
    assert {one.fill.instrument for one in found if one.fill} == {one.instrument for one in found}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_open_orders_are_those_that_were_not_closed(
    ledger: tuple[Path, dict[AccountKey, Life]], account: AccountKey
) -> None:
    path, lives = ledger
    with queries.reading(path) as connection:
        found = {row.order.client_order_id: row for row in queries.orders(connection, account, only_open=True)}
        everything = list(queries.orders(connection, account))
    assert {name: row.order.status.value for name, row in found.items()} == lives[account].open_orders
    assert lives[account].open_orders, "the oracle has no open order"
    assert {row.order.client_order_id for row in everything if row.is_open} == found.keys()
    assert {OrderStatus.FILLED, OrderStatus.REJECTED} <= {row.order.status for row in everything}
    assert all(row.order.request.account == account for row in everything)
    assert [row.seq for row in everything] == sorted(row.seq for row in everything)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_strategies_earn_what_their_round_trips_brought(
    ledger: tuple[Path, dict[AccountKey, Life]], account: AccountKey
) -> None:
    """HS-010: win rate and average P&L are asked of the ledger, never written down as zero."""
    path, lives = ledger
    with queries.reading(path) as connection:
        found = {one.strategy: one for one in statistics.strategy_statistics(connection, account, STRATEGIES)}
    for number, name in enumerate(STRATEGIES):
        mine = [pnl for _, lead, pnl in lives[account].round_trips if lead == number]
        one = found[name]
        assert one.trades == len(mine) > 0
        assert one.pnl_units == sum(mine)
        assert one.win_rate == Fraction(sum(pnl > 0 for pnl in mine), len(mine))
        assert one.average_pnl == Fraction(sum(mine), len(mine))
        assert one.average_r == Fraction(1, 2)
        losses = -sum(pnl for pnl in mine if pnl < 0)
        assert one.profit_factor == (Fraction(sum(pnl for pnl in mine if pnl > 0), losses) if losses else None)


def test_a_round_trip_that_brought_nothing_is_neither_won_nor_lost() -> None:
    one = StrategyStatistics("trend")
    assert (one.win_rate, one.average_pnl, one.average_r, one.profit_factor) == (None, None, None, None)
    for pnl in (0, 30, -10):
        one.add(pnl, 2, Fraction(pnl, 10))
    assert (one.trades, one.wins, one.losses, one.fee_units) == (3, 1, 1, 6)
    assert (one.win_rate, one.average_r, one.profit_factor) == (Fraction(1, 3), Fraction(2, 3), Fraction(3))


def flat_life(path: Path, seed: int) -> Life:
    """A life of one account in which every position was closed and no execution was taken back."""
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        life = open_accounts(journal, seed, (MAIN,))[MAIN]
        while len(life.round_trips) < 12:
            trips = len(life.round_trips)
            before = replace(life, rng=random.Random(), held=life.held.copy())
            before.round_trips, before.fills = list(life.round_trips), list(life.fills)
            before.open_orders = dict(life.open_orders)
            records = life.round_trip()
            busted = any(record.kind == "fill_busted" for record in records)
            if len(life.round_trips) == trips or busted:
                life.round_trips, life.fills = before.round_trips, before.fills
                life.held, life.open_orders = before.held, before.open_orders
                continue
            journal.commit([(MAIN, Commit(tuple(records)))])
    return life


@pytest.mark.parametrize("seed", range(6))
def test_what_lots_realised_is_what_the_round_trips_brought_to_the_unit(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "flat.db"
    life = flat_life(path, seed)
    with queries.reading(path) as connection:
        trips = list(statistics.round_trips(connection, MAIN))
        parts = list(statistics.realised(connection, MAIN))
        assert statistics.positions(connection, MAIN) == ()
        recorded = [
            entry.record.body["pnl_units"] for entry in queries.records(connection, MAIN, ("round_trip_closed",))
        ]
    assert [(trip.instrument.symbol, trip.pnl_units) for trip in trips] == [
        (symbol, pnl) for symbol, _, pnl in life.round_trips
    ]
    assert [trip.pnl_units for trip in trips] == [100 * pnl for pnl in recorded]
    for trip in trips:
        own = [part.pnl for part in parts if trip.opened.seq < part.closed.seq <= trip.closed.seq]
        assert sum(own) == trip.pnl_units
    assert sum(part.pnl for part in parts) == sum(pnl for _, _, pnl in life.round_trips)


def execution(number: int, units: int, cash: int, fee: int) -> Execution:
    sample = Execution(number, number, None, BTC, "C", f"T{number}", units, cash, fee)
    return replace(sample, fill=Filled("C", "V", "T", BTC, Side.BUY, 1, 1, 1, 0, 0, 0))


@given(
    st.lists(
        st.tuples(st.integers(-50, 50), st.integers(1, 10**6), st.integers(-5, 50)).filter(lambda part: part[0] != 0),
        min_size=1,
        max_size=30,
    )
)
def test_lots_lose_no_unit_of_quantity_or_money(parts: list[tuple[int, int, int]]) -> None:
    held = Inventory(BTC)
    brought = Fraction(0)
    for number, (units, price, fee) in enumerate(parts):
        brought += sum((one.pnl for one in held.take(execution(number, units, -units * price, fee))), Fraction(0))
        assert len({lot.units > 0 for lot in held.lots}) <= 1, "lots of both directions"
    assert held.units == sum(units for units, _, _ in parts)
    assert sum(lot.worth for lot in held.lots) == abs(held.units), "every execution has the price 1"
    paid = sum(-units * price - fee for units, price, fee in parts)
    assert brought + sum(lot.money for lot in held.lots) == paid


def test_the_oldest_lot_is_sold_first_and_fees_belong_to_it() -> None:
    held = Inventory(BTC)
    for number, (units, cash, fee) in enumerate([(10, -1000, 7), (10, -2000, 3)]):
        assert not list(held.take(execution(number, units, cash, fee)))
    first, second = held.take(execution(3, -15, 3000, 6))
    assert (first.units, first.pnl) == (10, -1007 + Fraction(2994 * 10, 15))
    assert (second.units, second.pnl) == (5, -Fraction(2003, 2) + Fraction(2994 * 5, 15))
    assert [(lot.units, lot.money) for lot in held.lots] == [(5, -Fraction(2003, 2))]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=10), st.fractions(Fraction(1, 20), 20).filter(lambda r: r != 1)
)
def test_a_split_restates_lots_and_none_of_their_money_is_lost(units: list[int], ratio: Fraction) -> None:
    held = Inventory(BTC)
    for number, part in enumerate(units):
        list(held.take(execution(number, part, -7 * part, 1)))
    paid, worth = sum(lot.money for lot in held.lots), sum(lot.worth for lot in held.lots)
    held.split(ratio)
    assert held.units == round(sum(units) * ratio)
    assert all(lot.units > 0 for lot in held.lots)
    if held.lots:
        assert (sum(lot.money for lot in held.lots), sum(lot.worth for lot in held.lots)) == (paid, worth)


def test_an_execution_that_was_taken_back_leaves_no_result() -> None:
    held = Inventory(BTC)
    list(held.take(execution(1, 10, -1000, 7)))
    list(held.take(execution(2, 4, -500, 1)))
    back = replace(execution(2, -4, 500, -1), fill=None)
    assert list(held.take(back)) == []
    assert [(lot.units, lot.money) for lot in held.lots] == [(10, Fraction(-1007))]


def test_cash_put_right_later_belongs_to_the_newest_lot() -> None:
    held = Inventory(BTC)
    list(held.take(execution(1, 10, -1000, 7)))
    assert list(held.take(execution(2, 0, -5, 0))) == []
    assert held.lots[0].money == -1012


def test_what_is_open_is_told_by_instrument_with_what_it_cost(ledger: tuple[Path, dict[AccountKey, Life]]) -> None:
    path, _ = ledger
    with queries.reading(path) as connection:
        for account in ACCOUNTS:
            inventory = {
                one.asset: one.units for one in queries.balances(connection, account) if one.book is Book.INVENTORY
            }
            found = statistics.positions(connection, account)
            assert {one.instrument.symbol.split("/")[0]: one.units for one in found} == inventory
            assert all(one.is_ours for one in found)
            assert all((one.money < 0) == (one.units > 0) for one in found)


def test_the_risk_of_a_day_is_the_sum_of_its_events(tmp_path: Path) -> None:
    path = tmp_path / "days.db"
    life = flat_life(path, 3)
    account = np.zeros(1, ACCOUNT)
    account["equity"] = 1234.5
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "test", START_NS, DAY_NS)
        body = {"decision_id": "d", "inputs": {"account": encoded(account[0])}}
        trip = {"name": "feed", "text": "stale", "instrument": None}
        later = START_NS + 3 * DAY_NS
        journal.commit(
            [(MAIN, Commit((Record("decision_taken", later, body), Record("breaker_tripped", later, trip))))]
        )
    with queries.reading(path) as connection:
        days = statistics.risk_history(connection, MAIN)
    pnl = sum(pnl for _, _, pnl in life.round_trips)
    assert sum(day.realised for day in days) == pnl
    assert (days[0].flows, days[0].date) == (10**12, str(np.datetime64(START_NS, "ns").astype("datetime64[D]")))
    assert days[-1].equity == 10**12 + pnl
    assert (days[-1].marked_equity, days[-1].trips, days[-2].marked_equity) == (Decimal("1234.5"), 1, None)
    worst = min(sum(day.realised for day in days[:count]) for count in range(1, len(days) + 1))
    assert max(day.drawdown for day in days) >= Fraction(-min(worst, 0), 10**12)
    assert all(0 <= day.drawdown < 1 for day in days)


def test_an_unknown_account_is_an_error_that_names_those_there_are(ledger: tuple[Path, dict[AccountKey, Life]]) -> None:
    path, _ = ledger
    stranger = AccountKey("kraken", "mian")
    there = "no account mian at kraken in this ledger: it has main at coinbase, main at kraken, second at kraken"
    with queries.reading(path) as connection:
        assert queries.accounts(connection) == (OTHER, MAIN, SECOND)
        for ask in (
            lambda: queries.balances(connection, stranger),
            lambda: list(queries.records(connection, stranger)),
            lambda: list(queries.executions(connection, stranger)),
            lambda: list(queries.orders(connection, stranger)),
            lambda: queries.listings(connection, stranger),
            lambda: queries.hold_runs(connection, stranger),
            lambda: queries.mode(connection, stranger),
            lambda: queries.tripped(connection, stranger),
            lambda: statistics.positions(connection, stranger),
            lambda: list(statistics.realised(connection, stranger)),
            lambda: list(statistics.round_trips(connection, stranger)),
            lambda: statistics.strategy_statistics(connection, stranger),
            lambda: statistics.risk_history(connection, stranger),
        ):
            with pytest.raises(UnknownAccountError, match=f"^{there}$"):
                ask()


@pytest.mark.parametrize("chunk", [1, 3, 10_000])
def test_records_come_whole_and_in_order_whatever_the_size_of_a_page(
    ledger: tuple[Path, dict[AccountKey, Life]], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    path, _ = ledger
    monkeypatch.setattr(queries, "CHUNK", chunk)
    with queries.reading(path) as connection, closing(sqlite3.connect(path)) as plain:
        for kinds in ((), ("fill_booked",), ("order_acked", "alert_raised")):
            found = list(queries.records(connection, SECOND, kinds, after_seq=30))
            rows = plain.execute(
                "SELECT seq, kind, (SELECT count(*) FROM posting WHERE posting.seq = event.seq) FROM event "
                "WHERE exchange = 'kraken' AND account_id = 'second' AND seq > 30 ORDER BY seq"
            ).fetchall()
            wanted = [row for row in rows if not kinds or row[1] in kinds]
            assert [(one.seq, one.record.kind, len(one.record.postings)) for one in found] == wanted
            newest = list(queries.records(connection, SECOND, kinds, last=4))
            assert [(one.seq, one.record.kind, len(one.record.postings)) for one in newest] == wanted[-4:]


def test_modes_breakers_and_stretches_of_doing_nothing_are_told(tmp_path: Path) -> None:
    path = tmp_path / "modes.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,))
        on_btc = {"name": "spread", "instrument": ["kraken", "BTC/USD"], "text": "wide"}
        of_all = {"name": "daily_loss", "instrument": None, "text": "3 %"}
        records = (
            Record("mode_changed", START_NS, {"from": "NORMAL", "to": "PAUSED", "why": []}),
            Record("breaker_tripped", START_NS, on_btc),
            Record("breaker_tripped", START_NS, {**on_btc, "instrument": ["kraken", "ETH/USD"]}),
            Record("breaker_tripped", START_NS, of_all),
            Record("breaker_cleared", START_NS, on_btc),
            Record("mode_changed", START_NS, {"from": "PAUSED", "to": "REDUCE_ONLY", "why": ["daily_loss"]}),
        )
        with queries.reading(path) as connection:
            assert (queries.mode(connection, MAIN), queries.tripped(connection, MAIN)) == ("NORMAL", ())
        runs = tuple(HoldRun(BTC, 2, START_NS + number, START_NS + number + 1, 5) for number in range(7))
        journal.commit([(MAIN, Commit(records, holds=runs))])
    with queries.reading(path) as connection:
        assert queries.mode(connection, MAIN) == "REDUCE_ONLY"
        bodies = [entry.record.body for entry in queries.tripped(connection, MAIN)]
        assert [(body["name"], body["instrument"]) for body in bodies] == [
            ("spread", ["kraken", "ETH/USD"]),
            ("daily_loss", None),
        ]
        assert queries.hold_runs(connection, MAIN, last=3) == runs[-3:]


def test_listings_say_how_units_are_counted(ledger: tuple[Path, dict[AccountKey, Life]]) -> None:
    with queries.reading(ledger[0]) as connection:
        one = queries.listings(connection, MAIN)[BTC]
        other = queries.listings(connection, OTHER)[InstrumentKey("coinbase", "ETH/EUR")]
    assert (one.base, one.quote, one.qty_scale, one.price_scale, one.cash_scale) == ("BTC", "USD", 6, 2, 4)
    assert (other.base, other.quote, other.qty_scale, other.price_scale, other.cash_scale) == ("ETH", "EUR", 4, 2, 2)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bars (a)")
    with pytest.raises(SchemaError, match=r"other\.db: is not a ledger"), queries.reading(tmp_path / "other.db"):
        pass


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_server_answers_what_a_file_answers(
    postgresql: str, ledger: tuple[Path, dict[AccountKey, Life]], account: AccountKey
) -> None:
    write_life(postgresql, seed=4, rounds=40)
    with queries.reading(ledger[0]) as file, queries.reading(postgresql) as server:
        asks: tuple[Callable[[Connection], object], ...] = (
            queries.accounts,
            queries.scales,
            lambda connection: queries.balances(connection, account),
            lambda connection: queries.listings(connection, account),
            lambda connection: list(queries.records(connection, account)),
            lambda connection: list(queries.records(connection, account, queries.FILLS, last=7)),
            lambda connection: list(queries.executions(connection, account)),
            lambda connection: [
                (row.seq, row.order.client_order_id, row.order.status, row.is_open)
                for row in queries.orders(connection, account)
            ],
            lambda connection: statistics.positions(connection, account),
            lambda connection: list(statistics.realised(connection, account)),
            lambda connection: statistics.strategy_statistics(connection, account),
            lambda connection: statistics.risk_history(connection, account),
        )
        for ask in asks:
            assert ask(server) == ask(file)
