"""One account on an event loop: brings events to its trader and carries out what the trader wants.

Invariants:
- one event at a time: what it wants written is durable before anything behind it is done or the next event is heard;
- a trader whose commit failed knows what the ledger does not: it is forgotten, and a new one starts from the ledger,
  when nothing of the old one can reach it any more;
- an error of our own puts the account into reduce-only, a second one soon after it halts it, a third one ends it, and
  no other account notices; until the restriction is durable, every start asks for it anew;
- an event is heard or the account starts anew and compares: none is lost in silence, and a close that was not written
  as decided is told again or told as late.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

import structlog

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import (
    Alert,
    Answer,
    BarsClosed,
    CommandReceived,
    Commit,
    CommitFailed,
    ConditionSeen,
    Effect,
    Event,
    Lookup,
    ReadSnapshot,
    Record,
    SetTimer,
    Severity,
    Started,
    TimerFired,
)
from novapulse.core.ports import Fenced, JournalError, Unwritable, Venue
from novapulse.engine.backoff import Backoff
from novapulse.engine.committer import Committer
from novapulse.engine.last_close import LastClose
from novapulse.engine.life import Life, Link, Teller, Told
from novapulse.engine.requests import UNANSWERED, Request, arrived, ask, heard, what
from novapulse.engine.timeline import SECOND_NS, Appointment, Timeline
from novapulse.engine.trader import Trader

_log = structlog.get_logger("novapulse.engine")

QUEUE_MAX = 10_000
"""Events that wait for one account; one that is further behind starts anew, which compares it and sets its timers."""

BUG_AGAIN_S = 3600
_READINGS = (Lookup, ReadSnapshot)


class AccountRunner:
    """One account.

    Attributes:
        key: Whose.
        trader: What decides; replaced when the ledger and it no longer agree.
        venue: Where its orders go.
        life: Whether it runs.
        lives: How often it has begun from the ledger.
        told: What it did, and what is wrong.
        over: Set when it has ended for good.
    """

    def __init__(
        self,
        key: AccountKey,
        reborn: Callable[[], Trader],
        venue: Venue,
        timeline: Timeline,
        committer: Committer,
        teller: Teller,
        link: Link,
    ) -> None:
        """Take everything an account needs; `start` begins.

        Args:
            key: Whose.
            reborn: Makes a trader from what the ledger has; blocks, and raises `JournalError` or ValueError.
            venue: Where its orders go.
            timeline: Time.
            committer: The way into the ledger.
            teller: Hears alerts and answers.
            link: What every request waits on its way.
        """
        self.key = key
        self.venue = venue
        self.life = Life.DOWN
        self.lives = 0
        self.told = Told()
        self.trader: Trader | None = None
        self._reborn = reborn
        self._timeline = timeline
        self._committer = committer
        self._teller = teller
        self._link = link
        self._events: deque[Event] = deque()
        self._last = LastClose()
        self._is_busy = False
        self._timers: dict[str, Appointment] = {}
        self._requests: dict[asyncio.Task[None], Request] = {}
        self.over = asyncio.Event()
        self._trouble = asyncio.Event()
        self._bug_ns = -(2**62)
        self._new_bug = ""
        self._restriction = ""
        self._idle: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    # ---- Its life ----

    async def start(self) -> None:
        """Begin from what the ledger has, unless the account was ended meanwhile.

        Raises:
            JournalError: The ledger cannot be read.
            ValueError: What it has is of another account or configuration.
        """
        # What the life before wanted written lands or fails first: this one has to know it.
        await self._turn_of(lambda: not self._is_busy)
        writer: Executor | None = self._committer.writer
        trader = await self._loop.run_in_executor(writer, self._reborn)
        if self.life is not Life.DOWN:
            return
        self.trader, decided_ns = trader, trader.desk.ts_close_ns
        self.lives += 1
        self.life, self.told.why_down = Life.RUNNING, ""
        self.deliver(Started(self._timeline.now_ns()))
        # A process that was ended before it could say that writes succeed again left a restriction without an end.
        failed = self.told.ledger_failed
        self.condition("ledger_unwritable", float(failed), "a write failed" if failed else "nothing has failed yet")
        missed = self._last.missed(decided_ns)
        if missed is not None:
            self._tell_missed(missed)

    def _tell_missed(self, missed: BarsClosed) -> None:
        if self.trader is None or self.life is not Life.RUNNING:
            return
        desk, now_ns = self.trader.desk, self._timeline.now_ns()
        for event in (told := self._last.told(missed, desk.ts_close_ns, desk.ready, desk.keys, now_ns)):
            self.deliver(event)
        if not told:
            self._timers["missed"] = self._timeline.at(now_ns + SECOND_NS, partial(self._tell_missed, missed))

    async def tend(self) -> None:
        """Bring the account back whenever it went down, until it has ended for good."""
        settings = self.trader.desk.settings if self.trader else None
        least, most = (settings.backoff_s_min, settings.backoff_s_max) if settings else (1.0, 60.0)
        backoff = Backoff(least, most, f"{self.key.exchange} {self.key.account_id}")
        while self.life not in (Life.ENDED, Life.STOPPED):
            await self._trouble.wait()
            while self.life is Life.DOWN:
                await self._timeline.retry(backoff.next_s())
                await self._come_back(backoff)
            self._trouble.clear()

    async def begin(self) -> Exception | None:
        """Begin from what the ledger has; return why that failed: then the account has ended, or `tend` tries again."""
        try:
            await self.start()
        except JournalError as wrong:
            _log.error("the account cannot start", **self._name(), error=str(wrong))
            self._go_down(str(wrong))
            return wrong
        except ValueError as wrong:
            _log.error("the account cannot start", **self._name(), error=str(wrong))
            self.end(str(wrong))
            return wrong
        except Exception as wrong:
            self._on_bug("start", wrong)
            return wrong
        return None

    async def _come_back(self, backoff: Backoff) -> None:
        if await self.begin() is not None:
            return
        if self._new_bug:
            self.condition("bug", float(self.told.bugs), self._new_bug)
            self._restriction = f"bug:{self._timeline.now_ns()}"
            verb = "reduce_only" if self.told.bugs == 1 else "halt"
            self.command(self._restriction, verb, {}, "the supervisor")
        await self.idle()
        if self.life is Life.RUNNING:
            backoff.succeeded()
            _log.info("the account runs again", **self._name())

    def end(self, why: str) -> None:
        """Stop the account for good."""
        self._stand_still(why)
        self.over.set()

    def _stand_still(self, why: str) -> None:
        self.life, self.told.why_down = Life.ENDED, why
        self._forget()
        self._trouble.set()

    def _end_of_bugs(self, why: str) -> None:
        self._tell(Alert(Severity.CRITICAL, "account_ended", why))
        if self.life is Life.ENDED:
            return
        self._stand_still(why)
        last = Record("account_ended", self._timeline.now_ns(), {"why": why, "bugs": self.told.bugs})

        def written(wrong: JournalError | None) -> None:
            if wrong is not None:
                _log.error("the end of the account was not recorded", **self._name(), error=str(wrong))
            self.over.set()

        self._committer.submit(self.key, Commit((last,)), written)

    def _go_down(self, why: str) -> None:
        if self.life is Life.ENDED:
            return
        self.life, self.told.why_down = Life.DOWN, why
        self._forget()
        self._trouble.set()

    def _forget(self) -> None:
        self._events.clear()
        self._wake_idle()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # ---- Events in ----

    def deliver(self, event: Event) -> None:
        """Let the trader hear an event, behind those that wait."""
        if isinstance(event, BarsClosed):
            self._last.came(event)
        if self.life is not Life.RUNNING:
            return
        if len(self._events) >= QUEUE_MAX:
            self._fall_behind()
            return
        self._events.append(event)
        if not self._is_busy:
            self._pump()

    def _fall_behind(self) -> None:
        self.told.dropped += len(self._events) + 1
        text = f"it fell behind: {len(self._events)} events waited, and the account starts anew to compare"
        self._tell(Alert(Severity.WARNING, "fell_behind", text))
        _log.error("the account fell behind", **self._name(), waiting=len(self._events))
        self._go_down(text)

    def command(self, command_id: str, verb: str, arguments: dict[str, object], actor: str) -> None:
        """Let the trader hear a command."""
        self.deliver(CommandReceived(self._timeline.now_ns(), command_id, verb, arguments, actor))

    def condition(self, name: str, value: float | None, text: str = "", subject: str = "") -> None:
        """Let the trader hear of a measured condition."""
        self.deliver(ConditionSeen(self._timeline.now_ns(), name, value, text, subject))

    async def hear_stream(self) -> None:
        """Bring what the venue's stream says to the trader, for as long as it stands.

        Raises:
            Unavailable: The stream broke; the trader was told to compare.
        """
        try:
            while True:
                self.told.connected = True
                for event in await heard(self.venue, self._timeline):
                    self.deliver(arrived(event, self._timeline.now_ns()))
        finally:
            self.told.connected = False
            self.condition("stream_gap", 1.0, "the venue's stream ended")

    async def idle(self) -> None:
        """Wait until every event that came so far has been dealt with."""
        await self._turn_of(lambda: self.life is not Life.RUNNING or not (self._is_busy or self._events))

    async def _turn_of(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    @property
    def is_writing(self) -> bool:
        """Whether something that its trader wanted written is on its way into the ledger."""
        return self._is_busy

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._events)

    @property
    def is_settled(self) -> bool:
        """Whether no request but a reading is on its way and no order's outcome is open."""
        is_asked = any(not isinstance(request, _READINGS) for request in self._requests.values())
        if is_asked or self._is_busy or self._events:
            return False
        orders = self.trader.desk.orders.values() if self.trader else ()
        return not any(order.status in UNANSWERED and not order.request.attached_to for order in orders)

    def _pump(self) -> None:
        while self._events and not self._is_busy and self.life is Life.RUNNING:
            event = self._events.popleft()
            assert self.trader is not None
            try:
                effects = self.trader.handle(event)
            except Exception as wrong:
                self._on_bug(type(event).__name__, wrong)
                return
            self._perform(effects)
        if not self._is_busy:
            self._wake_idle()

    def _wake_idle(self) -> None:
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _on_bug(self, doing: str, wrong: Exception) -> None:
        now_ns = self._timeline.now_ns()
        self.told.bugs = self.told.bugs + 1 if now_ns - self._bug_ns < BUG_AGAIN_S * SECOND_NS else 1
        text = f"an error of our own: {type(wrong).__name__}: {wrong}"
        self._last.broke_behind = True
        self._bug_ns, self._new_bug = now_ns, f"{text}; the account may only reduce until somebody has looked"
        _log.critical("the trader broke", **self._name(), on=doing, exc_info=wrong)
        self._tell(Alert(Severity.CRITICAL, "bug", self._new_bug))
        if self.told.bugs > 2:
            self._end_of_bugs(f"{text}; it was the third in an hour, and the account stands still")
        else:
            self._go_down(text)

    # ---- Effects out ----

    def _perform(self, effects: Sequence[Effect]) -> None:
        for number, effect in enumerate(effects):
            if isinstance(effect, Commit):
                self._is_busy = True
                behind = partial(self._committed, effect, effects[number + 1 :], self.trader)
                self._committer.submit(self.key, effect, behind)
                return
            self._do(effect)

    def _committed(
        self, commit: Commit, rest: Sequence[Effect], trader: Trader | None, wrong: JournalError | None
    ) -> None:
        self._is_busy = False
        if wrong is not None:
            self._on_unwritten(wrong)
            return
        self.told.kinds.update(record.kind for record in commit.records)
        if trader is not self.trader or self.life is not Life.RUNNING:
            # It is durable, but whoever wanted it is gone: what it asked for is found open at the next start.
            self._wake_idle()
            return
        if self.told.ledger_failed:
            self.told.ledger_failed = False
            self.condition("ledger_unwritable", 0.0, "the ledger takes writes again")
        self._perform(rest)
        self._pump()

    def _on_unwritten(self, wrong: JournalError) -> None:
        _log.error("the ledger did not take a commit", **self._name(), error=str(wrong))
        self._wake_idle()
        fenced = isinstance(wrong, Fenced)
        if self.trader is not None:
            # It hears of it as the last thing; what it wants now could not be written either.
            self.trader.handle(CommitFailed(self._timeline.now_ns(), str(wrong), fenced))
        self._tell(Alert(Severity.CRITICAL, "ledger", f"the ledger did not take a commit: {wrong}"))
        if fenced:
            self.end(str(wrong))
        elif isinstance(wrong, Unwritable):
            self.told.ledger_failed = True
            self._go_down(str(wrong))
        else:
            # The ledger refused what breaks its rules: that is an error of our own.
            self._on_bug("commit", wrong)

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, SetTimer):
            self._set_timer(effect)
        elif isinstance(effect, Alert):
            self._tell(effect)
        elif isinstance(effect, Answer):
            if effect.command_id == self._restriction:
                self._new_bug = ""
            self._teller.answered(self.key, effect)
        else:
            assert not isinstance(effect, Commit)
            task = self._loop.create_task(self._request(effect), name=f"{what(effect)} {self.key.account_id}")
            self._requests[task] = effect
            task.add_done_callback(self._requests.pop)

    def _tell(self, alert: Alert) -> None:
        if self.told.alerts.get(alert.key) == alert:
            # It was told when it happened, and comes once more now that it is in the ledger.
            return
        self.told.alerts[alert.key] = alert
        while len(self.told.alerts) > 100:
            self.told.alerts.pop(next(iter(self.told.alerts)))
        self._teller.alerted(self.key, alert)

    def _set_timer(self, effect: SetTimer) -> None:
        before = self._timers.pop(effect.name, None)
        if before is not None:
            before.cancel()
        if not effect.at_ns:
            return

        def fire() -> None:
            self._timers.pop(effect.name, None)
            self.deliver(TimerFired(self._timeline.now_ns(), effect.name))

        self._timers[effect.name] = self._timeline.at(effect.at_ns, fire)

    async def _request(self, effect: Request) -> None:
        timeline, link = self._timeline, self._link
        if link.out_ns:
            await timeline.until(timeline.now_ns() + link.out_ns)
        assert self.trader is not None
        answer = await ask(self.venue, effect, self.trader.desk.settings.submit_deadline_s, timeline)
        if link.back_ns:
            await timeline.until(timeline.now_ns() + link.back_ns)
        self.deliver(arrived(answer, timeline.now_ns()))

    # ---- The end ----

    async def write(self, record: Record) -> None:
        """Write a record of the account that the trader has no part in.

        Raises:
            JournalError: The ledger did not take it.
        """
        await self._committer.write(self.key, Commit((record,)))
        self.told.kinds[record.kind] += 1

    def close(self) -> None:
        """Let nothing happen any more; requests on their way are given up, the next start looks into them."""
        if self.life is Life.RUNNING:
            self.life = Life.STOPPED
        self._forget()
        for task in self._requests:
            task.cancel()

    def _name(self) -> dict[str, str]:
        return {"exchange": self.key.exchange, "account_id": self.key.account_id}
