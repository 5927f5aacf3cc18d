"""Crash hooks (R-63), in processes of their own: what breaks is logged, masked and flushed; stacks come on demand."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from novapulse.ops.crash import DUMP_BYTES_MAX

BEGIN = """\
import asyncio, os, sys, threading, time
from pathlib import Path
from novapulse.ops.crash import CrashHooks
from novapulse.ops.logs import Logs
from novapulse.ops.masking import SECRETS

CANARY = "canary" + "-4f9c2e"
SECRETS.register(CANARY)
logs = Logs(Path("logs"))
hooks = CrashHooks(Path("logs/stacks.txt"), logs.flush)
"""

BREAKS = {
    "the process": ("raise RuntimeError(CANARY)\n", "ends the process", 1),
    "a thread": (
        "def work(): raise RuntimeError(CANARY)\nt = threading.Thread(target=work, name='feed'); t.start(); t.join()\n",
        "ends a thread",
        0,
    ),
    "a task that nobody awaits": (
        "async def work(): raise RuntimeError(CANARY)\n"
        "async def main():\n"
        "    hooks.watch(asyncio.get_running_loop())\n"
        "    asyncio.create_task(work()); await asyncio.sleep(0.01)\n"
        "    import gc; gc.collect(); await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n",
        "never retrieved",
        0,
    ),
    "a callback": (
        "def work(): raise RuntimeError(CANARY)\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop(); hooks.watch(loop)\n"
        "    loop.call_soon(work); await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n",
        "Exception in callback",
        0,
    ),
    "a finaliser": (
        "class Thing:\n    def __del__(self): raise RuntimeError(CANARY)\nThing()\n",
        "where none can be raised",
        0,
    ),
}


def started(folder: Path, source: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + textwrap.dedent(source)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("source", "said", "code"), BREAKS.values(), ids=BREAKS)
def test_what_breaks_is_logged_masked_and_flushed(source: str, said: str, code: int, tmp_path: Path) -> None:
    process = started(tmp_path, source + "os._exit(0)\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    errors = (tmp_path / "logs" / "errors.log").read_text("utf-8")
    assert said in errors
    assert "RuntimeError" in errors
    for text in (errors, out, err, (tmp_path / "logs" / "trader.log").read_text("utf-8")):
        assert "canary-4f9c2e" not in text
    assert "***" in errors


def stacks(process: "subprocess.Popen[str]", folder: Path, expected: str) -> str:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGUSR1)
    until = time.monotonic() + 20
    text = ""
    while expected not in text and time.monotonic() < until:
        time.sleep(0.05)
        text = (folder / "logs" / "stacks.txt").read_text("utf-8")
    assert process.poll() is None, "the signal ended the process"
    return text


def test_a_signal_writes_all_threads_and_tasks_and_the_process_goes_on(tmp_path: Path) -> None:
    process = started(
        tmp_path,
        """
        async def deepest(): await asyncio.sleep(60)
        async def deeper(): await deepest()
        async def main():
            hooks.watch(asyncio.get_running_loop())
            task = asyncio.create_task(deeper(), name="feed of kraken")
            threading.Thread(target=time.sleep, args=(60,), daemon=True, name="sleeper").start()
            print("up", flush=True)
            await task
        asyncio.run(main())
        """,
    )
    try:
        text = stacks(process, tmp_path, "in deepest")
        assert text.count("Thread 0x") + text.count("Current thread 0x") >= 2
        assert "task feed of kraken:" in text
        assert text.index("in deeper") < text.index("in deepest")
    finally:
        process.kill()
        process.communicate()


def test_a_busy_process_survives_any_number_of_signals(tmp_path: Path) -> None:
    process = started(
        tmp_path,
        """
        def deep(n): return n if n <= 0 else deep(n - 1) + len([one for one in (1, 2, 3)])
        def busy():
            while True: deep(30)
        for _ in range(6): threading.Thread(target=busy, daemon=True).start()
        print("up", flush=True)
        busy()
        """,
    )
    try:
        assert "in busy" in stacks(process, tmp_path, "in busy")
        for _ in range(600):
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.005)
        assert process.poll() is None, "a signal ended the process"
        assert (tmp_path / "logs" / "stacks.txt").stat().st_size < DUMP_BYTES_MAX + 2**20
    finally:
        process.kill()
        process.communicate()


def test_threads_are_written_while_the_event_loop_hangs(tmp_path: Path) -> None:
    process = started(
        tmp_path,
        """
        def hangs(): time.sleep(60)
        async def main():
            hooks.watch(asyncio.get_running_loop())
            print("up", flush=True)
            hangs()
        asyncio.run(main())
        """,
    )
    try:
        assert "in hangs" in stacks(process, tmp_path, "in hangs")
    finally:
        process.kill()
        process.communicate()


def test_closing_puts_everything_back(tmp_path: Path) -> None:
    process = started(
        tmp_path,
        """
        import faulthandler, signal
        hooks.close(); logs.close()
        assert sys.excepthook is sys.__excepthook__ and threading.excepthook is threading.__excepthook__
        assert sys.unraisablehook is sys.__unraisablehook__
        assert not faulthandler.is_enabled()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        print("back")
        """,
    )
    out, err = process.communicate(timeout=60)
    assert out == "back\n", err
