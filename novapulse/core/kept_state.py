"""How the trader's state lies in its bytes: for the trader that takes it up again, and for readers beside it.

Invariants:
- the state is a head, a mapping as JSON, the running stretches of bars without a decision, and the books;
- the books are a checksum and records one behind the other; `Kept` reads those that a reader may rely on, and refuses
  whatever has another size or checksum.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import HoldRun
from novapulse.core.records import ACCOUNT, BAR, ORDER, POSITION, Record

HEAD = struct.Struct(">4sIII")
MAGIC = b"npt1"
VERSION = 2
"""Of the mapping and of the books: what another one wrote is refused, not guessed at."""

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
    told: dict[str, Any] = json.loads(state[HEAD.size : runs_at])
    if told.get("version") != VERSION:
        raise ValueError(
            f"it is of version {told.get('version')}, and this NovaPulse reads version {VERSION}: "
            "close what is open with the one that wrote it, then begin a new ledger"
        )
    return told, state[runs_at : runs_at + runs_size], state[runs_at + runs_size :]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a reader takes from a trader's state.

    Attributes:
        instruments: In the order of the records.
        runs: For each the stretch of bars without a decision that still goes on; None where the last bar decided.
        account: ACCOUNT.
        positions: POSITION[P].
        orders: ORDER[P], what is at work.
        last_bars: BAR[P]; `ts_close_ns` is 0 before the first.
    """

    instruments: tuple[InstrumentKey, ...]
    runs: tuple[HoldRun | None, ...]
    account: Record
    positions: Record
    orders: Record
    last_bars: Record

    @classmethod
    def of(cls, state: bytes) -> "Kept":
        """Read a state.

        Raises:
            ValueError: It is none, damaged, or of another version.
        """
        told, runs, books = parts(state)
        try:
            keys = tuple(InstrumentKey(*pair) for pair in told["instruments"])
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"it does not name its instruments: {wrong}") from wrong
        if len(runs) != len(keys) * _RUN.size:
            raise ValueError(f"it has {len(runs)} bytes of stretches for {len(keys)} instruments")
        quads = [_RUN.unpack_from(runs, row * _RUN.size) for row in range(len(keys))]
        going = tuple(HoldRun(key, *quad) if quad[0] >= 0 else None for key, quad in zip(keys, quads, strict=True))
        return cls(keys, going, *_records(books, len(keys)))


def _records(books: bytes, count: int) -> tuple[Record, Record, Record, Record]:
    whole = memoryview(books)[4:]
    if zlib.crc32(whole) != int.from_bytes(books[:4], "big"):
        raise ValueError("the checksum of its books is wrong")
    before_bars = ACCOUNT.itemsize + count * (POSITION.itemsize + ORDER.itemsize + _COUNTERS * 8)
    if len(whole) < before_bars + count * BAR.itemsize:
        raise ValueError(f"it has books of {len(whole)} bytes for {count} instruments")
    positions_end = ACCOUNT.itemsize + count * POSITION.itemsize
    return (
        np.frombuffer(whole, ACCOUNT, 1)[0],
        np.frombuffer(whole, POSITION, count, ACCOUNT.itemsize),
        np.frombuffer(whole, ORDER, count, positions_end),
        np.frombuffer(whole, BAR, count, before_bars),
    )
