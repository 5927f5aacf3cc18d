"""What people are told of an account, by the first part of an alert's key: who says so, who ends it, and what it means.

Invariants:
- whatever is raised is a state that somebody ends, or an event that is over once it was seen or did not happen again;
- what this table does not know counts against the health of its account.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlertKind:
    """Alerts whose keys begin alike.

    Attributes:
        raised_by: Modules of the engine.
        ended_by: Modules of the engine; empty for events.
        is_unwell: Whether one that is critical makes its account unwell.
    """

    raised_by: tuple[str, ...]
    ended_by: tuple[str, ...] = ()
    is_unwell: bool = True


_FOUND = ("reconciler", "resolutions")

KINDS = {
    # What a breaker or a difference restricts says by itself whether its account is well, except for a missing stop.
    "breaker": AlertKind(("desk",), ("desk",), is_unwell=False),
    "break": AlertKind(_FOUND, ("reconciler",), is_unwell=False),
    "break:D14": AlertKind(_FOUND, ("reconciler",)),
    "reconcile": AlertKind(("reconciler",), ("reconciler",)),
    "bare": AlertKind(("protection",), ("bare",)),
    "stale": AlertKind(("staleness",), ("staleness",)),
    "exit": AlertKind(("leaving", "orders"), ("trader",)),
    "cancel": AlertKind(("changes",), ("orders",)),
    "amend": AlertKind(("changes",), ("orders", "trader")),
    "size": AlertKind(("stop_size",), ("stop_size",)),
    "reopened": AlertKind(("desk",), ("orders",)),
    "disputed": AlertKind(("disputes",), ("disputes",)),
    "excess": AlertKind(("excess",)),
    "netted": AlertKind(("netting",)),
    "covered": AlertKind(("netting",)),
    "bust": AlertKind(("fills", "resolutions")),
    "foreign": AlertKind(("fills",)),
    "dust": AlertKind(("dust",)),
    "flow": AlertKind(("resolutions",)),
    "split": AlertKind(("splits",)),
    "task": AlertKind(("conditions",)),
    "bug": AlertKind(("conditions",)),
    "executions_missing": AlertKind(("conditions",)),
    "ledger_restored": AlertKind(("conditions",)),
}
"""First parts of a key -> what holds of it; the longest that fits counts."""


def is_unwell(key: str) -> bool:
    """Tell whether an account is unwell while an alert of this key is open and critical."""
    fitting = [start for start in KINDS if f"{key}:".startswith(f"{start}:")]
    return not fitting or KINDS[max(fitting, key=len)].is_unwell
