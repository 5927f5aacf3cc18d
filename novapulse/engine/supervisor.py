"""Runs any number of accounts over one or several exchanges: one way for one and for many.

Invariants:
- an account that cannot start is down and says why; the others trade, and it is tried again; when none can start,
  nothing does;
- a task that fails is started again after a wait that grows, by the machine's clock where there is one; the log has the
  first failure whole and counts those that repeat it; the accounts it serves hear of every failure, and their
  breaker pauses them when it fails again and again; no other account notices;
- a feed is listened to by one task and watched by another: one that hangs, or fails, is found silent all the same;
- the feed begins when every account has been compared with its venue, or has had its time for it;
- a stop leaves nothing half done: no close is told any more, answers on their way are waited for, the end is recorded
  and the leases are given back, all within the deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Alert, Answer, Severity
from novapulse.core.messages import Record as Entry
from novapulse.core.ports import JournalError
from novapulse.engine.backoff import Backoff
from novapulse.engine.feed import Feed
from novapulse.engine.history import HistoryReader
from novapulse.engine.lease_keeper import LeaseKeeper
from novapulse.engine.life import Life
from novapulse.engine.orderly import Orderly
from novapulse.engine.runner import AccountRunner
from novapulse.engine.settings import TraderSettings
from novapulse.engine.timeline import Timeline
from novapulse.ops.repeats import Repeats

_log = structlog.get_logger("novapulse.supervisor")

READY_S = 30
READY_STEP_S = 0.01
SETTLED_S = 120
COMMANDS_EVERY_S = 0.1
STILL_S = 0.05

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Chore:
    """Something small that is done again and again by the machine's clock.

    Attributes:
        name: Of its task.
        every_s: Between two times.
        call: Called on the loop, where it must not block; what it returns is called elsewhere, and may.
    """

    name: str
    every_s: float
    call: Callable[[], Callable[[], None] | None]


@dataclass(slots=True)
class Ended:
    """How a run ended.

    Attributes:
        why: In words.
        clean: Whether nothing was left half done.
        left: What was, in words.
    """

    why: str = ""
    clean: bool = True
    left: list[str] = field(default_factory=list)


class Voice:
    """Where accounts say what people are to hear: into the log, and back into the inbox.

    Attributes:
        orderly: Takes answers; None while there is no inbox.
    """

    def __init__(self) -> None:
        """Begin without an inbox."""
        self.orderly: Orderly | None = None

    def alerted(self, account: AccountKey, alert: Alert) -> None:
        """Log an alert."""
        levels = {Severity.INFO: _log.info, Severity.WARNING: _log.warning, Severity.CRITICAL: _log.critical}
        levels[alert.severity](alert.text, key=alert.key, exchange=account.exchange, account_id=account.account_id)

    def answered(self, account: AccountKey, answer: Answer) -> None:
        """Pass a command's answer on."""
        if self.orderly is not None:
            self.orderly.answered(account, answer)


class Supervisor:
    """All accounts of one process.

    Attributes:
        runners: The accounts.
        feeds: Their exchanges.
        chores: Health, disk and the like; done as long as it runs.
        histories: What reads whole histories, account by account.
        ended: How it ended.
    """

    def __init__(
        self,
        runners: Sequence[AccountRunner],
        feeds: Sequence[Feed],
        timeline: Timeline,
        settings: TraderSettings,
        leases: LeaseKeeper,
        orderly: Orderly | None = None,
        session: str = "",
    ) -> None:
        """Take everything that is to run.

        Args:
            runners: The accounts, their leases taken.
            feeds: Their exchanges.
            timeline: Time.
            settings: Waits and deadlines.
            leases: What keeps the accounts ours.
            orderly: Brings commands; None where there is no inbox.
            session: Name of this run.
        """
        self.runners = {runner.key: runner for runner in runners}
        self.feeds = tuple(feeds)
        self.ended = Ended()
        self.chores: Sequence[Chore] = ()
        self.histories: Sequence[HistoryReader] = ()
        self._orderly = orderly
        self._timeline = timeline
        self._settings = settings
        self._leases = leases
        self._session = session
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether every account was compared with its venue and a close was told."""
        return self._is_ready and any(feed.closes for feed in self.feeds)

    def ask_stop(self, why: str) -> None:
        """Begin to stop; the first reason counts."""
        if not self._stop.is_set():
            self.ended.why = why
            self._stop.set()

    async def run(self) -> Ended:
        """Run until somebody asks to stop, or nothing more can happen.

        Raises:
            JournalError: No account can be read from the ledger at the start.
            ValueError: What the ledger has of each is of another account or configuration.
        """
        failures: list[Exception] = []
        for runner in self.runners.values():
            self._guard(f"stream {_name(runner.key)}", runner.hear_stream, [runner])
            self._guard(f"care {_name(runner.key)}", runner.tend, [runner])
            wrong = await runner.begin()
            failures += [wrong] if wrong is not None else []
        if failures and len(failures) == len(self.runners):
            raise failures[0]
        self._guard("leases", self._keep_leases, list(self.runners.values()), is_real=True)
        if self._orderly is not None:
            self._guard("commands", self._hear_commands, list(self.runners.values()), is_real=True)
        for chore in self.chores:
            self._guard(chore.name, partial(self._do, chore), [], is_real=True)
        for one in self.histories:
            self._guard(f"history {_name(one.runner.key)}", one.run, [one.runner])
        await self._get_ready()
        for feed in self.feeds:
            hearing = [listener.runner for listener in feed.listeners]
            self._guard(f"feed {feed.exchange}", feed.run, hearing)
            self._guard(f"feed {feed.exchange} is watched", feed.watch, hearing)
        self._guard("end of the feeds", self._watch_the_end, [])
        await self._stop.wait()
        await self._wind_up()
        return self.ended

    # ---- Tasks ----

    def _guard(self, name: str, work: Work, runners: Sequence[AccountRunner], *, is_real: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._tasks[name] = loop.create_task(self._guarded(name, work, runners, is_real), name=name)

    async def _guarded(self, name: str, work: Work, runners: Sequence[AccountRunner], is_real: bool) -> None:
        settings = self._settings
        backoff = Backoff(settings.backoff_s_min, settings.backoff_s_max, f"{self._session} {name}")
        # The loop's time is the machine's, or virtual where that is all there is.
        now_s, repeats = asyncio.get_running_loop().time, Repeats()
        began_s = now_s()
        while True:
            try:
                await work()
                return
            except Exception as wrong:
                if now_s() - began_s > settings.backoff_s_max:
                    backoff.succeeded()
                wait_s = backoff.next_s()
                text = f"{name}: {type(wrong).__name__}: {wrong}"
                self._tell_failure(repeats.take(text), name, wait_s, backoff.failures, wrong)
                for runner in runners:
                    runner.condition("task_failed", float(backoff.failures), text, name)
            await (self._timeline.real(wait_s) if is_real else self._timeline.retry(wait_s))
            began_s = now_s()

    def _tell_failure(self, repeated: int | None, name: str, wait_s: float, times: int, wrong: Exception) -> None:
        if repeated is None:
            return
        known = {"repeated": repeated, "error": str(wrong)} if repeated else {"exc_info": wrong}
        _log.error("a task failed", task=name, wait_s=round(wait_s, 3), times=times, **known)

    async def _do(self, chore: Chore) -> None:
        loop = asyncio.get_running_loop()
        while True:
            more = chore.call()
            if more is not None:
                await loop.run_in_executor(None, more)
            await self._timeline.real(chore.every_s)

    async def _keep_leases(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._timeline.real(self._leases.every_s)
            lost = await loop.run_in_executor(None, self._leases.renew)
            for account, why in lost.items():
                self.runners[account].end(why)

    async def _hear_commands(self) -> None:
        loop, orderly = asyncio.get_running_loop(), self._orderly
        assert orderly is not None
        while True:
            for runner, command in await loop.run_in_executor(None, orderly.look):
                orderly.give(runner, command)
            await self._timeline.real(COMMANDS_EVERY_S)

    async def _get_ready(self) -> None:
        for _ in range(round(READY_S / READY_STEP_S)):
            if self._stop.is_set() or all(_is_compared(runner) for runner in self.runners.values()):
                break
            await asyncio.sleep(READY_STEP_S)
        self._is_ready = True
        self._timeline.begin()

    async def _watch_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        fed = loop.create_task(_all(feed.over for feed in self.feeds))
        gone = loop.create_task(_all(runner.over for runner in self.runners.values()))
        try:
            await asyncio.wait((fed, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            fed.cancel()
            gone.cancel()
        if all(feed.ended for feed in self.feeds):
            self.ask_stop("the feed has ended")
        else:
            self.ask_stop("; ".join(dict.fromkeys(runner.told.why_down for runner in self.runners.values())))

    # ---- The end ----

    async def _wind_up(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.create_task(self._timeline.real(self._settings.stop_deadline_s * 0.8), name="limit of the stop")
        _log.info("stopping", why=self.ended.why)
        for name, task in self._tasks.items():
            if name.startswith(("feed ", "end ", "commands")):
                task.cancel()
        over = all(feed.ended for feed in self.feeds)
        if self._settings.stop_entries == "cancel" and not over:
            for runner in self.runners.values():
                runner.command(f"stop:{self._session}", "cancel", {}, "the supervisor")
        await self._settle(limit)
        await asyncio.gather(*map(self._record_end, self.runners.values()))
        limit.cancel()
        await self._cancel_rest()
        for runner in self.runners.values():
            runner.close()
        if not await loop.run_in_executor(None, self._leases.release):
            self.ended.left.append("not every lease could be given back")
        self.ended.clean = not self.ended.left

    async def _settle(self, limit: asyncio.Task[None]) -> None:
        # An order that the venue does not answer for stays open: the next start looks into it.
        for _ in range(round(SETTLED_S / STILL_S)):
            running = [runner for runner in self.runners.values() if runner.life is Life.RUNNING]
            if limit.done() or all(runner.is_settled for runner in running):
                break
            await asyncio.sleep(STILL_S)
        self.ended.left += [
            f"{_name(runner.key)}: a request was still on its way"
            for runner in self.runners.values()
            if runner.life is Life.RUNNING and not runner.is_settled
        ]

    async def _record_end(self, runner: AccountRunner) -> None:
        if runner.life is not Life.RUNNING or runner.trader is None:
            self.ended.left.append(f"{_name(runner.key)}: {runner.told.why_down}")
            return
        desk = runner.trader.desk
        body = {
            "session": self._session,
            "why": self.ended.why,
            "ts_close_ns": desk.ts_close_ns,
            "open_orders": sorted(desk.orders),
        }
        try:
            await runner.write(Entry("session_stopped", self._timeline.now_ns(), body))
        except JournalError as wrong:
            self.ended.left.append(f"{_name(runner.key)}: its end was not recorded: {wrong}")

    async def _cancel_rest(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def _all(events: Iterable[asyncio.Event]) -> None:
    for event in list(events):
        await event.wait()


def _is_compared(runner: AccountRunner) -> bool:
    return runner.life is Life.ENDED or (runner.trader is not None and runner.trader.desk.ready)


def _name(account: AccountKey) -> str:
    return f"{account.account_id} on {account.exchange}"
