"""An audit names the first entry that is not as it was written, whatever was done behind the journal's back."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.core.ports import Unwritable
from novapulse.ledger import audit as audit_module
from novapulse.ledger.audit import Audit, audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import SchemaError
from tests.ledger.damage import Unguarded
from tests.ledger.written import LEASE_NS, MAIN, SCALES, START_NS, live_on, open_accounts, write_life

PROVEN = {
    "event": ("seq", "ts_ns", "exchange", "account_id", "kind", "body", "hash"),
    "posting": ("seq", "leg", "book", "asset", "amount"),
    "order_step": ("exchange", "account_id", "client_order_id", "step", "seq", "closes"),
    "fill_key": ("exchange", "account_id", "venue_trade_id", "seq"),
    "balance": ("exchange", "account_id", "book", "asset", "amount"),
    "asset": ("asset", "scale"),
    "checkpoint": ("exchange", "account_id", "ts_close_ns", "seq", "state"),
    "ledger": ("ledger_id", "head_seq", "head_hash"),
}
"""Tables and columns of which an audit proves every byte."""


BESIDE = {"hold_run", "lease", "consumer", "dead_letter", "alembic_version"}
"""Tables that hold no fact and follow from none: telemetry that is pruned, who may write, how far a consumer is."""


SETTINGS = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _flipped(value: object, at: int) -> object:
    """One bit of a value changed; the type stays."""
    if isinstance(value, int):
        return value ^ (1 << (at % 40))
    raw = bytearray(value if isinstance(value, bytes) else str(value).encode())
    if not raw:
        return b"\x01" if isinstance(value, bytes) else "x"
    raw[at // 8 % len(raw)] ^= 1 << (at % 8)
    return bytes(raw) if isinstance(value, bytes) else bytes(raw).decode("utf-8", "surrogateescape")


def test_a_ledger_as_it_was_written_is_proven_and_its_head_is_told(whole: Path) -> None:
    found = audit(whole)
    with closing(sqlite3.connect(whole)) as connection:
        seq, digest = connection.execute("SELECT head_seq, head_hash FROM ledger").fetchone()
        events = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    assert (found.ok, found.first_bad, found.faulty) == (True, None, 0)
    assert (found.entries, found.head_seq, found.head_hash) == (events, seq, digest.hex())
    assert events > 200


def test_an_empty_ledger_is_proven(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "new.db", durable=False, now_ns=START_NS).close()
    found = audit(tmp_path / "new.db")
    assert (found.ok, found.entries, found.head_seq) == (True, 0, 0)


@given(
    table=st.sampled_from(sorted(PROVEN)),
    column=st.integers(0, 6),
    row=st.integers(0, 10**6),
    at=st.integers(0, 10**4),
)
@SETTINGS
def test_any_flipped_bit_is_found(whole: Path, tmp_path: Path, table: str, column: int, row: int, at: int) -> None:
    path = Path(shutil.copy(whole, tmp_path / "flipped.db"))
    name = PROVEN[table][column % len(PROVEN[table])]
    with Unguarded(path) as connection:
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        keys = _keys(connection, table)
        values = connection.execute(f"SELECT {keys}, {name} FROM {table} LIMIT 1 OFFSET ?", (row % count,)).fetchone()
        where = " AND ".join(f"{key} = ?" for key in keys.split(", "))
        changed = _flipped(values[-1], at)
        text = changed.encode("utf-8", "surrogateescape") if isinstance(changed, str) else changed
        value = "CAST(? AS TEXT)" if isinstance(changed, str) else "?"
        try:
            connection.execute(f"UPDATE {table} SET {name} = {value} WHERE {where}", (text, *values[:-1]))
        except sqlite3.IntegrityError:
            return  # Two rows with one key cannot be planted.
        seqs = [value for key, value in zip(keys.split(", "), values, strict=False) if key == "seq"]
    found = audit_of(path)
    if found is None:
        assert (table, name) == ("ledger", "ledger_id"), "its name is no text any more: that is said instead"
        return
    assert not found.ok, f"{table}.{name} of row {values[:-1]}: {values[-1]!r} became {changed!r}"
    if table in ("event", "posting") and name != "seq":
        assert found.first_bad is not None
        assert found.first_bad.seq == seqs[0], found.faults


def audit_of(path: Path) -> Audit | None:
    try:
        return audit(path)
    except Unwritable:
        return None


def _keys(connection: sqlite3.Connection, table: str) -> str:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return ", ".join(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])


def test_every_table_is_proven_or_named_as_what_is_none(whole: Path) -> None:
    with closing(sqlite3.connect(whole)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == PROVEN.keys() | BESIDE


@given(table=st.sampled_from(sorted(PROVEN.keys() - {"ledger"})), row=st.integers(0, 10**6))
@SETTINGS
def test_any_missing_row_is_found(whole: Path, tmp_path: Path, table: str, row: int) -> None:
    path = Path(shutil.copy(whole, tmp_path / "short.db"))
    with Unguarded(path) as connection:
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        keys = _keys(connection, table)
        values = connection.execute(f"SELECT {keys} FROM {table} LIMIT 1 OFFSET ?", (row % count,)).fetchone()
        where = " AND ".join(f"{key} = ?" for key in keys.split(", "))
        connection.execute(f"DELETE FROM {table} WHERE {where}", values)
    found = audit(path)
    assert not found.ok
    if table in ("event", "posting"):
        assert found.first_bad is not None
        assert found.first_bad.seq == values[0]


@given(
    table=st.sampled_from(sorted(PROVEN.keys() - {"ledger"})),
    pair=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True),
)
@SETTINGS
def test_any_two_swapped_rows_are_found(whole: Path, tmp_path: Path, table: str, pair: list[int]) -> None:
    path = Path(shutil.copy(whole, tmp_path / "exchanged.db"))
    with Unguarded(path) as connection:
        keys = _keys(connection, table).split(", ")
        rest = [name for name in PROVEN[table] if name not in keys]
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        one, other = (
            connection.execute(
                f"SELECT {', '.join(keys + rest)} FROM {table} LIMIT 1 OFFSET ?", (n % count,)
            ).fetchone()
            for n in pair
        )
        sets, where = ", ".join(f"{name} = ?" for name in rest), " AND ".join(f"{key} = ?" for key in keys)
        for row, source in ((one, other), (other, one)):
            connection.execute(f"UPDATE {table} SET {sets} WHERE {where}", source[len(keys) :] + row[: len(keys)])
    if one[len(keys) :] != other[len(keys) :]:
        assert not audit(path).ok, (one, other)


@given(pair=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True), hashes=st.booleans())
@SETTINGS
def test_any_two_swapped_events_are_found(whole: Path, tmp_path: Path, pair: list[int], hashes: bool) -> None:
    path = Path(shutil.copy(whole, tmp_path / "swapped.db"))
    with Unguarded(path) as connection:
        count = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        one, other = sorted(number % count + 1 for number in pair)
        if one == other:
            return
        columns = "ts_ns, exchange, account_id, kind, body" + (", hash" if hashes else "")
        rows = {
            seq: connection.execute(f"SELECT {columns} FROM event WHERE seq = ?", (seq,)).fetchone()
            for seq in (one, other)
        }
        for seq, source in ((one, other), (other, one)):
            sets = ", ".join(f"{name} = ?" for name in columns.split(", "))
            connection.execute(f"UPDATE event SET {sets} WHERE seq = ?", (*rows[source], seq))
    found = audit(path)
    if rows[one] != rows[other]:
        assert found.first_bad is not None
        assert found.first_bad.seq == one


PLANTED = {
    "an event behind the head": (
        "INSERT INTO event SELECT seq + 1, ts_ns, exchange, account_id, kind, body, zeroblob(32) FROM event "
        "ORDER BY seq DESC LIMIT 1",
        "event.hash",
    ),
    "the last event cut off, and the head with it": (
        "UPDATE ledger SET head_seq = head_seq - 1, head_hash = (SELECT hash FROM event WHERE seq = head_seq - 1);"
        "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
        "",
    ),
    "the head set back": ("UPDATE ledger SET head_seq = head_seq - 1", "ledger.head_seq"),
    "an amount and its counterpart": (
        "UPDATE posting SET amount = amount * 2 WHERE seq = (SELECT min(seq) FROM posting)",
        "event.hash",
    ),
    "two legs swapped": (
        "UPDATE posting SET leg = 1 - leg + 100 WHERE seq = (SELECT min(seq) FROM posting);"
        "UPDATE posting SET leg = leg - 100 WHERE leg > 50",
        "event.hash",
    ),
    "a number left out among the legs": (
        "UPDATE posting SET leg = leg + 1 WHERE seq = (SELECT max(seq) FROM posting) AND leg = "
        "(SELECT max(leg) FROM posting p WHERE p.seq = posting.seq)",
        "posting.leg",
    ),
    "legs of no event": ("INSERT INTO posting VALUES (100000, 0, 'cash', 'USD', 5)", "posting"),
    "a balance from nowhere": ("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'", "balance.amount"),
    "a balance too many": ("INSERT INTO balance VALUES ('kraken', 'ghost', 'cash', 'USD', 5)", "balance.amount"),
    "an execution too many": ("INSERT INTO fill_key VALUES ('kraken', 'main', 'T-none', 1)", "fill_key"),
    "an order too many": ("INSERT INTO order_step VALUES ('kraken', 'main', 'C-none', 0, 1, 0)", "order_step"),
    "an order closed behind its back": ("UPDATE order_step SET closes = 1 WHERE step = 0", "order_step"),
    "a coarser scale": ("UPDATE asset SET scale = 2 WHERE asset = 'BTC'", "asset.scale"),
    "a state of the future": ("UPDATE checkpoint SET seq = 100000", "checkpoint.seq"),
    "a state that is gone": ("DELETE FROM checkpoint WHERE exchange = 'coinbase'", "checkpoint"),
    "a state that is empty": ("UPDATE checkpoint SET state = x'' WHERE exchange = 'coinbase'", "checkpoint"),
    "a state of another account": (
        "UPDATE checkpoint SET state = (SELECT state FROM checkpoint WHERE exchange = 'coinbase')",
        "checkpoint.state",
    ),
    "a state of an earlier entry": ("UPDATE checkpoint SET seq = seq - 1", "checkpoint.state"),
    "a state of a later close": ("UPDATE checkpoint SET ts_close_ns = ts_close_ns + 1", "checkpoint.state"),
    "a stretch that ends before it begins": (
        "INSERT INTO hold_run VALUES ('kraken', 'main', 'BTC/USD', 20, 10, 0, 1)",
        "hold_run",
    ),
    "a lease that nobody had": ("UPDATE lease SET epoch = 0", "lease"),
    "a cursor of the future": ("INSERT INTO consumer VALUES ('shipper', 100000, 0, 0)", "consumer.cursor"),
    "another ledger's name": ("UPDATE ledger SET ledger_id = 'mine'", "event.hash"),
}


@pytest.mark.parametrize(("statements", "where"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_named(damaged: Path, statements: str, where: str) -> None:
    with Unguarded(damaged) as connection:
        for statement in statements.split(";"):
            connection.execute(statement)
    found = audit(damaged)
    assert not found.ok
    if where:
        assert any(where in fault.where for fault in found.faults), found.faults


def test_one_changed_event_is_one_fault(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq = 20")
    found = audit(damaged)
    assert [(fault.seq, fault.where) for fault in found.faults] == [(20, "event.hash")]


def test_faults_are_counted_and_the_first_ones_kept(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq BETWEEN 5 AND 180")
    found = audit(damaged)
    assert found.faulty == 176
    assert [fault.seq for fault in found.faults] == list(range(5, 105))


def test_a_rewritten_past_is_told_by_a_head_that_was_noted_elsewhere_and_by_nothing_else(
    whole: Path, tmp_path: Path
) -> None:
    noted = audit(whole).head_hash
    forged = tmp_path / "forged.db"
    write_life(forged, seed=8, rounds=6)
    assert audit(forged).ok
    found = audit(forged, head=noted)
    assert found.first_bad is not None
    assert found.first_bad.where == "head"
    assert audit(whole, head=noted).ok


def test_a_head_that_was_noted_earlier_is_still_in_the_chain(whole: Path) -> None:
    with closing(sqlite3.connect(whole)) as connection:
        earlier = connection.execute("SELECT hash FROM event WHERE seq = 17").fetchone()[0].hex()
    assert audit(whole, head=earlier).ok


def test_a_head_that_is_no_hash_is_refused(whole: Path) -> None:
    with pytest.raises(ValueError, match="expected 64 hex digits"):
        audit(whole, head="abc")


def test_missing_guards_are_a_fault(damaged: Path) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        for name in there:
            connection.execute(f"DROP TRIGGER {name}")
        connection.commit()
    found = audit(damaged)
    assert {fault.where for fault in found.faults} == {f"trigger {name}" for name in there}
    assert len(there) == 16


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


def test_an_audit_beside_a_writer_sees_one_state(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 5)
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for life in lives.values():
                    live_on(journal, life)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            heads = []
            for _ in range(8):
                found = audit(path)
                assert found.ok, found.faults
                heads.append(found.head_seq)
        finally:
            stop.set()
            writer.join()
    assert heads == sorted(heads)
    assert heads[0] < heads[-1]


def pages_of(path: Path) -> Iterator[int]:
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'").fetchone()[0]
        index = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_event_kind'").fetchone()[0]
    yield (root - 1) * size
    yield (index - 1) * size


@pytest.mark.parametrize("which", [0, 1])
def test_a_torn_page_is_a_fault_and_no_crash(damaged: Path, which: int) -> None:
    at = list(pages_of(damaged))[which]
    raw = bytearray(damaged.read_bytes())
    raw[at : at + 64] = bytes(64)
    damaged.write_bytes(raw)
    assert not audit(damaged).ok


@given(at=st.integers(0, 10**7), bit=st.integers(0, 7))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_in_the_file_is_found_or_lies_where_nothing_is_proven(
    whole: Path, tmp_path: Path, at: int, bit: int
) -> None:
    path = tmp_path / "bit.db"
    raw = bytearray(whole.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    try:
        is_found = not audit(path).ok
    except (Unwritable, SchemaError):
        is_found = True
    assert is_found or _proven_rows(path) == _proven_rows(whole)


def _proven_rows(path: Path) -> list[list[object]]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2").fetchall()
            for table, columns in PROVEN.items()
        ]


def test_what_is_no_ledger_is_refused_in_a_sentence(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bars (a)")
    with pytest.raises(SchemaError, match="is not a ledger"):
        audit(other)
    with pytest.raises(Unwritable, match="no such ledger"):
        audit(tmp_path / "none.db")
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database at all" * 400)
    with pytest.raises((SchemaError, Unwritable), match=r"noise\.db"):
        audit(noise)


def test_a_ledger_of_newer_code_is_refused(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE ledger SET revision = 99, oldest_revision = 99")
    with pytest.raises(SchemaError, match="99"):
        audit(damaged)


def test_a_lease_does_not_keep_an_audit_out(damaged: Path) -> None:
    with Ledger.open(damaged, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "trader", START_NS, LEASE_NS)
        assert audit(damaged).ok


def test_who_is_told_hears_how_far_it_is_and_may_end_it(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: whoever cancelled a proof saw nothing of it any more, and it went on."""
    monkeypatch.setattr(audit_module, "TOLD_EVENTS", 13)
    alone, told = audit(damaged), list[tuple[int, int]]()
    assert audit(damaged, told=lambda *how_far: told.append(how_far)) == alone
    head = alone.head_seq
    assert told == [*((done, head) for done in range(0, head, 13)), (head, head)]
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq IN (13, 14, ?)", (head,))
        connection.execute("DELETE FROM event WHERE seq = 26")
    alone = audit(damaged)
    assert not alone.ok
    assert audit(damaged, told=lambda *_: None) == alone

    class EnoughError(Exception):
        pass

    def enough(done: int, total: int) -> None:
        walked.append(done)
        if done >= 26:
            raise EnoughError

    walked: list[int] = []
    with pytest.raises(EnoughError):
        audit(damaged, told=enough)
    assert walked == [0, 13, 26]
