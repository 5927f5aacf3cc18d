"""How the server ends: soon after it was told to, with whatever pages are open and whatever is being worked on.

Invariants:
- pages hear that the server goes before their kernels end: so they come back by themselves once there is one again;
- no kernel outlives the server: Python would wait for its thread for ever;
- `STOP_S` after it began to end, requests are cut off; `GIVE_UP_S` after, the process ends, whatever a thread still
  reads: what is written is written in transactions, so nothing is half done;
- `CUT_OFF_S` after it was told, it ends even where it never began to, as a failure that says where it was stuck;
- nothing is taken apart before the process ends: of hundreds of megabytes that alone takes Python seconds, in which no
  thread of its own can end it any more.
"""

import faulthandler
import os
import socket
import sys
import threading
from types import FrameType
from typing import NoReturn

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

STOP_S = 2
"""How long requests may take to end after the server was told to, s."""
GIVE_UP_S = 3.0
"""How long the whole process may take once it ends, s."""
CUT_OFF_S = 8.0
"""How long after it was told to a process is there at most, s."""

_STDERR = 2


class Server(uvicorn.Server):
    """A server that ends, and its process with it: to be run in one of its own.

    Args:
        config: As uvicorn wants it.
        apps: marimo's apps, mounted in it; None for none.
    """

    def __init__(self, config: uvicorn.Config, apps: ASGIApp | None) -> None:
        super().__init__(config)
        self._apps = apps

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note that the server is to end, also before it runs."""
        if not self.should_exit:
            # A thread of the C library: it needs nothing that whatever is stuck may hold.
            faulthandler.dump_traceback_later(CUT_OFF_S, exit=True, file=_STDERR)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open, answer what was asked, and end."""
        give_up = threading.Timer(GIVE_UP_S, os._exit, (0,))
        give_up.daemon = True
        give_up.start()
        await super().shutdown(sockets)
        if isinstance(self._apps, Starlette):
            await end_kernels(self._apps)


def leave() -> NoReturn:
    """End the process of a server that has ended, as one that is done."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


async def end_kernels(apps: Starlette) -> None:
    """End all kernels of marimo's apps: nothing tells a mounted application that the server ends."""
    for one in apps.routes:
        if isinstance(one, Mount) and isinstance(one.app, Starlette):
            await one.app.state.session_manager.shutdown()
