"""The state of a trader as bytes, kept beside the records it follows from, in the same transaction.

Invariants:
- every bit that a later decision can depend on is in it; orders are not: their facts are in the ledger;
- it says which account, instruments and version it is of; another account or version refuses it, and what an account
  trades now takes up its own of it by name: see `roster`.
"""

import base64
import json
import operator
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from novapulse.core import kept_state
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import CommandReceived
from novapulse.core.order_fold import Order
from novapulse.core.records import ORDER
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.limits import LimitChange, LimitError
from novapulse.engine.roster import check_dropped, rows_before
from novapulse.engine.slots import Run, Slot

_SLOT_FIELDS = tuple(field.name for field in fields(Slot))
_slot_values = operator.attrgetter(*_SLOT_FIELDS)
_limit_values = operator.attrgetter(*LimitChange.__slots__)
_command_values = operator.attrgetter(*CommandReceived.__slots__)


class Packer:
    """Packs a desk's state; what rarely changes is spelled once and kept until something happens."""

    def __init__(self, desk: Desk) -> None:
        """Remember whose state is packed."""
        self._desk = desk
        self._told = b""
        self._kept = b""
        self._keeps = -1

    def packed(self, draft: Draft) -> bytes:
        """Return the state after a draft."""
        desk = self._desk
        if desk.keeps != self._keeps:
            self._kept, self._keeps = kept_state.UNSEALED + _spelled(_kept(desk))[1:], desk.keeps
            self._told = b""
        if draft.entries or draft.told or not self._told:
            # Two halves of one object: what is kept for long, and what changes with every order.
            self._told = self._kept[:-1] + b"," + _spelled(_told(desk))[1:]
        runs = _packed_runs(desk)
        books = desk.books.packed()
        head = kept_state.HEAD.pack(kept_state.MAGIC, len(self._told), len(runs), len(books))
        return head + self._told + runs + books


def fills_since_clean(state: bytes) -> int:
    """Return how many executions were booked since the venue last agreed: at least those it may tell again."""
    return int(kept_state.parts(state)[0]["fills_since_clean"]) if state else 0


def unpack(desk: Desk, state: bytes, orders: Iterable[Order] = ()) -> None:
    """Take up a packed state.

    Args:
        desk: Of the same account; it may trade other instruments than the state is of.
        state: As `Packer.packed` returned it.
        orders: The account's orders that have not ended, and those that ended last.

    Raises:
        StillNeededError: Something is left of an instrument that the desk does not trade.
        ValueError: It is damaged, of another version or of another account.
    """
    try:
        told, runs, books = kept_state.parts(state)
    except ValueError as wrong:
        raise ValueError(f"the state of {_name(desk)} cannot be taken up: {wrong}") from wrong
    if told["account"] != [desk.key.exchange, desk.key.account_id]:
        raise ValueError(f"the state is of {told['account']}, not of {_name(desk)}")
    before = [InstrumentKey(*pair) for pair in told["instruments"]]
    check_dropped(state, desk.key, desk.keys, orders)
    rows = rows_before(desk, before)
    desk.books.restore(books, rows, len(before))
    _take_up(desk, told, rows)
    _take_up_runs(desk, runs, before, rows)


def _name(desk: Desk) -> str:
    return f"account {desk.key.account_id!r} on {desk.key.exchange}"


_spelled_text = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _spelled(told: dict[str, Any]) -> bytes:
    return _spelled_text(told).encode()


def _kept(desk: Desk) -> dict[str, Any]:
    return {
        "version": kept_state.VERSION,
        "account": [desk.key.exchange, desk.key.account_id],
        "instruments": [[instrument.exchange, instrument.symbol] for instrument in desk.instruments],
        "plans": list(desk.plans),
        "plans_zlib": _zipped(b"".join([plan.tobytes() for plan in desk.plans.values()])),
        "foreign_trades": list(desk.foreign_trades),
    }


def _told(desk: Desk) -> dict[str, Any]:
    # Written where there are some: older states have neither.
    some: dict[str, Any] = {}
    if desk.limits:
        some["limits"] = {name: _limit_values(one) for name, one in desk.limits.items()}
    if desk.waiting:
        some["waiting"] = {name: [_command_values(one) for one in each] for name, each in desk.waiting.items()}
    return {
        **some,
        "slots": [dict(zip(_SLOT_FIELDS, _slot_values(slot), strict=True)) for slot in desk.slots],
        "holds": desk.holds,
        "foreign": {name: [key.exchange, key.symbol] for name, key in desk.foreign.items()},
        "cursor": desk.cursor,
        "clean_cursor": desk.clean_cursor,
        "calibration": desk.calibration,
        "flat_wanted": desk.flat_wanted,
        "breakers": desk.breakers.state(),
        "alerts": desk.alerts.state(),
        "breaks": sorted(desk.breaks_recorded),
        "ignored": dict(sorted(desk.ignored.items())),
        "flows": list(desk.flows),
        "asserted_ns": desk.asserted_ns,
        "dust_days": desk.dust_days,
        "taken": [[row, side, price.hex()] for row, side, price in desk.taken],
        "fills_since_clean": desk.fills_since_clean,
    }


def _take_up(desk: Desk, told: dict[str, Any], rows: Sequence[int | None]) -> None:
    desk.slots = [Slot() if row is None else Slot(**told["slots"][row]) for row in rows]
    desk.holds = {name: (int(first), int(now)) for name, (first, now) in told["holds"].items()}
    plans = np.frombuffer(_plan_bytes(told), ORDER)
    desk.plans = OrderedDict((name, plan.copy()) for name, plan in zip(told["plans"], plans, strict=True))
    desk.foreign = OrderedDict((name, InstrumentKey(*key)) for name, key in told["foreign"].items())
    desk.foreign_trades = OrderedDict.fromkeys(told["foreign_trades"])
    desk.keeps += 1
    desk.cursor = told["cursor"]
    desk.clean_cursor = told["clean_cursor"]
    desk.calibration = told["calibration"]
    desk.want_flat(told["flat_wanted"])
    desk.breakers.restore(told["breakers"])
    desk.alerts.restore(told["alerts"])
    desk.waiting = {name: [CommandReceived(*one) for one in each] for name, each in told.get("waiting", {}).items()}
    _put_in_force(desk, {name: LimitChange(*one) for name, one in told.get("limits", {}).items()})
    desk.breaks_recorded = set(told["breaks"])
    desk.ignored = {key: int(units) for key, units in told["ignored"].items()}
    desk.flows = OrderedDict.fromkeys(told["flows"])
    desk.asserted_ns = told["asserted_ns"]
    desk.dust_days = told["dust_days"]
    now = {before: row for row, before in enumerate(rows) if before is not None}
    taken = [(now.get(row), side, price) for row, side, price in told["taken"]]
    desk.taken = [(row, int(side), float.fromhex(price)) for row, side, price in taken if row is not None]
    desk.fills_since_clean = told["fills_since_clean"]


def _zipped(plain: bytes) -> str:
    # Plans are most of a state and lie in every commit: nine parts in ten of them are zeros.
    return base64.b64encode(zlib.compress(plain, 1)).decode()


def _plan_bytes(told: dict[str, Any]) -> bytes:
    if "plans_zlib" not in told:
        # As states were written before.
        return base64.b64decode(told["plan_bytes"])
    try:
        return zlib.decompress(base64.b64decode(told["plans_zlib"]))
    except zlib.error as wrong:
        raise ValueError(f"its kept plans cannot be unpacked: {wrong}") from wrong


def _put_in_force(desk: Desk, limits: dict[str, LimitChange]) -> None:
    try:
        desk.put_in_force(limits)
    except LimitError as wrong:
        by = ", ".join(f"{name}={one.value} by command {one.command_id} of {one.actor}" for name, one in limits.items())
        raise ValueError(
            f"the limits that were changed while {_name(desk)} ran do not fit its configuration: {wrong}; changed were "
            f"{by}. Start it with a configuration that they fit, then 'novapulse control limits --reset'"
        ) from wrong


def _packed_runs(desk: Desk) -> bytes:
    numbers: list[int] = []
    for run in desk.runs:
        numbers += (run.reason, run.first_ns, run.last_ns, run.bars) if run is not None else (-1, 0, 0, 0)
    return struct.pack(f">{len(numbers)}q", *numbers)


def _take_up_runs(desk: Desk, packed: bytes, before: Sequence[InstrumentKey], rows: Sequence[int | None]) -> None:
    numbers = struct.unpack(f">{len(packed) // 8}q", packed)
    quads = zip(*[iter(numbers)] * 4, strict=True)
    runs = [Run(*quad) if quad[0] >= 0 else None for quad in quads]
    desk.runs = [None if row is None else runs[row] for row in rows]
    desk.dropped = {key: run for key, run in zip(before, runs, strict=True) if key not in desk.rows}
