"""What a trader is told of the world around it: measured, counted, or something that people have to hear of."""

from novapulse.core.messages import ConditionSeen, Severity
from novapulse.engine.desk import Desk, Draft


def take(desk: Desk, draft: Draft, event: ConditionSeen) -> None:
    """Let the breakers know a condition; a failure is an alert of its own, however seldom it happens."""
    if event.condition == "task_failed":
        desk.counted(draft, "task_failures", event.subject)
        desk.alert(draft, Severity.WARNING, f"task:{event.subject}", event.text, is_event=True)
    elif event.condition == "bug":
        desk.alert(draft, Severity.CRITICAL, "bug", event.text, is_event=True)
    else:
        desk.measured(draft, event.condition, event.value)
