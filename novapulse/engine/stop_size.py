"""Whether a stop is as large as what it guards: a larger one would sell what is not held.

Invariants:
- a bracket that came with its entry is the venue's to size while the entry may fill, and for a moment behind every
  execution: only what lasts is asked for; one that was armed by itself is told its size at once;
- what the venue does not do is asked for ever less often, and people are told.
"""

from novapulse.core.messages import SetTimer, Severity
from novapulse.core.order_fold import Order
from novapulse.core.orders import Role
from novapulse.core.records import Intent
from novapulse.engine.changes import RETRY_SECONDS, SECOND_NS
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.slots import Misfit

PATIENCE_S = 5
"""How long a stop may be on its way, or of another size than what it guards, before the venue is asked."""

ASKED_IN_VAIN = 3
"""How often the venue is asked for the size of a stop before people are told."""


def guarded_units(desk: Desk, row: int, bracket: Order) -> int:
    """Return the quantity that a bracket should have: what it has used and what is held."""
    return used_units(bracket) + abs(desk.books.held_units(row))


def used_units(bracket: Order) -> int:
    """Return how much of a bracket is used up: a venue's count of executions never falls, whatever it takes back."""
    taken_back = (fill.qty_units for trade, fill in bracket.fills.items() if bracket.is_busted(trade))
    return bracket.filled_units + sum(taken_back)


def is_to_be_asked(desk: Desk, draft: Draft, row: int, bracket: Order) -> bool:
    """Tell whether the venue is to be asked now for another size of a bracket that stands; a timer brings the time."""
    guarded, known = guarded_units(desk, row, bracket), bracket.terms.qty_units
    if guarded == known:
        forget(desk, draft, row)
        return False
    is_own = not bracket.request.attached_to
    if not is_own and _may_entry_fill(desk, row):
        return False
    misfit, what = desk.misfits.get(row), (bracket.client_order_id, guarded)
    if misfit is None or misfit.what != what:
        misfit = desk.misfits[row] = Misfit(what, draft.ts_ns + (0 if is_own else PATIENCE_S) * SECOND_NS)
    if draft.ts_ns < misfit.due_ns:
        draft.then(SetTimer(f"protect:{row}", misfit.due_ns))
        return False
    misfit.asked += 1
    misfit.due_ns = draft.ts_ns + RETRY_SECONDS[min(misfit.asked + 1, len(RETRY_SECONDS) - 1)] * SECOND_NS
    draft.then(SetTimer(f"protect:{row}", misfit.due_ns))
    if misfit.asked > ASKED_IN_VAIN:
        name, factor = desk.instruments[row].symbol, float(desk.books.records[row].qty_factor)
        text = f"the stop of {name} is over {known / factor:g} where it should be over {guarded / factor:g}"
        desk.alert(draft, Severity.CRITICAL, f"size:{name}", f"{text}, and the venue leaves it so")
    return True


def forget(desk: Desk, draft: Draft, row: int) -> None:
    """Forget that a stop was of another size, and tell who was told."""
    if desk.misfits.pop(row, None) is not None:
        name = desk.instruments[row].symbol
        desk.alert_over(draft, f"size:{name}", f"no stop of {name} is of another size than what it guards")


def _may_entry_fill(desk: Desk, row: int) -> bool:
    is_wanted = desk.books.intent(row) is Intent.ENTRY
    return is_wanted or any(order.request.role is Role.ENTRY for order in desk.open_orders(row))
