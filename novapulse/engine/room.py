"""Whether an entry that was decided still has room when its first order could leave: what was given up may have filled.

Invariants:
- an order that was given up takes its room until it has ended, and what it filled takes it afterwards;
- an entry that waits for room looks again as soon as an entry has ended.
"""

import numpy as np

from novapulse.core.messages import SetTimer
from novapulse.core.orders import Role
from novapulse.core.records import Intent
from novapulse.engine.desk import Desk, Draft
from novapulse.execution.planner import NotSent


def has_room(desk: Desk, row: int) -> bool:
    """Tell whether the first order of an entry still fits under the caps on positions and on the account's exposure."""
    # The decision may count on room that an order given up at the same close still holds: then its end is waited for,
    # and if it was filled after all, there is no room. Later orders of the same entry were measured with the first.
    if desk.slots[row].legs:
        return True
    books, rules = desk.books, desk.books.rules
    if 0 < rules.positions_max < _taken(desk):
        return False
    hold, notional = desk.reserved()
    held = float(np.abs(books.positions["qty"] * books.positions["mark_price"]).sum())
    wanted = float(books.orders["notional"][books.orders["intent"] == Intent.ENTRY].sum())
    account = books.account[0]
    room = float(rules.gross_fraction_max * account.equity) * (1.0 + 1e-9)
    fits = rules.gross_fraction_max <= 0.0 or held + wanted + notional <= room
    return bool(fits and (notional == 0.0 or account.cash - account.hold - hold >= 0.0))


def _taken(desk: Desk) -> int:
    return sum(
        desk.books.held_units(row) != 0
        or desk.books.intent(row) is Intent.ENTRY
        or any(order.request.role is Role.ENTRY for order in desk.open_orders(row))
        for row in range(len(desk.slots))
    )


def let_look_again(desk: Desk, draft: Draft) -> None:
    """Let entries that wait for room look for it now: an entry has ended."""
    for row, slot in enumerate(desk.slots):
        if slot.not_sent == NotSent.NO_ROOM_YET.value:
            draft.then(SetTimer(f"retry:{row}", draft.ts_ns))
