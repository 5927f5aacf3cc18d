"""Jobs end in one of three ways, say how far they are, and stop when told to."""

import threading

import pytest

from novapulse.config import ConfigError
from novapulse.ui.jobs import CancelledError, Job, Progress, Reporter, Results, Shared


def test_a_job_says_how_far_it_is_and_hands_over_its_result():
    seen, go_on = threading.Event(), threading.Event()

    def task(reporter: Reporter) -> int:
        reporter.phase("counting")(1, 4)
        seen.set()
        go_on.wait(5)
        return 42

    job = Job(task)
    assert seen.wait(5)
    assert job.progress == Progress("counting", 0.25)
    assert not job.is_over
    go_on.set()
    assert job.wait(5)
    assert (job.result, job.problem, job.was_cancelled) == (42, None, False)


def test_a_cancelled_job_stops_at_its_next_word_and_keeps_nothing():
    started = threading.Event()
    counted = []

    def task(reporter: Reporter) -> int:
        told = reporter.phase("counting")
        started.set()
        for number in range(10**9):
            counted.append(number)
            told(number, 10**9)
        return 42

    job = Job(task)
    assert started.wait(5)
    job.cancel()
    assert job.wait(5)
    assert (job.result, job.problem, job.was_cancelled) == (None, None, True)
    before = len(counted)
    assert before < 10**9


def test_a_pause_ends_at_once_when_the_job_is_cancelled():
    job = Job(lambda reporter: reporter.pause(60))
    job.cancel()
    assert job.wait(5)
    assert job.was_cancelled


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (ConfigError("a.yaml, line 3:\n  capital is -1"), "a.yaml, line 3: capital is -1"),
        (ValueError("no bars"), "no bars"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_what_goes_wrong_is_one_sentence(wrong: Exception, said: str):
    def task(reporter: Reporter) -> None:
        raise wrong

    job = Job(task)
    assert job.wait(5)
    assert job.problem is not None
    assert said in job.problem
    assert "\n" not in job.problem


def test_shared_work_is_done_once_and_ends_with_the_last_who_waits():
    shared, done, go_on = Shared[int](2), list[int](), threading.Event()

    def task(reporter: Reporter) -> int:
        while not go_on.is_set():
            reporter.pause(0.01)
        done.append(1)
        return 7

    one, other = shared.ask("a", task), shared.ask("a", task)
    assert one.job is other.job
    one.cancel()
    one.cancel()
    assert not one.job.is_leaving, "somebody still waits"
    other.cancel()
    assert other.job.wait(10)
    assert other.job.was_cancelled
    again = shared.ask("a", task)
    assert again.job is not one.job
    go_on.set()
    assert again.job.wait(10)
    assert shared.ask("a", task).job.result == 7
    assert done == [1]


def _cancelled() -> int:
    raise CancelledError


def test_results_are_kept_by_key_and_what_failed_is_not():
    results, made = Results(2), list[str]()

    def make(key: str) -> int:
        return results.get(key, lambda: (made.append(key), len(made))[1])

    assert [make(key) for key in "aababca"] == [1, 1, 2, 1, 2, 3, 4]
    assert made == ["a", "b", "c", "a"]
    with pytest.raises(CancelledError):
        results.get("d", _cancelled)
    assert results.get("d", lambda: 9) == 9
