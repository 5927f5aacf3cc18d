"""Each rung on a small market, and that it breaks when what it compares is not the same."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from novapulse.core.facts import BESIDE_FACTS
from novapulse.core.messages import CommandReceived, Record
from novapulse.parity.causes import Explained
from novapulse.parity.ladder import fold_rung, rehearsed, replay_rung, session_kernel_rung, session_rung
from novapulse.parity.playing import SECOND_NS, Played, Script
from novapulse.parity.sessions import compare
from novapulse.strategies import STRATEGIES
from tests.parity.conftest import Small


def test_folding_decisions_one_by_one_is_the_kernel_to_the_bit(small: Small) -> None:
    rung = fold_rung(small.stretch, small.kernel)
    assert rung.holds
    assert all(equal == whole for equal, whole in rung.counts.values())
    assert rung.counts["round trips"][1] > 20
    assert rung.counts["equities"][1] == len(small.stretch.ticks)


@pytest.mark.parametrize(
    ("what", "array", "field"),
    [("fills", "fills", "fee_units"), ("round trips", "round_trips", "exit_price"), ("refusals", "denials", "bars")],
)
def test_a_kernel_that_is_off_by_the_last_bit_is_found(small: Small, what: str, array: str, field: str) -> None:
    wrong = getattr(small.kernel, array).copy()
    wrong[field][3] = np.nextafter(wrong[field][3], np.inf) if wrong[field].dtype == np.float64 else wrong[field][3] + 1
    rung = fold_rung(small.stretch, replace(small.kernel, **{array: wrong}))
    assert not rung.holds
    assert rung.counts[what] == (len(wrong) - 1, len(wrong))


def test_a_curve_that_is_off_by_the_last_bit_is_found(small: Small) -> None:
    curve = small.kernel.equity.copy()
    curve[100] = np.nextafter(curve[100], 0.0)
    rung = fold_rung(small.stretch, replace(small.kernel, equity=curve))
    assert rung.counts["equities"] == (len(curve) - 1, len(curve))
    assert not rung.holds


def test_the_whole_engine_makes_the_kernels_round_trips_and_its_equity_at_every_close(
    small: Small, played: Callable[..., Played]
) -> None:
    found = played()
    rung = replay_rung(small.stretch, small.kernel, found)
    assert rung.holds
    assert rung.counts["round trips"] == (len(small.kernel.round_trips),) * 2
    assert rung.counts["equities"] == (len(small.stretch.ticks),) * 2
    assert found.equity.tobytes() == small.kernel.equity.tobytes()


def test_every_bar_is_judged_and_why_not_is_kept_in_runs(small: Small, played: Callable[..., Played]) -> None:
    found = played()
    held = sum(run.bars for run in found.holds)
    decided = found.journal.counts["decision_taken"]
    assert held + decided == int(small.stretch.ticks.present.sum())
    assert len(found.holds) < held / 4
    for key in small.stretch.ticks.keys:
        runs = sorted((run.first_ns, run.last_ns) for run in found.holds if run.instrument == key)
        assert all(last < first for (_, last), (first, _) in pairwise(runs))


def test_a_recorded_session_is_run_again_from_ledger_and_lake_alone(small: Small, tmp_path: Path) -> None:
    found = rehearsed(small.stretch, tmp_path, small.lake, STRATEGIES, lambda done, total: None)
    rung = session_rung(found)
    assert rung.holds
    assert found.compared.moments_equal == found.compared.session > 500
    assert found.compared.in_order
    assert not session_rung(replace(found, compared=replace(found.compared, in_order=False))).holds
    assert (len(found.script.late), len(found.script.commands), len(found.script.starts_ns)) == (1, 2, 1)
    assert {"bar_late", "command_answered", "mode_changed", "round_trip_closed"} <= set(rung.counts)


def test_a_session_is_compared_with_its_own_backtest_and_every_difference_has_a_cause(
    small: Small, tmp_path: Path
) -> None:
    found = rehearsed(small.stretch, tmp_path, small.lake, STRATEGIES, lambda done, total: None)
    rung = session_kernel_rung(found, small.stretch, small.kernel)
    assert not rung.holds, "a pause of hours must have kept it from some round trip"
    assert 0 < rung.counts["round trips"][0] < rung.counts["round trips"][1]
    assert rung.differences[0].cause in ("gate", "delay")
    assert all(one.cause in ("gate", "delay") or one.follows for one in rung.differences)


def test_what_was_decided_under_changed_limits_differs_from_the_backtest_for_that_reason(
    small: Small, played: Callable[..., Played]
) -> None:
    stamps = small.stretch.ticks.ts_close_ns
    wishes = {1200: "positions_max=1", 2600: "position_notional_max=60", 3600: "all=configured"}
    commands = [
        CommandReceived(int(stamps[row]) + SECOND_NS, f"l-{row}", "limits", {"set": wish}, "a test")
        for row, wish in wishes.items()
    ]
    rung = replay_rung(small.stretch, small.kernel, played(Script(commands=tuple(commands))))
    assert not rung.holds
    first, *_ = rung.differences
    assert first.cause == "limits"
    assert isinstance(first, Explained)
    assert first.why == "an operator had changed positions_max"
    assert first.difference.ended_ns > stamps[1200]
    assert all(one.cause == "limits" for one in rung.differences)


def test_two_runs_of_the_same_script_are_the_same(played: Callable[..., Played], small: Small) -> None:
    one, other = played(Script()), played(Script())
    assert one.journal.records == other.journal.records
    assert one.equity.tobytes() == other.equity.tobytes()


def _altered(records: list[Record], kind: str, **changes: object) -> list[Record]:
    at = next(row for row, record in enumerate(records) if record.kind == kind)
    return [*records[:at], replace(records[at], body={**records[at].body, **changes}), *records[at + 1 :]]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("fill_booked", {"fee_units": 1}), ("decision_taken", {"units": 1}), ("round_trip_closed", {"pnl_units": 1})],
)
def test_one_record_that_differs_is_found(played: Callable[..., Played], kind: str, changes: dict[str, object]) -> None:
    records = played().journal.records
    found = compare(_altered(records, kind, **changes), records)
    assert not found.is_same
    assert not found.is_same_in_deed
    assert found.by_kind[kind][1] == 1
    assert len(found.first) == 1


def test_a_posting_that_differs_a_record_that_is_missing_and_one_out_of_order_are_found(
    played: Callable[..., Played],
) -> None:
    records = played().journal.records
    at = next(row for row, record in enumerate(records) if record.kind == "fill_booked")
    legs = tuple(replace(leg, amount=2 * leg.amount) for leg in records[at].postings)
    assert not compare([*records[:at], replace(records[at], postings=legs), *records[at + 1 :]], records).is_same
    missing = compare([*records[:at], *records[at + 1 :]], records)
    assert (missing.is_same, sum(counts[3] for counts in missing.by_kind.values())) == (False, 1)
    swapped = compare([*records[:at], records[at + 1], records[at], *records[at + 2 :]], records)
    assert not swapped.in_order


def test_a_session_of_before_it_was_written_whose_quantity_changed_is_still_its_replay(
    played: Callable[..., Played],
) -> None:
    records = played().journal.records
    old = [
        replace(one, body={key: value for key, value in one.body.items() if key not in BESIDE_FACTS}) for one in records
    ]
    assert old != records
    assert compare(old, records).is_same
    assert not compare(_altered(records, "fill_booked", own_units=1), records).is_same


def test_when_a_message_came_by_is_told_apart_from_what_was_done(played: Callable[..., Played]) -> None:
    records = played().journal.records
    later = [replace(record, ts_ns=record.ts_ns + 7) for record in records]
    found = compare(later, records)
    assert (found.is_same, found.moments_equal) == (True, 0)
    looked = compare([record for record in records if record.kind != "balance_asserted"], records)
    assert (looked.is_same, looked.is_same_in_deed) == (False, True)
