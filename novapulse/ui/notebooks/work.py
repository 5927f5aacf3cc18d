"""Long work of one session: a task in a thread, its progress on the page, a button that cancels it.

Invariants:
- a session has one task of a kind at a time: a new one takes the place of the old one, whose result nobody sees;
- the page stays usable meanwhile, and what it showed before stays until there is something new.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import marimo as mo

from novapulse.ui import panels
from novapulse.ui.jobs import Job, Reporter

T = TypeVar("T")

QUICK_S = 0.4
"""What is done within it is answered at once; what is not goes on in the background."""

CANCELLED = "cancelled"

_REDRAWN_S = 0.2


@dataclass(frozen=True)
class Came(Generic[T]):
    """What came of the newest task.

    Attributes:
        result: What it returned; None while there is nothing.
        problem: Why there is nothing, in one sentence.
    """

    result: T | None = None
    problem: str | None = None


class Work(Generic[T]):
    """The work of one session.

    Attributes:
        word: What is done, as people read it before what it does just now.
        job: The task that is under way, if there is one.
        cancel: The button that cancels it.
    """

    def __init__(self, word: str) -> None:
        self.word = word
        self.job: Job[T] | None = None
        self.cancel: Any = None

    def leave(self) -> None:
        """Ask the task that is under way to stop, if there is one, and forget it."""
        if self.job is not None:
            self.job.cancel()
        self.job = None

    def run(
        self, task: Callable[[Reporter], T] | None, set_came: Callable[[Came[T]], None], *, wait_s: float = QUICK_S
    ) -> mo.Html:
        """Do a task, and return what is to be seen of that: nothing if it is done at once.

        Args:
            task: What to do; None for nothing.
            set_came: Called with what came of it once it has ended, also from another thread.
            wait_s: How long the page may wait for it, at most `QUICK_S`; less where a slider would wait with it.
        """
        self.leave()
        if task is None:
            return mo.Html("")
        job = self.job = Job(task)
        if job.wait(wait_s if mo.running_in_notebook() else None):
            if job is self.job:
                set_came(self._ended(job))
            return mo.Html("")
        began = time.monotonic() - wait_s
        # It hangs on the work and on no cell: a cell that named it would run again, and begin anew, at its click.
        cancel = self.cancel = mo.ui.button(on_click=lambda _: self._cancelled(set_came), label="Cancel", kind="danger")
        mo.Thread(target=self._watch, args=(job, began, cancel, set_came), daemon=True).start()
        return self._under_way(job, began, cancel) if wait_s == QUICK_S else mo.Html("")

    def _ended(self, job: Job[T]) -> Came[T]:
        self.job = None
        return Came(job.result, job.problem)

    def _cancelled(self, set_came: Callable[[Came[T]], None]) -> None:
        self.leave()
        set_came(Came(None, CANCELLED))

    def _watch(self, job: Job[T], began: float, cancel: Any, set_came: Callable[[Came[T]], None]) -> None:
        job.wait(max(0.0, QUICK_S - (time.monotonic() - began)))
        while job is self.job and not job.wait(_REDRAWN_S):
            if job is self.job:
                mo.output.replace(self._under_way(job, began, cancel))
        if self.job in (job, None):
            mo.output.replace(mo.Html(""))
        if job is self.job:
            set_came(self._ended(job))

    def _under_way(self, job: Job[T], began: float, cancel: Any) -> mo.Html:
        told = panels.waiting(job.progress, time.monotonic() - began, self.word)
        return mo.hstack([mo.Html(told), cancel], widths=[1, 0])
