"""A trader's state that is not what was written, or not what the books came to, is named."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.core import kept_state
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from tests.ledger.damage import Unguarded
from tests.ledger.written import LEASE_NS, MAIN, SCALES, START_NS, Life, live_on, open_accounts, write_life


def replace_state(path: Path, account: AccountKey, made: Callable[[bytes, int, int], bytes]) -> None:
    """Put what somebody makes who knows how a state is sealed where an account's state was."""
    here = "WHERE exchange = ? AND account_id = ?", (account.exchange, account.account_id)
    with Unguarded(path) as connection:
        row = connection.execute(f"SELECT state, ts_close_ns, seq FROM checkpoint {here[0]}", here[1]).fetchone()
        connection.execute(f"UPDATE checkpoint SET state = ? {here[0]}", (made(*row), *here[1]))


def resealed(life: Life) -> Callable[[bytes, int, int], bytes]:
    return lambda _, ts_close_ns, seq: kept_state.sealed(life.state(), life.account, ts_close_ns, seq)


@pytest.mark.parametrize(("asset", "book"), [("USD", "cash"), ("BTC", "inventory"), ("ETH", "inventory")])
def test_a_state_that_holds_other_than_the_books_is_named_even_with_a_right_seal(
    tmp_path: Path, asset: str, book: str
) -> None:
    path = tmp_path / "richer.db"
    life = write_life(path, seed=3, rounds=2)[MAIN]
    replace_state(path, MAIN, resealed(life))
    assert audit(path).ok
    life.held[asset] += 10**6
    replace_state(path, MAIN, resealed(life))
    (fault,) = audit(path).faults
    assert (fault.where, f"{asset} in {book}" in fault.what) == ("checkpoint.state", True)


def test_a_hold_of_the_state_that_the_books_do_not_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reserved.db"
    life = write_life(path, seed=3, rounds=2)[MAIN]
    life.reserved += life.finer
    replace_state(path, MAIN, resealed(life))
    assert sorted("USD in hold" in fault.what for fault in audit(path).faults) == [False, True]


@pytest.mark.parametrize(("version", "said"), [(kept_state.VERSION, "its seal is not where"), (1, "of version 1")])
def test_a_state_without_a_seal_is_named(tmp_path: Path, version: int, said: str) -> None:
    path = tmp_path / "old.db"
    life = write_life(path, seed=3, rounds=2)[MAIN]

    def unsealed(*_: object) -> bytes:
        told, runs, books = kept_state.parts(life.state())
        spelled = json.dumps({**{name: told[name] for name in told if name != "seal"}, "version": version}).encode()
        return kept_state.HEAD.pack(kept_state.MAGIC, len(spelled), len(runs), len(books)) + spelled + runs + books

    replace_state(path, MAIN, unsealed)
    (fault,) = audit(path).faults
    assert fault.where == "checkpoint.state"
    assert said in fault.what


def test_an_older_state_put_back_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rolled.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        life = open_accounts(journal, 1, (MAIN,))[MAIN]
        live_on(journal, life)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (older,) = connection.execute("SELECT * FROM checkpoint").fetchall()
        live_on(journal, life)
        assert audit(path).ok
    with Unguarded(path) as connection:
        connection.execute("DELETE FROM checkpoint")
        connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?)", older)
    (fault,) = audit(path).faults
    assert (fault.where, fault.seq) == ("checkpoint.seq", older[3] + 1)


def test_what_is_written_beside_the_trader_needs_no_state(tmp_path: Path) -> None:
    path = tmp_path / "stopped.db"
    write_life(path, seed=3, rounds=1, accounts=(MAIN,))
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "test", START_NS + 2, LEASE_NS)
        for kind in ("session_stopped", "account_ended", "calibration_learned"):
            journal.commit([(MAIN, Commit((Record(kind, START_NS, {}),)))])
        journal.restore(MAIN).check()
    assert audit(path).ok
