"""What is written is read back the same, field by field and bit by bit."""

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.messages import Flow
from novapulse.core.orders import Filled, OrderRequest, Protection, Side, Terms, VenueState
from novapulse.venues.simulated import Order
from novapulse.venues.simulated.codec import flow_of, flow_text, order_of, order_text, trade_of, trade_text
from tests.venues.builders import BTC, bracket, entry

WHOLE = st.integers(1, 2**62)
DISTANCES = st.floats(min_value=0.0, allow_infinity=False)


@given(stop=DISTANCES, target=DISTANCES, units=WHOLE, text=st.text(max_size=20))
def test_an_order_comes_back_as_it_was(stop, target, units, text):
    request = entry(
        text,
        price=90.0,
        protection=Protection(f"b-{text}", stop, target),
        expires_ns=units,
        notional_max_units=units,
        post_only=True,
        reduce_only=True,
        reason=26,
        parent="parent",
        attached_to="entry",
    )
    assert all(getattr(request, f.name) != f.default for f in fields(OrderRequest)), "a field that says nothing"
    order = Order(3, "O3", request, Terms(units, 1, 2, 3), 4, 5, VenueState.EXPIRED, 6, 27, True, 7)
    again = order_of(order_text(order))
    names = [f.name for f in fields(Order) if f.name not in ("executions", "_record")]
    assert [getattr(again, name) for name in names] == [getattr(order, name) for name in names]
    assert type(again.request.kind) is type(request.kind)
    assert order_of(order_text(Order(0, "O0", bracket(), Terms(1), 0, 0))).request == bracket()


@given(units=WHOLE, fee=st.integers(-(2**62), 2**62), side=st.sampled_from(Side))
def test_trades_and_flows_come_back_as_they_were(units, fee, side):
    fill = Filled("c", "O1", "T1", BTC, side, units, 2, 3, fee, 1, 5, reason=30)
    assert trade_of(trade_text(fill)) == fill
    assert isinstance(trade_of(trade_text(fill)).side, Side)
    flow = Flow("F1", "deposit", "USD", fee, units)
    assert flow_of(flow_text(flow)) == flow
