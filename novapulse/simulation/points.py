"""The points at which a process can end: what is being written there, and how often it does."""

from functools import cache

from novapulse.core.messages import Commit

AIMED = {"a cancel": 20, "Cancel": 20, "an amendment": 4, "Amend": 4}
"""Where the process ends so many times as often as elsewhere: there is little of it, and much can go wrong."""
WRITE_POINTS = (
    ("order_attempted", "at W1 and W2"),
    ("fill_booked", "at W4"),
    ("order_closed", "at W5"),
    ("order_acked", "at W3"),
    ("order_refused", "at W3"),
    ("order_unclear", "at W3"),
    ("order_seen", "at W3"),
    ("cancel_asked", "at a cancel"),
    ("amend_asked", "at an amendment"),
    ("session_started", "at the start"),
)


@cache
def aim_at(where: str) -> int:
    """Return how many times as often as elsewhere the process ends at a point."""
    return next((times for what, times in AIMED.items() if where.endswith(f" {what}")), 1)


def write_point(effect: Commit) -> str:
    """Return where a commit stands in the life of an order."""
    kinds = {record.kind for record in effect.records}
    return next((where for kind, where in WRITE_POINTS if kind in kinds), "of something else")


def is_everyday(effect: Commit) -> bool:
    """Tell whether a commit holds the marks of a close or what is measured alone: many, and nothing is sent on them."""
    return all(record.kind.startswith(("breaker_", "alert_")) for record in effect.records)
