"""Parameters as widgets: untouched they are what was configured; what cannot be is a sentence."""

from dataclasses import dataclass
from typing import Any

import pytest

from novapulse.strategies import STRATEGIES, trend
from novapulse.ui.notebooks import parameters


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_untouched_form_is_the_configured_strategy(name: str):
    made: Any = STRATEGIES[name].Params
    read, changed, wrong = parameters.read(made, {}, parameters.form_of(made, {}).value)
    assert (read, changed, wrong) == (made(), {}, [])


def test_what_is_configured_is_where_the_form_begins():
    given = {"fast_bars": 7}
    form = parameters.form_of(trend.Params, given)
    assert form.value["fast_bars"] == 7
    read, changed, _ = parameters.read(trend.Params, given, {**form.value, "slow_bars": 40})
    assert (read.fast_bars, read.slow_bars) == (7, 40)
    assert changed == {"fast_bars": 7, "slow_bars": 40}


def test_bounds_are_the_strategys_own():
    by_name = {one.name: one for one in parameters.parameters_of(trend.Params, {})}
    assert (by_name["fast_bars"].low, by_name["fast_bars"].high) == (3, 40)


def test_what_cannot_be_names_its_key():
    read, _, wrong = parameters.read(trend.Params, {}, {"fast_bars": 41})
    assert read is None
    assert "fast_bars" in wrong[0]


@dataclass(frozen=True)
class Own:
    span_bars: int = 10
    is_quick: bool = True

    def __post_init__(self) -> None:
        if self.span_bars == 13:
            raise RuntimeError("unlucky")


def test_a_dataclass_of_ones_own_works_and_may_refuse():
    form = parameters.form_of(Own, {})
    assert set(form.value) == {"span_bars", "is_quick"}
    assert parameters.read(Own, {}, {**form.value, "span_bars": 20})[0] == Own(20)
    read, _, wrong = parameters.read(Own, {}, {"span_bars": 13})
    assert read is None
    assert "unlucky" in wrong[0]


def test_names_are_written_as_people_say_them():
    assert parameters.label_of("range_rsi_gate") == "Range RSI gate"
