"""How the trader's state lies in its bytes: for the trader that takes it up again, and for readers beside it.

Invariants:
- the state is a head, a mapping as JSON, the running stretches of bars without a decision, and the books;
- the books are a checksum and records one behind the other; `Kept` reads those that a reader may rely on, and refuses
  whatever has another size or checksum;
- where the state lies it is sealed: a hash over every bit of it and over whose it is, its close and its entry stands
  first in the mapping, where older code passes over it. A state of before there were seals begins otherwise, and no one
  changed bit makes a sealed state look like one.
"""

import functools
import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import HoldRun
from novapulse.core.records import ACCOUNT, BAR, ORDER, POSITION, Record

HEAD = struct.Struct(">4sIII")
MAGIC = b"npt1"
VERSION = 2
"""Of the mapping and of the books: what another one wrote is refused, not guessed at."""

_SEAL_SIZE = 2 * hashlib.sha256().digest_size
_BEFORE_SEAL = b'{"seal":"'
_SEAL_AT = HEAD.size + len(_BEFORE_SEAL)
UNSEALED = _BEFORE_SEAL + b"0" * _SEAL_SIZE + b'",'
"""How the mapping of a state begins that is not sealed yet."""

_RUN = struct.Struct(">4q")
_COUNTERS = 2
"""Whole numbers per instrument between the orders and the last bars."""


def parts(state: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the mapping, the stretches and the books of a state.

    Raises:
        ValueError: It is none, cut, or of another version.
    """
    if len(state) < HEAD.size or state[:4] != MAGIC:
        raise ValueError(f"it begins with {state[:4]!r}")
    _, told_size, runs_size, books_size = HEAD.unpack_from(state)
    if len(state) != HEAD.size + told_size + runs_size + books_size:
        raise ValueError(f"it has {len(state)} bytes and says otherwise")
    runs_at = HEAD.size + told_size
    try:
        told: dict[str, Any] = json.loads(state[HEAD.size : runs_at])
    except ValueError as wrong:
        raise ValueError(f"it is damaged: its mapping cannot be read ({wrong})") from wrong
    if told.get("version") != VERSION:
        raise ValueError(
            f"it is of version {told.get('version')}, and this NovaPulse reads version {VERSION}: "
            "close what is open with the one that wrote it, then begin a new ledger"
        )
    return told, state[runs_at : runs_at + runs_size], state[runs_at + runs_size :]


def sealed(state: bytes, account: AccountKey, ts_close_ns: int, seq: int) -> bytes:
    """Return a state with the seal of the row that it is to lie in; one without a place for it as it is.

    Args:
        state: The state.
        account: Whose.
        ts_close_ns: Close of the last decided bar.
        seq: Entry from which on it has to be read on.
    """
    if not _has_seal(state):
        return state
    whole = memoryview(state)
    return b"".join((whole[:_SEAL_AT], _seal(state, account, ts_close_ns, seq), whole[_SEAL_AT + _SEAL_SIZE :]))


def check_seal(state: bytes, account: AccountKey, ts_close_ns: int, seq: int) -> None:
    """Refuse a state that is not, to the bit, what was written into a row; see `sealed`.

    Raises:
        ValueError: It is damaged, or of another row.
    """
    if not _has_seal(state):
        parts(state)
        raise ValueError(f"it begins with {state[: HEAD.size + 12]!r}: its seal is not where it should be")
    if state[_SEAL_AT : _SEAL_AT + _SEAL_SIZE] != _seal(state, account, ts_close_ns, seq):
        raise ValueError("its seal is broken: it is damaged, or of another account, close or entry")


def print_of_state(state: bytes) -> str:
    """Return a fingerprint of a state, whatever row it lies in."""
    if not _has_seal(state):
        return hashlib.sha256(state).hexdigest()[:16]
    made = hashlib.sha256(state[:_SEAL_AT])
    made.update(state[_SEAL_AT + _SEAL_SIZE :])
    return made.hexdigest()[:16]


def _has_seal(state: bytes) -> bool:
    return state.startswith(_BEFORE_SEAL, HEAD.size) and len(state) > _SEAL_AT + _SEAL_SIZE


def _seal(state: bytes, account: AccountKey, ts_close_ns: int, seq: int) -> bytes:
    row = f"{_spelled(account)}, {ts_close_ns}, {seq}]".encode()
    whole = memoryview(state)
    made = hashlib.sha256(len(row).to_bytes(4) + row)
    made.update(whole[:_SEAL_AT])
    made.update(whole[_SEAL_AT + _SEAL_SIZE :])
    return made.hexdigest().encode()


@functools.lru_cache(maxsize=256)
def _spelled(account: AccountKey) -> str:
    # A JSON list that is not closed yet.
    return json.dumps([account.exchange, account.account_id])[:-1]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a reader takes from a trader's state.

    Attributes:
        key: Whose.
        instruments: In the order of the records.
        runs: For each the stretch of bars without a decision that still goes on; None where the last bar decided.
        account: ACCOUNT.
        positions: POSITION[P].
        orders: ORDER[P], what is at work.
        last_bars: BAR[P]; `ts_close_ns` is 0 before the first.
        foreign_units: int64[P], quantity units that belong to nobody.
        holds: Client order id -> what it reserved at first, and what it still does, cash units.
    """

    key: AccountKey
    instruments: tuple[InstrumentKey, ...]
    runs: tuple[HoldRun | None, ...]
    account: Record
    positions: Record
    orders: Record
    last_bars: Record
    foreign_units: Record
    holds: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, state: bytes) -> "Kept":
        """Read a state.

        Raises:
            ValueError: It is none, damaged, or of another version.
        """
        told, runs, books = parts(state)
        try:
            key = AccountKey(*told["account"])
            keys = tuple(InstrumentKey(*pair) for pair in told["instruments"])
            holds = {name: (int(first), int(now)) for name, (first, now) in told["holds"].items()}
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"it does not say whose it is, or what is held: {wrong!r}") from wrong
        if len(runs) != len(keys) * _RUN.size:
            raise ValueError(f"it has {len(runs)} bytes of stretches for {len(keys)} instruments")
        quads = [_RUN.unpack_from(runs, row * _RUN.size) for row in range(len(keys))]
        going = tuple(HoldRun(key, *quad) if quad[0] >= 0 else None for key, quad in zip(keys, quads, strict=True))
        return cls(key, keys, going, *_records(books, len(keys)), holds)


def _records(books: bytes, count: int) -> tuple[Record, Record, Record, Record, Record]:
    whole = memoryview(books)[4:]
    if zlib.crc32(whole) != int.from_bytes(books[:4], "big"):
        raise ValueError("the checksum of its books is wrong")
    before_bars = ACCOUNT.itemsize + count * (POSITION.itemsize + ORDER.itemsize + _COUNTERS * 8)
    if len(whole) < before_bars + count * BAR.itemsize:
        raise ValueError(f"it has books of {len(whole)} bytes for {count} instruments")
    positions_end = ACCOUNT.itemsize + count * POSITION.itemsize
    orders_end = positions_end + count * ORDER.itemsize
    return (
        np.frombuffer(whole, ACCOUNT, 1)[0],
        np.frombuffer(whole, POSITION, count, ACCOUNT.itemsize),
        np.frombuffer(whole, ORDER, count, positions_end),
        np.frombuffer(whole, BAR, count, before_bars),
        np.frombuffer(whole, np.int64, count, orders_end),
    )
