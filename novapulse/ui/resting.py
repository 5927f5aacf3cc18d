"""What waits until a slider rests: the figures and the price follow every step, the other charts the last one."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import marimo as mo

T = TypeVar("T")

REST_S = 0.2
"""Without another step for so long, a slider rests."""


class Resting(Generic[T]):
    """What a session's slider came to; one that another takes the place of in time is handed on to nobody."""

    def __init__(self) -> None:
        self._newest: T | None = None

    def hand_on(self, value: T, call: Callable[[T], object], *, at_once: bool = False) -> None:
        """Call with a value once the slider rests.

        Args:
            value: What it came to.
            call: Called from another thread.
            at_once: Whether there is nothing to wait for, as where nothing is drawn yet.
        """
        if value is self._newest:
            return
        self._newest = value
        if at_once or not mo.running_in_notebook():
            call(value)
        else:
            mo.Thread(target=self._rest, args=(value, call), daemon=True).start()

    def _rest(self, value: T, call: Callable[[T], object]) -> None:
        time.sleep(REST_S)
        if value is self._newest:
            call(value)
