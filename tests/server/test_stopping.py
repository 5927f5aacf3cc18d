"""A server that was told to stop ends, whatever one of its threads is busy with, or Python would still do."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

from novapulse.server.stopping import CUT_OFF_S, GIVE_UP_S
from tests.killing import ROOT, environment

ENDS_S = 5 * GIVE_UP_S
CUT_OFF_WITHIN_S = CUT_OFF_S + 2
BUSY = """
import signal, socket, time
import uvicorn
from fastapi import FastAPI
from novapulse.server.stopping import STOP_S, Server

app = FastAPI()

@app.get("/busy")
{}def busy():
    print("busy", flush=True)
    time.sleep(3600)

signal.signal(signal.SIGTERM, lambda *_: None)
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=STOP_S), None).run(sockets=[door])
"""
SERVE = """
import os, signal, sys, time
from novapulse.cli import main
from novapulse.server.stopping import Server
{}
sys.exit(main(["serve", "--port", "0"]))
"""
TOLD_BEFORE_IT_RUNS = """
run = Server.run
def told(server, sockets):
    os.kill(os.getpid(), signal.SIGTERM)
    run(server, sockets)
Server.run = told
"""
TAKEN_APART = """
class Slow:
    def __del__(self):
        time.sleep(3600)
slow = Slow()
"""


@contextmanager
def running(text: str, home: Path) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(of: IO[str] | None) -> str:
    assert of is not None
    return of.readline()


def ask_and_stop(process: "subprocess.Popen[str]") -> None:
    with closing(HTTPConnection("127.0.0.1", int(line(process.stdout)), timeout=ENDS_S)) as asked:
        asked.request("GET", "/busy")
        assert line(process.stdout) == "busy\n"
        process.send_signal(signal.SIGTERM)


def test_a_thread_that_is_busy_holds_it_up_no_longer_than_it_may(tmp_path: Path) -> None:
    """A bug: Python waited for the thread, and with it whoever had pressed Ctrl-C."""
    with running(BUSY.format(""), tmp_path) as process:
        ask_and_stop(process)
        assert process.wait(timeout=ENDS_S) == 0


def test_a_server_that_is_stuck_is_cut_off_and_says_where(tmp_path: Path) -> None:
    """A bug: the time it may take began to run only once it got round to ending."""
    with running(BUSY.format("async "), tmp_path) as process:
        ask_and_stop(process)
        assert process.wait(timeout=CUT_OFF_WITHIN_S) == 1
        assert process.stderr is not None
        assert "in busy" in process.stderr.read()


def test_told_to_stop_before_it_runs_it_stops_too(tmp_path: Path) -> None:
    """A bug: whoever stopped it within the second in which it starts was not heard."""
    with running(SERVE.format(TOLD_BEFORE_IT_RUNS), tmp_path) as process:
        assert line(process.stderr).startswith("serving ")
        assert process.wait(timeout=CUT_OFF_WITHIN_S) == 0


def test_python_is_not_waited_for_while_it_takes_everything_apart(tmp_path: Path) -> None:
    """A bug: with pages open that took seconds, many on a small machine, and nothing bounded it."""
    with running(SERVE.format(TAKEN_APART), tmp_path) as process:
        said = line(process.stderr)
        assert said.startswith("serving ")
        port = int(said.partition(";")[0].rpartition(":")[2])
        with closing(HTTPConnection("127.0.0.1", port, timeout=ENDS_S)) as asked:
            asked.request("GET", "/livez")
            assert asked.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=CUT_OFF_WITHIN_S) == 0
