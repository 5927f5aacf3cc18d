"""What belongs to one person's open page, and ends with it.

marimo keeps a session's kernel in a thread and tells nobody when it ends: threads that a cell started and widgets that
it made would stay for ever. The entry point `marimo.kernel.lifespan` of this package names `kernel_lifespan`, which
gives every kernel a scope and closes it.

Invariants:
- a scope belongs to the kernel's thread: a cell asks for it with `scope()`;
- when the session ends its pumps stop within a second, and its widgets are closed.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, TypeVar

import marimo as mo

_LOOK_S = 1.0


class _Closable(Protocol):
    def close(self) -> None: ...


_Item = TypeVar("_Item")
_Widget = TypeVar("_Widget", bound=_Closable)


class Hub(Protocol[_Item]):
    """Something that hands every subscriber a queue of what happens."""

    def subscribed(self) -> AbstractContextManager[queue.Queue[_Item]]:
        """Return a queue that is filled until the context ends."""
        ...


class Scope:
    """What one session owns."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._owned = ExitStack()

    @property
    def ended(self) -> bool:
        """Tell whether the session is over."""
        return self._ended.is_set()

    def own(self, widget: _Widget) -> _Widget:
        """Close a widget when the session ends; returns the widget."""
        self._owned.callback(widget.close)
        return widget

    def pump(self, hub: Hub[_Item], deliver: Callable[[_Item], object]) -> threading.Thread:
        """Hand over what a hub publishes, in a thread of its own, until the session ends or the cell runs again.

        Args:
            hub: Where it comes from.
            deliver: Called with each item. It must hold what it needs: the names of a notebook are cleared before its
                threads end.
        """

        def run() -> None:
            with hub.subscribed() as items:
                while not (self.ended or thread.should_exit):
                    try:
                        item = items.get(timeout=_LOOK_S)
                    except queue.Empty:
                        continue
                    if not self.ended:
                        deliver(item)

        thread = mo.Thread(target=run, daemon=True, name="novapulse-pump")
        thread.start()
        return thread

    def close(self) -> None:
        """End the session's threads and close its widgets."""
        self._ended.set()
        self._owned.close()


_scopes: dict[int, Scope] = {}


class _Lifespan:
    """A class because marimo's loop closes an async generator twice, which raises."""

    async def __aenter__(self) -> None:
        self._kernel = threading.get_ident()
        _scopes[self._kernel] = Scope()

    async def __aexit__(self, *_: object) -> None:
        if scope := _scopes.pop(self._kernel, None):
            scope.close()


def kernel_lifespan(_: Any = None) -> _Lifespan:
    """Return what marimo enters when a kernel starts and leaves when it ends."""
    return _Lifespan()


def scope() -> Scope:
    """Return the scope of the session whose kernel runs in this thread.

    Where marimo did not start the kernel, as in a plain script, the scope lasts as long as the thread.
    """
    return _scopes.setdefault(threading.get_ident(), Scope())
