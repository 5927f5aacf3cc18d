"""What an operator can tell a running trader. Each command ends in one recorded answer.

Invariants:
- a command acts once: its id is remembered with its answer in the ledger;
- what tightens is always obeyed; what loosens can be refused, and says why;
- a flatten and a kill last until somebody resumes, or halts before the account is flat: what is still held is left to
  its stops then.
"""

from novapulse.core.messages import Answer, CommandReceived
from novapulse.core.orders import DisputeSettled
from novapulse.core.records import Intent, Mode, Reason
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.leaving import is_flat, leave, may_fill, stay_flat
from novapulse.engine.orders import give_up
from novapulse.engine.reconciler import Reconciler

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
)
_MODES = frozenset({"pause", "resume", "reduce_only", "halt", "resume_from_halt"})


def obey(desk: Desk, draft: Draft, event: CommandReceived, reconciler: Reconciler) -> list[int]:
    """Carry a command out.

    Returns:
        Rows whose orders want a look.
    """
    rows = list(range(len(desk.slots)))
    done, text = True, ""
    if event.verb in _MODES:
        ends_flat = event.verb.startswith("resume") or (event.verb == "halt" and desk.books.mode != Mode.HALTED)
        obeyed = desk.breakers.operator(draft.ts_ns, event.verb)
        if obeyed.done and ends_flat:
            desk.want_flat("")
        desk.told(draft, obeyed.changes)
        done, text = obeyed.done, obeyed.text
    elif event.verb in ("flatten", "kill"):
        done, text = _flatten(desk, draft, rows, event.verb)
    elif event.verb == "close":
        done, text = _close(desk, draft, str(event.arguments.get("symbol", "")))
    elif event.verb == "cancel":
        text = f"{_cancel(desk, draft, rows)} entries are being cancelled"
    elif event.verb == "settle":
        done, text = _settle(desk, draft, str(event.arguments.get("order", "")))
    elif event.verb in ("adopt", "ignore"):
        done, text = reconciler.decide_foreign(draft, str(event.arguments.get("order", "")), event.verb)
    elif event.verb == "acknowledge":
        done, text = _acknowledge(desk, draft, str(event.arguments.get("alert", "")), event.actor)
    elif event.verb == "reconcile":
        reconciler.soon(draft, f"asked by {event.actor}")
        text = "the account is being compared with the venue"
    else:
        done, text = False, f"no such command: {event.verb}; there are {', '.join(VERBS)}"
    answer(draft, event, done, text)
    return rows


def answer(draft: Draft, event: CommandReceived, done: bool, text: str) -> None:
    """Write a command and its answer, and send the answer."""
    draft.write(
        "command_answered",
        {
            "command_id": event.command_id,
            "verb": event.verb,
            "arguments": dict(event.arguments),
            "actor": event.actor,
            "done": done,
            "text": text,
        },
    )
    draft.then(Answer(event.command_id, done, text))


def _flatten(desk: Desk, draft: Draft, rows: list[int], verb: str) -> tuple[bool, str]:
    if desk.books.mode == Mode.HALTED and is_flat(desk):
        return True, "the account is halted and flat already"
    if verb == "flatten" and not desk.may_leave:
        return False, "the account is halted, its positions are left to their stops: kill closes them all the same"
    _cancel(desk, draft, rows)
    desk.want_flat("kill" if "kill" in (verb, desk.flat_wanted) else verb)
    stay_flat(desk, draft)
    held, entries = int((desk.books.positions["qty_units"] != 0).sum()), sum(map(may_fill, desk.orders.values()))
    text = f"{held} positions are being closed"
    if entries:
        text += f", {entries} entries that may still be filled are being cancelled"
    return True, text + (", then the account halts" if verb == "kill" else "")


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
