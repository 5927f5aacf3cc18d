"""How positions are left, and entries withdrawn, outside of the close that decides.

Invariants:
- an exit moves on at closes, by the tactics that the backtest shares; where the close that should have moved it does
  not come, the clock does: a deadline waits for no bar;
- between them it is looked after: what should be out is out, and what does not end is tried again and told;
- leaving waits for no entry, and what is withdrawn is cancelled, not forgotten;
- a halted account sends cancels, and stops for what it holds; its exits only for an operator who wants nothing held;
- who wants a position closed now waits for no tactics: an exit that rests goes to the market;
- who wants nothing held gets that: what fills later is left as well, until somebody says otherwise.
"""

from collections.abc import Iterator

import numpy as np

from novapulse.core.messages import SetTimer, Severity, Snapshot
from novapulse.core.order_fold import Order
from novapulse.core.orders import TERMINAL, Role
from novapulse.core.records import Intent, Mode, OrderKind, Reason, Record
from novapulse.engine import dust, netting, staleness
from novapulse.engine.changes import SECOND_NS
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.exits import decide_exit
from novapulse.engine.orders import give_up, is_fresh, let_go, sync, write_unfilled
from novapulse.engine.standing import STANDS
from novapulse.engine.ticks import LOOK_NS, begin_to_leave, is_left_by_stop
from novapulse.engine.viewing import still_differs
from novapulse.execution.tactics import Step, cross, next_step, reach, reprice

ALWAYS_OPEN = "24/7"

_MAY_COMPLETE = (Reason.UNFILLED_CANCELED.name, Reason.UNFILLED_EXPIRED.name)
"""Ends of an entry that nobody here wanted: neither an operator, nor the mode, nor an edge that is gone."""

_NO_NEW_RISK = {
    Mode.PAUSED: "paused",
    Mode.REDUCE_ONLY: "reduce only",
    Mode.HALTED: "halted",
}


def leave(desk: Desk, draft: Draft, row: int, reason: Reason) -> bool:
    """Decide to close a position now, at the market; False when there is none or it is being left so already.

    An exit that rests, as the tactics want it, is superseded: who says now does not mean in some bars.
    """
    slot, position = desk.slots[row], desk.books.positions[row]
    if position.qty_units == 0 or not desk.may_leave or (slot.leaving_ns and not _is_leaving_at_rest(desk, row)):
        return False
    if desk.books.intent(row) is Intent.ENTRY:
        give_up(desk, draft, row, Reason.UNFILLED_SUPERSEDED)
    let_go(desk, draft, row)
    desk.books.leave(row, reason)
    decide_exit(desk, draft, row, str(reason))
    slot.refusals = slot.retry_ns = 0
    begin_to_leave(desk, draft, row)
    return True


def _is_leaving_at_rest(desk: Desk, row: int) -> bool:
    return desk.books.intent(row) is Intent.EXIT and int(desk.plan(row).kind) != OrderKind.MARKET


def leave_what_nobody_decided(desk: Desk, draft: Draft, snapshot: Snapshot) -> None:
    """Close what was executed beyond what was held, where the venue's balance shows it as well."""
    for row, slot in enumerate(desk.slots):
        if slot.turned and not still_differs(desk, snapshot, desk.instruments[row].base):
            leave(desk, draft, row, Reason.EXIT_EXCESS)


def go_on(desk: Desk, draft: Draft, row: int) -> None:
    """Look after an exit again after a start: the timer of the life before is gone."""
    slot = desk.slots[row]
    if slot.leaving_ns:
        draft.then(SetTimer(f"exit:{row}", max(draft.ts_ns, slot.leaving_ns + LOOK_NS)))


def look_after(desk: Desk, draft: Draft, row: int) -> None:
    """Look at an exit that may not have closed its position yet, and see to it when that takes too long."""
    slot, plan = desk.slots[row], desk.plan(row)
    if desk.books.positions[row].qty_units == 0 or slot.leaving_ns == 0:
        slot.leaving_ns = 0
        return
    if _is_step_overdue(desk, row, draft.ts_ns):
        _move_on(desk, row, draft.ts_ns)
    due_ns = slot.leaving_ns
    if not is_left_by_stop(desk, row):
        # A resting exit has until its next step, and one at the market since it is that. What its stop touched has
        # since the first touch: every close behind it may be another one.
        due_ns = max(due_ns, int(plan.active_ns), int(plan.expires_ns))
    if draft.ts_ns - due_ns > 3 * int(desk.books.rules.time_to_live_ns) or _is_stop_further_away(desk, row):
        _insist(desk, draft, row)
    draft.changed = draft.told = True
    draft.then(SetTimer(f"exit:{row}", draft.ts_ns + LOOK_NS))


def _is_step_overdue(desk: Desk, row: int, ts_ns: int) -> bool:
    # A market that is closed tells no price: there, only who hears one may conclude that a bar is missing.
    plan = desk.plan(row)
    if desk.books.intent(row) is not Intent.EXIT or not desk.may_leave or plan.expires_ns == 0:
        return False
    is_open = desk.instruments[row].calendar == ALWAYS_OPEN or is_fresh(desk, ts_ns, row)
    late_ns = LOOK_NS + round(desk.settings.quote_age_s_max * SECOND_NS)
    return is_open and ts_ns - int(plan.expires_ns) > late_ns


def _move_on(desk: Desk, row: int, ts_ns: int) -> None:
    plan, record, rules = desk.plan(row), desk.books.records[row], desk.books.rules
    price = desk.middle_price(row)
    step = next_step(plan, price, ts_ns, record, rules)
    if step == Step.CHASE:
        reprice(plan, price, ts_ns, record, rules)
    elif step == Step.REACH:
        reach(plan, price, ts_ns, record, rules)
    else:
        cross(plan, ts_ns, rules)


def _is_stop_further_away(desk: Desk, row: int) -> bool:
    # It was to be moved and was not: what touched the stop that ours knows need not have touched the venue's.
    slot, plan = desk.slots[row], desk.plan(row)
    bracket = desk.orders.get(slot.protect)
    if not slot.leaves_by_stop or bracket is None or bracket.undisputed_status not in STANDS:
        return False
    touched, stop = desk.price_units(row, float(plan.decision_price)), bracket.terms.stop_units
    return stop != 0 and int(desk.books.positions[row].direction) * (touched - stop) > 0


def _insist(desk: Desk, draft: Draft, row: int) -> None:
    # Where the venue's stop was touched and has not closed the position for three bars, or is further away than ours,
    # an order of our own does.
    slot, name = desk.slots[row], desk.instruments[row].symbol
    then = "it is tried again" if desk.may_leave else "the account is halted and leaves it to its stop"
    desk.alert(draft, Severity.CRITICAL, f"exit:{name}", f"the position in {name} could not be closed yet; {then}")
    if slot.leaves_by_stop and desk.books.intent(row) is Intent.EXIT:
        decide_exit(desk, draft, row, "insist")


def stay_flat(desk: Desk, draft: Draft) -> list[int]:
    """Leave whatever is held while an operator wants nothing held, and halt for a kill as soon as that is proven.

    Returns:
        The rows that are being left since now.
    """
    if not desk.flat_wanted:
        return []
    if desk.books.mode != Mode.HALTED:
        desk.told(draft, desk.breakers.operator(draft.ts_ns, "reduce_only").changes)
    rows = [row for row in range(len(desk.slots)) if leave(desk, draft, row, Reason.EXIT_MODE)]
    if desk.flat_wanted == "kill" and desk.breakers.operator_mode != Mode.HALTED and is_flat(desk):
        desk.told(draft, desk.breakers.operator(draft.ts_ns, "halt").changes)
        draft.changed = draft.told = True
    return rows


def is_flat(desk: Desk) -> bool:
    """Tell whether nothing that can be sold is held, and no entry may still be filled: what is unknown may."""
    held = np.abs(desk.books.positions["qty_units"]) >= desk.books.records["lot_units"]
    return not held.any() and not any(may_fill(order) for order in desk.orders.values())


def may_fill(order: Order) -> bool:
    """Tell whether an order may still open a position."""
    return order.request.role is Role.ENTRY and order.undisputed_status not in TERMINAL


def withdraw_entries(desk: Desk, draft: Draft) -> Iterator[int]:
    """Take back every entry at work when the account takes no new risk any more; yield the rows."""
    if desk.books.mode not in _NO_NEW_RISK:
        return
    for row in range(len(desk.slots)):
        if desk.books.intent(row) is Intent.ENTRY:
            give_up(desk, draft, row, Reason.UNFILLED_MODE, _NO_NEW_RISK[desk.books.mode])
            yield row
        elif not desk.may_leave and desk.slots[row].child:
            let_go(desk, draft, row)
            yield row


def take_next_step(desk: Desk, draft: Draft, row: int) -> None:
    """Take the next step towards what is wanted of an instrument, and set aside what no order can close."""
    netting.withdraw_entry(desk, draft, row)
    staleness.withdraw_entry(desk, draft, row)
    _after_partial_fill(desk, draft, row)
    sync(desk, draft, row)
    dust.set_aside(desk, draft, row)


def _after_partial_fill(desk: Desk, draft: Draft, row: int) -> None:
    # What is configured with an entry that ended filled in part: it is kept, completed, or left again.
    slot, policy = desk.slots[row], desk.settings.partial_fill
    plan = desk.plans.get(slot.decision) if slot.decision else None
    if policy == "keep" or plan is None or int(plan.intent) != Intent.ENTRY or desk.has_plan(row):
        return
    position = desk.books.positions[row]
    missing = int(plan.units) - int(position.entered_units)
    if policy == "complete" and slot.unfilled not in _MAY_COMPLETE:
        return
    if slot.child or slot.drains or position.qty_units == 0 or missing <= 0 or slot.leaving_ns:
        return
    if policy == "unwind":
        leave(desk, draft, row, Reason.EXIT_UNWIND)
    elif desk.books.mode == Mode.NORMAL:
        _complete(desk, draft, row, plan, missing)
    if policy == "complete":
        desk.end_kept_plan(slot.decision)


def _complete(desk: Desk, draft: Draft, row: int, plan: Record, missing: int) -> None:
    # What the fallback would do with the rest now: an end at the venue is no reason to pay more than it may.
    rest, price, books = plan.copy(), desk.price_across(row, int(plan.side)), desk.books
    rest.kind, rest.units, rest.chases_left = OrderKind.LIMIT, missing, 0
    step = next_step(rest, price, draft.ts_ns, books.records[row], books.rules)
    if step == Step.CROSS:
        books.complete(row, plan, missing, price, draft.ts_ns)
        return
    reason = Reason.UNFILLED_NO_EDGE if step == Step.GIVE_UP_NO_EDGE else Reason.UNFILLED_EXPIRED
    write_unfilled(desk, draft, row, reason, "the rest is not completed at the market")
