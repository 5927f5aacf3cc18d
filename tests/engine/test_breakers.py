"""Breakers (R-33): each trips exactly at its level, clears only far from it, and nothing loosens by itself."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Severity
from novapulse.core.records import Mode
from novapulse.engine.breaker_table import MEASURES, Breaker, breakers_of
from novapulse.engine.breakers import OPERATOR_VERBS, BreakerError, Breakers, Cleared, Tripped
from novapulse.engine.settings import BreakerSettings

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
BTC, ETH = InstrumentKey("kraken", "BTC/USD"), InstrumentKey("kraken", "ETH/USD")
TABLE = {breaker.name: breaker for breaker in breakers_of(BreakerSettings())}

# (breaker, last value that is fine, first value that is not, mode of the account while it is tripped)
BOUNDARIES = [
    ("daily_loss", math.nextafter(0.03, 0), 0.03, Mode.REDUCE_ONLY),
    ("daily_loss_halt", math.nextafter(0.05, 0), 0.05, Mode.HALTED),
    ("drawdown", math.nextafter(0.8, 0), 0.8, Mode.REDUCE_ONLY),
    ("equity_jump", 10.0, math.nextafter(10, 11), Mode.REDUCE_ONLY),
    ("equity_jump", -10.0, math.nextafter(-10, -11), Mode.REDUCE_ONLY),
    ("fatal_breaks", 0, 1, Mode.HALTED),
    ("stale_bars", 3, math.nextafter(3, 4), Mode.PAUSED),
    ("feed_silent", 2, math.nextafter(2, 3), Mode.PAUSED),
    ("missing_bars", 2, 3, Mode.PAUSED),
    ("spread", 5, math.nextafter(5, 6), Mode.PAUSED),
    ("slippage", 3, math.nextafter(3, 4), Mode.PAUSED),
    ("rejects", 5, 6, Mode.PAUSED),
    ("orders", 60, 61, Mode.PAUSED),
    ("unknown_order", 120, math.nextafter(120, 121), Mode.NORMAL),
    ("unknown_order_halt", 600, math.nextafter(600, 601), Mode.HALTED),
    ("clock_skew", 250, math.nextafter(250, 251), Mode.NORMAL),
    ("clock_skew_pause", 500, math.nextafter(500, 501), Mode.PAUSED),
    ("clock_skew_pause", -500, math.nextafter(-500, -501), Mode.PAUSED),
    ("clock_skew_halt", 1000, math.nextafter(1000, 1001), Mode.HALTED),
    ("disk", 0.10, math.nextafter(0.10, 0), Mode.PAUSED),
    ("task_failures", 2, 3, Mode.PAUSED),
    ("ledger", 0, 1, Mode.REDUCE_ONLY),
    ("outbox_late", 60, math.nextafter(60, 61), Mode.NORMAL),
    ("outbox_lost", 0, 1, Mode.NORMAL),
    ("ledger_restored", 0, 1, Mode.HALTED),
]
UNKNOWN_TRIPS = {
    "daily_loss": Mode.REDUCE_ONLY,
    "drawdown": Mode.REDUCE_ONLY,
    "stale_bars": Mode.PAUSED,
    "feed_silent": Mode.PAUSED,
    "spread": Mode.PAUSED,
    "clock_skew": Mode.NORMAL,
    "clock_skew_pause": Mode.PAUSED,
    "disk": Mode.PAUSED,
}
UNLATCHED = [name for name, breaker in TABLE.items() if not breaker.latched]
LATCHED = [name for name, breaker in TABLE.items() if breaker.latched]


def fresh() -> Breakers:
    return Breakers(BreakerSettings())


def bad(breaker: Breaker) -> float:
    return next(first for name, _, first, _ in BOUNDARIES if name == breaker.name)


def names(changes: Any, kind: type) -> list[str]:
    return [change.name for change in changes if isinstance(change, kind)]


def test_every_breaker_has_a_row_in_the_boundaries() -> None:
    assert {row[0] for row in BOUNDARIES} == set(TABLE)
    assert {breaker.name for breaker in TABLE.values() if breaker.unknown_trips} == set(UNKNOWN_TRIPS)


@pytest.mark.parametrize(("name", "fine", "first", "mode"), BOUNDARIES)
def test_a_breaker_trips_exactly_at_its_boundary(name: str, fine: float, first: float, mode: Mode) -> None:
    breakers, measure = fresh(), TABLE[name].measure
    assert name not in names(breakers.measure(START, measure, fine), Tripped)
    changes = breakers.measure(START + 1, measure, first)
    assert name in names(changes, Tripped)
    assert breakers.mode == mode
    assert name not in names(breakers.measure(START + 2, measure, first), Tripped), "told twice"


@pytest.mark.parametrize("name", TABLE)
def test_what_is_unknown_trips_what_must_not_trade_blindly_and_nothing_else(name: str) -> None:
    for unknown in (None, math.nan):
        breakers = fresh()
        changes = breakers.measure(START, TABLE[name].measure, unknown)
        assert (name in names(changes, Tripped)) == (name in UNKNOWN_TRIPS)
        expected = [n for n in UNKNOWN_TRIPS if TABLE[n].measure == TABLE[name].measure]
        assert breakers.mode == max((UNKNOWN_TRIPS[n] for n in expected), default=Mode.NORMAL)
        assert breakers.mode != Mode.HALTED


@pytest.mark.parametrize("name", UNLATCHED)
def test_between_the_levels_nothing_changes_and_at_the_clear_level_it_ends(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    breakers.measure(START, breaker.measure, bad(breaker))
    after = START + round(breaker.time_min_s * SECOND)
    just_short = math.nextafter(breaker.clear, breaker.trip)
    assert name not in names(breakers.measure(after, breaker.measure, just_short), Cleared)
    assert name in names(breakers.measure(after, breaker.measure, breaker.clear), Cleared)


@pytest.mark.parametrize("name", TABLE)
def test_there_is_room_between_trip_and_clear(name: str) -> None:
    breaker = TABLE[name]
    assert not breaker.is_bad(breaker.clear)
    assert breaker.is_clear(breaker.clear)
    assert not breaker.is_clear(bad(breaker))


@pytest.mark.parametrize("name", UNLATCHED)
def test_a_value_that_trembles_around_a_level_trips_once(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    told = [
        change.name
        for step in range(200)
        for change in breakers.measure(
            START + step * SECOND,
            breaker.measure,
            bad(breaker) if step % 2 == 0 else math.nextafter(breaker.trip, breaker.clear),
        )
    ]
    if breaker.reaching and breaker.clear == 0 and breaker.trip == 1:
        return  # a count of 0 or 1: there is nothing between
    assert told.count(name) == 1


@pytest.mark.parametrize("name", [name for name, breaker in TABLE.items() if breaker.time_min_s])
def test_the_minimum_time_runs_from_the_last_bad_value(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    last_bad = START + 100 * SECOND
    breakers.measure(START, breaker.measure, bad(breaker))
    breakers.measure(last_bad, breaker.measure, bad(breaker))
    over = last_bad + round(breaker.time_min_s * SECOND)
    assert breakers.measure(over - 1, breaker.measure, 0) == []
    assert names(breakers.measure(over, breaker.measure, 0), Cleared) == [name]


@pytest.mark.parametrize("name", UNKNOWN_TRIPS)
def test_unknown_never_clears(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    breakers.measure(START, breaker.measure, bad(breaker))
    mode = breakers.mode
    for step in range(1, 5):
        assert names(breakers.measure(START + step * 3600 * SECOND, breaker.measure, None), Cleared) == []
    assert breakers.mode >= mode


@pytest.mark.parametrize("name", LATCHED)
def test_what_is_latched_ends_by_an_operator_alone(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    breakers.measure(START, breaker.measure, bad(breaker))
    later = START + 30 * 86_400 * SECOND
    assert name not in names(breakers.measure(later, breaker.measure, breaker.clear), Cleared)
    obeyed = breakers.operator(later, "resume_from_halt" if breaker.effect == Mode.HALTED else "resume")
    assert obeyed.done
    assert names(obeyed.changes, Cleared) == [name]
    assert all(change.by_operator for change in obeyed.changes if isinstance(change, Cleared))
    breakers.measure(later, breaker.measure, 0.0)
    assert breakers.mode == Mode.NORMAL
    assert name in names(breakers.measure(later, breaker.measure, bad(breaker)), Tripped), "it is armed again"


def test_every_halt_is_latched() -> None:
    assert all(breaker.latched for breaker in TABLE.values() if breaker.effect == Mode.HALTED)


def test_a_halt_ended_while_its_cause_lasts_leaves_the_milder_restriction_and_trips_again_only_after_it_was_good() -> (
    None
):
    breakers = fresh()
    breakers.measure(START, "daily_loss", 0.06)
    assert breakers.operator(START, "resume_from_halt").done
    assert breakers.mode == Mode.REDUCE_ONLY
    assert breakers.measure(START + 1, "daily_loss", 0.07) == []
    assert breakers.mode == Mode.REDUCE_ONLY
    assert names(breakers.measure(START + 2, "daily_loss", 0.01), Cleared) == ["daily_loss"]
    assert names(breakers.measure(START + 3, "daily_loss", 0.05), Tripped) == ["daily_loss", "daily_loss_halt"]
    assert breakers.mode == Mode.HALTED


def test_resume_does_not_end_a_halt_and_a_halt_that_is_not_cannot_be_ended() -> None:
    breakers = fresh()
    assert not breakers.operator(START, "resume_from_halt").done
    assert breakers.operator(START, "halt").done
    refused = breakers.operator(START, "resume")
    assert not refused.done
    assert "resume-from-halt" in refused.text
    assert breakers.mode == Mode.HALTED
    assert breakers.operator(START, "resume_from_halt").done
    assert breakers.mode == Mode.NORMAL


def test_the_operators_words_only_tighten() -> None:
    breakers = fresh()
    for verb, mode in (("reduce_only", 2), ("pause", 2), ("halt", 3), ("reduce_only", 3), ("pause", 3)):
        assert breakers.operator(START, verb).done
        assert breakers.mode == mode


def test_resume_leaves_what_is_still_measured() -> None:
    breakers = fresh()
    breakers.operator(START, "pause")
    breakers.measure(START, "disk_free", 0.05)
    obeyed = breakers.operator(START, "resume")
    assert obeyed.done
    assert breakers.mode == Mode.PAUSED
    assert "the free disk is 5 %, below 10 %" in obeyed.text
    breakers.measure(START, "disk_free", 0.12)
    assert breakers.mode == Mode.NORMAL


@pytest.mark.parametrize("name", [name for name, breaker in TABLE.items() if breaker.effect != Mode.NORMAL])
def test_what_is_measured_of_an_instrument_blocks_it_and_nothing_else(name: str) -> None:
    breaker, breakers = TABLE[name], fresh()
    breakers.measure(START, breaker.measure, bad(breaker), BTC)
    assert breakers.mode == Mode.NORMAL
    assert breakers.blocks(ETH) is None
    assert breaker.subject in (breakers.blocks(BTC) or "")
    assert breakers.operator(START, "resume").done
    if not breaker.latched:
        assert breakers.blocks(BTC), "resume ended what only a good value ends"
    breakers.measure(START + 3600 * SECOND, breaker.measure, 1.0 if breaker.below else 0.0, BTC)
    assert breakers.blocks(BTC) is None


def test_no_book_means_no_entry() -> None:
    breakers = fresh()
    (tripped,) = breakers.measure(START, "spread", None, BTC)
    assert tripped.text == "the spread of BTC/USD on kraken is unknown" == breakers.blocks(BTC)
    assert breakers.measure(START, "spread", 4.0, BTC) == []
    assert names(breakers.measure(START, "spread", 3.0, BTC), Cleared) == ["spread"]


@pytest.mark.parametrize(("name", "limit", "window_s"), [("rejects", 5, 600), ("orders", 60, 60)])
def test_events_are_counted_in_a_sliding_window(name: str, limit: int, window_s: int) -> None:
    breakers = fresh()
    for number in range(limit):
        assert breakers.happened(START + number, name) == []
    assert breakers.mode == Mode.NORMAL
    assert names(breakers.happened(START + limit, name), Tripped) == [name]
    assert breakers.tick(START + window_s * SECOND - 1) == []
    assert names(breakers.tick(START + limit + window_s * SECOND), Cleared) == [name]
    assert breakers.state()["seen"] == []


def test_events_that_are_far_apart_never_trip() -> None:
    breakers = fresh()
    for number in range(100):
        assert breakers.happened(START + number * 120 * SECOND, "rejects") == []


def test_failures_count_per_task() -> None:
    breakers = fresh()
    for number in range(2):
        for task in ("feed", "fills", "orders"):
            assert breakers.happened(START + number, "task_failures", task) == []
    assert names(breakers.happened(START + 9, "task_failures", "fills"), Tripped) == ["task_failures"]
    assert breakers.mode == Mode.PAUSED


def test_what_is_kept_is_bounded() -> None:
    breakers = fresh()
    for number in range(10_000):
        breakers.happened(START + number, "orders")
    assert len(breakers.state()["seen"][0][2]) == 61


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    breakers = fresh()
    with pytest.raises(BreakerError, match=r"'sprad': expected one of .*spread"):
        breakers.measure(START, "sprad", 1.0)
    with pytest.raises(BreakerError, match="'spread' is not counted"):
        breakers.happened(START, "spread")
    with pytest.raises(BreakerError, match="'go': expected one of pause"):
        breakers.operator(START, "go")


def test_a_record_says_it_all_without_a_float() -> None:
    breakers = fresh()
    (tripped,) = breakers.measure(START, "spread", 7.25, BTC)
    record = tripped.record()
    assert (record.kind, record.ts_ns) == ("breaker_tripped", START)
    assert dict(record.body) == {
        "name": "spread",
        "instrument": ["kraken", "BTC/USD"],
        "effect": "paused",
        "value": (7.25).hex(),
        "text": "the spread of BTC/USD on kraken is 7.25 medians, above 5 medians",
    }
    assert tripped.severity == Severity.WARNING
    (cleared,) = breakers.measure(START + 1, "spread", 1.0, BTC)
    assert cleared.record().body["by_operator"] is False
    assert breakers.measure(START, "fatal_breaks", 1)[0].severity == Severity.CRITICAL


SAID: dict[str, tuple[str, float, str]] = {
    "three digits": ("bar_age", 3.72983, "the age of the last bar is 3.73 bars, above 3 bars"),
    "as many more as tell it from its limit": (
        "bar_age",
        3.00041,
        "the age of the last bar is 3.0004 bars, above 3 bars",
    ),
    "thousands": ("clock_skew", 12345.678, "the clock's skew is 12,346 ms, beyond 250 ms"),
    "whichever way": ("clock_skew", -301.29, "the clock's skew is -301 ms, beyond 250 ms"),
    "a share": ("drawdown_share", 0.8123456, "the drawdown's share of its limit is 81.2 %, above 80 %"),
    "a small share": ("disk_free", 0.00123456, "the free disk is 0.123 %, below 10 %"),
    "nothing left": ("disk_free", 0.0, "the free disk is 0 %, below 10 %"),
}


@pytest.mark.parametrize(("measure", "value", "text"), SAID.values(), ids=SAID)
def test_a_breaker_says_what_it_measured_in_figures_for_people(measure: str, value: float, text: str) -> None:
    assert text in [one.text for one in fresh().measure(START, measure, value)]


NOT_STATES: dict[str, Any] = {
    "nothing": {},
    "a breaker of another release": {"trips": [["moon", None, None, 1, 1, None]]},
    "a mode of another release": {"operator": 9},
    "a value that is none": {"trips": [["spread", None, None, 1, 1, "much"]]},
    "an event that is not counted": {"seen": [["moon", "", [1]]]},
    "too few words": {"excused": [["spread"]]},
}


@pytest.mark.parametrize("wrong", NOT_STATES.values(), ids=NOT_STATES)
def test_a_state_that_is_none_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    breakers = fresh()
    breakers.measure(START, "disk_free", 0.01)
    before = breakers.state()
    with pytest.raises(BreakerError, match="no state of the breakers"):
        breakers.restore({**before, **wrong} if wrong else {})
    assert breakers.state() == before


BAD_SETTINGS: dict[str, tuple[dict[str, float], str]] = {
    "a halt before the reduction": ({"daily_loss_halt_fraction": 0.02}, "must be below daily_loss_halt_fraction"),
    "a clear level beyond the limit": ({"spread_multiple_clear": 6}, "spread_multiple_clear .6. must be below"),
    "a pause after the halt": ({"clock_skew_pause_ms": 2000}, "clock_skew_pause_ms .2000. must be below"),
    "a disk that clears too early": ({"disk_free_fraction_clear": 0.05}, "disk_free_fraction_min"),
    "a key that nobody knows": ({"spread_max": 5}, "spread_max"),
}


@pytest.mark.parametrize(("values", "said"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_contradict_are_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BreakerSettings(**values)


VALUES = st.one_of(
    st.none(),
    st.floats(-2000, 2000),
    st.sampled_from([row[1] for row in BOUNDARIES] + [row[2] for row in BOUNDARIES] + [0.0, 0.12, 0.01]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("measure"), st.sampled_from(MEASURES), VALUES, st.sampled_from([None, BTC, ETH])),
        st.tuples(st.just("happened"), st.sampled_from(["rejects", "orders", "task_failures"])),
        st.tuples(st.just("tick")),
        st.tuples(st.just("operator"), st.sampled_from(OPERATOR_VERBS)),
    ),
    max_size=60,
)
PAUSES = st.integers(0, 3600 * SECOND)


def take(breakers: Breakers, ts_ns: int, step: tuple[Any, ...]) -> list[Any]:
    match step:
        case ("measure", name, value, instrument):
            return list(breakers.measure(ts_ns, name, value, instrument))
        case ("happened", name):
            return list(breakers.happened(ts_ns, name))
        case ("tick",):
            return list(breakers.tick(ts_ns))
    return list(breakers.operator(ts_ns, step[1]).changes)


@given(steps=STEPS, pauses=st.lists(PAUSES, min_size=60, max_size=60))
def test_nothing_loosens_without_a_clearing_or_the_operator(steps: list[tuple[Any, ...]], pauses: list[int]) -> None:
    breakers, ts_ns = fresh(), START
    for step, pause in zip(steps, pauses, strict=False):
        ts_ns += pause
        mode, blocked = breakers.mode, {key for key in (BTC, ETH) if breakers.blocks(key)}
        changes = take(breakers, ts_ns, step)
        cleared = [change for change in changes if isinstance(change, Cleared)]
        if breakers.mode < mode:
            assert step[0] == "operator" or any(c.effect == mode and c.instrument is None for c in cleared)
        if mode == Mode.HALTED and step != ("operator", "resume_from_halt"):
            assert breakers.mode == Mode.HALTED
        for instrument in blocked - {key for key in (BTC, ETH) if breakers.blocks(key)}:
            assert any(change.instrument == instrument for change in cleared)


@given(steps=STEPS, pauses=st.lists(PAUSES, min_size=60, max_size=60), cut=st.integers(0, 60))
def test_a_restart_goes_on_as_if_there_had_been_none(steps: list[Any], pauses: list[int], cut: int) -> None:
    unbroken, restarted, ts_ns = fresh(), fresh(), START
    for number, (step, pause) in enumerate(zip(steps, pauses, strict=False)):
        ts_ns += pause
        if number == cut:
            kept = json.dumps(restarted.state())
            restarted = fresh()
            restarted.restore(json.loads(kept, parse_float=pytest.fail))
        assert take(unbroken, ts_ns, step) == take(restarted, ts_ns, step)
        assert unbroken.state() == restarted.state()
        assert (unbroken.mode, unbroken.reasons()) == (restarted.mode, restarted.reasons())
