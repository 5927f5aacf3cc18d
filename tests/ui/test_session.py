"""What a session started ends with it, and with nothing else."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novapulse.ui.session import Scope, kernel_lifespan, scope


class Widget:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Hub:
    def __init__(self) -> None:
        self.items: queue.Queue[int] = queue.Queue()
        self.left = threading.Event()

    @contextmanager
    def subscribed(self) -> Iterator[queue.Queue[int]]:
        try:
            yield self.items
        finally:
            self.left.set()


def test_a_pump_hands_over_until_its_session_ends():
    session, hub, got = Scope(), Hub(), queue.Queue[int]()
    thread = session.pump(hub, got.put)
    hub.items.put(1)
    hub.items.put(2)
    assert [got.get(timeout=10), got.get(timeout=10)] == [1, 2]
    assert not hub.left.is_set()
    session.close()
    thread.join(10)
    assert not thread.is_alive()
    assert hub.left.is_set()


def test_nothing_is_handed_over_to_a_session_that_ended():
    session, hub, got = Scope(), Hub(), list[int]()
    session.close()
    hub.items.put(1)
    session.pump(hub, got.append).join(10)
    assert got == []


def test_a_session_closes_what_it_owns_once():
    session = Scope()
    widget = session.own(Widget())
    assert not widget.closed
    session.close()
    assert widget.closed
    assert session.ended
    widget.closed = False
    session.close()
    assert not widget.closed


def test_a_kernel_has_a_scope_of_its_own_that_ends_with_it():
    widgets = {"one": Widget(), "other": Widget()}

    async def life(name: str) -> None:
        async with kernel_lifespan(None):
            scope().own(widgets[name])
            assert scope() is scope()
            assert not widgets[name].closed

    scope().own(outside := Widget())
    for name, widget in widgets.items():
        kernel = threading.Thread(target=lambda name=name: asyncio.run(life(name)))
        kernel.start()
        kernel.join(10)
        assert widget.closed
    assert not outside.closed
    scope().close()


def test_an_end_without_a_beginning_or_a_second_one_does_no_harm():
    async def life() -> None:
        span = kernel_lifespan()
        await span.__aenter__()
        await span.__aexit__(None, None, None)
        await span.__aexit__(None, None, None)

    kernel = threading.Thread(target=lambda: asyncio.run(life()))
    kernel.start()
    kernel.join(10)


@pytest.mark.parametrize("broken", ["second", "first"])
def test_one_widget_that_cannot_be_closed_keeps_no_other_open(broken: str):
    class Stuck(Widget):
        def close(self) -> None:
            raise RuntimeError("stuck")

    session, widget = Scope(), Widget()
    owned = [Stuck(), widget] if broken == "first" else [widget, Stuck()]
    for one in owned:
        session.own(one)
    with pytest.raises(RuntimeError, match="stuck"):
        session.close()
    assert widget.closed
    assert session.ended
