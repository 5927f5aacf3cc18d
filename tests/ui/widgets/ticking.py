"""A hub for the tests' notebook: it counts, and writes down when a subscriber leaves."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(os.environ["NOVAPULSE_HOME"])


def note(what: str) -> None:
    """Write down what happened."""
    with (HOME / "notes").open("a") as notes:
        notes.write(f"{what}\n")


class _Counting:
    @contextmanager
    def subscribed(self) -> Iterator[queue.Queue[int]]:
        numbers: queue.Queue[int] = queue.Queue()
        over = threading.Event()

        def count() -> None:
            number = 0
            while not over.is_set():
                numbers.put(number)
                number += 1
                time.sleep(0.2)

        threading.Thread(target=count, daemon=True).start()
        try:
            yield numbers
        finally:
            over.set()
            note("subscriber left")


HUB = _Counting()
