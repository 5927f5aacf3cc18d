"""Since when a feed is silent of what was due: what was turned down was not heard.

Invariants:
- silence counts from the last bar that was taken, by our own clock, and never from before something was due;
- a bar that was turned down ends no silence; it begins one when it came while something was due, or from a future;
- a market that has closed is not silent, whatever was turned down before.
"""

from collections.abc import Iterable

from novapulse.engine.gather import Problem, Rejection


class Hearing:
    """What is remembered of one source."""

    def __init__(self, heartbeat_ns: int) -> None:
        """Begin without having heard anything.

        Args:
            heartbeat_ns: How often at least something is heard while something is due, > 0.
        """
        self._heartbeat_ns = heartbeat_ns
        self._heard_ns = 0
        self._missed_ns = 0
        self._comes_from_ahead = False

    def begin(self, now_ns: int) -> None:
        """Count from now on, unless something was heard before."""
        self._heard_ns = self._heard_ns or now_ns

    def took(self, now_ns: int) -> None:
        """Take note that a bar was taken."""
        self._heard_ns, self._missed_ns, self._comes_from_ahead = now_ns, 0, False

    def turned_down(self, now_ns: int, due_ns: int | None, why: Iterable[Rejection]) -> None:
        """Take note that bars came and none was taken.

        Args:
            now_ns: Now.
            due_ns: When something was due before they came; None when nothing was.
            why: What was wrong with them.
        """
        self._comes_from_ahead = self._comes_from_ahead or any(one.problem is Problem.FUTURE for one in why)
        is_due = due_ns is not None and due_ns <= now_ns
        if self._missed_ns or not (is_due or self._comes_from_ahead):
            return
        self._missed_ns = min(now_ns, max(self._heard_ns, (due_ns or now_ns) - self._heartbeat_ns))

    def silence(self, now_ns: int, due_ns: int | None) -> float:
        """Return for how long nothing was heard of what was due, in heartbeats.

        Args:
            now_ns: Now; it may lie before what was heard, where our clock was set back.
            due_ns: When something is due next; None when nothing is.
        """
        self._heard_ns = min(self._heard_ns, now_ns)
        begins_ns = None if due_ns is None else due_ns - self._heartbeat_ns
        if begins_ns is None or (begins_ns > now_ns and not self._comes_from_ahead):
            self._missed_ns = 0
            return 0.0
        return max(0, now_ns - (self._missed_ns or max(self._heard_ns, begins_ns))) / self._heartbeat_ns
