"""The generated order book: the same for the same seed, never crossed, and lost once."""

from pathlib import Path

import numpy as np
import pytest

from novapulse.market.book.columns import BookProblem
from novapulse.market.sample_tape import sample_tape, write_sample_tape
from novapulse.market.tape import read_tape


def test_the_same_seed_is_the_same_tape_and_another_is_another():
    assert sample_tape(3, 20).equals(sample_tape(3, 20))
    assert not sample_tape(3, 20).equals(sample_tape(4, 20))


@pytest.mark.parametrize("seed", range(5))
def test_it_plays_as_a_recorded_book_does(tmp_path: Path, seed: int):
    path = tmp_path / "deeper" / "sample_BTC-USD_l2.parquet"
    write_sample_tape(path, seed, 60)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    tape = read_tape(path, 50, 100)
    problem = tape.books.problem
    assert tape.gaps == 1
    assert {BookProblem(int(one)) for one in np.unique(problem)} == {BookProblem.NONE, BookProblem.GAP}
    assert (problem == BookProblem.NONE).sum() > 500
    good = problem == BookProblem.NONE
    assert (tape.books.bid_price[good, 0] < tape.books.ask_price[good, 0]).all()
    assert np.isfinite(tape.books.bid_price[good]).all(), "fifty levels of each side are there"


@pytest.mark.parametrize(("seed", "seconds"), [(-1, 60), (0, 9)])
def test_what_it_cannot_generate_is_an_error(seed: int, seconds: int):
    with pytest.raises(ValueError, match="a sample tape needs"):
        sample_tape(seed, seconds)
