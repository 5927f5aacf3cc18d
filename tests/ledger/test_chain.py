"""Canonical bytes and the chain over them."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.ledger import chain

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
EVENT = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    st.lists(st.tuples(TEXT, TEXT, st.integers()), max_size=3).map(tuple),
)


def test_the_chain_is_what_its_description_says() -> None:
    canonical = chain.canonical_bytes(5, "kraken", "Köln", "alert_raised", '{"a":1}', [("cash", "USD", -3)])
    assert canonical == '5 6:kraken 4:Köln 12:alert_raised 7:{"a":1} 4:cash 3:USD -3'.encode()
    genesis = chain.genesis("L")
    assert genesis == hashlib.sha256(b"np1L").digest()
    assert (
        chain.link(genesis, 258, canonical)
        == hashlib.sha256(b"np1" + genesis + bytes(6) + b"\1\2" + canonical).digest()
    )
    assert len(genesis) == chain.HASH_BYTES


@given(EVENT, EVENT)
def test_two_different_events_never_have_the_same_bytes(one: Any, other: Any) -> None:
    assert (chain.canonical_bytes(*one) == chain.canonical_bytes(*other)) == (one == other)


SHIFTED = {
    "a separator in a text": ((1, "a 1:b", "c", "d", "e"), (1, "a", "b 1:c", "d", "e")),
    "a text that ends where the next begins": ((1, "ab", "c", "d", "e"), (1, "a", "bc", "d", "e")),
    "a leg in the body": ((1, "a", "b", "c", "d 1:x 1:y 5"), (1, "a", "b", "c", "d", (("x", "y", 5),))),
    "another order of legs": (
        (1, "a", "b", "c", "d", (("x", "y", 5), ("x", "y", -5))),
        (1, "a", "b", "c", "d", (("x", "y", -5), ("x", "y", 5))),
    ),
}


@pytest.mark.parametrize(("one", "other"), SHIFTED.values(), ids=SHIFTED)
def test_nothing_can_be_moved_from_one_field_to_another(one: Any, other: Any) -> None:
    assert chain.canonical_bytes(*one) != chain.canonical_bytes(*other)


def test_the_place_in_the_chain_is_part_of_the_hash() -> None:
    canonical = chain.canonical_bytes(1, "a", "b", "c", "{}")
    first = chain.link(chain.genesis("L"), 1, canonical)
    assert first != chain.link(chain.genesis("L"), 2, canonical)
    assert first != chain.link(chain.genesis("M"), 1, canonical)


def test_canonical_json_has_one_spelling() -> None:
    one = {"b": [1, {"y": None, "x": True}], "a": "é\n"}
    other = {"a": "é\n", "b": (1, {"x": True, "y": None})}
    assert chain.canonical_json(one) == chain.canonical_json(other) == '{"a":"é\\n","b":[1,{"x":true,"y":null}]}'
