"""Long work beside a page: a thread that says how far it is, can be told to stop, and never raises into the page.

Invariants:
- a job ends as exactly one of: done, failed (in one sentence), cancelled;
- what it said of its progress never goes back.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from novapulse.config import ConfigError
from novapulse.research.inputs import Told

T = TypeVar("T")

OUR_FAULT = "something went wrong inside NovaPulse ({kind}: {what}); the figures shown are those from before"


class CancelledError(Exception):
    """The task noticed that it is no longer wanted."""


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        phase: What is being done, in words.
        fraction: Share of it that is done, 0..1; None while that cannot be known.
    """

    phase: str
    fraction: float | None


class Reporter:
    """What a task is given: somewhere to say how far it is, and to hear that it should stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._progress = Progress("starting", None)

    @property
    def progress(self) -> Progress:
        """Return the newest word."""
        return self._progress

    def phase(self, name: str) -> Told:
        """Begin a phase and return what to call with (steps done, steps in all).

        Raises:
            CancelledError: The job was cancelled; so does every call of what is returned.
        """
        self._say(Progress(name, None))

        def told(done: int, total: int) -> None:
            self._say(Progress(name, done / total if total else None))

        return told

    def pause(self, seconds: float) -> None:
        """Wait, unless the job is cancelled meanwhile.

        Raises:
            CancelledError: It was.
        """
        if self._stop.wait(seconds):
            raise CancelledError

    def cancel(self) -> None:
        """Ask the task to stop at its next word."""
        self._stop.set()

    def _say(self, progress: Progress) -> None:
        if self._stop.is_set():
            raise CancelledError
        self._progress = progress


class Job(Generic[T]):
    """One task in a thread of its own.

    Attributes:
        result: What the task returned, once it is done.
        problem: Why it failed, in one sentence.
    """

    def __init__(self, task: Callable[[Reporter], T]) -> None:
        """Start the task at once."""
        self.result: T | None = None
        self.problem: str | None = None
        self.was_cancelled = False
        self._reporter = Reporter()
        self._thread = threading.Thread(target=self._work, args=(task,), name="novapulse-job", daemon=True)
        self._thread.start()

    @property
    def progress(self) -> Progress:
        """Return how far the task says it is."""
        return self._reporter.progress

    @property
    def is_over(self) -> bool:
        """Return whether the task has ended, in whatever way."""
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds if given; return whether it came."""
        self._thread.join(seconds)
        return self.is_over

    def cancel(self) -> None:
        """Ask the task to stop; what it had is thrown away."""
        self._reporter.cancel()

    def _work(self, task: Callable[[Reporter], T]) -> None:
        try:
            self.result = task(self._reporter)
        except CancelledError:
            self.was_cancelled = True
        except (ConfigError, ValueError) as wrong:
            self.problem = " ".join(str(wrong).split())
        except Exception as wrong:
            self.problem = OUR_FAULT.format(kind=type(wrong).__name__, what=" ".join(str(wrong).split()))
