"""The one way into the ledger: what several accounts want to write at a moment goes in one transaction.

Invariants:
- nobody waits for company: what is queued when the writer is free goes together, and nothing is held back for more;
- an account has one commit under way at most, so its commits reach the ledger in the order in which they were made;
- when the ledger does not take all of them, each is tried by itself: an account that is sick fails alone.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit
from novapulse.core.ports import Journal, JournalError

Done = Callable[[JournalError | None], None]
"""Told how it went: None when it is durable."""


class Committer:
    """Writes for all accounts, on the loop it was made on.

    Attributes:
        transactions: How many succeeded.
        commits: How many commits they held.
    """

    def __init__(self, journal: Journal, writer: ThreadPoolExecutor | None) -> None:
        """Begin with nothing to write.

        Args:
            journal: The ledger.
            writer: One thread that does all writing; None writes in the loop's own thread.
        """
        self.journal = journal
        self.writer = writer
        self.transactions = 0
        self.commits = 0
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[AccountKey, Commit, Done]] = []
        self._is_busy = False

    def submit(self, account: AccountKey, commit: Commit, done: Done) -> None:
        """Write a commit; `done` is called on the loop, never before this returns."""
        self._queue.append((account, commit, done))
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._start)

    async def write(self, account: AccountKey, commit: Commit) -> None:
        """Write a commit and wait for it.

        Raises:
            JournalError: The ledger did not take it.
        """
        future: asyncio.Future[None] = self._loop.create_future()

        def done(wrong: JournalError | None) -> None:
            if not future.done():
                if wrong is None:
                    future.set_result(None)
                else:
                    future.set_exception(wrong)

        self.submit(account, commit, done)
        await future

    def _start(self) -> None:
        batch, self._queue = self._queue, []
        commits = [(account, commit) for account, commit, _ in batch]
        outcome = self._loop.run_in_executor(self.writer, self._written, commits)
        if outcome.done():
            self._finish(batch, outcome)
        else:
            outcome.add_done_callback(lambda ended: self._finish(batch, ended))

    def _written(self, commits: Sequence[tuple[AccountKey, Commit]]) -> list[JournalError | None]:
        if len(commits) > 1:
            with contextlib.suppress(JournalError):
                self.journal.commit(commits)
                self._count(len(commits))
                return [None] * len(commits)
        return [self._written_alone(one) for one in commits]

    def _written_alone(self, one: tuple[AccountKey, Commit]) -> JournalError | None:
        try:
            self.journal.commit([one])
        except JournalError as wrong:
            return wrong
        self._count(1)
        return None

    def _count(self, commits: int) -> None:
        self.transactions += 1
        self.commits += commits

    def _finish(
        self, batch: list[tuple[AccountKey, Commit, Done]], outcome: asyncio.Future[list[JournalError | None]]
    ) -> None:
        self._is_busy = False
        wrong = outcome.exception()
        said = [JournalError(f"{type(wrong).__name__}: {wrong}")] * len(batch) if wrong else outcome.result()
        if self._queue:
            self._is_busy = True
            self._loop.call_soon(self._start)
        for (_, _, done), one in zip(batch, said, strict=True):
            done(one)
