"""Threads and turns: commands have threads of their own, and what takes long is done by few at once.

Invariants:
- nothing that is read, and nobody who signs in, keeps a command waiting for a thread, nor for long for the interpreter:
  threads that compute hand it on every half millisecond, and no more than two that take long compute at once;
- what takes long is refused while as many as may are doing it: nothing piles up.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class BusyError(Exception):
    """Something that takes long is being done as often as it may be.

    Attributes:
        wait_s: When to try again, s.
    """

    def __init__(self, what: str, wait_s: int) -> None:
        super().__init__(f"{what} is being done for somebody else: try again in {wait_s} s")
        self.wait_s = wait_s


class Lane:
    """Threads that do one kind of work and no other.

    Args:
        name: Of the threads.
        threads: How many.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, name)

    async def run(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Do something on one of the threads and return what came of it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))


class Turns:
    """How many may do something that takes long at once.

    Args:
        what: As people call it.
        count: How many.
        wait_s: When the others may try again, s.
        within: How many of this and of others together; each waits for its place, which it has a turn for.
    """

    def __init__(self, what: str, count: int, wait_s: int, within: threading.Semaphore | None = None) -> None:
        self._what = what
        self._wait_s = wait_s
        self._left = threading.BoundedSemaphore(count)
        self._within = within or nullcontext()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a turn.

        Raises:
            BusyError: There is none left.
        """
        if not self._left.acquire(blocking=False):
            raise BusyError(self._what, self._wait_s)
        try:
            with self._within:
                yield
        finally:
            self._left.release()


SWITCH_S = 0.0005
"""How long a thread that computes keeps the interpreter while another wants it, s."""

COMMANDS = Lane("command", 8)
"""What commands for the trader are written and answered on."""

SIGN_INS = Turns("signing in", 8, 2)
_COMPUTING = threading.Semaphore(2)
LEDGER_PROOFS = Turns("a proof of the ledger", 1, 10, _COMPUTING)
FLAT_PROOFS = Turns("a proof that accounts are flat", 4, 1)
BACKTESTS = Turns("a backtest", 1, 5, _COMPUTING)
EXPLANATIONS = Turns("an explanation", 2, 5, _COMPUTING)
HISTORIES = Turns("a list that goes far back", 2, 2, _COMPUTING)
"""What takes long, and how many at once."""
