"""A body or legs that are not as the journal writes them are named, also where the hash is right."""

from pathlib import Path

import pytest

from novapulse.ledger import walk as walk_module
from novapulse.ledger.audit import audit
from tests.ledger.damage import Unguarded, forge
from tests.ledger.written import write_life

BAD_BODIES = {
    "blanks": '{"key": 1}',
    "keys out of order": '{"b":1,"a":2}',
    "a key twice": '{"a":1,"a":2}',
    "a float": '{"a":1.5}',
    "no mapping": "[1]",
    "no JSON": "{",
    "halves of two bodies": '{"a":[1',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_is_not_canonical_is_named_even_with_a_right_hash(tmp_path: Path, body: str) -> None:
    path = tmp_path / "odd.db"
    write_life(path, seed=3, rounds=1)
    seq = forge(path, "alert_raised", body)
    assert [(fault.seq, fault.where) for fault in audit(path).faults] == [(seq, "event.body")]


def test_legs_that_do_not_balance_are_named_even_with_a_right_hash(tmp_path: Path) -> None:
    path = tmp_path / "gift.db"
    write_life(path, seed=3, rounds=1)
    seq = forge(path, "flow_booked", "{}", [("cash", "USD", 1000), ("capital", "USD", -999)])
    found = audit(path)
    assert found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.where) == (seq, "posting.amount")


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_the_size_of_a_batch_changes_nothing(damaged: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("DELETE FROM event WHERE seq IN (7, 8, 14)")
        connection.execute("UPDATE posting SET amount = amount + 1 WHERE seq > 120")
    whole = audit(damaged)
    monkeypatch.setattr(walk_module, "BATCH_EVENTS", size)
    assert audit(damaged) == whole
