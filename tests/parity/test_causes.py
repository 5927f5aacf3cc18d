"""Each cause is planted, one at a time, and must be found; nothing else may be blamed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from novapulse.core.bars import DAY_NS
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.messages import CommandReceived
from novapulse.core.messages import Record as Entry
from novapulse.core.records import Record
from novapulse.engine.rows import Ticks
from novapulse.execution.rules import rules_record
from novapulse.parity.causes import (
    Cause,
    Evidence,
    Explained,
    Span,
    bars_seen_otherwise,
    changed_bars,
    counted,
    explained,
    explained_records,
)
from novapulse.parity.ladder import evidence_of
from novapulse.parity.playing import SECOND_NS, Late, Played, Script
from novapulse.parity.sessions import compare as compare_records
from novapulse.parity.trips import Comparison, Trip, compare, trips_of_kernel, trips_of_records
from novapulse.simulation.scene import instrument_of
from novapulse.simulation.world import Link
from tests.parity.conftest import Small

Play = Callable[..., Played]
KEY = InstrumentKey("kraken", "BTC/USD")


def kernel_trips(small: Small) -> list[Trip]:
    return trips_of_kernel(small.kernel.round_trips, small.stretch.configuration.instruments)


def compared(small: Small, found: Played) -> Comparison:
    facts = small.stretch.configuration.instruments
    return compare(trips_of_records(found.journal.records), kernel_trips(small), facts)


def told(small: Small, found: Played, changed: tuple[Span, ...] = ()) -> list[Explained]:
    evidence = evidence_of(found.journal.records, found.holds, small.stretch.configuration, changed)
    return explained(compared(small, found).differences, evidence)


def venue_rules(small: Small, **changes: float) -> Record:
    one = small.stretch.configuration
    rules = rules_record(one.decides.risk, one.decides.execution, one.timeframe_ns, None)
    for name, value in changes.items():
        rules[name] = value
    return rules


def decided_at(small: Small, number: int) -> tuple[InstrumentKey, int]:
    """Return instrument and close of the decision that opened a round trip of the kernel."""
    fills = small.kernel.fills
    (first, *_) = fills[fills["round_trip"] == number]
    return small.stretch.ticks.keys[int(first["instrument"])], int(first["decision_ts_ns"])


def own(causes: Sequence[Explained]) -> set[Cause]:
    """Return every cause that was named for itself: what only follows from another difference has that one's."""
    return {one.cause for one in causes if not one.follows}


def test_without_a_fault_there_is_nothing_to_explain(small: Small, played: Play) -> None:
    assert told(small, played()) == []


def test_a_fee_that_the_venue_takes_is_a_fee(small: Small, played: Play) -> None:
    dearer = {fact.key: fact.with_fees(Decimal(2), Decimal(4)) for fact in small.stretch.configuration.instruments}
    causes = told(small, played(Script(venue_instruments=dearer)))
    assert causes[0].difference.field == "fee_units"
    assert (causes[0].cause, causes[0].follows) == (Cause.FEE, False)
    # Less money decides other sizes and other entries; those that are out of proportion are fills of their own.
    assert own(causes) == {Cause.FEE, Cause.FILL}


def test_a_worse_price_is_a_price(small: Small, played: Play) -> None:
    causes = told(small, played(Script(venue_rules=venue_rules(small, slippage_fraction=0.002))))
    assert (causes[0].cause, causes[0].follows) == (Cause.PRICE, False)
    # What it loses decides other sizes, and blocks entries by what only a running trader knows.
    assert own(causes) == {Cause.PRICE, Cause.FILL, Cause.GATE}
    assert causes[0].difference.price_ticks >= 1


def test_a_market_that_fills_less_is_a_fill(small: Small, played: Play) -> None:
    causes = told(small, played(Script(venue_rules=venue_rules(small, participation_max=0.0002))))
    assert (causes[0].cause, causes[0].follows) == (Cause.FILL, False)
    assert own(causes) == {Cause.FILL, Cause.PRICE}
    # One that was filled in parts, at several prices, has another average.
    assert counted(causes)["fill"] > 0.9 * len(causes)


def test_a_bar_that_came_late_is_a_delay(small: Small, played: Play) -> None:
    key, close_ns = decided_at(small, 5)
    causes = told(small, played(Script(late=(Late(key, close_ns, close_ns + 20 * SECOND_NS),))))
    assert (causes[0].cause, causes[0].follows) == (Cause.DELAY, False)
    assert own(causes) == {Cause.DELAY}
    assert f"the bar of {key}" in causes[0].why
    assert causes[0].difference.began_ns >= close_ns


def test_a_network_that_misses_the_next_bar_is_a_delay(small: Small, played: Play) -> None:
    causes = told(small, played(Script(link=Link(61 * SECOND_NS, 50_000_000))))
    assert (causes[0].cause, causes[0].follows) == (Cause.DELAY, False)
    # What came late also blocked entries by what only a running trader knows.
    assert own(causes) == {Cause.DELAY, Cause.GATE}
    assert "to be answered" in causes[0].why


def test_a_pause_is_a_gate(small: Small, played: Play) -> None:
    _, close_ns = decided_at(small, 5)
    pause = CommandReceived(close_ns - 30 * SECOND_NS, "c-1", "pause", {}, "a test")
    resume = CommandReceived(close_ns + 600 * SECOND_NS, "c-2", "resume", {}, "a test")
    causes = told(small, played(Script(commands=(pause, resume))))
    assert (causes[0].cause, causes[0].follows) == (Cause.GATE, False)
    assert own(causes) == {Cause.GATE}
    assert causes[0].difference.field in ("missing", "entry_ns")


def test_a_start_in_the_moment_of_a_decision_is_a_restart(small: Small, played: Play) -> None:
    _, close_ns = decided_at(small, 5)
    causes = told(small, played(Script(starts_ns=(close_ns - SECOND_NS // 10,))))
    assert (causes[0].cause, causes[0].follows) == (Cause.RESTART, False)
    assert own(causes) == {Cause.RESTART}


def test_a_start_between_two_decisions_changes_nothing(small: Small, played: Play) -> None:
    _, close_ns = decided_at(small, 5)
    starts = tuple(close_ns + minutes * 60 * SECOND_NS + 20 * SECOND_NS for minutes in (-3, 0, 1, 2, 500))
    assert told(small, played(Script(starts_ns=starts))) == []


def other_bars(ticks: Ticks, key: InstrumentKey, close_ns: int) -> Ticks:
    """Return ticks in which one bar went far below: a stop that was never hit is hit."""
    bars = ticks.bars.copy()
    row, column = int(np.searchsorted(ticks.ts_close_ns, close_ns)), ticks.keys.index(key)
    bars["low"][row, column] *= 0.97
    bars["high"][row, column] *= 1.03
    return replace(ticks, bars=bars)


def test_a_bar_that_is_not_the_same_is_data(small: Small, played: Play) -> None:
    trip = kernel_trips(small)[5]
    key, close_ns = trip.instrument, trip.entry_ns + 60 * SECOND_NS
    ticks = other_bars(small.stretch.ticks, key, close_ns)
    found = played(stretch=replace(small.stretch, ticks=ticks))
    changed = changed_bars(ticks, small.stretch.ticks)
    assert [(span.instrument, span.first_ns) for span in changed] == [(key, close_ns)]
    causes = told(small, found, changed)
    assert (causes[0].cause, causes[0].follows) == (Cause.DATA, False)
    assert own(causes) == {Cause.DATA}
    assert "differs in high, low" in causes[0].why


def test_a_bar_that_only_one_run_heard_is_data(small: Small) -> None:
    ticks = small.stretch.ticks
    present = ticks.present.copy()
    present[7, 1] = 0
    (span,) = changed_bars(replace(ticks, present=present), ticks)
    assert (span.instrument, span.first_ns) == (ticks.keys[1], int(ticks.ts_close_ns[7]))


ETH = InstrumentKey("kraken", "ETH/USD")
CAPITAL = 10**9
WIDTH_NS = 60 * SECOND_NS


def trip(day: int, key: InstrumentKey = KEY, **changes: object) -> Trip:
    """Return a round trip of ten minutes on a day."""
    began_ns = (20_000 + day) * DAY_NS
    one = Trip(key, day, 1, began_ns, 1000, 100.0, began_ns + 10 * WIDTH_NS, 101.0, "EXIT_STOP", 9, 1, 1000)
    return replace(one, **changes)


def causes_of(ours: list[Trip], reference: list[Trip], **found: Any) -> list[tuple[int, str, Cause, bool]]:
    """Return (day, field, cause, whether it follows) of each difference."""
    differences = compare(ours, reference, [fact_of(KEY), fact_of(ETH)]).differences
    said = explained(differences, Evidence(WIDTH_NS, **{"capital_units": CAPITAL, **found}))
    return [(one.difference.one.number, one.difference.field, one.cause, one.follows) for one in said]


def test_a_size_follows_from_money_in_its_proportion_and_from_no_more() -> None:
    reference = [trip(0), trip(30), trip(60, ETH), trip(90, ETH)]
    ours = [
        trip(0, fee_units=2, pnl_units=-(10**6)),
        trip(30, qty_units=998),
        trip(60, ETH, qty_units=500),
        trip(90, ETH, exit_price=102.0),
    ]
    assert causes_of(ours, reference) == [
        (0, "fee_units", Cause.FEE, False),
        (30, "qty_units", Cause.FEE, True),
        (60, "qty_units", Cause.FILL, False),
        (90, "exit_price", Cause.PRICE, False),
    ]


def test_an_entry_follows_from_what_was_held_within_a_day_and_from_no_fee() -> None:
    reference = [trip(0), trip(1, ETH), trip(30), trip(60)]
    ours = [trip(0, exit_ns=trip(0).exit_ns + WIDTH_NS), trip(60, fee_units=9)]
    pause = Span(None, trip(0).exit_ns, trip(0).exit_ns, "the mode changed")
    assert causes_of(ours, reference, gates=(pause,)) == [
        (0, "exit_ns", Cause.GATE, False),
        (1, "missing", Cause.GATE, True),
        (30, "missing", Cause.FILL, False),
        (60, "fee_units", Cause.FEE, False),
    ]
    assert causes_of([trip(0, fee_units=2)], [trip(0), trip(1)]) == [
        (0, "fee_units", Cause.FEE, False),
        (1, "missing", Cause.FILL, False),
    ]


def test_each_cause_is_told_apart_where_another_difference_stands_elsewhere() -> None:
    """One of each, weeks apart, on one instrument, behind a bar that changed before all of them."""
    days = {
        Cause.DATA: (0, {"exit_price": 99.0}),
        Cause.PRICE: (30, {"entry_price": 100.5}),
        Cause.FILL: (60, {"exit_ns": trip(60).exit_ns + WIDTH_NS}),
        Cause.FEE: (90, {"fee_units": 7}),
        Cause.DELAY: (120, {"entry_ns": trip(120).entry_ns + WIDTH_NS}),
        Cause.GATE: (150, {"entry_ns": trip(150).entry_ns + WIDTH_NS}),
        Cause.RESTART: (180, {"exit_price": 98.0}),
        Cause.LIMITS: (210, {"qty_units": 500}),
    }
    reference = [trip(day) for day, _ in days.values()]
    ours = [trip(day, **changes) for day, changes in days.values()]

    def at(cause: Cause) -> Span:
        entry_ns = trip(days[cause][0]).entry_ns
        return Span(KEY, entry_ns, entry_ns, cause.value)

    found = causes_of(
        ours,
        reference,
        changed=(at(Cause.DATA),),
        delays=(at(Cause.DELAY),),
        gates=(at(Cause.GATE),),
        limits=(at(Cause.LIMITS),),
        starts_ns=(at(Cause.RESTART).first_ns,),
    )
    assert [(cause, follows) for _, _, cause, follows in found] == [(cause, False) for cause in days]


def order_records(name: str, key: InstrumentKey, day: int) -> list[Entry]:
    """Return an order that was asked for, filled and closed on a day."""
    at_ns = (20_000 + day) * DAY_NS
    request = {"instrument": [key.exchange, key.symbol]}
    fill = {
        "instrument": [key.exchange, key.symbol],
        "qty_units": 5,
        "price_units": 7,
        "cash_units": 35,
        "fee_units": 1,
    }
    return [
        Entry("order_intended", at_ns, {"client_order_id": name, "request": request}),
        Entry("fill_booked", at_ns + 1, {"client_order_id": name, **fill}),
        Entry("order_closed", at_ns + 2, {"client_order_id": name, "status": "FILLED"}),
    ]


def test_the_end_of_an_order_has_the_instrument_of_the_order_and_one_of_no_order_has_no_cause() -> None:
    """A bug: what was wrong with any instrument at any time was the cause of every record without one."""
    records = order_records("x", KEY, 0)
    elsewhere = Span(ETH, 5, 2**62, "entries were blocked")
    evidence = Evidence(WIDTH_NS, gates=(elsewhere,))
    (said,) = explained_records([(records[-1], None)], evidence, records)
    assert (said.instrument, said.cause) == (KEY, Cause.FILL)
    (said,) = explained_records([(records[-1], None)], evidence)
    assert (said.instrument, said.cause, said.follows) == (None, Cause.UNKNOWN, False)
    assert "not in the records" in said.why


def test_records_of_two_instruments_have_causes_of_their_own() -> None:
    one, other = order_records("x", KEY, 0), order_records("y", ETH, 40)
    dearer = replace(one[1], body={**one[1].body, "fee_units": 2})
    worse = replace(other[1], body={**other[1].body, "price_units": 8, "cash_units": 40})
    less = replace(other[1], body={**other[1].body, "qty_units": 4})
    bar = Span(ETH, 1, 1, "the bar differs")

    def causes(changed: Entry, *more: tuple[Entry | None, Entry | None]) -> list[tuple[str, Cause, bool]]:
        pairs = [(dearer, one[1]), (changed, other[1]), *more]
        said = explained_records(pairs, Evidence(WIDTH_NS, changed=(bar,)), (*one, *other))
        return [(told.kind, told.cause, told.follows) for told in said]

    fee = ("fill_booked", Cause.FEE, False)
    assert causes(worse) == [fee, ("fill_booked", Cause.PRICE, False)]
    assert causes(less, (None, other[2])) == [
        fee,
        ("fill_booked", Cause.FILL, False),
        ("order_closed", Cause.FILL, True),
    ]
    asserted = Entry("balance_asserted", other[2].ts_ns, {"balances": {}})
    assert causes(worse, (asserted, None))[-1] == ("balance_asserted", Cause.PRICE, True)


def test_a_difference_far_from_the_evidence_is_not_blamed_on_it() -> None:
    one = Trip(KEY, 0, 1, 10**15, 5, 100.0, 10**15 + 1, 101.0, "EXIT_STOP", 1, 1, 1)
    facts = [fact_of(KEY)]
    found = compare([replace(one, exit_price=102.0)], [one], facts)
    elsewhere = Span(InstrumentKey("kraken", "ETH/USD"), 0, 2 * 10**15, "not here")
    later = Span(KEY, 2 * 10**15, 2 * 10**15, "not yet")
    evidence = Evidence(60 * SECOND_NS, (later,), (elsewhere,), (later,), (3 * 10**15,))
    (said,) = explained(found.differences, evidence)
    assert (said.cause, found.differences[0].price_ticks) == (Cause.PRICE, 100.0)


def fact_of(key: InstrumentKey) -> Instrument:
    return instrument_of(key.exchange, key.symbol.split("/")[0], 100.0)


def test_trips_are_paired_by_time_so_that_a_missing_one_shifts_no_other(small: Small) -> None:
    trips, facts = kernel_trips(small), small.stretch.configuration.instruments
    without = [*trips[:4], *trips[5:]]
    found = compare(without, trips, facts)
    assert (found.equal, [one.field for one in found.differences]) == (len(trips) - 1, ["missing"])
    assert found.differences[0].reference == trips[4]
    assert [one.field for one in compare(trips, without, facts).differences] == ["extra"]
    assert compare(trips, trips, facts).is_same


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"fee_units": 1}, Cause.FEE),
        ({"price_units": 1, "cash_units": 1}, Cause.PRICE),
        ({"qty_units": 1}, Cause.FILL),
    ],
)
def test_an_execution_that_differs_in_a_session_has_its_cause(
    small: Small, played: Play, changes: dict[str, int], cause: Cause
) -> None:
    records = played().journal.records
    at = next(row for row, record in enumerate(records) if record.kind == "fill_booked")
    other = [*records[:at], replace(records[at], body={**records[at].body, **changes}), *records[at + 1 :]]
    pairs = compare_records(other, records).first
    (said,) = explained_records(pairs, Evidence(60 * SECOND_NS))
    assert (said.kind, said.cause, said.follows) == ("fill_booked", cause, False)


def test_a_bar_that_a_session_decided_on_and_the_lake_has_otherwise_is_data(small: Small, played: Play) -> None:
    records, ticks = played().journal.records, small.stretch.ticks
    assert bars_seen_otherwise(records, ticks) == ()
    decision = next(record.body for record in records if record.kind == "decision_taken")
    key, close_ns = InstrumentKey(*decision["instrument"]), decision["ts_close_ns"]
    (span,) = bars_seen_otherwise(records, other_bars(ticks, key, close_ns))
    assert (span.instrument, span.first_ns) == (key, close_ns)
    assert "high, low" in span.text
