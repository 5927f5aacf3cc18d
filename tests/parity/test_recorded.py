"""A session is what it recorded: whatever becomes of the lake, it comes out the same, and what changed is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS, BarColumns, format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import BAR
from novapulse.engine.rows import Ticks
from novapulse.market.lake import Lake
from novapulse.market.recorder import SESSIONS, RecorderError, Seen, SessionRecorder, heard_paths, recording_path
from novapulse.parity.kept import Kept
from novapulse.parity.ladder import kernel_of, session_kernel_rung, session_rung, stretch_of_session
from novapulse.parity.recorded import bars_in, heard_in, joined, late_in, record_heard
from novapulse.parity.sessions import SessionRun, replay_session
from novapulse.strategies import STRATEGIES
from tests.parity.conftest import Small, on_grid

Change = Callable[[BarColumns], BarColumns]
BTC, ETH = InstrumentKey("kraken", "BTC/USD"), InstrumentKey("kraken", "ETH/USD")


def changed_lake(small: Small, folder: Path, changes: dict[InstrumentKey, Change]) -> Lake:
    lake = Lake(folder)
    for fact in small.stretch.configuration.instruments:
        bars = changes[fact.key](small.lake.bars(fact.exchange, fact.symbol, "1m"))
        if len(bars):
            lake.append(fact.exchange, fact.symbol, "1m", on_grid(bars, float(fact.tick)), source="a test")
    return lake


def as_it_was(bars: BarColumns) -> BarColumns:
    return bars


def moved(bars: BarColumns) -> BarColumns:
    return replace(bars, close=bars.close * 1.0005, high=bars.high * 1.001)


def without(row: int) -> Change:
    def change(bars: BarColumns) -> BarColumns:
        there = np.arange(len(bars)) != row
        columns = (getattr(bars, name)[there] for name in ("ts_close_ns", "open", "high", "low", "close", "volume"))
        return BarColumns.checked(*columns, timeframe_ns=MINUTE_NS)

    return change


def again(kept: Kept, lake: Lake, recorded: Path) -> SessionRun:
    return replay_session(kept, kept.session("last"), lake, STRATEGIES, recordings=recorded.parent / SESSIONS)


def test_a_session_comes_from_its_recording_alone_when_the_lake_has_moved_on(
    kept: Kept, small: Small, recorded: Path, tmp_path: Path
) -> None:
    found = again(kept, changed_lake(small, tmp_path, {BTC: moved, ETH: as_it_was}), recorded)
    assert found.compared.is_same
    assert found.compared.moments_equal == found.compared.session
    rung = session_rung(found)
    assert rung.holds
    assert rung.text == "from records and the session's own recording alone"
    heard = found.heard.ticks
    assert {span.instrument for span in rung.lake_otherwise} == {BTC}
    assert len(rung.lake_otherwise) > 0.9 * int(heard.present[:, 0].sum())
    assert "the lake differs in high, close" in rung.lake_otherwise[0].text
    stretch = stretch_of_session(found)
    assert session_kernel_rung(found, stretch, kernel_of(stretch)).counts["round trips"][1] > 20


def test_a_session_needs_no_lake_at_all(kept: Kept, small: Small, recorded: Path, tmp_path: Path) -> None:
    found = again(kept, Lake(tmp_path), recorded)
    assert found.compared.is_same
    assert [(span.instrument, "does not hold" in span.text) for span in found.changed] == [(BTC, True), (ETH, True)]


def test_a_lake_as_it_was_differs_in_nothing_the_late_bar_included(kept: Kept, small: Small, recorded: Path) -> None:
    found = again(kept, small.lake, recorded)
    assert found.compared.is_same
    assert (found.changed, len(found.script.late)) == ((), 1)


def test_a_bar_that_went_missing_is_named(kept: Kept, small: Small, recorded: Path, tmp_path: Path) -> None:
    # The outermost bar, so that no flat bar is made for it.
    last = len(small.stretch.ticks) - 1
    found = again(kept, changed_lake(small, tmp_path, {BTC: as_it_was, ETH: without(last)}), recorded)
    (span,) = found.changed
    assert (span.instrument, span.first_ns) == (ETH, int(small.stretch.ticks.ts_close_ns[last]))
    assert span.text.endswith("is not in the lake any more")


def test_a_late_bar_is_compared_as_it_came(kept: Kept, small: Small, recorded: Path, tmp_path: Path) -> None:
    late = again(kept, small.lake, recorded).script.late[0]
    bar = np.zeros(1, BAR)[0]
    bar["ts_close_ns"] = late.ts_close_ns
    path = recording_path(recorded.parent / SESSIONS, "20260101T000000-1", "kraken")
    recorder = SessionRecorder(path, (BTC, ETH), ("late", "impossible"), {"ledger_id": kept.ledger_id})
    recorder.write([Seen(1, late.instrument, bar, 1, False, problem) for problem in ("impossible", "late", "")])
    recorder.close()
    try:
        assert list(late_in(recorded.parent / SESSIONS, kept.ledger_id, (BTC, ETH))) == [
            (late.instrument, late.ts_close_ns)
        ]
        assert late_in(recorded.parent / SESSIONS, "another", (BTC, ETH)) == {}
        (span,) = again(kept, small.lake, recorded).changed
        assert format_ns(late.ts_close_ns)[:10] in span.text
        assert "differs in open, high, low, close, volume" in span.text
    finally:
        path.unlink()


def cut(recorded: Path, kept: Kept, ticks: Ticks, folder: Path, parts: dict[str, Ticks]) -> Path:
    for name, part in parts.items():
        record_heard(folder / SESSIONS, name, kept.ledger_id, kept.session("last").account, part)
    return folder / recorded.name


def test_what_is_no_more_recorded_comes_from_the_lake_and_what_was_told_twice_counts_once(
    kept: Kept, small: Small, recorded: Path, tmp_path: Path
) -> None:
    ticks = heard_in(recorded.parent / SESSIONS, kept.ledger_id, small.stretch.key, small.stretch.ticks.keys)
    assert ticks is not None
    at = [int(ticks.ts_close_ns[len(ticks) * part // 10]) for part in range(10)]
    wrong = ticks.signals.copy()
    wrong["consensus"] = 20.0
    parts = {"2": replace(ticks, signals=wrong).after(at[3], at[6]), "3": ticks.after(at[3])}
    found = again(kept, small.lake, cut(recorded, kept, ticks, tmp_path, parts))
    assert found.compared.is_same
    assert found.heard.recorded_ns == int(ticks.after(at[3]).ts_close_ns[0])
    assert "before that from the lake" in session_rung(found).text
    both = joined(ticks.after(0, at[5]), ticks.after(at[5]))
    assert both.present.tobytes() == ticks.present.tobytes()
    assert both.signals.tobytes() == ticks.signals.tobytes()


def test_recordings_of_another_ledger_are_not_taken(kept: Kept, small: Small, tmp_path: Path) -> None:
    record_heard(tmp_path, "1", "another", small.stretch.key, small.stretch.ticks)
    assert heard_in(tmp_path, kept.ledger_id, small.stretch.key, small.stretch.ticks.keys) is None
    assert heard_in(tmp_path / "none", kept.ledger_id, small.stretch.key, small.stretch.ticks.keys) is None
    found = replay_session(kept, kept.session("last"), small.lake, STRATEGIES, recordings=tmp_path)
    assert found.compared.is_same
    assert "no recording" in session_rung(found).text


def test_what_was_heard_is_read_to_the_bit_and_damage_is_named(small: Small, tmp_path: Path) -> None:
    ticks = small.stretch.ticks
    record_heard(tmp_path, "1", "x", small.stretch.key, ticks)
    found = heard_in(tmp_path, "x", small.stretch.key, small.stretch.ticks.keys)
    assert found is not None
    assert (found.keys, found.calibrations) == (ticks.keys, ticks.calibrations)
    for name in ("ts_close_ns", "bars", "signals", "present"):
        assert getattr(found, name).tobytes() == getattr(ticks, name).tobytes(), name
    bars = bars_in(found, MINUTE_NS)
    assert all(bars[key].close.tobytes() == small.stretch.bars[key].close.tobytes() for key in ticks.keys)
    (path,) = heard_paths(tmp_path, small.stretch.key)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    cut_short = heard_in(tmp_path, "x", small.stretch.key, small.stretch.ticks.keys)
    assert cut_short is not None
    assert int(cut_short.present.sum()) == int(ticks.present.sum()) - 1
    path.write_bytes(whole.replace(b"\n", b"\n" + bytes(4), 1))
    with pytest.raises(RecorderError, match="record 0 is damaged"):
        heard_in(tmp_path, "x", small.stretch.key, small.stretch.ticks.keys)
