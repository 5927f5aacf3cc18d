"""Settings that contradict themselves, or name what does not exist, are refused by the name of the key."""

from typing import Any

import pytest
from pydantic import ValidationError

from novapulse.confluence import ConfluenceError, ConfluenceSettings
from novapulse.confluence.plan import prepare
from novapulse.strategies import STRATEGIES

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "negative weight": ({"weights": {"keltner": -0.1}}, "weights.keltner is -0.1"),
    "nothing weighed": ({"weights": {"keltner": 0.0}}, "weights are all zero"),
    "infinite weight": ({"weights": {"keltner": float("inf")}}, "weights.keltner"),
    "unknown key": ({"weigths": {}}, "weigths"),
    "scalar of nothing": ({"forecast_scalars": {"trend": 0.0}}, "forecast_scalars.trend is 0.0"),
    "family that is none": ({"families": {"mine": "magic"}}, "families.mine is 'magic'"),
    "timeframes descending": ({"timeframe_multiples": (5, 1, 15)}, "timeframe_multiples are [5, 1, 15]"),
    "weights for other timeframes": ({"timeframe_weights": (1.0,)}, "timeframe_weights has 1 numbers"),
    "stops of no timeframe": ({"stop_timeframe_multiple": 7}, "stop_timeframe_multiple is 7"),
    "tilt of more than half": ({"tilt": {"fraction": 0.6}}, "tilt.fraction"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_bad_settings_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ConfluenceSettings(**given)
    assert message in str(refused.value)


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": ({"weights": {"keltnr": 1.0}}, "weights.keltnr: no such strategy"),
    "parameters of no strategy": ({"parameters": {"keltnr": {}}}, "parameters.keltnr: no such strategy"),
    "parameter": ({"parameters": {"keltner": {"band": 3}}}, "parameters.keltner.band: "),
    "parameter out of range": ({"parameters": {"keltner": {"band_bars": -3}}}, "parameters.keltner.band_bars: "),
}


@pytest.mark.parametrize(("given", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_names_that_do_not_exist_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfluenceError) as refused:
        prepare(ConfluenceSettings(**given), STRATEGIES)
    assert str(refused.value).startswith(message)


def test_shipped_weights_are_shares_with_keltner_the_largest() -> None:
    shares = ConfluenceSettings().shares
    assert set(shares) == set(STRATEGIES)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["keltner"] == pytest.approx(0.30)
    assert max(shares, key=lambda name: shares[name]) == "keltner"


def test_a_strategy_of_weight_zero_is_not_run() -> None:
    assert prepare(ConfluenceSettings(weights={"trend": 3.0, "keltner": 0.0}), STRATEGIES).names == ("trend",)
