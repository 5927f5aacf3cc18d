"""What paper adds to the exchange: a file, latency, and a stream that is waited for."""

import asyncio

import pytest

from novapulse.core.messages import Found, Lookup, OrderReported, ReadSnapshot, Submit
from novapulse.core.orders import Terms, VenueState
from novapulse.core.ports import Rejected, Unavailable
from novapulse.venues.simulated import Levers, PaperVenue, VenueMode
from tests.backtest.builders import bar_of, instrument
from tests.venues.builders import BTC, UNIT, at, entry, exchange_of, guarded, print_of, story
from tests.venues.moves import whole
from tests.venues.test_contract import Clock


@pytest.fixture
def paper(tmp_path):
    venue = PaperVenue(exchange_of, Clock(), path=tmp_path / "paper.db", synchronous="OFF")
    yield venue
    venue.close()


def bar(minute, *prices, volume=1e6):
    four = prices if len(prices) == 4 else prices * 4
    return bar_of(*four, volume, at(minute))


def test_a_request_acts_from_its_arrival_on():
    venue = PaperVenue(exchange_of, Clock(), latency_ns=at(2) - at(0))
    venue.place(entry("e", 99.0), at(0))
    assert venue.find("e", at(0)).seen.ts_event_ns == at(2)
    venue.play([(BTC, bar(2, 100, 100, 90, 100))], at(2))
    venue.change("e", Terms(UNIT, 9800), at(2))
    venue.play([(BTC, bar(3, 100, 100, 90, 100))], at(3))
    venue.play([(BTC, bar(4, 100, 100, 90, 100))], at(4))
    assert story(venue.exchange) == []
    venue.play([(BTC, bar(5, 100, 100, 90, 100))], at(5))
    assert story(venue.exchange) == [("e", UNIT, 98.0)]


def test_bars_that_come_again_after_a_restart_are_not_played_again(paper):
    paper.place(guarded("e", units=10 * UNIT), at(0.5))
    bars = [(BTC, bar(minute, 100, volume=20)) for minute in range(1, 5)]
    assert paper.play(bars, at(4)) == 4
    state = whole(paper.exchange)
    assert paper.play(bars, at(9)) == 0
    assert whole(paper.exchange) == state


def test_public_trades_are_played_and_kept(paper):
    paper.place(entry("e", 99.0), at(0.5))
    assert paper.trade(BTC, print_of(98.0, at(1)), at(1))
    assert story(paper.exchange) == [("e", UNIT, 99.0)]
    state = whole(paper.exchange)
    path = paper._file.path
    paper.close()
    again = PaperVenue(exchange_of, Clock(), path=path)
    assert whole(again.exchange) == state
    again.close()


def heard(venue):
    """What the stream says now; it is not waited for."""
    return asyncio.run(asyncio.wait_for(venue.events(), 2.0))


def fill_the_disk(venue):
    (pages,) = venue._file._db.execute("PRAGMA page_count").fetchone()
    venue._file._db.execute(f"PRAGMA max_page_count = {pages}")


def refused_after(most, call):
    """How often a call is taken before the file is full."""
    taken = []

    def go_on():
        for k in range(most):
            call(k)
            taken.append(k)

    with pytest.raises(Unavailable, match="full"):
        go_on()
    return len(taken)


def free_the_disk(venue):
    venue._file._db.execute("PRAGMA max_page_count = 1000000")


def test_what_a_full_disk_did_not_take_did_not_happen(paper):
    paper.place(entry("kept", 90.0), at(0.5))
    heard(paper)
    state = whole(paper.exchange)
    fill_the_disk(paper)
    taken = refused_after(1000, lambda k: paper.place(entry(f"e{k}", 90.0), at(1)))
    free_the_disk(paper)
    assert paper.find(f"e{taken}", at(2)).found is Found.ABSENT
    assert len(paper.exchange.open_orders()) == taken + 1
    assert paper.find("kept", at(2)).seen == state[0][0][0]
    with pytest.raises(Unavailable, match="stream broke"):
        heard(paper)
    paper.place(entry(f"e{taken}", 90.0), at(3))
    (event,) = heard(paper)
    assert isinstance(event, OrderReported)


def test_bars_that_a_full_disk_did_not_take_can_be_played_again(paper):
    paper.place(guarded("e"), at(0.5))
    state = whole(paper.exchange)
    fill_the_disk(paper)

    def go_on(minute):
        paper.play([(BTC, bar(minute + 1, 100, volume=0.1))], at(minute + 1))
        paper.place(entry(f"n{minute}", 50.0), at(minute + 1.1))

    closes = refused_after(3000, go_on)
    free_the_disk(paper)
    assert whole(paper.exchange) != state
    last = paper.find("e", at(4000))
    assert last.found is Found.FOUND
    assert paper.exchange.slots[BTC].last_close_ns in (at(closes), at(closes + 1))
    paper.play([(BTC, bar(closes + 1, 100)), (BTC, bar(closes + 2, 100))], at(closes + 2))
    assert paper.exchange.slots[BTC].last_close_ns == at(closes + 2)


def test_a_file_that_stays_unreadable_is_unavailable_and_no_data(paper):
    paper.place(entry("e", 90.0), at(0.5))
    paper._file.close()
    with pytest.raises(Unavailable):
        paper.place(entry("f", 90.0), at(1))
    assert paper.find("e", at(2)).found is Found.FAILED
    with pytest.raises(Unavailable):
        paper.read("", at(2))


def test_maintenance_is_no_data_and_no_answer(paper):
    asyncio.run(paper.submit(Submit(entry("e", 90.0), 1)))
    Levers(paper.exchange).set_mode(VenueMode.MAINTENANCE)
    with pytest.raises(Unavailable, match="maintenance"):
        asyncio.run(paper.submit(Submit(entry("f", 90.0), 1)))
    with pytest.raises(Unavailable, match="maintenance"):
        asyncio.run(paper.snapshot(ReadSnapshot("", "test")))
    assert asyncio.run(paper.lookup(Lookup("e", "", BTC, at(0)))).found is Found.FAILED
    Levers(paper.exchange).set_mode(VenueMode.ONLINE)
    assert asyncio.run(paper.lookup(Lookup("e", "", BTC, at(0)))).found is Found.FOUND


def test_time_that_passed_on_the_way_to_a_refusal_is_kept(paper):
    paper.place(entry("short", 90.0, expires_ns=at(1)), at(0.5))
    with pytest.raises(Rejected):
        paper.place(entry("bad", 90.0, units=0), at(2))
    path = paper._file.path
    paper.close()
    again = PaperVenue(exchange_of, Clock(), path=path)
    assert again.exchange.lookup("short")[0].state is VenueState.EXPIRED
    again.close()


def test_a_read_lets_time_pass_first(paper):
    paper.place(entry("short", 90.0, expires_ns=at(1)), at(0.5))
    assert len(paper.read("", at(1)).orders) == 1
    assert paper.read("", at(1) + 1).orders == ()
    assert paper.find("short", at(2)).seen.state is VenueState.EXPIRED


def test_a_snapshot_tells_flows_once(paper):
    first = paper.read("", at(1))
    Levers(paper.exchange).flow("deposit", "USD", 7, at(2))
    paper.keep()
    second = paper.read(first.cursor, at(3))
    assert [flow.asset_units for flow in second.flows] == [7]
    assert paper.read(second.cursor, at(4)).flows == ()
    with pytest.raises(ValueError, match="yesterday"):
        paper.read("yesterday", at(5))


def test_trades_that_memory_let_go_need_a_file():
    venue = PaperVenue(lambda: exchange_of(history_max=2), Clock())
    for k in range(4):
        venue.place(entry(f"e{k}"), at(k + 0.5))
        venue.play([(BTC, bar(k + 1, 100))], at(k + 1))
    with pytest.raises(Unavailable, match="before number 2 are not kept"):
        venue.read("", at(9))


def test_the_instruments_are_those_of_the_exchange(paper):
    assert asyncio.run(paper.instruments()) == {BTC: instrument()}


def test_the_whole_history_is_every_execution_that_stands_and_no_time_passes_by_reading_it(paper):
    for k in range(4):
        paper.place(entry(f"e{k}"), at(k + 0.5))
        paper.play([(BTC, bar(k + 1, 100))], at(k + 1))
    Levers(paper.exchange).bust(paper.read("", at(5)).fills[1].venue_trade_id, at(5))
    paper.keep()
    before = whole(paper.exchange)
    found = asyncio.run(paper.history())
    assert [fill.client_order_id for fill in found] == ["e0", "e2", "e3"]
    assert whole(paper.exchange) == before
    Levers(paper.exchange).set_mode(VenueMode.MAINTENANCE)
    with pytest.raises(Unavailable, match="maintenance"):
        asyncio.run(paper.history())
