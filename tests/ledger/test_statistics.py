"""Who closes a position ends it, in every query: what the trader believes is what the ledger says, to the unit."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from novapulse.core.messages import Commit, FillBusted, FillReported, Flow, SnapshotRead
from novapulse.core.orders import Filled, Side
from novapulse.core.postings import Book
from novapulse.core.records import Reason
from novapulse.engine.opening import opening_record
from novapulse.ledger import queries, statistics
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.movements import FLOWS
from novapulse.parity.kept import Kept as KeptLedger
from novapulse.parity.rederive import _held
from tests.engine.harness import ACCOUNT, ORIGIN_NS
from tests.engine.test_late_evidence import Kept
from tests.engine.test_splits import split
from tests.monitor.test_recorded import assert_as_the_ledger_says, growing, opened, split_in_between


def held(scene: Kept) -> int:
    return int(scene.desk.books.positions[0].qty_units)


def trade(scene: Kept, units: int, name: str, order: str = "", fee: int = 0, price: int = 0) -> None:
    price = price or round(float(scene.desk.books.last_bars[0].close) * 100) + 300
    side = Side(1 if units > 0 else -1)
    key = scene.desk.keys[0]
    cash = price * abs(units) * 10**2
    fill = Filled(order, "V9", name, key, side, abs(units), price, cash, fee, 0, scene.wait(1))
    scene.hear(FillReported(scene.ts_ns, fill))


def flow(scene: Kept, units: int, name: str = "W1") -> None:
    shown = scene.snapshot()
    balances = {**shown.balances, "BTC": shown.balances["BTC"] + units}
    kind = "deposit" if units > 0 else "withdrawal"
    news = Flow(name, kind, "BTC", units, scene.wait(30))
    scene.hear(SnapshotRead(scene.ts_ns, replace(shown, ended_ns=scene.ts_ns, balances=balances, flows=(news,))))


def foreign_close() -> Kept:
    scene = opened()
    trade(scene, -held(scene), "X1", fee=700)
    return scene


def partial_foreign_close() -> Kept:
    scene = opened()
    trade(scene, -held(scene) // 3, "X1", fee=701)
    return scene


def foreign_beyond_ours() -> Kept:
    scene = opened()
    trade(scene, 1_000, "X0", fee=13)
    trade(scene, -(held(scene) + 3_000), "X1", fee=709)
    trade(scene, 2_000, "X2")
    return scene


def withdrawal() -> Kept:
    scene = opened()
    scene.tick(0.0)
    flow(scene, -held(scene))
    return scene


def deposit_that_somebody_sells() -> Kept:
    scene = opened()
    scene.tick(0.0)
    flow(scene, 5_000)
    trade(scene, -7_000, "X1", fee=77)
    return scene


def busted_exit() -> Kept:
    scene = opened()
    bracket = scene.desk.slots[0].protect
    units = held(scene)
    trade(scene, -units, "E1", order=bracket, fee=500)
    assert held(scene) == 0
    key = scene.desk.keys[0]
    scene.hear(FillBusted(scene.wait(1), key, bracket, "V2", "E1"))
    return scene


def busted_exit_closed_again() -> Kept:
    scene = busted_exit()
    bracket = scene.desk.slots[0].protect
    trade(scene, -held(scene), "E2", order=bracket, fee=300)
    assert held(scene) == 0
    return scene


def busted_part_of_an_exit() -> Kept:
    """Half of the position is sold, which is taken back, and then all of it."""
    scene = opened()
    bracket = scene.desk.slots[0].protect
    units = held(scene)
    trade(scene, -(units // 2), "E1", order=bracket, fee=500)
    scene.hear(FillBusted(scene.wait(1), scene.desk.keys[0], bracket, "V2", "E1"))
    assert held(scene) == units
    trade(scene, -units, "E2", order=bracket, fee=300)
    return scene


def split_then_foreign_close() -> Kept:
    scene = split_in_between()
    trade(scene, -held(scene), "X1", fee=700)
    return scene


def split_that_leaves_nothing() -> Kept:
    """One share of four, where four become one and the venue pays for the rest."""
    scene = opened()
    scene.tick(0.0)
    trade(scene, -(held(scene) - 1), "X1", fee=7)
    assert held(scene) == 1
    split(scene, 1, 4, units=-1)
    assert held(scene) == 0
    return scene


STORIES: list[Callable[[], Kept]] = [
    opened,
    foreign_close,
    partial_foreign_close,
    foreign_beyond_ours,
    withdrawal,
    deposit_that_somebody_sells,
    busted_exit,
    busted_exit_closed_again,
    busted_part_of_an_exit,
    split_then_foreign_close,
    split_that_leaves_nothing,
]


def written(path: Path, scene: Kept) -> None:
    with Ledger.open(path, durable=False, now_ns=1) as ledger:
        ledger.register_assets(scene.desk.scales)
        ledger.take_lease(ACCOUNT, "test", ORIGIN_NS, 10**18)
        ledger.commit([(ACCOUNT, opening_of(scene))])
        for _, commit in scene.journal.commits:
            ledger.commit([(ACCOUNT, commit)])


def opening_of(scene: Kept) -> Commit:
    first = scene.journal.commits[0][1]
    return replace(first, records=(opening_record(type(scene)().trader, ORIGIN_NS),), state=b"", holds=())


@pytest.mark.parametrize("story", STORIES)
def test_positions_lots_and_results_are_those_of_the_trader_to_the_unit(
    tmp_path: Path, story: Callable[[], Kept]
) -> None:
    scene, path = story(), tmp_path / "ledger.db"
    written(path, scene)
    books, key = scene.desk.books, scene.desk.keys[0]
    assert audit(path).ok
    with queries.reading(path) as connection:
        found = {one.is_ours: one.units for one in statistics.positions(connection, ACCOUNT)}
        realised = sum((one.pnl for one in statistics.realised(connection, ACCOUNT)), Fraction(0))
        open_money = sum((one.money for one in statistics.positions(connection, ACCOUNT)), Fraction(0))
        worth = sum(one.cash_units for one in queries.movements(connection, ACCOUNT) if one.is_flow)
        worth += sum(one.worth for one in queries.splits(connection, ACCOUNT))
        balances = {(one.book, one.asset): one.units for one in queries.balances(connection, ACCOUNT)}
        trips = list(statistics.round_trips(connection, ACCOUNT))
        recorded = [one.record.body for one in queries.records(connection, ACCOUNT, ("round_trip_closed",))]
        days = statistics.risk_history(connection, ACCOUNT)
    own, foreign = held(scene), int(books.foreign_units[0])
    assert found == {is_ours: units for is_ours, units in ((True, own), (False, foreign)) if units}
    cash = balances.get((Book.CASH, "USD"), 0) + balances.get((Book.HOLD, "USD"), 0)
    assert realised + open_money == cash + balances[Book.CAPITAL, "USD"] + worth
    assert trips or own
    finer = 10 ** (scene.desk.scales["USD"] - scene.desk.instruments[0].cash_scale)
    assert len(trips) == len(recorded)
    for trip, told in zip(trips, recorded, strict=True):
        assert abs(trip.pnl_units - told["pnl_units"] * finer) <= 2 * finer
        assert trip.instrument == key
    assert days[-1].equity == realised - balances[Book.CAPITAL, "USD"] - worth
    kept = KeptLedger(path)
    assert _held(list(kept.records(ACCOUNT, 10**9))).get(key, 0) == own


@pytest.mark.parametrize("story", STORIES)
def test_the_dashboards_show_what_the_queries_say_at_every_commit(tmp_path: Path, story: Callable[[], Kept]) -> None:
    with growing(tmp_path, story()) as steps:
        for _, state in steps:
            assert_as_the_ledger_says(tmp_path, state)


def test_what_a_split_leaves_nothing_of_is_realised_by_it(tmp_path: Path) -> None:
    scene, path = split_that_leaves_nothing(), tmp_path / "ledger.db"
    written(path, scene)
    with queries.reading(path) as connection:
        (split_up,) = queries.splits(connection, ACCOUNT)
        lost = [one for one in statistics.realised(connection, ACCOUNT) if one.closed.seq == split_up.seq]
        (opening, *_) = queries.executions(connection, ACCOUNT)
        (trip,) = statistics.round_trips(connection, ACCOUNT)
    (one,) = lost
    cost = Fraction(opening.cash_units + -opening.fee_units, opening.base_units)
    assert (one.opened, one.units) == (opening, split_up.own[0])
    assert one.pnl == split_up.worth + cost * one.units
    assert split_up.worth == split_up.price_units * 10**2 > 0
    assert (trip.closed.seq, trip.executions) == (split_up.seq, 3)


def test_whose_quantity_it_was_is_a_fact_of_the_record() -> None:
    scene = foreign_beyond_ours()
    moved = [(one.body["own_units"], one.body["foreign_units"]) for one in scene.journal.records("fill_booked")]
    own = moved[0][0]
    assert moved == [(own, 0), (0, 1_000), (-own, -3_000 - 1_000 + 1_000), (0, 2_000)]
    (gone,) = withdrawal().journal.records("flow_booked")
    assert gone.kind in FLOWS
    assert (gone.body["own_units"], gone.body["foreign_units"]) == (-own, 0)
    assert gone.body["worth_units"] == gone.body["price_units"] * own * 10**2
    (trip,) = foreign_close().journal.records("round_trip_closed")
    assert trip.body["exit_reason"] == Reason.EXIT_FOREIGN.name


def test_records_of_before_it_was_written_are_read_as_they_were(tmp_path: Path) -> None:
    scene, path = partial_foreign_close(), tmp_path / "old.db"
    for number, (key, commit) in enumerate(scene.journal.commits):
        old = [
            replace(one, body={name: value for name, value in one.body.items() if not name.endswith("n_units")})
            if one.kind == "fill_booked"
            else one
            for one in commit.records
        ]
        scene.journal.commits[number] = key, replace(commit, records=tuple(old))
    written(path, scene)
    with queries.reading(path) as connection:
        found = {one.is_ours: one.units for one in statistics.positions(connection, ACCOUNT)}
        (ours, nobodys) = list(queries.executions(connection, ACCOUNT))
    assert (ours.foreign_units, nobodys.foreign_units) == (0, nobodys.base_units)
    assert found == {True: ours.base_units, False: nobodys.base_units}
