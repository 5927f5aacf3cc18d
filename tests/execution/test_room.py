"""How much of an entry a bar may fill: exact at the cap and at the last unit of cash."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.core.records import ORDER, POSITION, Intent, Liquidity, OrderKind
from novapulse.execution.fills import taker_price_units
from novapulse.execution.room import entry_room, scant_room
from novapulse.execution.rules import instrument_records
from novapulse.risk.cash import fee_units, notional_units
from tests.backtest.builders import account_of, bar_of, bare_rules, instrument, record_of

ROOM = 10**9


def order_of(units, limit=0.0, side=1, cap=np.inf, intent=Intent.ENTRY):
    kind = OrderKind.LIMIT if limit else OrderKind.MARKET
    return record_of(ORDER, intent=intent, kind=kind, side=side, units=units, limit_price=limit, notional_max=cap)


def facts(**changes):
    return instrument_records([instrument(**changes)])[0]


def held(spent=0.0):
    return record_of(POSITION, entry_units=round(spent * 1e8))


@pytest.mark.parametrize(
    ("order", "cash", "position", "units"),
    [
        (order_of(1000), 10_000.0, held(), ROOM),
        (order_of(1000), 50.0, held(), 500),
        (order_of(1000, limit=50.0), 50.0, held(), 1000),
        (order_of(1000, cap=70.0), 10_000.0, held(), 700),
        (order_of(1000, cap=70.0), 10_000.0, held(60.0), 100),
        (order_of(500, cap=70.0), 10_000.0, held(60.0), 100),
        (order_of(1000, cap=70.0), 10_000.0, held(70.0), 0),
        (order_of(1000), 0.0, held(), 0),
        (order_of(1000, side=-1), 0.0, held(), 10**9),
        (order_of(1000, side=-1, cap=70.0), 0.0, held(), 700),
        (order_of(1000, cap=70.0, intent=Intent.EXIT), 0.0, held(), ROOM),
    ],
    ids=[
        "enough of everything",
        "cash for half",
        "cash for all at a limit",
        "a cap",
        "a cap that is used in part",
        "a cap that would do but for what is spent",
        "a cap that is used up",
        "no cash",
        "a short sale needs none",
        "a short sale under a cap",
        "an exit is bounded by nothing",
    ],
)
def test_the_least_of_volume_cap_and_cash_is_the_room(order, cash, position, units):
    room = entry_room(account_of(cash), position, order, ROOM, bar_of(100, 101, 99, 100), facts(), bare_rules())
    assert room == units
    least = entry_room(account_of(cash), position, order, 3, bar_of(100, 101, 99, 100), facts(), bare_rules())
    assert least == min(units, 3)


@settings(max_examples=300)
@given(
    cash_units=st.integers(1, 10**7),
    price=st.integers(1, 10**5),
    fee_bps=st.integers(-50, 300),
    scale=st.integers(0, 4),
    slip=st.sampled_from([0.0, 0.0005]),
    limit=st.booleans(),
)
def test_what_the_room_lets_through_never_costs_more_than_there_is_and_two_lots_more_would(
    cash_units, price, fee_bps, scale, slip, limit
):
    lot = Decimal(1).scaleb(-scale)
    fact = facts(lot=lot, cash_scale=2, taker_fee_bps=Decimal(fee_bps), maker_fee_bps=Decimal(fee_bps))
    rules = bare_rules(slippage_fraction=slip)
    account = account_of(0.0)
    account.cash_units, account.cash = cash_units, cash_units / 100
    order = order_of(10**12, price / 100 if limit else 0.0)
    opened = bar_of(price / 100, price / 100, price / 100, price / 100)
    units = scant_room(account, held(), order, ROOM, opened, fact, rules)
    at = price if limit else taker_price_units(fact, opened.open, 1, rules)
    liquidity = Liquidity.MAKER if limit else Liquidity.TAKER

    def cost(quantity):
        notional = notional_units(fact, at, quantity)
        return notional + fee_units(fact, notional, liquidity)

    assert units % fact.lot_units == 0
    if units > 0:
        # Notional and fee are rounded each for itself: lots that are worth less than a cash unit may cost one more.
        assert cost(units) <= cash_units + (at * float(lot) < 1.0)
    if fee_bps >= 0 and units < ROOM:
        # Two lots more are too many, but for what rounding down gives away.
        assert cost(units + 2 * fact.lot_units) > cash_units - 2


def test_a_lot_is_left_where_rounding_would_cost_more_than_there_is():
    # 99 coins at a cent and 50 bps are 0.99 and 0.005, which is rounded to a cent: 1.00. One dollar buys them all;
    # 99.5 would be 1.00 and a cent.
    fact = facts(lot=Decimal("0.5"), cash_scale=2, taker_fee_bps=Decimal(50))
    account = account_of(0.0)
    account.cash_units, account.cash = 100, 1.0
    opened = bar_of(0.01, 0.01, 0.01, 0.01)
    assert scant_room(account, held(), order_of(10**6), ROOM, opened, fact, bare_rules()) == 990
