"""What every widget is: a picture of the latest state, sent to the page as messages.

Invariants:
- nothing that the page writes back is trusted: whoever has the page can write every trait, so traits only say how a
  thing looks and what was clicked;
- a page that comes late, or comes back, asks with `ready` and gets the latest state again, with its age;
- a state that says nothing new is sent as a word without content: the widget learns that somebody is still there;
- what is not of now is marked so for as long as it is not, whatever is sent meanwhile.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets

STALE_S = 5.0
"""Silence after which a live widget greys itself, in seconds."""

State = Mapping[str, Any]


class Live(anywidget.AnyWidget):
    """A widget that shows what it was last sent.

    Attributes:
        label: Heading, and the name for those who hear the page.
        framed: Whether it draws a card around itself.
        stale_s: Seconds of silence after which it greys itself and says so; 0 for never.
    """

    label = traitlets.Unicode("").tag(sync=True)
    framed = traitlets.Bool(True).tag(sync=True)
    stale_s = traitlets.Float(STALE_S).tag(sync=True)

    def __init__(self, **shown: Any) -> None:
        self._one_at_a_time = threading.RLock()
        self._state: dict[str, Any] = {}
        self._seq = 0
        self._as_of_ns = 0
        self._old = ""
        super().__init__(**shown)
        self.on_msg(self._heard)

    @property
    def state(self) -> State:
        """Return the latest state that was sent."""
        return self._state

    def show_state(self, state: State) -> None:
        """Show a state, whole; it may come from any thread of the session.

        Args:
            state: Plain values, as the widget's own documentation names them. Unknown is None.
        """
        with self._one_at_a_time:
            self._as_of_ns = time.time_ns()
            if self._seq and state == self._state:
                self.word()
                return
            self._state = dict(state)
            self._seq += 1
            self._send_whole()

    @property
    def old(self) -> str:
        """Return why what is shown is not of now; empty where it is."""
        return self._old

    def mark_old(self, why: str) -> None:
        """Say why what is shown now and later is not of now, until this is called again.

        Args:
            why: In words, such as "as proven 12:03:07 UTC: the trader does not run"; empty for what is of now.
        """
        with self._one_at_a_time:
            if why != self._old:
                self._old = why
                self.send({"type": "word", "seq": self._seq, "as_of_ms": self._as_of_ns // 1_000_000, "old": why})

    def word(self) -> None:
        """Tell the page that what it shows still holds."""
        with self._one_at_a_time:
            self._as_of_ns = time.time_ns()
            as_of_ms = self._as_of_ns // 1_000_000
            self.send({"type": "word", "seq": self._seq, "as_of_ms": as_of_ms, "old": self._old})

    def _send_whole(self) -> None:
        now_ns = time.time_ns()
        self.send(
            {
                "type": "state",
                "seq": self._seq,
                "as_of_ms": self._as_of_ns // 1_000_000,
                "age_ms": max(0, (now_ns - self._as_of_ns) // 1_000_000),
                "old": self._old,
                "state": self._state,
            }
        )

    def _heard(self, _: object, content: object, __: object) -> None:
        if isinstance(content, dict) and content.get("type") == "ready":
            with self._one_at_a_time:
                self._came()

    def _came(self) -> None:
        if self._seq:
            self._send_whole()
