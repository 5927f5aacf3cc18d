"""Alerts as they are read back: one row each, open or over."""

from pathlib import Path

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record, Severity
from novapulse.ledger.alerts import alerts
from novapulse.ledger.journal import Ledger
from novapulse.ledger.queries import UnknownAccountError, reading

MAIN, OTHER = AccountKey("kraken", "main"), AccountKey("coinbase", "main")


def raised(ts_ns: int, key: str, severity: str = "warning", times: int = 1) -> Record:
    return Record("alert_raised", ts_ns, {"severity": severity, "key": key, "text": f"{key} is bad", "times": times})


def cleared(ts_ns: int, key: str) -> Record:
    return Record("alert_cleared", ts_ns, {"key": key, "text": f"{key} is well"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "ledger.db"
    with_ = {
        MAIN: [
            raised(10, "feed"),
            cleared(20, "feed"),
            raised(30, "halt", "critical"),
            raised(40, "feed"),
            raised(50, "halt", "critical", 2),
            Record("alert_acknowledged", 60, {"key": "halt", "actor": "ann"}),
            cleared(70, "never raised"),
        ],
        OTHER: [raised(35, "disk"), cleared(45, "disk")],
    }
    ledger = Ledger.open(where)
    for account, records in with_.items():
        ledger.take_lease(account, "test", 1, 10**18)
        ledger.commit([(account, Commit(tuple(records)))])
    ledger.close()
    return where


def test_an_alert_is_one_row_from_its_beginning_to_its_end(path: Path) -> None:
    with reading(path) as connection:
        found = alerts(connection, MAIN)
    assert [(row.key, row.raised_ns, row.over_ns, row.times) for row in found] == [
        ("feed", 10, 20, 1),
        ("halt", 30, None, 2),
        ("feed", 40, None, 1),
    ]
    assert (found[0].severity, found[0].text, found[0].over_text) == (Severity.WARNING, "feed is bad", "feed is well")
    assert (found[1].severity, found[1].acknowledged_ns, found[1].acknowledged_by) == (Severity.CRITICAL, 60, "ann")


def test_old_ones_are_left_out_unless_they_are_open(path: Path) -> None:
    with reading(path) as connection:
        assert [(row.account, row.key) for row in alerts(connection, since_ns=35)] == [
            (MAIN, "halt"),
            (OTHER, "disk"),
            (MAIN, "feed"),
        ]
        assert [row.key for row in alerts(connection, since_ns=1000) if row.is_open] == ["halt", "feed"]
        with pytest.raises(UnknownAccountError):
            alerts(connection, AccountKey("kraken", "nobody"))
