"""Reads all executions of an account at its venue, at a start and behind every midnight, and tells what is missing.

Cursors carry an account from reading to reading. What a venue lists late, behind the cursor, only the whole list shows.

Invariants:
- what the ledger has by its venue's id is not told again, however long ago it was;
- what it lacks counts once it lacks it in two looks, apart by longer than an execution needs on its way;
- the trader books it by its own rules, and people hear of it;
- a list that could not be read whole is no data: it is read again.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import structlog

from novapulse.core.bars import day_start_ns
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import FillReported
from novapulse.core.orders import Filled
from novapulse.engine.life import Life
from novapulse.engine.runner import AccountRunner
from novapulse.engine.timeline import Timeline

_log = structlog.get_logger("novapulse.history")

LOOK_EVERY_S = 5.0

ASKED_AT_ONCE = 500
"""Executions that the ledger is asked for in one go: what is to be written waits for no more."""

NAMED = 5

Unbooked = Callable[[AccountKey, Sequence[Filled]], list[Filled]]
"""Returns those executions that the ledger lacks; blocks, and raises `JournalError`."""


class HistoryReader:
    """The whole history of one account, once a UTC day.

    Attributes:
        runner: Whose account.
        read: How often it was read whole.
    """

    def __init__(
        self,
        runner: AccountRunner,
        unbooked: Unbooked,
        timeline: Timeline,
        reader: Executor | None,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Begin without having read.

        Args:
            runner: Whose account.
            unbooked: Asks the ledger.
            timeline: Time.
            reader: Where the ledger is asked; None for a thread of the loop's own.
            every_s: Between two looks at the date, and between the two at the ledger, seconds of the machine.
        """
        self.runner = runner
        self.read = 0
        self._unbooked = unbooked
        self._timeline = timeline
        self._reader = reader
        self._every_s = every_s
        self._day_ns = -1

    async def run(self) -> None:
        """Read at the first look and behind every midnight, as long as the account runs.

        Raises:
            Unavailable: The list could not be read.
            JournalError: The ledger could not be read.
        """
        while True:
            day_ns = day_start_ns(self._timeline.now_ns())
            if day_ns != self._day_ns and self._is_ready:
                await self._look()
                self._day_ns = day_ns
            await self._timeline.real(self._every_s)

    @property
    def _is_ready(self) -> bool:
        runner = self.runner
        return runner.life is Life.RUNNING and runner.trader is not None and runner.trader.desk.ready

    async def _look(self) -> None:
        missing = await self._missing_of(await self.runner.venue.history())
        if missing:
            # What has only just happened is being written.
            await self._timeline.real(self._every_s)
            missing = await self._missing_of(missing)
        self.read += 1
        if missing:
            self._tell(missing)

    async def _missing_of(self, found: Sequence[Filled]) -> list[Filled]:
        loop, missing = asyncio.get_running_loop(), list[Filled]()
        for first in range(0, len(found), ASKED_AT_ONCE):
            some = found[first : first + ASKED_AT_ONCE]
            missing += await loop.run_in_executor(self._reader, self._unbooked, self.runner.key, some)
        return missing

    def _tell(self, missing: Sequence[Filled]) -> None:
        names = [fill.venue_trade_id for fill in missing]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        text = f"the venue's history has executions that the ledger lacks: {', '.join(names[:NAMED])}{more}"
        _log.error("executions are missing", account_id=self.runner.key.account_id, count=len(missing))
        for fill in sorted(missing, key=lambda one: (one.ts_event_ns, one.venue_trade_id)):
            self.runner.deliver(FillReported(self._timeline.now_ns(), fill))
        self.runner.condition("executions_missing", float(len(missing)), text)
