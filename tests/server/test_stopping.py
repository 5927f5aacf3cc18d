"""A server that was told to stop ends, whatever one of its threads is busy with."""

import signal
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection

from novapulse.server.stopping import GIVE_UP_S

ENDS_S = 5 * GIVE_UP_S
BUSY = """
import signal, socket, time
import uvicorn
from fastapi import FastAPI
from novapulse.server.stopping import STOP_S, Server

app = FastAPI()

@app.get("/busy")
def busy():
    print("busy", flush=True)
    time.sleep(3600)

signal.signal(signal.SIGTERM, lambda *_: None)
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=STOP_S), None).run(sockets=[door])
"""


def test_a_thread_that_is_busy_holds_it_up_no_longer_than_it_may() -> None:
    """A bug: Python waited for the thread, and with it whoever had pressed Ctrl-C."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with closing(HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=ENDS_S)) as asked:
                asked.request("GET", "/busy")
                assert process.stdout.readline() == "busy\n"
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=ENDS_S) == 0
        finally:
            process.kill()
