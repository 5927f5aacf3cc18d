"""Sessions by the name of the run that began them."""

from pathlib import Path

import pytest

from novapulse.core.instruments import InstrumentKey
from novapulse.market.recorder import HeardRecorder, RecorderError, heard_path, read_header
from novapulse.parity.kept import Kept, KeptError, Session
from novapulse.parity.runs import runs_of, sessions_named

BTC = InstrumentKey("kraken", "BTC/USD")


def recorded(folder: Path, run: str, session: Session, ledger_id: str = "") -> None:
    """Keep the recording of a run that began a session."""
    facts = {"ledger_id": ledger_id or session.ledger_id, "behind_seq": session.first_seq - 1}
    HeardRecorder(heard_path(folder, run, session.account), [BTC], facts).close()


def test_each_session_is_of_the_last_run_that_began_before_it(kept: Kept, tmp_path: Path) -> None:
    first, second = kept.sessions()
    recorded(tmp_path, "a", first)
    assert runs_of([first, second], tmp_path) == {first.first_seq: "a", second.first_seq: "a"}
    assert sessions_named(kept, "a", tmp_path) == [first, second]
    recorded(tmp_path, "b", second)
    assert sessions_named(kept, "a", tmp_path) == [first]
    assert sessions_named(kept, "b", tmp_path) == [second]


def test_a_number_and_the_last_one_need_no_recording(kept: Kept, tmp_path: Path) -> None:
    first, second = kept.sessions()
    assert sessions_named(kept, str(first.first_seq), tmp_path / "none") == [first]
    assert sessions_named(kept, "last", tmp_path / "none") == [second]


def test_a_name_that_nobody_has_is_told_with_those_there_are(kept: Kept, tmp_path: Path) -> None:
    first, second = kept.sessions()
    recorded(tmp_path, "b", second)
    recorded(tmp_path, "c", second, ledger_id="another")
    listed = rf"there are {first.first_seq} \(replay on kraken\), {second.first_seq} \(replay on kraken, of b\)"
    for name in ("c", "..", ""):
        with pytest.raises(KeptError, match=rf"no session {name} in .*: {listed}"):
            sessions_named(kept, name, tmp_path)


@pytest.mark.parametrize("text", ["", "[1]\n", "{\n"])
def test_what_is_no_recording_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.heard"
    with pytest.raises(RecorderError, match=r"x\.heard: No such file"):
        read_header(path)
    path.write_text(text)
    with pytest.raises(RecorderError, match=r"x\.heard is no recording of a session"):
        read_header(path)
