"""What is over, each against the ledger read without any of our code."""

import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS, day_start_ns
from novapulse.core.instruments import AccountKey
from novapulse.ledger.queries import UnknownAccountError
from novapulse.monitor import read_home
from novapulse.monitor.days import DAYS_KEPT, Days
from novapulse.monitor.history import days_of, ended_orders, holds, of_bar
from tests.engine.harness import noisy_ticks, trader_of
from tests.monitor.conftest import bodies

MAIN = AccountKey("kraken", "main")
DAY_NS = 86_400 * 10**9


def test_ended_orders_are_those_that_the_ledger_closed(left_home: Path) -> None:
    ends = bodies(left_home, MAIN, "order_closed")
    intents = {one["client_order_id"]: one["request"] for one in bodies(left_home, MAIN, "order_intended")}
    (opened,) = bodies(left_home, MAIN, "account_opened")
    lots = {one["symbol"]: Decimal(one["lot"]) for one in opened["instruments"]}
    found = ended_orders(left_home, MAIN, last=1000)
    assert [one.client_order_id for one in found] == [one["client_order_id"] for one in reversed(ends)]
    assert Counter(one.status for one in found) == Counter(one["status"] for one in ends)
    for one, end in zip(reversed(found), ends, strict=True):
        request = intents[one.client_order_id]
        assert (one.role, one.side, one.symbol) == (
            request["role"],
            {1: "buy", -1: "sell"}[request["side"]],
            request["instrument"][1],
        )
        lot = lots[one.symbol]
        assert (one.qty, one.filled_qty) == (request["terms"][0] * lot, end["filled_units"] * lot)
    assert ended_orders(left_home, MAIN, last=3) == found[:3]
    with pytest.raises(UnknownAccountError, match="no account nobody at kraken"):
        ended_orders(left_home, AccountKey("kraken", "nobody"))


def test_holds_are_the_ledgers_runs_newest_first(left_home: Path) -> None:
    with closing(sqlite3.connect(f"file:{left_home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        query = "SELECT symbol, first_ns, last_ns, bars FROM hold_run WHERE exchange = ? AND account_id = ?"
        wanted = ledger.execute(query, (MAIN.exchange, MAIN.account_id)).fetchall()
    found = holds(left_home, MAIN, last=10_000)
    assert sorted((one.symbol, one.first_ns, one.last_ns, one.bars) for one in found) == sorted(wanted)
    assert [one.first_ns for one in found] == sorted((one.first_ns for one in found), reverse=True)
    assert all(one.why and one.reason for one in found)


def test_a_bar_has_its_decisions_or_the_stretch_it_lies_in(left_home: Path) -> None:
    taken = defaultdict(list)
    for body in bodies(left_home, MAIN, "decision_taken"):
        taken[body["instrument"][1], int(body["ts_close_ns"])].append((body["decision_id"], body["verb"]))
    assert len(taken) > 2
    for (symbol, ts_ns), wanted in taken.items():
        found = of_bar(left_home, MAIN, symbol, ts_ns)
        assert [(one.decision_id, one.action) for one in found.decisions] == wanted
        assert of_bar(left_home, MAIN, symbol, ts_ns + 1).decisions == ()
    runs = holds(left_home, MAIN, last=10_000)
    for run in runs:
        for ts_ns in (run.first_ns, (run.first_ns + run.last_ns) // 2, run.last_ns):
            assert of_bar(left_home, MAIN, run.symbol, ts_ns).hold == run
    first = min(one.first_ns for one in runs)
    assert {of_bar(left_home, MAIN, one.symbol, first - 1).hold for one in runs} == {None}
    gaps = [one.last_ns + 1 for one in runs]
    assert {of_bar(left_home, MAIN, one.symbol, at).hold for one, at in zip(runs, gaps, strict=True)} == {None}
    assert of_bar(left_home, MAIN, "NO/SUCH", first).hold is None
    with pytest.raises(UnknownAccountError, match="no account nobody at kraken"):
        of_bar(left_home, AccountKey("kraken", "nobody"), "BTC/USD", first)


def test_days_sum_up_all_that_closed_on_them(left_home: Path) -> None:
    account = read_home(left_home).account("kraken", "main")
    sums: dict[int, Fraction] = defaultdict(Fraction)
    for body in bodies(left_home, MAIN, "round_trip_closed"):
        sums[day_start_ns(body["exit_ns"])] += Fraction(body["pnl_units"], 10**8)
    days = days_of(account)
    assert {one.day_ns: Fraction(one.pnl) for one in days if one.trades} == dict(sums)
    assert (days[0].equity, days[0].equity_ns) == account.equity_points[-1][::-1]
    assert sum(one.trades for one in days) == account.trades
    assert [one.day_ns for one in days] == sorted((one.day_ns for one in days), reverse=True)


def test_a_busy_day_takes_nothing_from_the_days_before_it(left_home: Path) -> None:
    """A bug: the table was made of the last 50 round trips, so a day of 60 emptied it."""
    trip = read_home(left_home).account("kraken", "main").recent_round_trips[0]
    days = Days()
    days.take_trip(replace(trip, exit_ns=5 * DAY_NS + 1, pnl=Decimal(-3)))
    for seq in range(60):
        days.take_trip(replace(trip, seq=seq, exit_ns=6 * DAY_NS + 1 + seq, pnl=Decimal(2)))
    days.take_equity(6 * DAY_NS + 7, Decimal(1000))
    assert [(one.day_ns // DAY_NS, one.trades, one.wins, one.pnl) for one in days.rows] == [
        (6, 60, 60, Decimal(120)),
        (5, 1, 0, Decimal(-3)),
    ]
    assert days.rows[0].seqs == tuple(range(59, 39, -1))
    assert (days.rows[0].equity, days.rows[1].equity) == (Decimal(1000), None)


def test_only_the_last_days_are_kept() -> None:
    days = Days()
    for number in range(DAYS_KEPT + 5):
        days.take_equity((number + 1) * DAY_NS, Decimal(number))
    assert [one.equity for one in days.rows] == [Decimal(number) for number in range(DAYS_KEPT + 4, 4, -1)]


def test_midnight_belongs_to_the_day_that_it_ends_as_for_the_trader() -> None:
    """A bug: the last close of a day was the first thing of the next one, and its own day had no equity."""
    trader = trader_of(("BTC/USD",))
    books = trader.desk.books
    ticks = noisy_ticks(("BTC/USD",), bars=3)
    account = books.account[0]
    days = Days()
    for ts_ns in (9 * DAY_NS - MINUTE_NS, 9 * DAY_NS, 9 * DAY_NS + MINUTE_NS):
        event = ticks.event(0, ts_ns)
        books.tick(ts_ns, event.bars, event.signals, event.present, np.zeros(1, np.int64), (0.0, 0.0))
        days.take_equity(ts_ns, Decimal(1))
        assert days.rows[0].day_ns + DAY_NS == account.day_end_ns
    assert [(one.day_ns // DAY_NS, one.equity_ns) for one in days.rows] == [
        (9, 9 * DAY_NS + MINUTE_NS),
        (8, 9 * DAY_NS),
    ]
