"""The chain of hashes over all events: whoever changes, adds, removes or swaps one has to make all later ones anew.

Invariants:
- `h_0` names the ledger; `h_n = SHA256("np1" + h_{n-1} + seq as 8 bytes, big-endian + canonical bytes)`;
- canonical bytes cover everything an event is: time, account, kind, body and postings in their order. Texts are
  written with their length in characters before them, so that no two events have the same bytes;
- a body is canonical JSON: keys sorted, no blanks, UTF-8, no float.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from novapulse.core.messages import JSON

HASH_BYTES = 32
_NAME = b"np1"
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, bool, type(None)})

Leg = tuple[str, str, int]
"""Book, asset, amount."""


def canonical_json(body: Mapping[str, JSON]) -> str:
    """Return a body as canonical JSON.

    Raises:
        ValueError: Something in it is no text, integer, truth value, None, list or mapping with text keys; the message
            names its path.
    """
    if wrong := _inexact(body):
        raise ValueError("body" + wrong)
    return _encode(body if type(body) is dict else dict(body))


def _inexact(value: JSON) -> str:
    """Return where in a value something stands that has no exact text, and what it is; empty where there is nothing."""
    if type(value) is dict or isinstance(value, Mapping):
        if not _TEXT.issuperset(map(type, value)):
            key = next(key for key in value if type(key) is not str)
            return f": key {key!r} is {type(key).__name__}, keys are text"
        if not _PLAIN.issuperset(map(type, value.values())):
            for name, item in value.items():
                if type(item) not in _PLAIN and (wrong := _inexact(item)):
                    return f".{name}{wrong}"
    elif isinstance(value, (list, tuple)):
        if not _PLAIN.issuperset(map(type, value)):
            for number, item in enumerate(value):
                if type(item) not in _PLAIN and (wrong := _inexact(item)):
                    return f"[{number}]{wrong}"
    elif isinstance(value, float):
        return f": {value!r} is a float, write it as an integer or as float.hex() text"
    elif not isinstance(value, (str, int)) and value is not None:
        return f": {value!r} is {type(value).__name__}, not text, integer, truth value, None or list"
    return ""


def canonical_bytes(
    ts_ns: int, exchange: str, account_id: str, kind: str, body: str, legs: Iterable[Leg] = ()
) -> bytes:
    """Return what the hash of an event covers.

    Args:
        ts_ns: Its time, ns UTC.
        exchange: Its account's exchange.
        account_id: Its account there.
        kind: Its kind.
        body: Its body as stored.
        legs: Its postings in the order of `leg`.
    """
    moved = "".join([f"{leg_text(book, asset)}{amount}" for book, asset, amount in legs])
    return canonical_text(ts_ns, account_text(exchange, account_id), kind, body, moved).encode()


def canonical_text(ts_ns: int, account: str, kind: str, body: str, legs: str) -> str:
    """Return the text of the canonical bytes, given those of its account and of its legs with their amounts."""
    return f"{ts_ns} {account} {len(kind)}:{kind} {len(body)}:{body}{legs}"


def account_text(exchange: str, account_id: str) -> str:
    """Return how an account stands in the canonical bytes."""
    return f"{len(exchange)}:{exchange} {len(account_id)}:{account_id}"


def leg_text(book: str, asset: str) -> str:
    """Return how a leg stands in the canonical bytes, before its amount."""
    return f" {len(book)}:{book} {len(asset)}:{asset} "


def genesis(ledger_id: str) -> bytes:
    """Return the hash before the first event of a ledger."""
    return hashlib.sha256(_NAME + ledger_id.encode()).digest()


def link(previous: bytes, seq: int, canonical: bytes) -> bytes:
    """Return the hash of event `seq`, given the hash of the one before it."""
    return hashlib.sha256(_NAME + previous + seq.to_bytes(8, "big") + canonical).digest()
