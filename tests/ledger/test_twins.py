"""A row that no event proves and its twin are compared, and both are told."""

from pathlib import Path

from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.outbox import Outbox
from novapulse.ledger.schema import TWINS
from tests.ledger.conftest import MAIN, OTHER, opened
from tests.ledger.damage import Unguarded
from tests.ledger.written import LEASE_NS, START_NS

OF_MAIN = "exchange = 'kraken' AND account_id = 'main'"


def test_a_row_that_differs_from_its_twin_is_told_with_both(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute(f"UPDATE lease SET epoch = 7, host = NULL WHERE {OF_MAIN}")
        connection.execute("DELETE FROM lease WHERE exchange = 'coinbase'")
        connection.execute("DELETE FROM asset_twin WHERE asset = 'BTC'")
    told = [(fault.where, fault.what) for fault in audit(damaged).faults]
    assert sorted(told) == [
        ("asset", "has BTC, which asset_twin lacks"),
        ("lease", "lacks coinbase main, which lease_twin has"),
        ("lease.epoch", "of kraken main is 7, lease_twin has 1"),
        ("lease.host", "of kraken main is None, lease_twin has ''"),
    ]


def test_what_is_written_rightly_is_right_again(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute(f"UPDATE lease_twin SET holder = 'ghost' WHERE {OF_MAIN}")
        connection.execute("DELETE FROM lease_twin WHERE exchange = 'coinbase'")
        connection.execute("DELETE FROM asset WHERE asset = 'BTC'")
    assert not audit(damaged).ok
    with Ledger.open(damaged, durable=False, now_ns=START_NS) as journal:
        for account in (MAIN, OTHER):
            journal.take_lease(account, "trader", START_NS, LEASE_NS)
        journal.register_assets({"BTC": 8})
    assert audit(damaged).ok


def test_every_way_of_writing_writes_twice(lasting: str) -> None:
    with opened(lasting) as ledger:
        outbox = Outbox(ledger)
        outbox.register("bus")
        outbox.register("gone")
        outbox.remove("gone")
        ledger.renew_lease(MAIN, 5, 10)
        ledger.release_lease(MAIN, 6)
        with ledger.transaction() as storage:
            storage.execute("INSERT INTO hold_run VALUES ('kraken', 'main', 'BTC/USD', 1, 2, 3, 4)")
            storage.execute("INSERT INTO hold_run VALUES ('kraken', 'main', 'BTC/USD', 5, 9, 3, 4)")
        assert ledger.prune_hold_runs(5) == 1
        with ledger.reading() as storage:
            for table, twin in TWINS.items():
                names = ", ".join(twin.columns.keys())
                rows = storage.execute(f"SELECT {names} FROM {table.name}").fetchall()
                assert rows == storage.execute(f"SELECT {names} FROM {twin.name}").fetchall()
            counts = [storage.execute(f"SELECT count(*) FROM {twin.name}").fetchone()[0] for twin in TWINS.values()]
        assert counts == [1, 2, 1, 1, 0, 1]
