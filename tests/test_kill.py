"""`kill -9` at any moment: nothing is lost and nothing is done twice.

Of a trader that plays as fast as it can, in one thread, the books are those of one that nobody killed. One that waits
for the machine's clock and writes in a thread of its own decides at the same closes, but how far the market has gone
when an order arrives depends on the machine: its books are those of its venues. Eight kills in the test run;
`just kills 200` for more, a quarter of them of the second kind.
"""

import os
import random
import shutil
from pathlib import Path

import pytest

from novapulse.market.sample import START_NS
from tests.killing import WARM_BARS, WIDTH_NS, books_of, check_books, finish, kill_at, make_home, start

KILLS = int(os.environ.get("KILLS", "8"))
PACED = max(KILLS // 4, 1)
AT_ONCE = KILLS - PACED
BARS = max(1200, 30 * AT_ONCE)
SEED = int(os.environ.get("KILL_SEED", "1"))
FIRST_NS = START_NS + (WARM_BARS + 2) * WIDTH_NS

SPEED = 50.0
"""Bars a second: slow enough that most answers come before the next bar, fast enough that many bars come."""


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("kill") / "unkilled", BARS)
    said = finish(start(home), home)
    assert said["clean_stop"]
    assert said["closes"] == 2 * (BARS - 1)
    return home


def test_killed_at_random_moments_its_books_are_those_of_an_unkilled_run(unkilled: Path, tmp_path: Path) -> None:
    home = tmp_path / "killed"
    home.mkdir()
    shutil.copytree(unkilled / "lake", home / "lake")
    shutil.copy(unkilled / "config.yaml", home)
    chance = random.Random(SEED)
    print(f"KILLS={KILLS} KILL_SEED={SEED}")
    killed = kill_at(home, [FIRST_NS + chance.randrange(BARS - 4) * WIDTH_NS for _ in range(AT_ONCE)], chance)
    assert killed.kills >= AT_ONCE * 0.9
    assert killed.said["clean_stop"]
    check_books(home)
    check_books(unkilled)
    wanted = books_of(unkilled)
    assert books_of(home) == wanted
    assert all(len(book.fills) > 10 for book in wanted.values())


def test_killed_while_it_waits_and_writes_in_two_threads_its_books_are_those_of_its_venues(tmp_path: Path) -> None:
    bars = max(300, 40 * PACED)
    # On a slow machine a bar of 20 ms is old when it is heard; what is looked at here is not who may trade then.
    home = make_home(tmp_path / "paced", bars, {"breakers": {"bar_age_bars_max": 1000.0}})
    chance = random.Random(SEED)
    print(f"KILLS={KILLS} KILL_SEED={SEED}")
    # One moment in each stretch of the feed: every life has closes to decide before it is killed.
    stretch = (bars - 40) // PACED
    moments = [FIRST_NS + (stretch * life + 20 + chance.randrange(stretch - 20)) * WIDTH_NS for life in range(PACED)]
    killed = kill_at(home, moments, chance, SPEED)
    assert killed.kills >= PACED * 0.9
    assert killed.said["clean_stop"]
    check_books(home)
    assert all(len(book.fills) > 5 for book in books_of(home).values())
