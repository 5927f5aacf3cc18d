"""A long ledger that several processes walk: what one finds, wherever their parts end."""

from pathlib import Path

import pytest

from novapulse.ledger import audit as audit_module
from novapulse.ledger.audit import audit
from tests.ledger.damage import Unguarded


@pytest.fixture(params=[13, 64])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many events of a short ledger go to one process at a time."""
    monkeypatch.setattr(audit_module, "PARALLEL_EVENTS_MIN", 1)
    monkeypatch.setattr(audit_module, "PART_EVENTS", request.param)
    return int(request.param)


def test_several_processes_find_what_one_finds(damaged: Path, parts: int) -> None:
    alone, together = audit(damaged), audit(damaged, processes=3)
    assert together == alone
    last = alone.head_seq
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq IN (?, ?)", (2 * parts, last))
        connection.execute("DELETE FROM event WHERE seq = ?", (last // 3 // parts * parts + 1,))
        connection.execute("UPDATE event SET body = replace(body, ',', ', ') WHERE seq = ?", (last // 2,))
        connection.execute("UPDATE posting SET amount = amount + 1 WHERE seq > ?", (last - parts,))
    alone, together = audit(damaged), audit(damaged, processes=3)
    assert not alone.ok
    assert together == alone


@pytest.mark.parametrize("first", [1, 12, 13, 14, 65, 150])
def test_the_first_of_many_bad_entries_is_named_wherever_the_parts_end(damaged: Path, parts: int, first: int) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET kind = kind || 'x' WHERE seq >= ? AND (seq - ?) % 7 = 0", (first, first))
    found = audit(damaged, processes=2)
    assert found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.where) == (first, "event.hash")
    assert [fault.seq for fault in found.faults if fault.where == "event.hash"] == list(
        range(first, found.head_seq + 1, 7)
    )


@pytest.mark.parametrize("which", ["last of a part", "first of the next"])
def test_an_event_that_is_missing_between_two_processes_is_missed(damaged: Path, parts: int, which: str) -> None:
    seq = 2 * parts + (which == "first of the next")
    with Unguarded(damaged) as connection:
        connection.execute("DELETE FROM event WHERE seq = ?", (seq,))
    found = audit(damaged, processes=2)
    assert (seq, "event.seq") in [(fault.seq, fault.where) for fault in found.faults]
