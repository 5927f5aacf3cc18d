"""What a command says besides its result: sentences and progress on stderr, results on stdout."""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from novapulse.ops.masking import SECRETS

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_LINE_EVERY_FRACTION = 0.25


class UsageError(ValueError):
    """Something a person asked for that cannot be done, in one sentence."""


def say(sentence: str) -> None:
    """Print a remark."""
    print(sentence, file=sys.stderr, flush=True)


def error(sentence: str) -> None:
    """Print what went wrong."""
    say(SECRETS.masked(f"novapulse: {sentence}"))


def show_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON cannot hold must not be in it."""
    print(json.dumps(values, allow_nan=False, ensure_ascii=False))


def crash_report(wrong: Exception) -> str:
    """Write what a programmer needs to know into a new file of the temporary folder and return its name."""
    with tempfile.NamedTemporaryFile("w", prefix="novapulse-crash-", suffix=".txt", delete=False) as file:
        told = "".join(traceback.format_exception(wrong))
        file.write(SECRETS.masked_text(f"{' '.join(sys.argv)}\nPython {sys.version}\n\n{told}"))
    return file.name


def is_colourful(stream: TextIO) -> bool:
    """Return whether colours may be used: on a terminal, and unless NO_COLOR asks for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress(Protocol):
    """Told how far a long task is."""

    def __call__(self, done: int, total: int) -> None:
        """Take note of `done` of `total`."""


@contextmanager
def progress(task: str) -> Iterator[Progress]:
    """Show how far a task is: a bar on a terminal, elsewhere a line now and then.

    Args:
        task: What is done, such as `backtest`.

    Yields:
        What to call.
    """
    if not sys.stderr.isatty():
        yield _Lines(task)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color=not is_colourful(sys.stderr))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        number = bar.add_task(task, total=None)
        yield lambda done, total: bar.update(number, completed=done, total=total)


class _Lines:
    """Progress for a file or a pipe: a line for each quarter of a task that has more than one step."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._next_fraction = _LINE_EVERY_FRACTION

    def __call__(self, done: int, total: int) -> None:
        fraction = done / total if total else 1.0
        if fraction >= self._next_fraction and done < total:
            say(f"{self._task}: {fraction:.0%}")
        while self._next_fraction <= fraction:
            self._next_fraction += _LINE_EVERY_FRACTION
