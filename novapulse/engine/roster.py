"""What an account trades, when that changes from one start to the next.

Invariants:
- what is traded before and after keeps all that is its own, wherever it stands; what was added begins as at a first
  start;
- an instrument goes only when nothing of it is left: no holding, ours or nobody's, no order, no dispute, and no
  difference with the venue;
- with an instrument goes what restricted it and what people were told of it, by records.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.kept_state import Kept, parts
from novapulse.core.messages import HoldRun
from novapulse.core.order_fold import Order
from novapulse.core.records import Intent
from novapulse.engine.desk import Desk, Draft


class StillNeededError(ValueError):
    """An instrument of which something is left is to be traded no more."""


def check_dropped(state: bytes, account: AccountKey, keys: Sequence[InstrumentKey], orders: Iterable[Order]) -> None:
    """Refuse to go on without an instrument of which something is left.

    Args:
        state: As it was kept.
        account: Whose.
        keys: What the account is to trade.
        orders: Its orders that have not ended, and those that ended last.

    Raises:
        StillNeededError: With a sentence that says what to do.
        ValueError: The state is damaged.
    """
    kept, told = Kept.of(state), parts(state)[0]
    dropped = {key: row for row, key in enumerate(kept.instruments) if key not in keys}
    if not dropped:
        return
    known = tuple(orders)
    for key, row in dropped.items():
        left = list(_left(kept, told, row, [order for order in known if order.request.instrument == key]))
        if left:
            where = f"--exchange {account.exchange} --account {account.account_id}"
            raise StillNeededError(
                f"account {account.account_id!r} on {account.exchange} cannot go on without {key.symbol}, which is not "
                f"among its symbols any more: {', '.join(left)}. Name {key.symbol} again, close what is open of it "
                f"('novapulse control close {where} --symbol {key.symbol}') or settle what differs, and take it out "
                "when nothing of it is left"
            )


def _left(kept: Kept, told: Mapping[str, Any], row: int, orders: Sequence[Order]) -> Iterator[str]:
    slot, base = told["slots"][row], kept.instruments[row].symbol.partition("/")[0]
    if kept.positions[row]["qty_units"]:
        yield "a position is held"
    if kept.foreign_units[row]:
        yield "it has units that belong to no order of ours"
    if kept.orders[row]["intent"] != Intent.NONE or slot["child"] or slot["protect"] or slot["drains"]:
        yield "something is at work"
    for order in orders:
        if order.disputes:
            yield f"order {order.client_order_id} is disputed"
        elif order.is_intended and not order.is_terminal:
            yield f"order {order.client_order_id} has not ended"
    differs = any(key.partition(":")[2] == base for key in (*told["breaks"], *told["ignored"]))
    if slot["gate"] or differs:
        yield "it differs from what the venue shows"


def rows_before(desk: Desk, before: Sequence[InstrumentKey]) -> list[int | None]:
    """Return for each instrument of a desk where it stood before; None for one that was added."""
    return [before.index(key) if key in before else None for key in desk.keys]


def let_go(desk: Desk, draft: Draft) -> None:
    """End what still stands of instruments that are traded no more."""
    for key, run in desk.dropped.items():
        if run is not None:
            draft.runs.append(HoldRun(key, run.reason, run.first_ns, run.last_ns, run.bars))
        desk.told(draft, desk.breakers.forget(draft.ts_ns, key))
        for name in [name for name in desk.alerts.open if name.endswith(f":{key.symbol}")]:
            desk.alert_over(draft, name, f"{key.symbol} is not traded any more")
    desk.dropped = {}
