"""A session that waited for the machine's clock, and wrote in a thread of its own.

When its orders reached the venue was up to the machine, and no record says it: run again, what differs is what came of
that, and nothing else. What it decided is made again bit for bit.
"""

from pathlib import Path

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.market.lake import Lake
from novapulse.market.recorder import SESSIONS
from novapulse.parity.causes import OBSERVED, Cause
from novapulse.parity.kept import Kept
from novapulse.parity.ladder import session_rung
from novapulse.parity.rederive import rederive
from novapulse.parity.sessions import replay_session
from novapulse.strategies import STRATEGIES
from tests.killing import ACCOUNTS, finish, make_home, play_at, start

BARS = 120
SPEED = 10.0
REDERIVED = 3


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("paced") / "home", BARS, {"breakers": {"bar_age_bars_max": 1000.0}})
    play_at(home, SPEED)
    assert finish(start(home), home)["clean_stop"]
    return home


@pytest.mark.parametrize("account", [AccountKey(one["exchange"], one["account_id"]) for one in ACCOUNTS], ids=str)
def test_a_paced_session_heard_what_it_recorded_and_differs_from_its_replay_by_delays_alone(
    paced: Path, account: AccountKey
) -> None:
    lake = Lake(paced / "lake")
    with Kept(paced / "ledger.db") as kept:
        (session,) = kept.sessions(account)
        run = replay_session(kept, session, lake, STRATEGIES, None, paced / SESSIONS)
        decided = [one.record.body for one in kept.records(account, kinds=("decision_taken",))]
        made = [rederive(kept, body["decision_id"], lake, STRATEGIES) for body in decided if body["inputs"]][:REDERIVED]
    assert len(made) == REDERIVED
    assert all(one.is_shown for one in made)
    assert run.changed == ()
    assert len(run.heard.ticks) == BARS - 1
    deeds = [one for one in session_rung(run).differences if one.kind not in OBSERVED and one.instrument is not None]
    assert {one.cause for one in deeds if not one.follows} <= {Cause.DELAY}
