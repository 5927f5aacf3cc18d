"""What people were told of one account, and whether it is over.

Invariants:
- a key that is open is not raised again by whatever repeats it: there is one record when it is raised and one when it
  is over, and one more of each only when it grows louder or nobody acknowledged it;
- a state is over when it has ended; an event is over when it was acknowledged or, unless it is critical, when it has
  not happened again for an hour;
- a critical alert that nobody acknowledged in time is raised once more, and not a third time;
- what is open is bounded.
"""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from novapulse.core.messages import JSON, Alert, Record, Severity

EVENT_NS = 3_600_000_000_000
OPEN_MAX = 100

_LOUDNESS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


@dataclass(slots=True)
class Open:
    """An alert that is not over.

    Attributes:
        severity: How loud.
        text: What people were told.
        since_ns: When it was raised first.
        last_ns: When its cause was last seen.
        is_event: It happened, and has no end of its own.
        acknowledged_by: Who has seen it; empty for nobody.
        times: How often it was raised.
    """

    severity: Severity
    text: str
    since_ns: int
    last_ns: int
    is_event: bool = False
    acknowledged_by: str = ""
    times: int = 1


_values = operator.attrgetter(*Open.__slots__)


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be kept of an alert, and what people hear; None where they need not."""

    record: Record
    alert: Alert | None


class Alerts:
    """The alerts of one account.

    Attributes:
        open: Key -> what is not over, in the order in which it was raised.
    """

    def __init__(self, escalation_s: float) -> None:
        """Begin without any.

        Args:
            escalation_s: After which a critical alert that nobody acknowledged is raised once more, > 0.
        """
        self.open: dict[str, Open] = {}
        self._escalation_ns = round(escalation_s * 1e9)

    @property
    def due_ns(self) -> int | None:
        """When time alone changes something next; None for never."""
        return min((due for one in self.open.values() if (due := self._due_ns(one)) is not None), default=None)

    def raised(
        self, ts_ns: int, severity: Severity, key: str, text: str, *, is_event: bool = False
    ) -> tuple[Telling, ...]:
        """Take note that something is wrong; nothing follows when that is known.

        Args:
            ts_ns: Now.
            severity: How loud.
            key: Names what is wrong: the same while it lasts.
            text: In words.
            is_event: See `Open`.
        """
        known = self.open.get(key)
        if known is not None:
            known.last_ns = ts_ns
            if _LOUDNESS[severity] <= _LOUDNESS[known.severity]:
                return ()
            del self.open[key]
        forgotten = self._make_room(ts_ns)
        self.open[key] = Open(severity, text, ts_ns, ts_ns, is_event)
        return (*forgotten, self._telling(ts_ns, key, self.open[key]))

    def over(self, ts_ns: int, key: str, text: str) -> tuple[Telling, ...]:
        """Take note that something is over; nothing follows when nobody was told of it."""
        if self.open.pop(key, None) is None:
            return ()
        return (Telling(Record("alert_cleared", ts_ns, {"key": key, "text": text}), Alert(Severity.INFO, key, text)),)

    def acknowledge(self, ts_ns: int, keys: Iterable[str], actor: str) -> tuple[Telling, ...]:
        """Take note that somebody has seen some open alerts; events are over by it."""
        told: list[Telling] = []
        for key in keys:
            one = self.open[key]
            if not one.acknowledged_by:
                one.acknowledged_by = actor
                told.append(Telling(Record("alert_acknowledged", ts_ns, {"key": key, "actor": actor}), None))
            if one.is_event:
                told += self.over(ts_ns, key, f"seen by {actor}")
        return tuple(told)

    def time_passed(self, ts_ns: int) -> tuple[Telling, ...]:
        """Raise once more what nobody acknowledged in time, and end events that did not happen again."""
        told: list[Telling] = []
        for key, one in list(self.open.items()):
            due_ns = self._due_ns(one)
            if due_ns is None or ts_ns < due_ns:
                continue
            if one.severity is Severity.CRITICAL:
                one.times += 1
                told.append(self._telling(ts_ns, key, one))
            else:
                told += self.over(ts_ns, key, "it did not happen again")
        return tuple(told)

    def state(self) -> dict[str, JSON]:
        """Return everything that `restore` needs, as JSON without floats."""
        return {key: dict(zip(Open.__slots__, _values(one), strict=True)) for key, one in self.open.items()}

    def restore(self, state: Mapping[str, JSON]) -> None:
        """Go on from a state."""
        self.open = {key: Open(**{**fields, "severity": Severity(fields["severity"])}) for key, fields in state.items()}

    def _due_ns(self, one: Open) -> int | None:
        if one.severity is Severity.CRITICAL:
            return None if one.acknowledged_by or one.times > 1 else one.since_ns + self._escalation_ns
        return one.last_ns + EVENT_NS if one.is_event else None

    def _telling(self, ts_ns: int, key: str, one: Open) -> Telling:
        text = one.text if one.times == 1 else f"nobody has acknowledged: {one.text}"
        body = {"severity": one.severity.value, "key": key, "text": text, "times": one.times}
        return Telling(Record("alert_raised", ts_ns, body), Alert(one.severity, key, text))

    def _make_room(self, ts_ns: int) -> tuple[Telling, ...]:
        if len(self.open) < OPEN_MAX:
            return ()
        # The quietest goes, of these the oldest.
        key = min(self.open, key=lambda name: _LOUDNESS[self.open[name].severity])
        return self.over(ts_ns, key, "forgotten: too many alerts are open")
