"""What a ledger tells of a session, and what keeps it from being run again."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import CommandReceived, Record
from novapulse.engine.configuration import Configuration, parsed
from novapulse.ledger.audit import audit
from novapulse.market.lake import Lake
from novapulse.parity.kept import Entry, Kept, KeptError, new_ledger
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import SECOND_NS, Late, Script, play
from novapulse.parity.sessions import configuration_of, replay_session, script_of
from novapulse.strategies import STRATEGIES
from tests.parity.conftest import Small, on_grid


def test_a_ledger_lists_its_sessions_each_up_to_the_next_start(kept: Kept, small: Small) -> None:
    first, second = kept.sessions()
    assert (first.ts_close_ns, second.ts_close_ns) == (0, first.until_ns)
    assert first.last_seq + 1 == second.first_seq
    assert second.until_ns == int(small.stretch.ticks.ts_close_ns[-1])
    assert kept.session(str(second.first_seq)) == second == kept.session("last")
    assert kept.session_of(small.stretch.key, second.first_seq - 1) == first
    with pytest.raises(KeptError, match=rf"no session 99 in .*{first.first_seq} \(replay on kraken\)"):
        kept.session("99")


def test_a_session_keeps_all_that_it_ran_with(kept: Kept, small: Small) -> None:
    found = configuration_of(kept.sessions()[0])
    assert found == small.stretch.configuration
    assert tuple(found.decides.confluence.weights) == tuple(small.stretch.configuration.decides.confluence.weights)
    assert found.decides.hash == small.stretch.configuration.decides.hash


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"decides": 1}', "no json"])
def test_a_configuration_that_cannot_be_read_is_named(kept: Kept, text: str) -> None:
    with pytest.raises(ValueError, match=r"configuration|JSON|Expecting"):
        parsed(text)
    with pytest.raises(KeptError, match="session 2"):
        configuration_of(replace(kept.sessions()[0], configuration=text))


def test_the_first_of_two_sessions_is_run_again_alone(kept: Kept, small: Small) -> None:
    first, second = kept.sessions()
    found = replay_session(kept, first, small.lake, STRATEGIES)
    assert found.compared.is_same
    assert found.compared.session == first.last_seq < second.first_seq
    assert found.script.starts_ns == ()


def test_a_lake_that_was_changed_since_is_seen(kept: Kept, small: Small, tmp_path: Path) -> None:
    other = Lake(tmp_path / "lake")
    for fact in small.stretch.configuration.instruments:
        bars = small.lake.bars(fact.exchange, fact.symbol, "1m")
        moved = replace(bars, close=bars.close * 1.0005, high=bars.high * 1.001)
        other.append(fact.exchange, fact.symbol, "1m", on_grid(moved, float(fact.tick)), source="a test")
    found = replay_session(kept, kept.sessions()[-1], other, STRATEGIES)
    assert not found.compared.is_same_in_deed


def test_an_account_whose_configuration_changed_is_refused(kept: Kept, small: Small) -> None:
    second = kept.sessions()[-1]
    one = small.stretch.configuration
    changed = replace(one, timeframe_ns=one.timeframe_ns, scales={**one.scales, "XYZ": 2})
    with pytest.raises(KeptError, match="ran with another configuration"):
        replay_session(kept, replace(second, configuration=changed.text), small.lake, STRATEGIES)


def test_a_session_on_the_clock_of_a_machine_is_placed_in_the_time_of_its_bars(kept: Kept, small: Small) -> None:
    """Years later by its own clock, the same things happen behind the same closes."""
    entries = list(kept.records(small.stretch.key))
    true = script_of(entries, small.stretch.ticks)
    shifted = [Entry(one.seq, replace(one.record, ts_ns=one.record.ts_ns + 10**17)) for one in entries]
    placed = script_of(shifted, small.stretch.ticks)
    assert len(placed.starts_ns) == len(true.starts_ns) == 1
    close_ns = kept.sessions()[-1].ts_close_ns
    assert close_ns <= placed.starts_ns[0] < close_ns + MINUTE_NS
    (late,) = placed.late
    assert late.ts_close_ns <= late.arrives_ns <= late.ts_close_ns + MINUTE_NS
    for command in placed.commands:
        assert int(small.stretch.ticks.ts_close_ns[0]) < command.ts_ns <= small.stretch.ticks.ts_close_ns[-1]


def test_a_session_with_changed_limits_and_a_cancelled_order_is_itself_again(
    small: Small, record: Callable[[Script], Path]
) -> None:
    """The cancel was heard long before it was answered: the replay hears it then, too."""
    stamps = small.stretch.ticks.ts_close_ns
    limits = [
        CommandReceived(int(stamps[row]) + SECOND_NS, f"l-{row}", "limits", {"set": wish}, "a test")
        for row, wish in {600: "position_notional_max=60", 2000: "positions_max=1", 3000: "all=configured"}.items()
    ]
    with Kept(record(Script(commands=tuple(limits)))) as kept:
        name, asked_ns = resting_entry(list(kept.records(small.stretch.key)))
    cancel = CommandReceived(asked_ns, "x-1", "cancel", {"order": name}, "a test")
    path = record(Script(commands=tuple(sorted((*limits, cancel), key=lambda one: one.ts_ns))))
    with Kept(path) as kept:
        assert audit(path).ok
        found = replay_session(kept, kept.session("last"), small.lake, STRATEGIES)
        (taken,) = kept.records(small.stretch.key, kinds=("command_taken",))
        answered = {
            one.record.body["command_id"]: one.record
            for one in kept.records(small.stretch.key, kinds=("command_answered",))
        }
    assert len(answered) == 4
    assert answered["x-1"].body["done"]
    assert answered["x-1"].ts_ns > taken.record.ts_ns == asked_ns
    assert found.compared.is_same, found.compared.first[:3]
    assert found.compared.in_order


ENDS = ("fill_booked", "order_closed", "amend_asked")


def resting_entry(entries: list[Entry]) -> tuple[str, int]:
    """Return an entry that rested at the venue for a while, and a moment at which it did."""
    acked: dict[str, int] = {}
    entered = {
        one.record.body["client_order_id"]
        for one in entries
        if one.record.kind == "order_intended" and one.record.body["request"]["role"] == "entry"
    }
    for one in entries:
        name = one.record.body.get("client_order_id")
        if one.record.kind == "order_acked" and name in entered:
            acked[name] = one.record.ts_ns
            continue
        since_ns = acked.pop(str(name), one.record.ts_ns) if one.record.kind in ENDS else one.record.ts_ns
        if one.record.kind == "fill_booked" and one.record.ts_ns - since_ns > 20 * SECOND_NS:
            return str(name), one.record.ts_ns - 10 * SECOND_NS
    raise AssertionError("no entry rested")


def test_a_replayed_ledger_is_clean_and_a_second_one_does_not_write_over_it(recorded: Path, small: Small) -> None:
    assert audit(recorded).ok
    with pytest.raises(KeptError, match="exists already"):
        new_ledger(recorded, small.stretch.key, small.stretch.configuration.scales, 0)
    with pytest.raises(KeptError, match="there is no folder"):
        new_ledger(recorded.parent / "no" / "x.db", small.stretch.key, small.stretch.configuration.scales, 0)
    with pytest.raises(KeptError, match="there is no such ledger"):
        Kept(recorded.parent / "none.db")


def test_why_nothing_was_done_is_kept_in_the_ledger_and_can_be_asked(kept: Kept, small: Small) -> None:
    runs = kept.holds(small.stretch.key)
    only = kept.holds(small.stretch.key, "BTC/USD")
    assert {run.instrument for run in only} == {InstrumentKey("kraken", "BTC/USD")}
    assert len(only) < len(runs)
    with sqlite3.connect(f"file:{kept.place}?mode=ro", uri=True) as connection:
        (bars,) = connection.execute("SELECT sum(bars) FROM hold_run").fetchone()
    connection.close()
    assert bars == sum(run.bars for run in runs)


@pytest.mark.parametrize("problem", ["late", "duplicate"])
def test_a_bar_is_missing_at_its_close_only_when_no_good_one_had_come(small: Small, problem: str) -> None:
    ticks = small.stretch.ticks
    close_ns = int(ticks.ts_close_ns[50])
    late = Late(ticks.keys[0], close_ns, close_ns + 5 * SECOND_NS, problem)
    heard = play(
        small.stretch.key,
        small.stretch.configuration,
        ticks.after(0, close_ns + MINUTE_NS),
        MemoryJournal(),
        Script((late,)),
    )
    assert int(heard.ticks.present[50, 0]) == (0 if problem == "late" else 1)
    (told,) = [record for record in heard.journal.records if record.kind == "bar_late"]
    assert (told.body["ts_close_ns"], told.ts_ns) == (close_ns, late.arrives_ns)


def test_nothing_to_play_is_refused(small: Small) -> None:
    with pytest.raises(ValueError, match="no close to play"):
        play(small.stretch.key, small.stretch.configuration, small.stretch.ticks.after(2**62), MemoryJournal())


def test_commands_come_behind_the_close_of_their_moment(small: Small) -> None:
    ticks = small.stretch.ticks.after(0, int(small.stretch.ticks.ts_close_ns[20]))
    at_ns = int(ticks.ts_close_ns[10])
    journal = MemoryJournal()
    configuration: Configuration = small.stretch.configuration
    script = Script(commands=(CommandReceived(at_ns, "c-1", "pause", {}, "a test"),), starts_ns=(at_ns,))
    play(small.stretch.key, configuration, ticks, journal, script)
    said: list[Record] = [
        record for record in journal.records if record.kind in ("command_answered", "session_started")
    ]
    assert [record.ts_ns for record in said[1:]] == [at_ns, at_ns]
    started = next(record for record in said[1:] if record.kind == "session_started")
    assert started.body["ts_close_ns"] == at_ns


def test_a_session_behind_a_restore_is_halted_in_its_replay_as_well(small: Small) -> None:
    ticks = small.stretch.ticks.after(0, int(small.stretch.ticks.ts_close_ns[20]))
    at_ns = int(ticks.ts_close_ns[10])
    body = {"dropped": 3, "text": "the ledger was restored from a backup"}
    journal = MemoryJournal()
    restored = Record("ledger_restored", at_ns - 1, body)
    script = Script(starts_ns=(at_ns,), restores={at_ns: (restored,)})
    play(small.stretch.key, small.stretch.configuration, ticks, journal, script)
    modes = [record for record in journal.records if record.kind == "mode_changed"]
    assert [(one.ts_ns, one.body["to"]) for one in modes] == [(at_ns, "HALTED")]
    records = sorted([*journal.records, restored], key=lambda record: record.ts_ns)
    entries = [Entry(seq, record) for seq, record in enumerate(records, 1)]
    assert script_of(entries, ticks).restores[at_ns] == (restored,)
