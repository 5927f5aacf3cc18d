"""What the venue takes as one order: whole numbers alone decide it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from novapulse.engine.amounts import least_price, plan_whole
from novapulse.execution.planner import NotSent
from tests.engine import harness
from tests.engine.scene import Scene, opened


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    facts_of = harness.facts_of

    def cheap(symbols: tuple[str, ...]):
        finest = {"tick": Decimal("0.0001"), "lot": Decimal("0.00000001")}
        return tuple(replace(one, **finest) for one in facts_of(symbols))

    monkeypatch.setattr(harness, "facts_of", cheap)
    return Scene()


@pytest.mark.parametrize(
    ("price", "least_units"),
    [
        pytest.param(0.5, 10 * 10**8, id="a lot is worth less than a unit of cash"),
        pytest.param(1.25, 4 * 10**8, id="a lot is worth a unit of cash and a fraction"),
        pytest.param(1.9999, 250_012_501, id="a lot is worth nearly two"),
        pytest.param(100.0, 5 * 10**6, id="a lot is worth many"),
    ],
)
def test_an_order_is_worth_the_whole_of_quantity_times_price(scene: Scene, price: float, least_units: int):
    for target in (least_units, -least_units):
        assert plan_whole(scene.desk, 0, target, 0, price).units == target
        assert plan_whole(scene.desk, 0, 0, target, price).units == -target
    too_little = plan_whole(scene.desk, 0, least_units - 1, 0, price)
    assert (too_little.units, too_little.why_not) == (0, NotSent.BELOW_MINIMUM)


def test_what_is_worth_an_unknown_amount_is_not_too_little(scene: Scene):
    assert plan_whole(scene.desk, 0, 1, 0, 0.0).units == 1


def test_an_exit_at_the_market_is_worth_the_least_that_the_venue_may_count_it_by():
    scene = opened()
    close = float(scene.desk.books.last_bars[0].close)
    now_ns = scene.wait(1)
    scene.desk.quotes[0] = (now_ns, close - 0.5, close + 0.5)
    assert least_price(scene.desk, 0) == close - 0.5
    scene.desk.quotes[0] = (now_ns, close + 0.5, close + 1.0)
    assert least_price(scene.desk, 0) == close
