import numpy as np
import pytest

from novapulse.market.book.columns import BookColumns, BookProblem, problems

NAN = float("nan")
GOOD = ([99.0, 98.0], [1.0, 1.0], [100.0, 101.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("bid", "bid_qty", "ask", "ask_qty", "wanted"),
    [
        (*GOOD, BookProblem.NONE),
        ([99.0, NAN], [1.0, NAN], [100.0, NAN], [1.0, NAN], BookProblem.NONE),
        ([NAN, NAN], [NAN, NAN], *GOOD[2:], BookProblem.EMPTY),
        ([100.0, 98.0], *GOOD[1:], BookProblem.CROSSED),
        ([98.0, 99.0], *GOOD[1:], BookProblem.UNORDERED),
        ([99.0, 99.0], *GOOD[1:], BookProblem.UNORDERED),
        (*GOOD[:2], [101.0, 100.0], [1.0, 1.0], BookProblem.UNORDERED),
        ([99.0, 98.0], [1.0, 0.0], *GOOD[2:], BookProblem.INVALID),
        ([99.0, -1.0], [1.0, 1.0], *GOOD[2:], BookProblem.INVALID),
        (*GOOD[:2], [100.0, float("inf")], [1.0, 1.0], BookProblem.INVALID),
    ],
)
def test_what_is_wrong_is_named(
    bid: list[float], bid_qty: list[float], ask: list[float], ask_qty: list[float], wanted: BookProblem
) -> None:
    rows = [np.array([column]) for column in (bid, bid_qty, ask, ask_qty)]
    assert problems(*rows).tolist() == [wanted]


def test_columns_that_do_not_fit_are_refused() -> None:
    two, moments = np.ones((2, 3)), np.arange(2)
    with pytest.raises(ValueError, match="one shape"):
        BookColumns(moments, two, two, two, np.ones((2, 4)), np.zeros(2, np.int8))
    with pytest.raises(ValueError, match="2 books have 3 moments"):
        BookColumns(np.arange(3), two, two, two, two, np.zeros(2, np.int8))
    with pytest.raises(ValueError, match="back in time"):
        BookColumns(moments[::-1], two, two, two, two, np.zeros(2, np.int8))
