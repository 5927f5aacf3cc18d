"""Why an open position may have no stop at work: by name, each with what has to be true, and for how long.

Invariants:
- what the trader says excuses nothing by itself: a reason counts while the desk shows it, and not past its time;
- one definition: by it a reason is told, the comparison calls a position unprotected (D14), and the simulation judges;
- what is too little for the venue to guard is so for as long as it is held; all else has its time;
- a market that is closed is no time: behind a split the wait begins with the first close.
"""

import enum
from collections.abc import Callable

from novapulse.core.orders import Role
from novapulse.core.records import Intent
from novapulse.engine.amounts import plan_whole
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.standing import GONE, UNHEARD_OF
from novapulse.execution.planner import TOO_LITTLE

BARE_S_MAX = 600
"""How long a position may have no stop for whatever reason: as long as an order may be unknown by default."""

LATE_NS = 5_000_000_000
"""How late a try may be that was due."""


class Bare(enum.StrEnum):
    """Why an open position has no stop at work."""

    ON_ITS_WAY = "the bracket is on its way"
    REARMED = "the bracket is being armed anew"
    OVER_ALL = "a bracket over all that is held follows one that covers a part"
    CANCELED_FIRST = "an earlier bracket is being cancelled"
    REFUSED = "the venue refused a bracket, or ended it; the next try is due"
    CLOSING = "the position is being closed"
    EXCESS = "what nobody decided is being closed"
    TOO_LITTLE = "it is less than the venue takes: the trader is the stop"
    SPLIT = "a split was applied; the first price behind it is waited for"


def excuse(desk: Desk, row: int, now_ns: int) -> Bare | None:
    """Return why a position may have no stop now; None when nothing that was said of it is true, or not any more."""
    slot = desk.slots[row]
    is_old = now_ns - slot.bare_ns > BARE_S_MAX * 1_000_000_000 and slot.why_bare != Bare.TOO_LITTLE
    if slot.why_bare not in _HOLDS or is_old:
        return None
    why = Bare(slot.why_bare)
    return why if _HOLDS[why](desk, row, now_ns) else None


def needs_stop(desk: Desk, row: int, now_ns: int) -> bool:
    """Tell whether a position has to have a stop: one is held, and nothing excuses it."""
    return desk.books.held_units(row) != 0 and excuse(desk, row, now_ns) is None


def is_guarded(desk: Desk, row: int) -> bool:
    """Tell whether a stop of ours is live at the venue, as far as is known."""
    return any(order.request.role is Role.PROTECT and order.is_live for order in desk.open_orders(row))


def count_time(desk: Desk, draft: Draft, row: int) -> None:
    """Note since when a position has no stop."""
    slot = desk.slots[row]
    is_bare = desk.books.held_units(row) != 0 and not is_guarded(desk, row)
    if is_bare == (slot.bare_ns != 0):
        is_market_closed = is_bare and slot.split_new != 0 and desk.ts_close_ns <= slot.split_ns
        slot.bare_ns = draft.ts_ns if is_market_closed else slot.bare_ns
        return
    slot.bare_ns = draft.ts_ns if is_bare else 0
    draft.changed = draft.told = True


def end_alert(desk: Desk, draft: Draft, row: int) -> None:
    """Tell people, if they were told of a position without a stop, that it has one or is closed."""
    name = desk.instrument(row).symbol
    desk.alert_over(draft, f"bare:{name}", f"the position in {name} has a stop, or is closed")


def is_another_ending(desk: Desk, row: int) -> bool:
    """Tell whether a stop that was to go has not ended yet."""
    brackets = (order for order in desk.open_orders(row) if order.request.role is Role.PROTECT)
    return any(order.undisputed_status not in GONE for order in brackets)


def is_too_little(desk: Desk, row: int) -> bool:
    """Tell whether a position is less than the venue takes a stop for."""
    position = desk.books.positions[row]
    return plan_whole(desk, row, 0, int(position.qty_units), float(position.stop_price)).why_not in TOO_LITTLE


def _is_unheard_of(desk: Desk, row: int, now_ns: int) -> bool:
    bracket = desk.orders.get(desk.slots[row].protect)
    return bracket is not None and bracket.undisputed_status in UNHEARD_OF


def _is_try_due(desk: Desk, row: int, now_ns: int) -> bool:
    return desk.slots[row].retry_ns > now_ns - LATE_NS


def _is_closing(desk: Desk, row: int, now_ns: int) -> bool:
    if desk.books.intent(row) is not Intent.EXIT or not desk.may_leave:
        return False
    return _is_try_due(desk, row, now_ns) or any(order.request.role is Role.EXIT for order in desk.open_orders(row))


def _is_excess_closing(desk: Desk, row: int, now_ns: int) -> bool:
    # Its close waits for a reading that shows it too, see `excess`.
    return desk.slots[row].turned and desk.books.intent(row) is Intent.EXIT and desk.may_leave


def _has_split(desk: Desk, row: int, now_ns: int) -> bool:
    return desk.slots[row].split_new != 0


_HOLDS: dict[str, Callable[[Desk, int, int], bool]] = {
    Bare.ON_ITS_WAY: _is_unheard_of,
    Bare.REARMED: _is_unheard_of,
    Bare.OVER_ALL: lambda desk, row, _: is_another_ending(desk, row),
    Bare.CANCELED_FIRST: lambda desk, row, _: is_another_ending(desk, row),
    Bare.REFUSED: _is_try_due,
    Bare.CLOSING: _is_closing,
    Bare.EXCESS: _is_excess_closing,
    Bare.TOO_LITTLE: lambda desk, row, _: is_too_little(desk, row),
    Bare.SPLIT: _has_split,
}
"""What has to be true of each, by (desk, row, now)."""
