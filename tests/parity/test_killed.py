"""`kill -9` of the real paper trader: every session of it is run again bit for bit, up to its last durable record."""

import random
from pathlib import Path

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.market.lake import Lake
from novapulse.market.recorder import SESSIONS
from novapulse.market.sample import START_NS
from novapulse.parity.kept import Kept
from novapulse.parity.ladder import session_rung
from novapulse.parity.recorded import beginnings_in
from novapulse.parity.sessions import replay_session
from novapulse.strategies import STRATEGIES
from tests.killing import ACCOUNTS, WARM_BARS, WIDTH_NS, kill_at, make_home

BARS = 400
KILLS = 5
FIRST_NS = START_NS + (WARM_BARS + 2) * WIDTH_NS


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("killed") / "home", BARS)
    chance = random.Random(1)
    moments = [FIRST_NS + chance.randrange(BARS - 4) * WIDTH_NS for _ in range(KILLS)]
    assert kill_at(home, moments, chance).kills >= KILLS - 1
    return home


@pytest.mark.parametrize("account", [AccountKey(one["exchange"], one["account_id"]) for one in ACCOUNTS], ids=str)
def test_every_session_of_a_trader_that_was_killed_is_its_replay(killed: Path, account: AccountKey) -> None:
    with Kept(killed / "ledger.db") as kept:
        sessions = kept.sessions(account)
        assert len(sessions) >= KILLS
        found = beginnings_in(killed / SESSIONS, kept.ledger_id, account)
        assert len(found) >= len(sessions)
        assert len({one.venue for one in found}) > 2
        for session in sessions:
            run = replay_session(kept, session, Lake(killed / "lake"), STRATEGIES, None, killed / SESSIONS)
            rung = session_rung(run)
            assert rung.holds, (session.first_seq, rung.differences[:3])
            assert run.compared.moments_equal == run.compared.session == run.compared.replay
            was_killed = session is not sessions[-1]
            assert (run.script.last is not None) == was_killed
            if was_killed:
                assert "it ended without a stop behind its last record (restart)" in rung.text
        assert run.compared.by_kind["fill_booked"][0] > 5
