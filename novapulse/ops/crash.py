"""What is written down when something breaks: errors that nobody caught, and stacks on demand.

Invariants:
- an error that ends a thread, a task or the process is logged, masked, and flushed before anything else happens; its
  text never reaches the console unmasked;
- SIGUSR1 writes the stacks of all threads, even while the event loop hangs, and of all its tasks, and nothing stops:
  a thread of its own writes them, because a signal handler that walks the frames of running threads ends the process;
- `close` puts everything back as it was.
"""

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import structlog

DUMP_BYTES_MAX = 4 * 1024 * 1024
_FRAMES_MAX = 60

_log = structlog.get_logger("novapulse.crash")


class CrashHooks:
    """Hooks of a process, from now until `close`.

    Args:
        dump: File that stacks are added to; when it has grown too large it starts anew.
        flush: Called after an error was logged.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, dump: Path, flush: Callable[[], None] = lambda: None) -> None:
        dump.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = dump.open("a", encoding="utf-8", errors="replace")
        self._keep_small()
        self._flush = flush
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._outside = sys.excepthook, threading.excepthook, sys.unraisablehook
        self._was_enabled = faulthandler.is_enabled()
        self._signal_before: Any = None
        self._has_signal = hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread()
        sys.excepthook, threading.excepthook = self._on_error, self._on_thread
        sys.unraisablehook = self._on_unraisable
        faulthandler.enable(self._file, all_threads=True)
        if self._has_signal:
            self._signal_before = signal.signal(signal.SIGUSR1, self._on_signal)
            self._heard, self._said = socket.socketpair()
            self._said.setblocking(False)
            self._wakeup_before = signal.set_wakeup_fd(self._said.fileno(), warn_on_full_buffer=False)
            self._writer = threading.Thread(target=self._write_stacks, name="stacks on demand", daemon=True)
            self._writer.start()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Log errors of a loop's tasks that nobody awaited, and show its tasks on SIGUSR1."""
        self._loops.append(loop)
        loop.set_exception_handler(self._on_loop)

    def close(self) -> None:
        """Put the hooks of before back."""
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._outside
        for loop in self._loops:
            loop.set_exception_handler(None)
        if self._has_signal:
            signal.set_wakeup_fd(self._wakeup_before)
            signal.signal(signal.SIGUSR1, self._signal_before or signal.SIG_DFL)
            self._said.close()
            self._writer.join()
            self._heard.close()
        faulthandler.disable()
        if self._was_enabled:
            faulthandler.enable()
        self._file.close()

    def _told(self, what: str, wrong: BaseException | None, **fields: Any) -> None:
        try:
            _log.critical(what, exc_info=wrong, **fields)
        finally:
            self._flush()

    def _on_error(self, kind: type[BaseException], wrong: BaseException, trace: types.TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        self._told("an error that nobody caught ends the process", wrong.with_traceback(trace))

    def _on_thread(self, happened: threading.ExceptHookArgs) -> None:
        if happened.exc_type is not SystemExit:
            name = happened.thread.name if happened.thread else "unknown"
            self._told("an error that nobody caught ends a thread", happened.exc_value, thread=name)

    def _on_unraisable(self, happened: Any) -> None:
        self._told("an error where none can be raised", happened.exc_value, where=repr(happened.object))

    def _on_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        name = task.get_name() if isinstance(task, asyncio.Task) else repr(task) if task else ""
        self._told(str(context.get("message", "an error in the event loop")), context.get("exception"), task=name)

    def _write_stacks(self) -> None:
        # The number of every signal comes here as a byte, also while the main thread waits or computes.
        while numbers := self._heard.recv(4096):
            if signal.SIGUSR1 in numbers:
                self._keep_small()
                faulthandler.dump_traceback(self._file, all_threads=True)

    def _keep_small(self) -> None:
        if os.fstat(self._file.fileno()).st_size > DUMP_BYTES_MAX:
            os.ftruncate(self._file.fileno(), 0)

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        # It may interrupt anything, itself and a log line included: no buffer, no lock, no error.
        with contextlib.suppress(Exception):
            lines = [f"---- tasks, {datetime.now(UTC).isoformat()} ----"]
            for loop in self._loops:
                for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
                    lines += [f"task {task.get_name()}:", *_awaiting(task.get_coro())]
            os.write(self._file.fileno(), ("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _awaiting(work: Any) -> list[str]:
    lines: list[str] = []
    while work is not None and len(lines) < _FRAMES_MAX:
        frame = getattr(work, "cr_frame", None) or getattr(work, "gi_frame", None)
        if frame is None:
            break
        lines.append(f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}")
        work = getattr(work, "cr_await", None) or getattr(work, "gi_yieldfrom", None)
    return lines or ["  (no Python frame)"]
