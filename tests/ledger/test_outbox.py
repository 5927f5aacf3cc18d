"""Every event to every consumer, whatever dies in between."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import reader
from novapulse.ledger.outbox import ATTEMPTS_MAX, BACKOFF_MAX_NS, BACKOFF_NS, Outbox, events_after
from tests.ledger.conftest import MAIN, OTHER, intended, noted, opened, write


def texts(outbox: Outbox, consumer: str, now_ns: int = 0, limit: int = 100) -> list[str]:
    return [delivery.body["text"] for delivery in outbox.fetch(consumer, now_ns, limit)]


@pytest.fixture
def outbox(ledger: Ledger) -> Outbox:
    """An outbox of five events, and a consumer of all of them."""
    made = Outbox(ledger)
    made.register("mail", after_seq=0)
    for number in range(5):
        write(ledger, noted(str(number)), account=OTHER if number == 3 else MAIN)
    return made


def test_events_come_in_order_until_they_are_acknowledged(outbox: Outbox) -> None:
    assert texts(outbox, "mail", limit=2) == ["0", "1"]
    assert texts(outbox, "mail", limit=2) == ["0", "1"]
    outbox.delivered("mail", 2)
    assert texts(outbox, "mail") == ["2", "3", "4"]
    assert outbox.pending("mail") == 3
    outbox.delivered("mail", 1)
    assert outbox.pending("mail") == 3
    outbox.delivered("mail", 5)
    assert outbox.fetch("mail", 0) == []


def test_a_delivery_says_whose_it_is_and_what(outbox: Outbox) -> None:
    found = outbox.fetch("mail", 0)[3]
    assert (found.seq, found.account, found.kind, found.ts_ns) == (4, OTHER, "alert_raised", 6)


def test_consumers_do_not_wait_for_each_other(outbox: Outbox) -> None:
    assert outbox.register("search", after_seq=3) == 3
    assert outbox.register("new") == 5
    outbox.delivered("mail", 1)
    assert (texts(outbox, "search"), texts(outbox, "new"), outbox.pending("mail")) == (["3", "4"], [], 4)
    assert outbox.consumers() == ["mail", "new", "search"]
    outbox.remove("new")
    assert outbox.consumers() == ["mail", "search"]


def test_a_known_consumer_keeps_its_cursor(outbox: Outbox) -> None:
    outbox.delivered("mail", 2)
    assert outbox.register("mail", after_seq=0) == 2


def test_what_failed_waits_longer_each_time_and_holds_the_later_ones_back(outbox: Outbox) -> None:
    now, waited = 0, []
    for _ in range(ATTEMPTS_MAX - 1):
        assert not outbox.failed("mail", now, "no answer")
        until = now
        while texts(outbox, "mail", until) == []:
            until += BACKOFF_NS
        waited.append(until - now)
        assert texts(outbox, "mail", until - 1) == []
        now = until
    assert waited == [min(BACKOFF_NS << n, BACKOFF_MAX_NS) for n in range(ATTEMPTS_MAX - 1)]
    assert outbox.failed("mail", now, "no answer at all")
    assert texts(outbox, "mail", now) == ["1", "2", "3", "4"]
    (dead,) = outbox.dead_letters("mail")
    assert (dead.seq, dead.attempts, dead.error) == (1, ATTEMPTS_MAX, "no answer at all")
    outbox.bury_no_more("mail", 1)
    assert outbox.dead_letters("mail") == []


def test_jitter_only_shortens_a_wait(outbox: Outbox) -> None:
    outbox.failed("mail", 0, "busy", jitter_permille=250)
    assert texts(outbox, "mail", BACKOFF_NS * 3 // 4 - 1) == []
    assert texts(outbox, "mail", BACKOFF_NS * 3 // 4) != []


def test_what_can_never_be_taken_is_buried_at_once_and_success_forgets_failures(outbox: Outbox) -> None:
    outbox.failed("mail", 0, "busy")
    outbox.delivered("mail", 1)
    assert texts(outbox, "mail", 0) == ["1", "2", "3", "4"]
    assert outbox.failed("mail", 0, "does not fit", for_good=True)
    assert [(letter.seq, letter.attempts) for letter in outbox.dead_letters("mail")] == [(2, 1)]
    outbox.delivered("mail", 5)
    assert not outbox.failed("mail", 0, "nothing is due")


def test_strangers_and_events_that_are_not_there_are_refused(outbox: Outbox) -> None:
    for act in (lambda: outbox.fetch("x", 0), lambda: outbox.delivered("x", 1), lambda: outbox.failed("x", 0, "")):
        with pytest.raises(KeyError, match="there is no consumer 'x'"):
            act()
    with pytest.raises(ValueError, match="event 6 is not there yet, the last is 5"):
        outbox.delivered("mail", 6)
    with pytest.raises(ValueError, match="cannot begin behind event 6"):
        outbox.register("early", after_seq=6)


def test_the_outbox_holds_what_the_slowest_consumer_lacks(outbox: Outbox, ledger: Ledger) -> None:
    outbox.register("search", after_seq=0)
    outbox.delivered("search", 4)
    outbox.delivered("mail", 2)
    with ledger.reading() as storage:
        assert [row[0] for row in storage.execute("SELECT seq FROM outbox ORDER BY seq").fetchall()] == [3, 4, 5]


def test_a_commit_that_fails_publishes_nothing(outbox: Outbox, ledger: Ledger) -> None:
    write(ledger, intended("a"))
    with pytest.raises(Exception, match="client order id a"):
        write(ledger, noted("never"), intended("a"))
    assert [delivery.seq for delivery in outbox.fetch("mail", 0)] == [1, 2, 3, 4, 5, 6]


def test_another_process_reads_behind_its_own_cursor(lasting: str) -> None:
    with opened(lasting) as ledger:
        for number in range(5):
            write(ledger, noted(str(number)), intended(str(number)))
        engine = reader(lasting)
        with engine.connect() as connection:
            assert [delivery.seq for delivery in events_after(connection, 7)] == [8, 9, 10]
            assert [delivery.seq for delivery in events_after(connection, 2, limit=2)] == [3, 4]
            assert [d.seq for d in events_after(connection, 4, kinds=["alert_raised"])] == [5, 7, 9]
        engine.dispose()


CONSUMER = """
import os, random, sys
from novapulse.ledger.journal import Ledger
from novapulse.ledger.outbox import Outbox
place, effects, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(seed)
with Ledger.open(place) as ledger, open(effects, "a+") as file:
    outbox = Outbox(ledger)
    outbox.register("consumer", after_seq=0)
    file.seek(0)
    done = {int(line) for line in file.read().split()}
    while batch := outbox.fetch("consumer", 0, limit=3):
        for delivery in batch:
            if delivery.seq not in done:
                print(delivery.seq, file=file, flush=True)
                done.add(delivery.seq)
            if chance.random() < 0.15:
                os.kill(os.getpid(), 9)
        outbox.delivered("consumer", batch[-1].seq)
        if chance.random() < 0.15:
            os.kill(os.getpid(), 9)
"""


def test_a_consumer_that_is_killed_again_and_again_misses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    place, effects = tmp_path / "ledger.db", tmp_path / "effects"
    with opened(place) as ledger:
        for number in range(9):
            write(ledger, noted(str(number)))
    killed, chance = 0, random.Random(1)
    for _ in range(60):
        command = [sys.executable, "-c", CONSUMER, str(place), str(effects), str(chance.randrange(10**6))]
        code = subprocess.run(command, check=False).returncode
        if code == 0:
            break
        assert code == -9
        killed += 1
    else:
        pytest.fail("it never got through")
    assert killed >= 1, "nothing was killed, so nothing was shown"
    assert effects.read_text().split() == [str(number) for number in range(1, 10)]
