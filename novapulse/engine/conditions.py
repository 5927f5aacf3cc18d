"""What a trader is told of the world around it: measured, counted, or something that people have to hear of."""

from collections.abc import Mapping

from novapulse.core.messages import JSON, ConditionSeen, Severity
from novapulse.engine.desk import Desk, Draft


def take(desk: Desk, draft: Draft, event: ConditionSeen) -> None:
    """Let the breakers know a condition; a failure is an alert of its own, however seldom it happens."""
    if event.condition == "task_failed":
        desk.counted(draft, "task_failures", event.subject)
        desk.alert(draft, Severity.WARNING, f"task:{event.subject}", event.text, is_event=True)
    elif event.condition in ("bug", "executions_missing"):
        desk.alert(draft, Severity.CRITICAL, event.condition, event.text, is_event=True)
    else:
        desk.measured(draft, event.condition, event.value)


def take_restore(desk: Desk, draft: Draft, body: Mapping[str, JSON]) -> None:
    """Halt an account whose ledger was put back to an earlier state: nobody knows here what was done or said since."""
    # An operator's word about a restore of before says nothing of this one.
    desk.measured(draft, "ledger_restores", 0.0)
    desk.measured(draft, "ledger_restores", 1.0)
    desk.alert(draft, Severity.CRITICAL, "ledger_restored", str(body["text"]), is_event=True)
