"""What people were told of one account: what is open, and the last that is over.

Invariants:
- an alert is open from the entry that raised it to the entry that ended it, as `ledger.alerts` counts it; nothing is
  concluded from what it is about;
- one that was raised once more because nobody acknowledged it is the same alert.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from novapulse.monitor.rows import AlertState


class AlertBook:
    """Alerts by key.

    Attributes:
        open: Key -> alert that is not over; as many as the trader lets be open.
        over: The last ones that have ended, in the order of their ends.
    """

    def __init__(self, kept: int) -> None:
        """Begin without any.

        Args:
            kept: How many that are over are remembered.
        """
        self.open: dict[str, AlertState] = {}
        self.over: deque[AlertState] = deque(maxlen=kept)

    def take(self, seq: int, kind: str, ts_ns: int, body: Mapping[str, Any]) -> None:
        """Take an entry of `ledger.alerts.KINDS`.

        Raises:
            KeyError: It lacks something.
            ValueError: It holds something else than its kind says.
        """
        key = str(body["key"])
        known = self.open.get(key)
        if kind == "alert_raised":
            times = int(body.get("times", 1))
            if known is not None and times > 1:
                self.open[key] = replace(known, times=times)
                return
            self._end(key, ts_ns, "it was raised anew")
            self.open[key] = AlertState(seq, ts_ns, str(body["severity"]), key, str(body["text"]), True)
        elif kind == "alert_cleared":
            self._end(key, ts_ns, str(body["text"]))
        elif known is not None:
            self.open[key] = replace(known, acknowledged_ns=ts_ns, acknowledged_by=str(body["actor"]))

    def _end(self, key: str, ts_ns: int, text: str) -> None:
        known = self.open.pop(key, None)
        if known is not None:
            self.over.append(replace(known, is_open=False, over_ns=ts_ns, over_text=text))

    @property
    def rows(self) -> tuple[AlertState, ...]:
        """What is open, then what is over, each newest first."""
        found = (*self.open.values(), *self.over)
        return tuple(sorted(found, key=lambda one: (not one.is_open, -one.seq)))
