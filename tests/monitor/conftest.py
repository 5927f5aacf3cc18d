"""Homes to look at: one that the real paper trader left behind, and one whose ledger grows commit by commit."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit
from novapulse.engine.opening import opening_record
from novapulse.ledger.journal import Ledger
from novapulse.ops import health
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks, trader_of, world_of
from tests.killing import finish, make_home, start
from tests.ledger.conftest import postgresql, postgresql_server

__all__ = ["postgresql", "postgresql_server"]

BARS = 260


@pytest.fixture(scope="session")
def left_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a session of the paper trader with three accounts on two exchanges leaves behind; not to be written."""
    return _left(tmp_path_factory.getbasetemp())


@cache
def _left(folder: Path) -> Path:
    """Once, whoever uses the fixture."""
    home = make_home(folder / "monitor" / "home", BARS)
    finish(start(home), home)
    return home


@pytest.fixture
def paper_home(left_home: Path, tmp_path: Path) -> Path:
    """A copy of the same that a test may damage."""
    home = tmp_path / "copy"
    home.mkdir()
    for name in ("ledger.db", health.FILE):
        shutil.copy(left_home / name, home / name)
    return home


def beat(home: Path, age_s: float = 0.0, **changes: Any) -> None:
    """Write the health document of the home once more, as if by a trader that runs and spoke so long ago."""
    path = home / health.FILE
    document = json.loads(path.read_text())
    document |= {"running": True, "healthy": True, "heartbeat_ns": time.time_ns() - round(age_s * 1e9), **changes}
    health.write(path, document)


def bodies(home: Path, account: AccountKey, kind: str) -> list[dict[str, Any]]:
    """Return the bodies of one kind, read without any of our code."""
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        query = "SELECT body FROM event WHERE exchange = ? AND account_id = ? AND kind = ? ORDER BY seq"
        rows = ledger.execute(query, (account.exchange, account.account_id, kind)).fetchall()
    return [json.loads(body) for (body,) in rows]


@pytest.fixture(scope="session")
def lived() -> tuple[dict[str, int], list[Commit]]:
    """A whole engine in virtual time: the scales of its assets, and every commit that it made, states included."""
    trader = trader_of(["BTC/USD", "ETH/USD"])
    ticks = noisy_ticks(["BTC/USD", "ETH/USD"], bars=160)
    world, node, journal = world_of(trader)
    opening = Commit((opening_record(trader, ORIGIN_NS),))
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]) + 90 * SECOND_NS)
    return dict(trader.desk.scales), [opening, *(commit for _, commit in journal.commits)]


@pytest.fixture(params=["file", "postgresql"])
def growing(
    request: pytest.FixtureRequest, tmp_path: Path, lived: tuple[dict[str, int], list[Commit]]
) -> Iterator[Any]:
    """A home whose ledger lies on each storage, the ledger, open for writing and empty, and where it lies."""
    where = str(tmp_path / "ledger.db") if request.param == "file" else str(request.getfixturevalue("postgresql"))
    with Ledger.open(where, durable=False, now_ns=1) as ledger:
        ledger.register_assets(lived[0])
        ledger.take_lease(ACCOUNT, "test", ORIGIN_NS, 10**18)
        yield tmp_path, ledger, where
