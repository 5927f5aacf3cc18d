from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import BAR, SIGNAL
from novapulse.market.recorder import (
    ARRIVAL,
    HeardRecorder,
    RecorderError,
    Seen,
    SessionRecorder,
    heard_path,
    heard_paths,
    prune_sessions,
    read_heard,
    read_recording,
    recording_path,
    recordings,
)

KEYS = (InstrumentKey("kraken", "BTC/USD"), InstrumentKey("kraken", "ETH/USD"))
PROBLEMS = ("late", "duplicate")


def seen(key: InstrumentKey, values: tuple[float, ...], stamp: int, number: int, made: bool, problem: str) -> Seen:
    bar = np.zeros(1, BAR)[0]
    bar["ts_close_ns"] = stamp
    for name, value in zip(("open", "high", "low", "close", "volume"), values, strict=True):
        bar[name] = value
    return Seen(stamp + 5, key, bar, number, made, problem)


bars = st.builds(
    seen,
    st.sampled_from(KEYS),
    st.tuples(*[st.floats(allow_infinity=True, allow_nan=True)] * 5),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.booleans(),
    st.sampled_from(("", *PROBLEMS)),
)


def plain(one: Seen) -> tuple[object, ...]:
    return (one.ts_ns, one.instrument, one.bar.tobytes(), one.number, one.made, one.problem)


@given(st.lists(st.lists(bars, max_size=3), max_size=6))
def test_what_is_read_is_what_came_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Seen]]
) -> None:
    path = recording_path(tmp_path_factory.mktemp("sessions"), "s1", "kraken")
    recorder = SessionRecorder(path, KEYS, PROBLEMS, {"session": "s1"})
    for batch in batches:
        recorder.write(batch)
    # Read before it is closed: a process that is killed closes nothing.
    header, found = read_recording(path)
    recorder.close()
    assert header["session"] == "s1"
    assert [plain(one) for one in found] == [plain(one) for batch in batches for one in batch]
    assert recordings(path.parent) == [path]


def test_what_an_account_heard_is_read_to_the_bit_and_only_what_closed(tmp_path: Path) -> None:
    rows, said, present = np.zeros(2, BAR), np.zeros(2, SIGNAL), np.array([0, 1])
    rows["close"], said["gate_probability"], rows["ts_close_ns"] = (1.5, 2.5), np.nan, (7, 8)
    account = AccountKey("kraken", "main")
    recorder = HeardRecorder(heard_path(tmp_path, "s1", account), KEYS, {"ledger_id": "l"})
    recorder.write(rows, said, present, "c" * 16)
    header, keys, found = read_heard(*heard_paths(tmp_path, account))
    recorder.close()
    assert (header["ledger_id"], keys, found["instrument"].tolist()) == ("l", KEYS, [1])
    assert found["calibration"].tolist() == [b"c" * 16]
    assert (found["bar"].tobytes(), found["signal"].tobytes()) == (rows[1:].tobytes(), said[1:].tobytes())
    assert heard_paths(tmp_path, AccountKey("kraken", "second")) == []
    assert recordings(tmp_path / "s1") == []


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "s1" / "kraken.bars"
    recorder = SessionRecorder(path, KEYS, PROBLEMS, {})
    recorder.write([seen(KEYS[0], (1.0, 2.0, 0.5, 1.5, 3.0), 60 * number, number, False, "") for number in range(1, 5)])
    recorder.close()
    return path


def test_a_last_record_that_was_cut_is_left_out(recording: Path) -> None:
    whole = recording.read_bytes()
    recording.write_bytes(whole[: -ARRIVAL.itemsize // 2])
    assert [one.number for one in read_recording(recording)[1]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda whole: b"bars\n" + whole, "is no recording"),
        (lambda whole: whole.replace(b'"version": 1', b'"version": 9'), "version 9"),
        (lambda whole: whole[: -2 * ARRIVAL.itemsize] + bytes(2 * ARRIVAL.itemsize), "record 2"),
    ],
    ids=["no header", "another version", "zeros"],
)
def test_a_damaged_recording_is_refused(recording: Path, damage: object, named: str) -> None:
    recording.write_bytes(damage(recording.read_bytes()))
    with pytest.raises(RecorderError, match=named) as wrong:
        read_recording(recording)
    assert str(recording) in str(wrong.value)


def test_a_recording_is_never_written_over(recording: Path) -> None:
    with pytest.raises(FileExistsError):
        SessionRecorder(recording, KEYS, PROBLEMS, {})


def test_the_oldest_sessions_go(tmp_path: Path) -> None:
    for name in ("20260103", "20260101", "20260102"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kraken.bars").write_bytes(b"x")
    (tmp_path / "note.txt").write_text("kept")
    assert prune_sessions(tmp_path, keep=2) == ["20260101"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20260102", "20260103", "note.txt"]
    assert prune_sessions(tmp_path / "nowhere") == []
