"""What the venue takes as one order: whole numbers alone decide it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from novapulse.engine.amounts import plan_exit, plan_whole
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


@pytest.mark.parametrize(
    ("bid", "refusals", "why_not"),
    [
        pytest.param(0.99, 0, None, id="the close says enough"),
        pytest.param(0.99, 1, NotSent.BELOW_MINIMUM, id="and the venue refused it"),
        pytest.param(0.5, 1, None, id="it refused what may be worth more than a minimum"),
    ],
)
def test_an_exit_is_too_little_by_the_best_price_or_by_the_worst_one_once_refused(
    bid: float, refusals: int, why_not: NotSent | None
):
    scene = opened()
    held, close = scene.desk.books.held_units(0), float(scene.desk.books.last_bars[0].close)
    scene.desk.quotes[0] = (scene.wait(1), close * bid, close)
    scene.desk.slots[0].refusals = refusals
    worth = Decimal(held * scene.desk.price_units(0, close)).scaleb(-6)
    least = worth if bid > 0.9 else worth / 2
    scene.desk.instruments = (replace(scene.desk.instruments[0], notional_min=least),)
    planned = plan_exit(scene.desk, 0)
    assert (planned.units, planned.why_not) == (0 if why_not else -held, why_not)


def test_an_exit_that_rests_is_worth_what_its_limit_is_where_nothing_better_is_known():
    scene = opened()
    held, close = scene.desk.books.held_units(0), float(scene.desk.books.last_bars[0].close)
    scene.desk.books.orders[0].limit_price = close * 2
    worth = Decimal(held * scene.desk.price_units(0, close)).scaleb(-6)
    scene.desk.instruments = (replace(scene.desk.instruments[0], notional_min=worth + 1),)
    assert plan_exit(scene.desk, 0).units == -held
    scene.desk.books.orders[0].limit_price = 0.0
    assert plan_exit(scene.desk, 0).why_not is NotSent.BELOW_MINIMUM
