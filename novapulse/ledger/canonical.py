"""Whether bodies are canonical JSON, told by the shapes of those that were proven before.

Invariants:
- a text is canonical when the one way to spell what it says gives it again: keys in order, no blanks, no float;
- a shape is a pattern of a proven body with every number, text, truth value and None open; keys and their nesting stand
  in it letter by letter. What is open takes canonical spellings only, so whatever has the shape is canonical as well;
- a body of no known shape is parsed and spelled anew: shapes save time, they never decide against a body;
- as many shapes are kept as `SHAPES_MAX` and `KINDS_MAX` say, whatever a ledger holds.
"""

import json
import re
from collections.abc import Callable
from typing import NoReturn

from novapulse.core.messages import JSON

ORDER = "client_order_id"

KINDS_MAX = 100
SHAPES_MAX = 8
"""Of a kind: each costs a comparison before a body of another shape is parsed."""
BODY_MAX = 4000
"""Characters; the pattern of a longer body costs more than it saves."""
LEARNT_AFTER = 16
"""Bodies of a kind that are parsed before a shape is learnt: making a pattern costs as much as some hundred parses."""

# No group is possessive: Python before 3.11.5 takes what one of several ways of it did not finish (gh-106052).
_PLAIN = r'[^"\\\x00-\x1f]*+'
_ESCAPED = rf'"{_PLAIN}(?:\\["\\bfnrt]{_PLAIN})+"'
_ANY = f'(?:"{_PLAIN}"|[1-9][0-9]{{0,18}}+|0|-[1-9][0-9]{{0,18}}+|{_ESCAPED}|null|true|false)'
"""What there is most of comes first."""


class NotCanonicalError(ValueError):
    """A body is not spelled as a body is; the message says how."""


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is a float")


parse: Callable[[str], JSON] = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode
"""Read a body; ValueError where it is no JSON, or has a float."""
spelled: Callable[[JSON], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
"""Spell what was read as a body spells it."""


class Shapes:
    """Reads bodies, faster the more of them are alike."""

    def __init__(self) -> None:
        self._known: dict[str, list[Callable[[str], re.Match[str] | None]]] = {}
        self._missed: dict[str, int] = {}

    def order(self, kind: str, body: str) -> str:
        """Return the order that an event names, as its canonical body spells it; empty where it names none.

        Args:
            kind: The event's kind.
            body: Its body as stored.

        Raises:
            NotCanonicalError: The body is not canonical.
        """
        for fullmatch in self._known.get(kind, ()):
            if found := fullmatch(body):
                order: str = found[1]
                return "" if order in _NONE else order
        content = _proven(body)
        self._learn(kind, body, content)
        order = spelled(content[ORDER]) if ORDER in content else ""
        return "" if order in _NONE else order

    def _learn(self, kind: str, body: str, content: dict[str, JSON]) -> None:
        missed = self._missed.get(kind, 0) + 1
        if missed <= LEARNT_AFTER:
            if missed > 1 or len(self._missed) < KINDS_MAX:
                self._missed[kind] = missed
        elif len(shapes := self._known.setdefault(kind, [])) < SHAPES_MAX and len(body) <= BODY_MAX:
            whole = _shape(content, ORDER) + ("" if ORDER in content else "()")
            shapes.append(re.compile(whole).fullmatch)


_NONE = frozenset({"null", '""'})


def _proven(body: str) -> dict[str, JSON]:
    try:
        content = parse(body)
    except (ValueError, TypeError, RecursionError) as wrong:
        raise NotCanonicalError(f"is not canonical JSON: {wrong}") from wrong
    if not isinstance(content, dict):
        raise NotCanonicalError(f"is a {type(content).__name__}, not a mapping")
    if spelled(content) != body:
        raise NotCanonicalError("is not canonical JSON: keys are not in order, or there are blanks")
    return content


def _shape(value: JSON, told: str | None = None) -> str:
    """Return the pattern of a value; what a key `told` of the outermost mapping has is its one group."""
    if isinstance(value, dict):
        parts = []
        for key in sorted(value):
            inner = _shape(value[key])
            parts.append(f"{re.escape(spelled(key))}:{f'({inner})' if key == told else inner}")
        return rf"\{{{','.join(parts)}\}}"
    if isinstance(value, list):
        parts = [_shape(one) for one in value]
        if parts and set(parts) == {_ANY}:
            return rf"\[{_ANY}(?:,{_ANY})*\]"
        return rf"\[{','.join(parts)}\]"
    return _ANY
