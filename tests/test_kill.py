"""`kill -9` at any moment: the books are those of a trader that nobody killed.

Eight kills in the test run; `just kills 200` for more.
"""

import os
import random
import shutil
from pathlib import Path

import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.market.sample import START_NS
from tests.killing import WARM_BARS, WIDTH_NS, books_of, check_books, finish, kill_at, make_home, start

KILLS = int(os.environ.get("KILLS", "8"))
BARS = max(1200, 30 * KILLS)
SEED = int(os.environ.get("KILL_SEED", "1"))


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
    first_ns = START_NS + (WARM_BARS + 2) * WIDTH_NS
    moments = [first_ns + chance.randrange(BARS - 4) * WIDTH_NS for _ in range(KILLS)]
    killed = kill_at(home, moments, chance)
    assert killed.kills >= KILLS * 0.9
    assert killed.said["clean_stop"]
    check_books(home)
    check_books(unkilled)
    wanted = books_of(unkilled)
    assert books_of(home) == wanted
    assert all(len(book.fills) > 10 for book in wanted.values())
    assert MINUTE_NS < WIDTH_NS
