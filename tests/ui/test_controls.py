"""Forms of settings: untouched they are the configuration, wrong ones are told in sentences that name the key."""

from typing import Any

import pytest

from novapulse.config import Settings
from novapulse.strategies import STRATEGIES
from novapulse.ui import controls


def read(values: dict[str, Any], settings: Settings | None = None) -> tuple[Settings | None, list[str]]:
    settings = settings or Settings()
    form = controls.elements(settings, STRATEGIES)
    unknown = set(values) - set(form.value)
    assert not unknown, f"the form has no {unknown}"
    return controls.read({**form.value, **values}, settings, STRATEGIES)


ODD = Settings.model_validate(
    {
        "capital": 12_345.678,
        "risk": {"sizing": {"risk_fraction": 0.004321}, "stops": {"stop_atr": 17.77}},
        "execution": {"maker_fee_bps": 1.23456789, "taker_fee_bps": 4.5},
        "confluence": {"weights": {"keltner": 2.5, "trend": 1 / 3}},
    }
)


@pytest.mark.parametrize("settings", [Settings(), ODD], ids=["shipped", "between all steps"])
def test_an_untouched_form_is_the_configuration_itself(settings: Settings):
    said, problems = read({}, settings)
    assert problems == []
    assert said == settings
    assert said.hash == settings.hash


def test_each_widget_sets_the_key_it_is_named_after():
    said, problems = read(
        {
            "risk.sizing.risk_fraction": 1.0,
            "confluence.timeframe_multiples": "1; 10, 30",
            "execution.maker_fee_bps": " 1 ",
            "execution.taker_fee_bps": "2.5",
            "execution.entry_order": "market",
            "on:keltner": False,
            "weight:trend": 0.5,
        }
    )
    assert problems == []
    assert said is not None
    assert said.risk.sizing.risk_fraction == 0.01
    assert said.confluence.timeframe_multiples == (1, 10, 30)
    assert (said.execution.maker_fee_bps, said.execution.taker_fee_bps) == (1.0, 2.5)
    assert said.execution.entry_order == "market"
    assert "keltner" not in said.confluence.shares
    assert said.confluence.weights["trend"] == 0.5


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"capital": 0}, "capital", "greater than 0"),
        ({"capital": None}, "capital", "it is empty"),
        ({"risk.stops.trail_start_r": 0.5}, "risk.stops", "would trail before it breaks even"),
        ({"execution.maker_fee_bps": "3"}, "execution", "taker_fee_bps is not"),
        ({"execution.maker_fee_bps": "cheap"}, "execution.maker_fee_bps", "'cheap' is not a number"),
        ({"execution.maker_fee_bps": "nan", "execution.taker_fee_bps": "1"}, "execution.maker_fee_bps", "finite"),
        ({"confluence.timeframe_multiples": "1, 5"}, "confluence", "timeframe_weights has 3 numbers"),
        ({"confluence.timeframe_multiples": " "}, "confluence.timeframe_multiples", "it is empty"),
        ({"risk.limits.positions_max": 2.5}, "risk.limits.positions_max", "integer"),
        ({"execution.latency_ms": 70_000}, "execution.latency_ms", "after the next bar"),
        ({f"on:{name}": False for name in STRATEGIES}, "confluence.weights", "at least one"),
        ({"weight:keltner": 0.0}, "Keltner", "weight 0"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_one_sentence_that_names_the_key(values: dict[str, Any], key: str, said: str):
    settings, problems = read(values)
    assert settings is None
    assert len(problems) == 1
    assert key in problems[0]
    assert said in problems[0]
    assert "\n" not in problems[0]


def test_several_wrong_fields_are_told_at_once():
    assert len(read({"capital": None, "execution.maker_fee_bps": "x"})[1]) == 2


@pytest.mark.parametrize("control", controls.CONTROLS.values(), ids=lambda control: control.key)
def test_no_slider_offers_what_its_setting_refuses(control: controls.Control):
    widget = controls.elements(Settings(), STRATEGIES)[control.key]
    low, high = controls.bounds(controls.field_at(control.key))
    if control.kind != "slider":
        return
    assert low is None or widget.start >= low * control.per - 1e-9
    assert high is None or widget.stop <= high * control.per + 1e-9
    assert widget.start <= controls.value_at(Settings(), control.key) * control.per <= widget.stop
