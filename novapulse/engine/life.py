"""How an account's trader is: whether it runs, what it did and what is wrong, and who hears of it."""

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Alert, Answer


class Life(enum.StrEnum):
    """How an account's trader is."""

    DOWN = "down"
    RUNNING = "running"
    STOPPED = "stopped"
    """Ended as it was meant to."""
    ENDED = "ended"
    """For good: another process has the account, or our own errors forbid to go on."""


@dataclass(frozen=True, slots=True)
class Link:
    """How long a request travels to the venue and its answer back, ns; 0 where the network itself takes its time."""

    out_ns: int = 0
    back_ns: int = 0


class Teller(Protocol):
    """Hears what an account has to say."""

    def alerted(self, account: AccountKey, alert: Alert) -> None:
        """Take note of an alert."""
        ...

    def answered(self, account: AccountKey, answer: Answer) -> None:
        """Take note of a command's answer."""
        ...


@dataclass(slots=True)
class Told:
    """What became durable since the start, and what is wrong.

    Attributes:
        kinds: Records by kind.
        dropped: Events that an account which fell behind has not heard.
        bugs: Errors of our own.
        why_down: In words; empty while the trader runs.
        connected: Whether the venue's stream stands.
        ledger_failed: Whether the last write failed.
        alerts: The last text of each key.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    bugs: int = 0
    why_down: str = "it has not started yet"
    connected: bool | None = None
    ledger_failed: bool = False
    alerts: dict[str, Alert] = field(default_factory=dict)
