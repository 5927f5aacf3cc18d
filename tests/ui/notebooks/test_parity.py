"""What the parity page says of all rungs together is what each of them says."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.core.instruments import InstrumentKey
from novapulse.parity.causes import Cause, Explained, ExplainedRecord
from novapulse.parity.kept import Kept, Session
from novapulse.parity.ladder import Rung
from novapulse.parity.trips import Difference, Trip
from novapulse.ui.jobs import Reporter, Results
from novapulse.ui.notebooks import parity
from novapulse.ui.notebooks.parity import Compared, verdict
from novapulse.ui.notebooks.work import Came


def rung(number: int, holds: bool | None, in_deed: bool = False) -> Rung:
    return Rung(number, "compared", holds, {}, is_same_in_deed=in_deed)


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        ((rung(1, True), rung(2, True)), ("live = backtest, to the bit", "np-real")),
        (
            (rung(1, True), rung(2, False, True), rung(3, False, True)),
            ("live = backtest in every deed; 2, 3 not to the bit in what was noticed when", "np-real"),
        ),
        ((rung(1, True), rung(2, False)), ("they differ", "np-warn")),
        ((rung(1, True), rung(2, None)), ("they differ", "np-warn")),
    ],
)
def test_to_the_bit_is_said_of_what_is_so_to_the_bit(rungs: tuple[Rung, ...], said: tuple[str, str]) -> None:
    """A bug: a rung that was the same in its deeds alone was called the same to the bit."""
    assert verdict(rungs) == said


def test_a_session_is_compared_once_until_ledger_or_bars_change(
    traded_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def compared(place: Path, session: Session, _: Reporter) -> str:
        made.append(session.first_seq)
        return f"ladder {len(made)}"

    place = traded_home / "ledger.db"
    with Kept(place) as kept:
        session = kept.sessions()[-1]
    monkeypatch.setattr(parity, "compared", compared)
    monkeypatch.setattr(parity, "_compared", Results(4))
    came: list[Came[Compared]] = []
    for _ in range(3):
        parity.start(parity.Desk(place), True, session, came.append)
    assert [one.result for one in came] == ["ladder 1"] * 3
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("UPDATE ledger SET head_seq = head_seq + 1")
        connection.commit()
    parity.start(parity.Desk(place), True, session, came.append)
    assert [one.result for one in came[3:]] == ["ladder 2"]


def test_what_differs_in_what_was_noticed_alone_is_no_gain_and_kinds_are_in_words() -> None:
    """A bug: a rung that differs wore the tone of a gain; kinds and fields of records were shown as they are named."""
    trip = Trip(InstrumentKey("kraken", "BTC/USD"), 7, 1, 60 * 10**9, 5, 1.0, 120 * 10**9, 2.0, "EXIT_TIME", 1, 0, 0)
    told = ExplainedRecord("fill_booked", trip.instrument, 60 * 10**9, Cause.DELAY, "it came later", follows=False)
    differs = Rung(
        3,
        "session = replay",
        False,
        {"fill_booked": (1, 2), "round trips": (3, 3)},
        "from records",
        (told, Explained(Difference(trip, trip, "qty_units"), Cause.FILL, "it was filled in part")),
        is_same_in_deed=True,
    )
    shown = parity._rung(differs)
    assert "gain" not in shown
    assert "1 of 2: an execution was booked, 3 of 3: round trips" in shown
    assert parity._difference(differs, differs.differences[0])[3] == "an execution was booked"
    assert parity._difference(differs, differs.differences[1])[3] == "round trip 7, quantity"
