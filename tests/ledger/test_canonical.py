"""A shape never takes what a parse would refuse, and never refuses what a parse would take."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.ledger.canonical import LEARNT_AFTER, SHAPES_MAX, NotCanonicalError, Shapes, spelled

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
BODIES = st.dictionaries(st.sampled_from(["a", "b", "client_order_id", "é", 'q"', "\n"]), VALUES, max_size=5)
SETTINGS = settings(max_examples=400)


def told(shapes: Shapes, body: str) -> str | None:
    try:
        return shapes.order("kind", body)
    except NotCanonicalError:
        return None


def learnt(*bodies: str) -> Shapes:
    """Shapes that have seen some bodies often enough to know their shapes."""
    shapes = Shapes()
    for _ in range(LEARNT_AFTER + 1):
        for body in bodies:
            shapes.order("kind", body)
    return shapes


def same_shape(value: Any, draw: Any) -> Any:
    if isinstance(value, dict):
        return {key: same_shape(inner, draw) for key, inner in value.items()}
    if isinstance(value, list):
        return [same_shape(inner, draw) for inner in value]
    return draw(SCALARS)


@given(body=BODIES, data=st.data())
@SETTINGS
def test_a_body_of_a_known_shape_is_read_as_a_parse_reads_it(body: dict[str, Any], data: st.DataObject) -> None:
    other = spelled(same_shape(body, data.draw))
    assert told(learnt(spelled(body)), other) == told(Shapes(), other)
    assert told(Shapes(), other) is not None


@given(
    body=BODIES,
    at=st.integers(0, 10**6),
    put=st.sampled_from(
        [*' {}[],:"\\0123456789-.eE+trufalsn', "\n", "\x00", "\x1f", "\x7f", "é", "", "00", "-0", "1.5"]
    ),
    gone=st.integers(0, 2),
)
@SETTINGS
def test_a_body_that_was_tampered_with_is_never_taken_for_its_shape(
    body: dict[str, Any], at: int, put: str, gone: int
) -> None:
    text = spelled(body)
    at %= len(text) + 1
    changed = text[:at] + put + text[at + gone :]
    assert told(learnt(text), changed) == told(Shapes(), changed)


@pytest.mark.parametrize(
    "value",
    ["1.5", "1e5", "-0", "01", "+1", "NaN", "Infinity", '"\t"', r'"\/"', r'"\u0041"', r'"\u000A"', "1 ", '"a" "b"'],
)
def test_a_value_that_is_not_spelled_as_ours_are_is_refused_by_a_known_shape_too(value: str) -> None:
    with pytest.raises(NotCanonicalError):
        learnt('{"a":1}').order("kind", f'{{"a":{value}}}')


def test_a_list_may_be_longer_than_the_one_that_was_learnt() -> None:
    shapes = learnt('{"a":[1,2],"client_order_id":"C"}')
    assert told(shapes, '{"a":[1,"x",null,4],"client_order_id":"D"}') == '"D"'
    assert told(shapes, '{"a":[1,],"client_order_id":"D"}') is None


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ('{"client_order_id":"C"}', '"C"'),
        ('{"client_order_id":""}', ""),
        ('{"client_order_id":null}', ""),
        ('{"inner":{"client_order_id":"C"}}', ""),
        ('{"a":{"client_order_id":"inner"},"client_order_id":"outer"}', '"outer"'),
        ("{}", ""),
        ('{"a":{"":"inner"}}', ""),
    ],
)
def test_the_order_is_the_one_that_the_outermost_mapping_names(body: str, order: str) -> None:
    assert told(Shapes(), body) == order
    assert told(learnt(body), body) == order


def test_few_shapes_are_kept_of_a_kind_that_has_many() -> None:
    bodies = [json.dumps({f"key{number}": number}, separators=(",", ":")) for number in range(5 * SHAPES_MAX)]
    shapes = learnt(*bodies)
    assert all(told(shapes, body) == "" for body in bodies)
    assert [len(known) for known in shapes._known.values()] == [SHAPES_MAX]
