"""The combination of votes that are known, on bars set up by hand."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from novapulse.confluence.combine import Known, Rules, Said, SignalColumns, combine

NORMAL = 1
SHARES = (0.25, 0.75)
RULES = Rules(np.array([0.5, 1.0]), 0.5, 2.0, 3, 0.6)


def said_of(forecasts: list[list[float]], weights: list[float], book: float | None = None) -> SignalColumns:
    """One bar: the same forecasts (one list per timeframe) on as many strategies, diversification 1."""
    votes = np.array([[SHARES[t] * value for t, value in enumerate(of_one)] for of_one in zip(*forecasts, strict=True)])
    known = Known(
        votes,
        np.arange(len(forecasts)).reshape(-1, 1),
        np.array([NORMAL], np.int8),
        np.zeros(0) if book is None else np.array([book]),
        np.zeros(1, np.int64),
        np.tile(np.array(weights), (1, 6, 1)),
        np.ones(1),
    )
    return combined(known, RULES)


def combined(known: Known, rules: Rules) -> SignalColumns:
    out = SignalColumns.empty(known.calibration.size, ())
    combine(known, rules, Said(out.consensus, out.confidence, out.lead, out.warm, out.sure_fire))
    return out


def test_all_abstain_and_nobody_leads() -> None:
    said = said_of([[0.0, 0.0], [0.0, 0.0]], [0.5, 0.5])
    assert (said.consensus[0], said.confidence[0], said.lead[0], said.sure_fire[0]) == (0.0, 0.0, -1, False)
    assert said.warm[0]


def test_a_lone_weak_opinion_stays_weak() -> None:
    said = said_of([[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]], [0.2, 0.4, 0.4])
    assert said.consensus[0] == pytest.approx(0.4)
    assert (said.confidence[0], said.lead[0]) == (1.0, 0)


def test_weighted_mean_confidence_and_lead_by_hand() -> None:
    said = said_of([[8.0, -6.0, 4.0], [8.0, -6.0, 4.0]], [0.2, 0.2, 0.6])
    assert said.consensus[0] == pytest.approx(1.6 - 1.2 + 2.4)
    assert said.confidence[0] == pytest.approx(4.0 / 5.2)
    assert said.lead[0] == 2


def test_fewer_agreeing_timeframes_weigh_less() -> None:
    both, one = said_of([[4.0], [4.0]], [1.0]), said_of([[-4.0], [4.0]], [1.0])
    assert both.consensus[0] == pytest.approx(4.0)
    assert one.consensus[0] == pytest.approx(0.5 * (0.75 * 4.0 - 0.25 * 4.0))


def test_without_a_book_its_slot_is_absent_and_a_silent_book_is_not() -> None:
    forecasts, weights = [[6.0, 6.0], [6.0, 6.0]], [0.5, 0.5]
    assert said_of(forecasts, weights, math.nan).consensus[0] == said_of(forecasts, weights).consensus[0] == 6.0
    assert said_of(forecasts, weights, 0.0).consensus[0] == pytest.approx(6.0 / 1.5)
    assert said_of(forecasts, weights, 12.0).consensus[0] == pytest.approx((6.0 + 0.5 * 12.0) / 1.5)
    assert said_of(forecasts, weights, -20.0).consensus[0] == pytest.approx(0.5 * (6.0 - 0.5 * 20.0) / 1.5)


BOOKS = {"none": None, "agrees": 1.0, "silent": 0.0, "against": -1.0}


@pytest.mark.parametrize(("enough", "confident", "book"), list(itertools.product([True, False], [True, False], BOOKS)))
def test_sure_fire_needs_all_its_conditions(enough: bool, confident: bool, book: str) -> None:
    third = 3.0 if enough else 1.0
    against = -1.0 if confident else -11.0
    values = [8.0, 3.0, third, against]
    said = said_of([values, values], [0.4, 0.2, 0.1, 0.3], BOOKS[book])
    assert said.consensus[0] > 0
    assert bool(said.sure_fire[0]) is (enough and confident and book in ("none", "agrees"))
    mirrored = [-value for value in values]
    flipped = None if BOOKS[book] is None else -BOOKS[book]
    assert said_of([mirrored, mirrored], [0.4, 0.2, 0.1, 0.3], flipped).sure_fire[0] == said.sure_fire[0]


def test_a_bar_that_is_not_warm_on_one_timeframe_says_nothing() -> None:
    votes = np.full((2, 4), 5.0)
    rows = np.array([[0, 1, 2], [3, -1, 3]])
    codes, zeros = np.full(3, NORMAL, np.int8), np.zeros(3, np.int64)
    said = combined(Known(votes, rows, codes, np.zeros(0), zeros, np.ones((1, 6, 2)), np.ones(1)), RULES)
    assert said.warm.tolist() == [True, False, True]
    assert said.consensus.tolist() == [10.0, 0.0, 10.0]


def test_bars_do_not_influence_each_other() -> None:
    rng = np.random.default_rng(5)
    count, strategies, timeframes = 1000, 8, 3
    votes = rng.normal(size=(strategies, 500)) * 6 * (rng.random((strategies, 500)) < 0.4)
    known = Known(
        votes,
        rng.integers(-1, 500, (timeframes, count)),
        rng.integers(0, 6, count).astype(np.int8),
        np.where(rng.random(count) < 0.5, np.nan, rng.uniform(-20, 20, count)),
        np.sort(rng.integers(0, 4, count)),
        rng.random((4, 6, strategies)),
        np.array([1.0, 1.5, 2.0, 2.5]),
    )
    rules = Rules(np.array([0.6, 0.85, 1.0]), 0.1, 2.0, 3, 0.6)
    whole = combined(known, rules)
    for row in (0, 1, 127, 128, 129, 640, 999):
        one = combined(_rows(known, slice(row, row + 1)), rules)
        for name in ("consensus", "confidence", "lead", "warm", "sure_fire"):
            assert getattr(one, name)[0] == getattr(whole, name)[row]


def _rows(known: Known, rows: slice) -> Known:
    taken: dict[str, NDArray[Any]] = {name: getattr(known, name)[rows] for name in ("regime", "book", "calibration")}
    return known._replace(rows=np.ascontiguousarray(known.rows[:, rows]), **taken)
