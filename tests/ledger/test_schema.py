"""What the database itself refuses, whoever asks."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Engine, create_engine, inspect, select, text
from sqlalchemy.pool import NullPool, StaticPool

from novapulse.core.ports import JournalError
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import Place, reader
from novapulse.ledger.schema import FACTS, STEPS, event, metadata, of_kind, order_open, outbox, posting, views
from novapulse.ledger.storage import SqliteStorage
from tests.ledger.conftest import MAIN, closed, contents, fact, filled, intended, noted, opened, write


@pytest.fixture
def lived(where: str) -> Ledger:
    """A ledger with a row in every table of facts."""
    ledger = opened(where)
    write(ledger, intended("a"), filled("t", "a"), fact("a"))
    return ledger


def engine_of(ledger: Ledger, where: str) -> Engine:
    if isinstance(ledger.storage, SqliteStorage):
        raw = ledger.storage.connection
        return create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    return create_engine(Place.of(where).url, poolclass=NullPool)


def test_the_migrations_make_the_tables_that_the_code_describes(lived: Ledger, where: str) -> None:
    with lived, engine_of(lived, where).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert set(inspect(connection).get_view_names()) == set(views.tables)
        for view in views.tables.values():
            connection.execute(select(view)).all()


def test_every_table_of_a_file_is_strict(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as ledger, ledger.reading() as storage:
        rows = storage.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'").fetchall()
    ours = {name: strict for name, strict in rows if name in metadata.tables}
    assert set(ours) == set(metadata.tables)
    assert set(ours.values()) == {1}


def run(ledger: Ledger, *statements: str) -> None:
    """Run statements behind the journal's back, in one transaction."""
    with ledger.transaction() as storage:
        for statement in statements:
            storage.execute(statement)


@pytest.mark.parametrize("table", [table.name for table in FACTS])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
def test_facts_are_neither_changed_nor_removed(lived: Ledger, table: str, verb: str) -> None:
    statement = f"DELETE FROM {table}" if verb == "DELETE" else f"UPDATE {table} SET seq = seq"
    before = contents(lived)
    with lived:
        with pytest.raises(JournalError, match=f"{table} is append-only"):
            run(lived, statement)
        assert contents(lived) == before


PLANTED = {
    "postings that do not sum to 0": (
        [
            "INSERT INTO posting VALUES (4, 0, 'cash', 'USD', 5)",
            "INSERT INTO posting VALUES (4, 1, 'cash', 'BTC', -5)",
            "INSERT INTO event VALUES (4, 1, 'kraken', 'main', 'x', '{}', {hash})",
        ],
        "postings do not sum to 0",
    ),
    "a posting for an event that is there": (
        ["INSERT INTO posting VALUES (3, 9, 'cash', 'USD', 5)"],
        "posting of a sealed event",
    ),
    "postings without their event": (
        ["INSERT INTO posting VALUES (4, 0, 'cash', 'USD', 5)", "INSERT INTO posting VALUES (4, 1, 'fees', 'USD', -5)"],
        "(?i)foreign key",
    ),
    "a posting of nothing": (["INSERT INTO posting VALUES (4, 0, 'cash', 'USD', 0)"], "ck_posting_amount"),
    "a posting of an unknown asset": (
        [
            "INSERT INTO posting VALUES (4, 0, 'cash', 'DOGE', 5)",
            "INSERT INTO posting VALUES (4, 1, 'fees', 'DOGE', -5)",
            "INSERT INTO event VALUES (4, 1, 'kraken', 'main', 'x', '{}', {hash})",
        ],
        "(?i)foreign key",
    ),
    "a gap": (["INSERT INTO event VALUES (5, 1, 'kraken', 'main', 'x', '{}', {hash})"], "event is not the next"),
    "an event in an old one's place": (
        ["INSERT INTO event VALUES (3, 1, 'kraken', 'main', 'x', '{}', {hash})"],
        "event is not the next",
    ),
    "half a hash": (["INSERT INTO event VALUES (4, 1, 'kraken', 'main', 'x', '{}', {half})"], "ck_event_hash"),
    "an order id twice": (["INSERT INTO order_step VALUES ('kraken', 'main', 'a', 0, 3, 0)"], "already"),
    "a step that is not its event": (["INSERT INTO order_step VALUES ('kraken', 'main', 'b', 2, 3, 0)"], "step"),
    "a trade id twice": (["INSERT INTO fill_key VALUES ('kraken', 'main', 't', 3)"], "already"),
    "a negative hold": (["UPDATE balance SET amount = -1 WHERE book = 'hold'"], "ck_balance_hold"),
    "an asset of ten digits": (["INSERT INTO asset VALUES ('X', 10)"], "ck_asset_scale"),
    "another name for the ledger": (["UPDATE ledger SET ledger_id = 'forged'"], "the ledger keeps its id"),
    "no ledger": (["DELETE FROM ledger"], "the ledger keeps its id"),
}


@pytest.mark.parametrize(("statements", "expected"), PLANTED.values(), ids=PLANTED)
def test_the_database_refuses_by_itself(lived: Ledger, statements: list[str], expected: str) -> None:
    is_file = lived.storage.dialect == "sqlite"
    blob = {"hash": "zeroblob(32)", "half": "zeroblob(16)"} if is_file else {}
    blob = blob or {"hash": r"decode(repeat('00', 32), 'hex')", "half": r"decode(repeat('00', 16), 'hex')"}
    spelled = [one.replace("{hash}", blob["hash"]).replace("{half}", blob["half"]) for one in statements]
    before = contents(lived)
    with lived:
        with pytest.raises(JournalError, match=expected):
            run(lived, *spelled)
        assert contents(lived) == before


REPLACED = {
    "event": "INSERT OR REPLACE INTO event SELECT seq, ts_ns + 1, exchange, account_id, kind, body, hash FROM event",
    "posting": "INSERT OR REPLACE INTO posting SELECT seq, leg, 'dust', asset, amount FROM posting",
    "order_step": "INSERT OR REPLACE INTO order_step SELECT exchange, account_id, client_order_id, step, seq, 1 "
    "FROM order_step",
    "fill_key": "INSERT OR REPLACE INTO fill_key SELECT exchange, account_id, venue_trade_id, 3 FROM fill_key",
}


@pytest.mark.parametrize(("table", "statement"), REPLACED.items(), ids=REPLACED)
def test_facts_cannot_be_replaced_by_any_connection_to_the_file(tmp_path: Path, table: str, statement: str) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        write(ledger, intended("a"), filled("t", "a"), fact("a"))
    raw = sqlite3.connect(tmp_path / "ledger.db")
    before = raw.execute(f"SELECT * FROM {table}").fetchall()
    assert before
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)
    raw.rollback()
    assert raw.execute(f"SELECT * FROM {table}").fetchall() == before
    raw.close()


def test_a_number_with_a_fraction_is_no_amount(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        with pytest.raises(JournalError, match="cannot store REAL value"):
            run(ledger, "INSERT INTO posting VALUES (1, 0, 'cash', 'USD', 1.5)")
        run(ledger, f"INSERT INTO balance VALUES ('a', 'b', 'c', 'd', {2**63 - 1})")
        with pytest.raises(JournalError, match="cannot store REAL value"):
            run(ledger, "UPDATE balance SET amount = amount + 1")


def test_a_reader_sees_everything_and_changes_nothing(lasting: str) -> None:
    with opened(lasting) as ledger:
        write(ledger, intended("a"), intended("b"), closed("a"))
        engine = reader(lasting)
        with engine.connect() as connection:
            assert connection.execute(select(event.c.seq)).scalars().all() == [1, 2, 3]
            assert connection.execute(select(posting.c.amount).order_by("seq", "leg")).scalars().all()[:2] == [-5, 5]
            assert [row.client_order_id for row in connection.execute(select(order_open))] == ["b"]
            assert connection.execute(select(outbox.c.seq)).scalars().all() == [1, 2, 3]
            with pytest.raises(Exception, match=r"readonly|read-only"):
                connection.execute(text("UPDATE consumer SET cursor = 0"))
        engine.dispose()
        write(ledger, noted())


def test_a_query_by_kind_uses_the_index_unless_the_kind_is_found_by_its_order(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    with opened(place) as ledger:
        write(ledger, noted(), intended("a"))
        engine = reader(place)
        with engine.connect() as connection:

            def plan(*kinds: str) -> str:
                query = (
                    select(event.c.seq).where(of_kind(*kinds)).compile(engine, compile_kwargs={"literal_binds": True})
                )
                return str(connection.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())

            assert "ix_event_kind" in plan("alert_raised", "fill_booked")
            assert "ix_event_kind" not in plan("alert_raised", STEPS[0])
            for kinds in (("alert_raised",), ("alert_raised", "order_intended"), ("order_intended",)):
                rows = connection.execute(select(event.c.kind).where(of_kind(*kinds)).order_by(event.c.seq))
                assert rows.scalars().all() == list(kinds)
        engine.dispose()


def test_what_may_not_be_read_as_a_place_is_refused() -> None:
    other = URL.create("mysql", "me", "swordfish", "host").render_as_string(hide_password=False)
    with pytest.raises(ValueError, match="expected a path, sqlite:///PATH or postgresql") as refused:
        Place.of(other)
    assert "swordfish" not in str(refused.value)
    assert str(Place.of("sqlite:////var/ledger.db")) == "/var/ledger.db"
    with pytest.raises(ValueError, match="no readers"):
        reader(":memory:")


def test_the_account_is_two_columns_everywhere() -> None:
    for table in metadata.tables.values():
        names = set(table.columns.keys())
        assert ("account_id" in names) == ("exchange" in names)
        assert not names & {"account", "account_key"}
    assert MAIN.exchange == "kraken"
