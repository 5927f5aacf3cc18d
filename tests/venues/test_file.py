"""A paper account outlives its process: whatever happens, its file holds the state after some step, whole."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.core.instruments import AccountKey
from novapulse.core.orders import VenueState
from novapulse.venues.simulated import Levers, PaperFile, PaperFileError, PaperVenue, SimulatedExchange
from tests.backtest.builders import bar_of, bare_rules, instrument
from tests.venues.builders import BTC, CAPITAL_UNITS, at, entry, exchange_of, guarded, play
from tests.venues.moves import MOVES, act, script, whole
from tests.venues.paper_child import MOVES as CHILD_MOVES
from tests.venues.paper_child import NoClock, opening

ROOT = Path(__file__).resolve().parents[2]


def paper(path: Path, **options: object) -> PaperVenue:
    return PaperVenue(opening, NoClock(), path=path, synchronous="OFF", **options)


def references(moves) -> list[tuple]:
    """What an exchange without a file is after each number of moves."""
    exchange, states = opening(), []
    states.append(whole(exchange))
    for number, move in enumerate(moves):
        act(exchange, number, move)
        states.append(whole(exchange))
    return states


def test_the_books_of_an_account_are_in_one_ledger(tmp_path):
    path = tmp_path / "paper.db"
    paper(path, ledger_id="the first").close()
    with pytest.raises(PaperFileError, match=r"paper.db: the books .* are in ledger the first, not in the second"):
        paper(path, ledger_id="the second")
    paper(path, ledger_id="the first").close()
    paper(path).close()


def test_a_file_of_before_there_were_owners_is_taken_over_with_what_it_holds(tmp_path):
    path, moves = tmp_path / "paper.db", script(7, 30)
    venue = paper(path)
    for number, move in enumerate(moves):
        act(venue, number, move)
    state = whole(venue.exchange)
    venue.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE owner")
        db.execute("PRAGMA user_version=1")
    venue = paper(path, ledger_id="the first")
    assert whole(venue.exchange) == state
    venue.close()
    with pytest.raises(PaperFileError, match="in ledger the first"):
        paper(path, ledger_id="the second")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, every=st.integers(1, 7))
def test_an_account_that_is_reopened_again_and_again_is_the_one_that_never_closed(tmp_path, moves, every):
    path = tmp_path / "paper.db"
    path.unlink(missing_ok=True)
    venue, states = paper(path), references(moves)
    for number, move in enumerate(moves):
        act(venue, number, move)
        assert whole(venue.exchange) == states[number + 1]
        if number % every == 0:
            venue.close()
            venue = paper(path)
            assert whole(venue.exchange) == states[number + 1]
    venue.close()


def test_the_file_as_it_is_before_any_statement_holds_the_state_after_a_step(tmp_path):
    """Every statement may be the last one: a copy of the files is taken before each, and opened."""
    moves = script(7, 60)
    states = references(moves)
    path, images = tmp_path / "paper.db", []

    def image(done: int) -> None:
        target = tmp_path / f"image{len(images)}"
        target.mkdir()
        for file in tmp_path.glob("paper.db*"):
            shutil.copy(file, target / file.name)
        images.append((target, done))

    venue = paper(path)
    for number, move in enumerate(moves):
        venue._file._db.set_trace_callback(lambda _, done=number: image(done))
        act(venue, number, move)
    venue._file._db.set_trace_callback(None)
    venue.close()
    assert len(images) > 150
    for target, done in images:
        reopened = paper(target / "paper.db")
        assert whole(reopened.exchange) in (states[done], states[done + 1])
        reopened.close()


def test_a_process_that_is_killed_again_and_again_ends_where_an_unkilled_one_does(tmp_path):
    path, states = tmp_path / "paper.db", references(CHILD_MOVES)
    first, lives = 0, [3, 57, 120]
    for life in lives:
        done = run_child(path, first, life)
        venue = PaperVenue(opening, NoClock(), path=path)
        state = whole(venue.exchange)
        venue.close()
        # The move after the last one that was answered may or may not be in the file, but no half of it.
        assert state in (states[done + 1], states[done + 2])
        first = done + 1 + (state != states[done + 1])
    venue = PaperVenue(opening, NoClock(), path=path)
    for number in range(first, len(CHILD_MOVES)):
        act(venue, number, CHILD_MOVES[number])
    assert whole(venue.exchange) == states[-1]
    venue.close()


def run_child(path: Path, first: int, moves: int) -> int:
    """Let a child make some moves, kill it without warning, and return the last move that it said was done."""
    command = [sys.executable, "-m", "tests.venues.paper_child", str(path), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        for _ in range(moves):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split("\n")
    # A line that the kill cut short says nothing.
    said = [int(line) for line in rest[:-1] if line]
    assert child.returncode == -signal.SIGKILL
    return said[-1] if said else first + moves - 1


def test_bars_and_orders_of_old_times_are_not_needed_to_go_on(tmp_path):
    def small():
        return exchange_of(history_max=4)

    venue = PaperVenue(small, NoClock(), path=tmp_path / "paper.db", synchronous="OFF")
    venue.place(entry("stays", 50.0), at(0))
    for k in range(9):
        venue.place(entry(f"e{k}"), at(k + 0.5))
        play(venue.exchange, k + 1, 100)
        venue.keep()
    for reopened in (False, True):
        if reopened:
            venue.close()
            venue = PaperVenue(small, NoClock(), path=tmp_path / "paper.db", synchronous="OFF")
        assert len(venue.exchange.holdings.trades) == 4
        assert [fill.client_order_id for fill in venue.read("", at(20)).fills] == [f"e{k}" for k in range(9)]
        old = venue.find("e0", at(20))
        assert (old.seen.state, old.seen.filled_units, len(old.fills)) == (VenueState.FILLED, 1000, 1)
        assert venue.find("stays", at(20)).seen.state is VenueState.LIVE
    venue.close()


def test_one_process_at_a_time_has_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("novapulse.venues.simulated.file._LOCK_WAIT_S", 0.05)
    path = tmp_path / "paper.db"
    venue = paper(path)
    with pytest.raises(PaperFileError, match=r"paper\.db: database is locked"):
        PaperFile(path)
    venue.close()
    paper(path).close()


def test_a_file_that_cannot_be_used_says_which_and_why(tmp_path):
    path = tmp_path / "paper.db"
    venue = paper(path)
    venue.place(guarded("e"), at(0.5))
    play(venue.exchange, 1, 100)
    venue.keep()
    venue.close()

    def other_account():
        return SimulatedExchange(AccountKey("kraken", "other"), [instrument()], bare_rules(), CAPITAL_UNITS)

    wrong = {
        "is of account main on kraken, not other on kraken": other_account,
        "counts BTC/USD on kraken in digits 2 3 8, the instrument in 4 3 8": lambda: exchange_of(
            instruments=[instrument(tick=instrument().tick / 100)]
        ),
        "holds BTC/USD on kraken, which is not among the instruments": lambda: exchange_of(
            instruments=[instrument("ETH/USD")]
        ),
    }
    for why, openings in wrong.items():
        with pytest.raises(PaperFileError, match=why):
            PaperVenue(openings, NoClock(), path=path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(PaperFileError, match="is of version 9, this program reads 2"):
        paper(path)
    torn = tmp_path / "torn.db"
    torn.write_bytes(b"nothing like a database, by any means" * 40)
    with pytest.raises(PaperFileError, match="not a database"):
        paper(torn)
    with pytest.raises(PaperFileError, match=str(tmp_path)):
        PaperFile(torn / "below" / "paper.db")


def test_a_body_that_was_tampered_with_is_not_taken_for_an_order(tmp_path):
    path = tmp_path / "paper.db"
    venue = paper(path)
    venue.place(entry("e", 90.0), at(0.5))
    venue.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE venue_order SET body = '{}'")
    db.close()
    with pytest.raises(PaperFileError, match=r"paper\.db"):
        paper(path)


def test_only_what_changed_is_written(tmp_path):
    venue = paper(tmp_path / "paper.db")
    for k in range(20):
        venue.place(entry(f"e{k}", 50.0), at(k))

    def rows(call):
        before = venue._file._db.total_changes
        call()
        return venue._file._db.total_changes - before

    assert rows(venue.keep) == 0
    # The account, the instrument's clock; then the order with them.
    assert rows(lambda: venue.play([(BTC, bar_of(100, 100, 100, 100, 1e6, at(30)))], at(30))) == 2
    assert rows(lambda: venue.withdraw("e3", at(31))) == 2
    assert rows(lambda: venue.find("e3", at(32))) == 0
    venue.close()


def test_a_trade_that_was_taken_back_stays_so(tmp_path):
    path = tmp_path / "paper.db"
    venue = paper(path)
    venue.place(guarded("e"), at(0.5))
    venue.play([(BTC, bar_of(100, 100, 100, 100, 1e6, at(1)))], at(1))
    (fill,) = venue.read("", at(1)).fills
    Levers(venue.exchange).bust(fill.venue_trade_id, at(2))
    venue.keep()
    state = whole(venue.exchange)
    venue.close()
    venue = paper(path)
    assert whole(venue.exchange) == state
    assert venue.read("", at(3)).fills == venue.find("e", at(3)).fills == ()
    venue.close()


def test_levers_are_kept_too(tmp_path):
    path = tmp_path / "paper.db"
    venue = paper(path)
    Levers(venue.exchange).freeze(5)
    Levers(venue.exchange).flow("deposit", "ETH", 3, at(1))
    venue.keep()
    state = whole(venue.exchange)
    venue.close()
    venue = paper(path)
    assert whole(venue.exchange) == state
    assert venue.exchange.balances()["ETH"] == 3
    venue.close()
