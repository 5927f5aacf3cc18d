"""Recorded books on a page: refused ones are named, and nothing is said of moments beyond a hole."""

import numpy as np
import pytest

from novapulse.market.book.columns import BookColumns, problems
from novapulse.market.book.features import features
from novapulse.market.tape import Tape
from novapulse.ui.notebooks import book, book_view
from novapulse.ui.notebooks.book import Watched
from novapulse.ui.notebooks.work import Came

SECOND_NS = 1_000_000_000


def tape_of(mids: list[float], seconds: list[int], crossed: tuple[int, ...] = ()) -> Watched:
    mid = np.array(mids)[:, None]
    steps = np.array([0.5, 1.0, 1.5])
    bid, ask = mid - steps, mid + steps
    for row in crossed:
        bid[row, 0] = ask[row, 0] + 1.0
    qty = np.ones_like(bid)
    columns = (bid, qty, ask, qty)
    books = BookColumns(np.array(seconds) * SECOND_NS, *columns, problems(*columns))
    return Watched("BTC/USDT", 1000, Tape(books, len(mids), 0), features(books))


def test_refused_books_are_named_and_those_in_a_row_are_one():
    watched = tape_of([100.0] * 6, list(range(1, 7)), crossed=(1, 2, 5))
    found = book.refused(watched.books)
    assert [(one.problem.name, one.books) for one in found] == [("CROSSED", 2), ("CROSSED", 1)]
    assert book.refused(tape_of([100.0], [1]).books) == []
    assert "crossed" in book_view.refused(Came(watched)).text
    assert book_view.moment_tiles(watched, 1)[0]["value"] == "crossed"


def test_moves_are_those_of_the_mid_and_unknown_over_holes_and_refused_books():
    watched = tape_of([100.0, 101.0, 102.0, 103.0, 104.0], [1, 2, 3, 30, 31], crossed=(4,))
    moved = book.moves(watched, 1)
    assert moved[:2] == pytest.approx([100.0, (102 / 101 - 1) * 1e4])
    assert np.isnan(moved[2:]).all()


def test_a_score_that_leads_the_price_correlates():
    chance = np.random.default_rng(3)
    watched = tape_of(list(100.0 + np.cumsum(chance.normal(0, 0.05, 400))), list(range(1, 401)))
    changed = np.diff(watched.features["mid"], append=np.nan)
    watched.features["score"] = changed
    told = book.predicted(watched, 1)
    assert told.correlations["score"] > 0.99
    assert told.known == 399


def test_the_ladder_gets_the_best_levels_first():
    state = book_view.ladder_state(tape_of([100.0], [1]), 0)
    assert state["bids"][0] == [99.5, 1.0]
    assert state["asks"][0] == [100.5, 1.0]
    assert "imbalance" not in state, "a bug: the ladder drew the weighed feature as the share of what it shows"


def test_money_in_reach_is_money_of_something():
    tiles = {one["label"]: one for one in book_view.moment_tiles(tape_of([100.0], [1]), 0)}
    assert tiles["bid depth"]["unit"] == tiles["ask depth"]["unit"] == "USDT"
    ladder = book_view.ladder_state(tape_of([100.0], [1]), 0)
    assert (ladder["base"], ladder["quote"]) == ("BTC", "USDT")
