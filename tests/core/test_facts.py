import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.facts import KINDS, from_body, kind_of, request_from_body, request_to_body, to_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.orders import (
    Fact,
    Filled,
    Intended,
    OrderRequest,
    OrderType,
    Protection,
    Role,
    Seen,
    Side,
    Terms,
    VenueState,
)
from tests.core.order_stories import BTC, CID, HELD, STORIES, fill, intended

UNITS = st.integers(-(2**62), 2**62)
DISTANCES = st.floats(allow_nan=False)
TERMS = st.builds(Terms, UNITS, UNITS, UNITS, UNITS)
PROTECTIONS = st.builds(Protection, st.text(), DISTANCES, DISTANCES)
INSTRUMENTS = st.builds(InstrumentKey, st.text(), st.text())
REQUESTS = st.builds(
    OrderRequest,
    client_order_id=st.text(),
    account=st.builds(AccountKey, st.text(), st.text()),
    instrument=INSTRUMENTS,
    decision_id=st.text(),
    role=st.sampled_from(Role),
    side=st.sampled_from(Side),
    kind=st.sampled_from(OrderType),
    terms=TERMS,
    decided_ns=UNITS,
    expires_ns=UNITS,
    reduce_only=st.booleans(),
    post_only=st.booleans(),
    notional_max_units=UNITS,
    reason=UNITS,
    parent=st.text(),
    protection=st.none() | PROTECTIONS,
    attached_to=st.text(),
)
BY_NAME = {
    "request": REQUESTS,
    "instrument": INSTRUMENTS,
    "side": st.sampled_from(Side),
    "state": st.sampled_from(VenueState),
    "terms": TERMS,
    "disputes": st.lists(st.text()).map(tuple),
}
BY_TYPE = {"str": st.text(), "int": UNITS, "bool": st.booleans()}


def facts_of(fact: type[Fact]) -> st.SearchStrategy[Fact]:
    parts = {}
    for field in fields(fact):
        name = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
        part = BY_NAME[field.name] if field.name in BY_NAME else BY_TYPE[name]
        parts[field.name] = st.none() | part if (fact, field.name) == (Seen, "terms") else part
    return st.builds(fact, **parts)


ANY_FACT = st.one_of([facts_of(fact) for fact in KINDS.values()])


def without_floats(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(name) is str and without_floats(each) for name, each in value.items())
    if isinstance(value, list):
        return all(without_floats(each) for each in value)
    return value is None or type(value) in (str, int, bool)


@given(ANY_FACT)
def test_a_fact_comes_back_from_its_record_as_it_was(fact):
    body = json.loads(json.dumps(to_body(fact)))
    assert from_body(kind_of(fact), body) == fact


@given(ANY_FACT)
def test_a_body_holds_plain_values_and_no_float_and_names_the_order(fact):
    body = to_body(fact)
    assert without_floats(body)
    assert body["client_order_id"] == fact.client_order_id


@given(DISTANCES)
def test_a_distance_keeps_its_last_bit_and_its_sign(distance):
    request = replace(intended().request, protection=Protection("p", distance, distance))
    back = request_from_body(json.loads(json.dumps(request_to_body(request)))).protection
    assert back is not None
    assert (back.stop_distance.hex(), back.target_distance.hex()) == (distance.hex(), distance.hex())


def test_every_fact_has_a_kind_and_every_kind_a_fact():
    assert {kind_of(fact) for story in STORIES.values() for fact in story.facts} == set(KINDS)


def test_what_comes_back_has_enums_not_their_values():
    back = from_body("order_intended", to_body(HELD))
    assert isinstance(back, Intended)
    assert (back.request.role, back.request.kind, back.request.side) == (Role.PROTECT, OrderType.BRACKET, Side.SELL)
    assert isinstance(back.request.side, Side)
    assert isinstance(back.request.account, AccountKey)


def test_a_fill_names_its_execution_and_its_instrument_as_two_fields():
    body = to_body(fill("t1", 4))
    assert (body["client_order_id"], body["venue_trade_id"], body["instrument"]) == (
        CID,
        "t1",
        [BTC.exchange, BTC.symbol],
    )


def test_a_field_that_an_older_record_lacks_has_its_default():
    body = to_body(fill("t1", 4))
    del body["provisional"], body["reason"]
    back = from_body("fill_booked", body)
    assert isinstance(back, Filled)
    assert (back.provisional, back.reason) == (False, 0)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("order_lost", {}, "record of kind 'order_lost'"),
        ("order_acked", {"client_order_id": "c"}, "kind 'order_acked'"),
        ("order_acked", {"client_order_id": "c", "venue_order_id": "v", "colour": 1}, "colour"),
        ("amend_asked", {"client_order_id": "c", "amendment": 1, "terms": [1]}, "kind 'amend_asked'"),
        (
            "order_seen",
            {"client_order_id": "c", "venue_order_id": "", "state": "gone", "filled_units": 0, "ts_event_ns": 0},
            "gone",
        ),
    ],
)
def test_a_record_that_is_no_fact_is_refused_with_its_kind(kind, body, words):
    with pytest.raises(ValueError, match=words):
        from_body(kind, body)
