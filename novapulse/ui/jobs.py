"""Long work beside a page: a thread that says how far it is, can be told to stop, and never raises into the page.

Invariants:
- a job ends as exactly one of: done, failed (in one sentence), cancelled;
- what it said of its progress never goes back.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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


def words_of(progress: Progress) -> str:
    """Return how far a job is, as people read it."""
    share = "" if progress.fraction is None else f" {progress.fraction:.0%}"
    return f"{progress.phase} \N{HORIZONTAL ELLIPSIS}{share}"


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

    @property
    def is_cancelled(self) -> bool:
        """Return whether it was asked to."""
        return self._stop.is_set()

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

    @property
    def is_leaving(self) -> bool:
        """Return whether the task was asked to stop."""
        return self._reporter.is_cancelled

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


class Results:
    """The last few values by key; several threads may ask at once, and may then compute a value twice."""

    def __init__(self, count: int = 6) -> None:
        """Say how many values are kept."""
        self._count = count
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, made if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                there: T = self._values[key]
                return there
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._count:
                self._values.popitem(last=False)
        return value


class Wanted(Generic[T]):
    """Work that somebody waits for, perhaps not alone.

    Attributes:
        job: The work.
    """

    def __init__(self, job: Job[T], leave: Callable[[], None]) -> None:
        """Wait for it.

        Args:
            job: The work.
            leave: Called once when it is not waited for any more.
        """
        self.job = job
        self.is_left = False
        self._leave = leave

    def cancel(self) -> None:
        """Wait for it no longer; the last who does ends it."""
        if not self.is_left:
            self.is_left = True
            self._leave()


class Shared(Generic[T]):
    """Work by key: done once for all who ask for the same, and kept as long as it is asked for."""

    def __init__(self, count: int) -> None:
        """Say how many are kept."""
        self._count = count
        self._jobs: OrderedDict[Hashable, Job[T]] = OrderedDict()
        self._waiting: dict[Job[T], int] = {}
        self._lock = threading.Lock()

    def ask(self, key: Hashable, task: Callable[[Reporter], T]) -> Wanted[T]:
        """Return the work of a key: under way or done, or begun now where it is neither or came to nothing."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.is_leaving or (job.is_over and job.result is None):
                job = self._jobs[key] = Job(task)
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._count:
                self._waiting.pop(self._jobs.popitem(last=False)[1], None)
            self._waiting[job] = self._waiting.get(job, 0) + 1
            return Wanted(job, lambda: self._left(job))

    def _left(self, job: Job[T]) -> None:
        with self._lock:
            self._waiting[job] = self._waiting.get(job, 1) - 1
            if self._waiting[job] <= 0:
                del self._waiting[job]
                job.cancel()
