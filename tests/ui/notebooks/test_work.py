"""Long work of a session: done, failed or cancelled, and never two of them."""

import threading
import time

from novapulse.ui.jobs import Reporter
from novapulse.ui.notebooks.work import CANCELLED, Came, Work


def test_what_came_of_a_task_is_handed_over():
    came: list[Came[int]] = []
    assert Work[int]("Counting").run(lambda _: 7, came.append).text == ""
    assert came == [Came(7)]


def test_a_refusal_is_a_sentence():
    def refuse(_: Reporter) -> int:
        raise ValueError("there is\nnothing to count")

    came: list[Came[int]] = []
    Work[int]("Counting").run(refuse, came.append)
    assert came == [Came(None, "there is nothing to count")]


def test_a_new_task_ends_the_old_one():
    work, ended = Work[int]("Counting"), threading.Event()
    begun = threading.Event()

    def forever(reporter: Reporter) -> int:
        begun.set()
        try:
            reporter.pause(60)
        finally:
            ended.set()
        return 1

    came: list[Came[int]] = []
    threading.Thread(target=work.run, args=(forever, came.append), daemon=True).start()
    assert begun.wait(10)
    while work.job is None:
        time.sleep(0.001)
    work.run(lambda _: 2, came.append)
    assert ended.wait(10)
    assert came == [Came(2)]


def test_cancelling_says_so():
    work, came = Work[int]("Counting"), list[Came[int]]()
    work._cancelled(came.append)
    assert came == [Came(None, CANCELLED)]
