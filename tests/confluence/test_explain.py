"""The explanation of a bar recomputes the consensus in plain Python; it must be the pipeline's, to the bit."""

import json
from pathlib import Path

import numpy as np
import pytest

from novapulse.confluence import ConfluenceError, ConfluenceSettings
from novapulse.confluence.explain import explain
from novapulse.confluence.narrate import lines
from novapulse.confluence.pipeline import NAMELESS, signals
from novapulse.confluence.plan import prepare
from novapulse.core.bars import BarColumns
from novapulse.strategies import STRATEGIES
from tests.strategies.markets import recorded

PLAN = prepare(ConfluenceSettings(), STRATEGIES)


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> BarColumns:
    return recorded(shared_data, "binance_SOL-USDT_1m")


@pytest.mark.parametrize("with_book", [False, True])
def test_recomputed_in_plain_python_it_is_the_consensus_to_the_bit_r_14(bars: BarColumns, with_book: bool) -> None:
    rng = np.random.default_rng(17)
    drawn = np.where(rng.random(len(bars)) < 0.5, np.nan, rng.uniform(-20, 20, len(bars)))
    book = drawn if with_book else None
    said, rows = signals(bars, books=book)
    asked = [50, 22_000, *rng.choice(np.flatnonzero(said.sure_fire), 10), *rng.integers(23_300, len(bars), 40)]
    for row in map(int, asked):
        opinion = float("nan") if book is None else float(book[row])
        record = explain(bars, PLAN, rows, key=NAMELESS, row=row, book_forecast=opinion)
        lead = said.lead[row]
        assert record["consensus"] == said.consensus[row]
        assert record["confidence"] == said.confidence[row]
        assert record["warm"] == said.warm[row]
        assert record["lead"] == (None if lead < 0 else said.strategies[lead])
        assert record["sure_fire"]["label"] == said.sure_fire[row]
        assert record["calibration"]["id"] == rows[said.calibration[row]].id
        assert record["atr"] == (None if np.isnan(said.atr[row]) else said.atr[row])
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_what_it_says_is_missing_would_have_been_enough(bars: BarColumns) -> None:
    said, rows = signals(bars)
    size = np.abs(said.consensus)
    row = int(np.flatnonzero(said.warm & (size > 3.0) & (size < 4.9))[7])
    record = explain(bars, PLAN, rows, key=NAMELESS, row=row, entry_forecast_min=5.0)
    assert not record["entry"]["reached"]
    factor = record["diversification"] * record["agreement_multiplier"]
    tried = 0
    for strategy in record["strategies"]:
        needed = record["entry"]["forecast_needed_of_one"][strategy["name"]]
        if needed is not None:
            moved = record["weighted_mean"] + strategy["share_of_weight"] * (needed - strategy["forecast"])
            assert abs(factor * moved) == pytest.approx(5.0)
            tried += 1
    assert tried
    assert record["entry"]["short_by"] == pytest.approx(5.0 - size[row])


def test_every_vote_is_told_under_the_name_of_its_producer_v_2(bars: BarColumns) -> None:
    said, rows = signals(bars)
    row = int(np.flatnonzero(said.sure_fire)[0])
    text = "\n".join(lines(explain(bars, PLAN, rows, key=NAMELESS, row=row)))
    for name in STRATEGIES:
        for width in ("1m", "5m", "15m"):
            assert text.count(f"\n{name}@{width} ") == 1
    assert "\nsure-fire\n" in text
    assert rows[said.calibration[row]].id in text
    cold = lines(explain(bars, PLAN, rows, key=NAMELESS, row=7_400))
    assert cold[-1].startswith("no consensus: 15m not warm") or "5m, 15m not warm" in cold[-1]


def test_a_bar_that_is_not_there_is_refused(bars: BarColumns) -> None:
    _, rows = signals(bars[:3_000])
    with pytest.raises(ConfluenceError, match="there is no bar 3000 among 3000"):
        explain(bars[:3_000], PLAN, rows, key=NAMELESS, row=3_000)
