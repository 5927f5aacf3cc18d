"""What a paper trader does beside the trading: health, measurements of the machine, the ledger's end, tidying up."""

import time
from collections.abc import Callable
from functools import partial

import structlog

from novapulse import __version__
from novapulse.cli.live_beats import Beats
from novapulse.cli.live_outbox import OutboxWatch
from novapulse.cli.live_session import Session, listed
from novapulse.cli.live_votes import LastVotes
from novapulse.core.bars import DAY_NS
from novapulse.engine.report import health_of
from novapulse.engine.supervisor import Chore, Supervisor
from novapulse.engine.timeline import Timeline
from novapulse.ops import health
from novapulse.ops.clock import WallWatch
from novapulse.ops.disk import free_fraction

_log = structlog.get_logger("novapulse.live")

HEALTH_EVERY_S = health.EVERY_S
MEASURE_EVERY_S = 5.0
TIDY_EVERY_S = 60.0
HOLD_RUNS_KEPT_NS = 90 * DAY_NS


def chores(session: Session, supervisor: Supervisor, timeline: Timeline) -> tuple[Chore, ...]:
    """Return what is done beside the trading: health, measurements, the ledger's end, signs of life, tidying up."""
    votes = LastVotes(supervisor.feeds)
    return (
        Chore("health", HEALTH_EVERY_S, lambda: _write_health(session, supervisor, timeline, votes, running=True)),
        Chore("measurements", MEASURE_EVERY_S, _Measurements(session, supervisor)),
        Chore("outbox", MEASURE_EVERY_S, OutboxWatch(session.ledger, supervisor)),
        Chore("ledger", HEALTH_EVERY_S, partial(_stop_without_ledger, session, supervisor)),
        Chore("watchdog", HEALTH_EVERY_S, Beats(supervisor)),
        Chore("tidying", TIDY_EVERY_S, lambda: partial(_tidy, session, timeline.now_ns())),
    )


def _stop_without_ledger(session: Session, supervisor: Supervisor) -> None:
    # Only a start opens the file anew and checks it: whoever watches the process sees it fail and starts it.
    if session.ledger.gone:
        supervisor.ask_stop(f"the ledger is not written any more: {session.ledger.gone}")


def _write_health(
    session: Session, supervisor: Supervisor, timeline: Timeline, votes: LastVotes, *, running: bool
) -> Callable[[], None]:
    now_ns, beat_ns = timeline.now_ns(), time.time_ns()
    accounts = [health_of(runner, now_ns) for runner in supervisor.runners.values()]
    add_votes = votes.asked(accounts)

    def write() -> None:
        add_votes()
        content = health.document(
            accounts,
            now_ns=beat_ns,
            ledger_id=session.ledger.ledger_id,
            ledger_place=str(session.ledger.place),
            version=__version__,
            session=session.name,
            reasons=[f"nobody looks after {listed(session.left_alone)}"] if session.left_alone else (),
            running=running,
            bars="sample" if session.market.is_sample else "recorded",
        )
        health.write(session.home / health.FILE, content)

    return write


def last_health(session: Session, supervisor: Supervisor, timeline: Timeline) -> None:
    """Write the document of a trader that has stopped."""
    try:
        _write_health(session, supervisor, timeline, LastVotes(supervisor.feeds), running=False)()
    except OSError as wrong:
        _log.warning("the last health document was not written", error=str(wrong))


class _Measurements:
    """Lets the accounts know how the machine is."""

    def __init__(self, session: Session, supervisor: Supervisor) -> None:
        self._home = session.home
        self._supervisor = supervisor
        self._watch = WallWatch()

    def __call__(self) -> None:
        free = free_fraction(self._home)
        jump_ns = self._watch.jump_ns()
        for runner in self._supervisor.runners.values():
            runner.condition("disk_free", free)
            if jump_ns is not None:
                runner.condition("clock_step", jump_ns / 1e9, f"the machine's clock moved by {jump_ns / 1e9:+.1f} s")
        if jump_ns is not None:
            _log.warning("the machine's clock was set, or the machine slept", by_s=round(jump_ns / 1e9, 1))


def _tidy(session: Session, now_ns: int) -> None:
    session.ledger.prune_hold_runs(now_ns - HOLD_RUNS_KEPT_NS)
    session.ledger.shrink_log()
