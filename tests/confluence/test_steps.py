"""What is shown between votes and consensus adds up as it is shown, with a pencil."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse.confluence import ConfluenceSettings
from novapulse.confluence.explain import Record, explain
from novapulse.confluence.pipeline import NAMELESS, signals
from novapulse.confluence.plan import prepare
from novapulse.confluence.steps import (
    CONSENSUS_DIGITS,
    FACTOR_DIGITS,
    FORECAST_DIGITS,
    Step,
    signed,
    steps,
    vote_rows,
    weight_rows,
)
from novapulse.core.bars import BarColumns
from novapulse.strategies import STRATEGIES
from tests.strategies.markets import recorded

PLAN = prepare(ConfluenceSettings(), STRATEGIES)
LAST_FORECAST, LAST_CONSENSUS = Decimal(1).scaleb(-FORECAST_DIGITS), Decimal(1).scaleb(-CONSENSUS_DIGITS)


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> BarColumns:
    return recorded(shared_data, "binance_SOL-USDT_1m")


def shown(value: float, digits: int) -> Decimal:
    return Decimal(f"{value:.{digits}f}")


def figure(text: str) -> Decimal:
    return Decimal(text.replace("\N{MINUS SIGN}", "-").strip("\N{MULTIPLICATION SIGN}\N{PLUS-MINUS SIGN} "))


def records(bars: BarColumns, *, with_book: bool) -> list[Record]:
    rng = np.random.default_rng(31)
    book = np.where(rng.random(len(bars)) < 0.3, np.nan, rng.uniform(-20, 20, len(bars))) if with_book else None
    said, rows = signals(bars, books=book)
    strongest = np.argsort(-np.abs(said.consensus))[:5]
    asked = [*strongest, *rng.choice(np.flatnonzero(said.warm), 30)]
    nothing = float("nan")
    return [
        explain(bars, PLAN, rows, key=NAMELESS, row=int(row), book_forecast=nothing if book is None else book[row])
        for row in asked
    ]


@pytest.mark.parametrize("with_book", [False, True])
def test_a_reader_adds_up_what_is_shown(bars: BarColumns, with_book: bool) -> None:
    capped = weakened = 0
    for record in records(bars, with_book=with_book):
        forecasts: dict[str, Decimal] = {}
        for vote in vote_rows(record):
            adds = shown(vote["adds"], FORECAST_DIGITS)
            made = shown(vote["scaled"], FORECAST_DIGITS) * shown(vote["share"], FACTOR_DIGITS)
            assert abs(made - adds) <= 2 * LAST_FORECAST
            forecasts[vote["strategy"]] = forecasts.get(vote["strategy"], Decimal(0)) + adds
        rows = weight_rows(record)
        assert len(rows) == len(STRATEGIES) + (record["book"] is not None)
        for row in rows:
            said = shown(row["forecast"], FORECAST_DIGITS)
            assert abs(forecasts.get(row["name"], said) - said) <= 3 * LAST_FORECAST
            adds = shown(row["adds"], FORECAST_DIGITS)
            assert abs(said * shown(row["share"], FACTOR_DIGITS) - adds) <= 2 * LAST_FORECAST
        total = sum(shown(row["adds"], FORECAST_DIGITS) for row in rows)
        assert abs(sum(shown(row["share"], FACTOR_DIGITS) for row in rows) - 1) < Decimal("0.0001")
        told = {one.name: one for one in steps(record)}
        assert [*told][-1] == "consensus"
        mean = figure(told["weighted mean"].figure)
        assert abs(total - mean) <= len(rows) * LAST_FORECAST / 2
        product = mean * figure(told["diversification multiplier"].figure) * figure(told["timeframe agreement"].figure)
        assert abs(product - figure(told["product"].figure)) <= 3 * LAST_FORECAST
        cap = figure(told["cap"].figure)
        consensus = min(max(figure(told["product"].figure), -cap), cap)
        assert abs(consensus - figure(told["consensus"].figure)) <= LAST_CONSENSUS
        assert abs(figure(told["consensus"].figure) - Decimal(record["consensus"])) <= LAST_CONSENSUS
        capped += told["cap"].how == "cuts it"
        weakened += figure(told["timeframe agreement"].figure) < 1
    assert capped
    assert weakened


def test_the_gate_is_a_step_where_one_was_asked(bars: BarColumns) -> None:
    record: dict[str, Any] = records(bars, with_book=False)[0]
    assert steps({**record, "gate_probability": None})[-1][:2] == ("entry gate", "abstained")
    asked = steps({**record, "gate_probability": 0.625})[-1]
    assert asked == Step("entry gate", "0.62500", "how probable it is that the trade wins")


def test_nothing_has_no_sign() -> None:
    assert [signed(value, 2) for value in (0.0, -0.001, 1.5, -1.5)] == ["0.00", "0.00", "+1.50", "\N{MINUS SIGN}1.50"]
