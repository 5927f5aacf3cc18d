"""Balances, holds and orders that do not follow from the events are named."""

from pathlib import Path

import pytest

from novapulse.core.messages import Commit, Record
from novapulse.core.postings import Book, move
from novapulse.ledger import audit as audit_module
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from tests.ledger.damage import Unguarded, forge
from tests.ledger.written import MAIN, SCALES, START_NS, open_accounts, write_life


def test_a_book_from_nowhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "forged.db"
    write_life(path, seed=3, rounds=1)
    forge(path, "flow_booked", "{}", [("cash", "USD", 1000), ("capital", "USD", -1000)])
    assert {fault.where for fault in audit(path).faults} == {"balance.amount"}


def test_a_balance_that_the_venue_showed_and_the_postings_do_not_give_is_named(tmp_path: Path) -> None:
    path = tmp_path / "asserted.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,), kept=False)
        held = move("USD", 50, Book.CASH, Book.HOLD)
        right = Record("balance_asserted", START_NS, {"balances": {"USD": 10**12}})
        wrong = Record("balance_asserted", START_NS, {"balances": {"USD": 10**12 - 50}})
        journal.commit(
            [(MAIN, Commit((Record("order_noted", START_NS, {"client_order_id": "C"}, held), right, wrong)))]
        )
        seq = journal.head()[0]
    found = audit(path)
    assert [(fault.seq, fault.where) for fault in found.faults][1:] == [(seq, "event.body")]


def test_a_hold_of_an_order_that_is_not_open_is_named(tmp_path: Path) -> None:
    path = tmp_path / "held.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,), kept=False)
        hold = move("USD", 50, Book.CASH, Book.HOLD)
        records = (
            Record("order_intended", START_NS, {"client_order_id": "C"}, hold),
            Record("order_closed", START_NS, {"client_order_id": "C"}),
        )
        journal.commit([(MAIN, Commit(records))])
    found = audit(path)
    assert [(fault.seq, fault.where) for fault in found.faults] == [(2, "posting")]
    assert "is held for order C of main at kraken, which is not open" in found.faults[0].what


def test_a_reopened_order_holds_cash_again_until_it_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "reopened.db"
    body = {"client_order_id": "C"}
    hold, release = move("USD", 50, Book.CASH, Book.HOLD), move("USD", 50, Book.HOLD, Book.CASH)
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,), kept=False)
        intent = Record("order_intended", START_NS, body, hold)
        end = Record("order_closed", START_NS, body, release)
        again = Record("order_reopened", START_NS, body, hold)
        journal.commit([(MAIN, Commit((intent, end, again)))])
        assert audit(path).ok
        journal.commit([(MAIN, Commit((end,)))])
        assert audit(path).ok
        journal.commit([(MAIN, Commit((again, Record("order_closed", START_NS, body))))])
    (fault,) = audit(path).faults
    assert "50 is held for order C of main at kraken, which is not open" in fault.what
    with Unguarded(path) as connection:
        connection.execute("UPDATE order_step SET closes = 0 WHERE closes = -1")
    assert "order_step" in {fault.where for fault in audit(path).faults}


def test_a_hold_below_zero_is_named_where_it_happened(tmp_path: Path) -> None:
    path = tmp_path / "released.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,), kept=False)
        records = (
            Record("order_intended", START_NS, {"client_order_id": "A"}, move("USD", 50, Book.CASH, Book.HOLD)),
            Record("order_intended", START_NS, {"client_order_id": "B"}, move("USD", 50, Book.CASH, Book.HOLD)),
            Record("order_closed", START_NS, {"client_order_id": "A"}, move("USD", 60, Book.HOLD, Book.CASH)),
        )
        journal.commit([(MAIN, Commit(records))])
    found = audit(path)
    assert any(fault.seq == 4 and "releases 10 more than order A held" in fault.what for fault in found.faults)


def test_holds_that_span_the_parts_of_several_processes_are_summed_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "PARALLEL_EVENTS_MIN", 1)
    monkeypatch.setattr(audit_module, "PART_EVENTS", 2)
    path = tmp_path / "held.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        open_accounts(journal, 1, (MAIN,), kept=False)
        hold = Record("order_intended", START_NS, {"client_order_id": "A"}, move("USD", 50, Book.CASH, Book.HOLD))
        other = Record("order_intended", START_NS, {"client_order_id": "B"}, move("USD", 50, Book.CASH, Book.HOLD))
        part = Record("order_noted", START_NS, {"client_order_id": "A"}, move("USD", 20, Book.HOLD, Book.CASH))
        journal.commit([(MAIN, Commit((hold, other, part, part)))])
        assert audit(path, processes=2).ok
        back = Record("order_noted", START_NS, {"client_order_id": "A"}, move("USD", 20, Book.CASH, Book.HOLD))
        journal.commit([(MAIN, Commit((part, back)))])
    found = audit(path, processes=2)
    assert [(fault.seq, fault.where) for fault in found.faults] == [(6, "posting")]
    assert "releases 10 more than order A held" in found.faults[0].what
