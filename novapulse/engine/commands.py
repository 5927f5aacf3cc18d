"""What an operator can tell a running trader. Each command ends in one recorded answer.

Invariants:
- a command acts once: its id is remembered with its answer in the ledger;
- what tightens is always obeyed; what loosens can be refused, and says why;
- by hand only what opens a position is cancelled: what protects or leaves one is never taken away from it;
- a flatten and a kill last until somebody resumes, or halts before the account is flat: what is still held is left to
  its stops then.
"""

from novapulse.core.messages import CommandReceived
from novapulse.core.orders import TERMINAL, DisputeSettled, Role
from novapulse.core.records import Intent, Mode, Reason
from novapulse.engine.answers import answer, end_text, is_known, wait_for_end
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.gauges import measure_losses
from novapulse.engine.leaving import is_flat, leave, may_fill, stay_flat
from novapulse.engine.limits import SECTION_OF, LimitChange, LimitError, changed_by, value_of
from novapulse.engine.orders import give_up, let_go
from novapulse.engine.reconciler import Reconciler
from novapulse.risk.limits import daily_loss
from novapulse.risk.sizing import drawdown

VERBS = (
    "pause",
    "resume",
    "reduce_only",
    "halt",
    "resume_from_halt",
    "flatten",
    "kill",
    "close",
    "cancel",
    "adopt",
    "ignore",
    "settle",
    "reconcile",
    "acknowledge",
    "limits",
)
_MODES = frozenset({"pause", "resume", "reduce_only", "halt", "resume_from_halt"})


def obey(desk: Desk, draft: Draft, event: CommandReceived, reconciler: Reconciler) -> list[int]:
    """Carry a command out.

    Returns:
        Rows whose orders want a look.
    """
    rows = list(range(len(desk.slots)))
    if is_known(desk, event):
        return []
    done, text = True, ""
    if event.verb in _MODES:
        ends_flat = event.verb.startswith("resume") or (event.verb == "halt" and desk.books.mode != Mode.HALTED)
        obeyed = desk.breakers.operator(draft.ts_ns, event.verb)
        if obeyed.done and ends_flat:
            desk.want_flat("")
        desk.told(draft, obeyed.changes)
        if desk.may_leave and any(slot.turned for slot in desk.slots):
            reconciler.soon(draft, "what is held and nobody decided may be closed")
        done, text = obeyed.done, obeyed.text
    elif event.verb in ("flatten", "kill"):
        done, text = _flatten(desk, draft, rows, event.verb)
    elif event.verb == "close":
        done, text = _close(desk, draft, str(event.arguments.get("symbol", "")))
    elif event.verb == "cancel" and event.arguments.get("order"):
        refusal = _cancel_one(desk, draft, event)
        if not refusal:
            return rows
        done, text = False, refusal
    elif event.verb == "cancel":
        text = f"{_cancel(desk, draft, rows)} entries are being cancelled"
    elif event.verb == "settle":
        done, text = _settle(desk, draft, str(event.arguments.get("order", "")))
    elif event.verb in ("adopt", "ignore"):
        done, text = reconciler.decide_foreign(draft, str(event.arguments.get("order", "")), event.verb)
    elif event.verb == "acknowledge":
        done, text = _acknowledge(desk, draft, str(event.arguments.get("alert", "")), event.actor)
    elif event.verb == "limits":
        done, text = _change_limits(desk, draft, event)
    elif event.verb == "reconcile":
        reconciler.soon(draft, f"asked by {event.actor}")
        text = "the account is being compared with the venue"
    else:
        done, text = False, f"no such command: {event.verb}; there are {', '.join(VERBS)}"
    answer(draft, event, done, text)
    return rows


def _flatten(desk: Desk, draft: Draft, rows: list[int], verb: str) -> tuple[bool, str]:
    if desk.books.mode == Mode.HALTED and is_flat(desk):
        return True, "the account is halted and flat already"
    if verb == "flatten" and not desk.may_leave:
        return False, "the account is halted, its positions are left to their stops: kill closes them all the same"
    _cancel(desk, draft, rows)
    desk.want_flat("kill" if "kill" in (verb, desk.flat_wanted) else verb)
    stay_flat(desk, draft)
    held, entries = int((desk.books.positions["qty_units"] != 0).sum()), sum(map(may_fill, desk.orders.values()))
    text = f"{_counted(held, 'position')} being closed"
    if entries:
        text += f", {_counted(entries, 'entry', 'entries')} being cancelled that may still fill"
    return True, text + (", then the account halts" if verb == "kill" else "")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"1 {one} is" if count == 1 else f"{count or 'no'} {many or one + 's'} are"


def _settle(desk: Desk, draft: Draft, name: str) -> tuple[bool, str]:
    order = desk.orders.get(name)
    if order is None or not order.disputes:
        listed = ", ".join(sorted(each for each, one in desk.orders.items() if one.disputes)) or "none is"
        return False, f"order {name!r} is not disputed: {listed}"
    desk.learn(draft, DisputeSettled(name, order.disputes))
    return True, f"the dispute over order {name} is settled as the venue says"


def _acknowledge(desk: Desk, draft: Draft, wanted: str, actor: str) -> tuple[bool, str]:
    keys = list(desk.alerts.open) if wanted == "all" else [wanted]
    if wanted != "all" and wanted not in desk.alerts.open:
        return False, f"no alert {wanted!r} is open: {', '.join(desk.alerts.open) or 'none is'}"
    desk.tell(draft, desk.alerts.acknowledge(draft.ts_ns, keys, actor))
    return True, f"acknowledged: {', '.join(keys) or 'no alert is open'}"


def _close(desk: Desk, draft: Draft, symbol: str) -> tuple[bool, str]:
    for row, instrument in enumerate(desk.instruments):
        if instrument.symbol == symbol:
            if not desk.may_leave:
                return False, f"{symbol} stays as it is: the account is halted"
            if leave(desk, draft, row, Reason.EXIT_MODE):
                return True, f"the position in {symbol} is being closed"
            return True, f"there is no position in {symbol} to close, or it is being closed already"
    listed = ", ".join(instrument.symbol for instrument in desk.instruments)
    return False, f"{symbol!r} is not traded by this account: {listed}"


def _cancel(desk: Desk, draft: Draft, rows: list[int]) -> int:
    count = 0
    for row in rows:
        if desk.books.intent(row) is Intent.ENTRY:
            give_up(desk, draft, row, Reason.UNFILLED_MODE, "cancelled by the operator")
            count += 1
    return count


def _cancel_one(desk: Desk, draft: Draft, event: CommandReceived) -> str:
    wanted = str(event.arguments["order"])
    order = desk.order(wanted) or desk.order("", wanted)
    if order is None:
        entries = sorted(name for name, one in desk.orders.items() if may_fill(one))
        return f"this account has no order {wanted!r}: what can be cancelled is {', '.join(entries) or 'nothing now'}"
    name, row = order.client_order_id, desk.row_of(order)
    symbol = desk.instrument(row).symbol
    if name in desk.closed:
        return end_text(desk, order)
    if order.disputes and order.undisputed_status in TERMINAL:
        return f"order {name} has ended at the venue and is disputed: settle ends that"
    if order.request.role is Role.PROTECT:
        return f"order {name} protects the position in {symbol} and is not cancelled by hand: close closes the position"
    if order.request.role is Role.EXIT:
        return f"order {name} closes the position in {symbol} and is not cancelled by hand: halt keeps what is held"
    wait_for_end(desk, draft, event, name)
    # What drains already is being cancelled.
    if desk.slots[row].child == name and desk.books.intent(row) is Intent.ENTRY:
        give_up(desk, draft, row, Reason.UNFILLED_MODE, "cancelled by the operator")
    elif desk.slots[row].child == name:
        let_go(desk, draft, row)
    return ""


def _change_limits(desk: Desk, draft: Draft, event: CommandReceived) -> tuple[bool, str]:
    before, before_limits = desk.in_force, desk.limits
    new = LimitChange("", event.command_id, event.actor, event.ts_ns)
    try:
        limits = changed_by(desk.configured, before_limits, str(event.arguments.get("set", "")), new)
    except LimitError as wrong:
        return False, str(wrong)
    if limits == before_limits:
        listed = ", ".join(f"{name} is {one.value}" for name, one in limits.items())
        return True, f"nothing changes: {listed or 'every limit is as configured'}"
    desk.put_in_force(limits)
    draft.write(
        "limits_changed",
        {
            "command_id": event.command_id,
            "actor": event.actor,
            "settings": desk.settings_hash,
            "limits": {
                name: {
                    "section": SECTION_OF[name],
                    "value": one.value,
                    "command_id": one.command_id,
                    "actor": one.actor,
                }
                for name, one in limits.items()
            },
        },
    )
    account = desk.books.account[0]
    measure_losses(desk, draft, daily_loss(account), drawdown(account))
    texts = [
        f"{name} is {value_of(desk.in_force, name)}{'' if name in limits else ' as configured'}, "
        f"was {value_of(before, name)}"
        for name in dict.fromkeys((*before_limits, *limits))
        if limits.get(name) != before_limits.get(name)
    ]
    return True, "; ".join(texts)
