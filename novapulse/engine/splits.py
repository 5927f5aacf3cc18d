"""A split as an event of the ledger (D12): quantities times the ratio, prices by it, what was paid as it was.

Invariants:
- a ratio is what the venue said, and what it gave must agree with it; nothing is guessed;
- everything out in the instrument has the old prices: it is cancelled, and no new stop is armed before that has ended
  and a price behind the split was seen;
- until then nothing is decided in the instrument, and no price makes the trader itself the stop;
- what the venue gave is booked to the unit: its rounding is its own, and what is left over belongs to nobody;
- a position of which nothing is left ends here, at the last price: cash in lieu of it comes by itself;
- an execution of before that was not told yet is part of what the venue gave: a split that counts it fits only once it
  is booked, and waits for it.
"""

import math
from dataclasses import replace

import numpy as np

from novapulse.core.messages import BarsClosed, Flow, Severity
from novapulse.core.orders import OrderStatus
from novapulse.core.postings import Book, move
from novapulse.core.records import Intent, Reason, Record
from novapulse.engine import fills
from novapulse.engine.changes import cancel
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import give_up, let_go

_PRICES = ("open", "high", "low", "close")


def apply(desk: Desk, draft: Draft, flow: Flow) -> bool:
    """Restate what is held of an asset, and take back every order in it.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        flow: What the venue says: the ratio, and what it gave or took.

    Returns:
        False when it is no asset of ours, or the quantity does not agree with the ratio: then nothing was changed.
    """
    row = next((row for row, one in enumerate(desk.instruments) if one.base == flow.asset), None)
    if row is None:
        return False
    after = _units_after(desk, row, flow)
    if after is None:
        text = f"{flow.asset_units} units of {flow.asset} do not agree with a split {flow.new} for {flow.old}"
        desk.alert(draft, Severity.CRITICAL, f"split:{flow.flow_id}", text, is_event=True)
        return False
    books, slot, instrument = desk.books, desk.slots[row], desk.instruments[row]
    before = int(books.positions[row].qty_units), int(books.foreign_units[row])
    _take_orders_back(desk, draft, row)
    ended = fills.take_amount(desk, draft, row, -before[0], own_money=False) if before[0] and not after[0] else {}
    draft.write(
        "split_applied",
        {
            "flow_id": flow.flow_id,
            "instrument": [desk.key.exchange, instrument.symbol],
            "asset": flow.asset,
            "asset_units": flow.asset_units,
            "new": flow.new,
            "old": flow.old,
            "units": [before[0], after[0]],
            "foreign_units": [before[1], after[1]],
            "ts_event_ns": flow.ts_event_ns,
            **{name: ended[name] for name in ("price_units", "worth_units") if name in ended},
        },
        move(flow.asset, flow.asset_units, Book.TRADING, Book.INVENTORY),
    )
    books.split(row, flow.new, flow.old, *after)
    slot.dust_units = after[1] if slot.dust_units == before[1] else slot.dust_units * flow.new // flow.old
    slot.bound_dust(after[1])
    for decision in {slot.entry, slot.decision}:
        desk.restate_kept_plan(decision, flow.new, flow.old)
    slot.split_ns, slot.split_new, slot.split_old = desk.ts_close_ns, flow.new, flow.old
    desk.prices_ns[row] = 0
    desk.quotes[row] = (0, 0.0, 0.0)
    desk.rows_active_ns[row] = draft.ts_ns
    return True


def _units_after(desk: Desk, row: int, flow: Flow) -> tuple[int, int] | None:
    """Return what is ours and what is nobody's afterwards; None when that cannot be."""
    step = 10 ** (desk.scales[flow.asset] - desk.instruments[row].qty_scale)
    own, foreign = int(desk.books.positions[row].qty_units), int(desk.books.foreign_units[row])
    gained, rest = divmod(flow.asset_units, step)
    total, lot = own + foreign + gained, int(desk.books.records[row].lot_units)
    # The venue rounds what it counts apart, towards nothing, by less than a lot each.
    if rest or abs((own + foreign) * flow.new - total * flow.old) >= 2 * lot * flow.old:
        return None
    if foreign == 0:
        return total, 0
    whole = abs(own) * flow.new // flow.old // lot * lot
    if own and not whole:
        return None
    own = whole if own > 0 else -whole
    return own, total - own


def _take_orders_back(desk: Desk, draft: Draft, row: int) -> None:
    slot = desk.slots[row]
    if desk.plan(row).intent == Intent.ENTRY:
        give_up(desk, draft, row, Reason.UNFILLED_CANCELED, "a split")
    let_go(desk, draft, row)
    bracket = desk.orders.get(slot.protect)
    if bracket is not None and bracket.status is not OrderStatus.INTENT:
        slot.drains.append(slot.protect)
        slot.protect = ""
    for order in list(desk.open_orders(row)):
        cancel(desk, draft, order)


def is_behind(desk: Desk, draft: Draft, row: int, *prices: float) -> bool:
    """Tell whether prices may be used: none of before a split may; the first that are behind it end the wait.

    A price is behind the split when it is nearer to the last one restated than to the last one as it was.
    """
    slot = desk.slots[row]
    if not slot.split_new:
        return True
    last, half = float(desk.books.last_bars[row].close), abs(math.log(slot.split_new / slot.split_old)) / 2.0
    if last > 0.0 and any(abs(math.log(price / last)) > half for price in prices):
        return False
    slot.split_new = slot.split_old = 0
    draft.changed = draft.told = True
    return True


def seen_bars(desk: Desk, draft: Draft, event: BarsClosed) -> BarsClosed:
    """Return a close without the bars of an instrument whose prices are not behind its split."""
    if not any(slot.split_new for slot in desk.slots):
        return event
    hidden = [row for row in np.flatnonzero(event.present).tolist() if not _has_seen(desk, draft, row, event.bars[row])]
    if not hidden:
        return event
    present = event.present.copy()
    present[hidden] = 0
    return replace(event, present=present)


def _has_seen(desk: Desk, draft: Draft, row: int, bar: Record) -> bool:
    return not desk.slots[row].split_new or is_behind(desk, draft, row, *(float(bar[name]) for name in _PRICES))
