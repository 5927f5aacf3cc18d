"""A journal in memory: what a run of the engine in virtual time wrote, and what a trader starts anew from."""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence

from novapulse.core.bars import DAY_NS
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, HoldRun, Record
from novapulse.core.orders import Fact
from novapulse.core.ports import Journal

RECENT_NS = 2 * DAY_NS
"""For how long a venue may tell what is booked once more."""


class MemoryJournal:
    """A journal in memory that keeps records of some kinds, counts all, and can start a trader anew.

    Attributes:
        records: What was kept, in order.
        holds: Runs of bars on which nothing was done, as they ended.
        counts: Kind -> how many there were.
        commits: How many transactions.
    """

    def __init__(self, kinds: Collection[str] | None = None, behind: Journal | None = None) -> None:
        """Begin empty.

        Args:
            kinds: What is kept; None for everything.
            behind: A journal that everything is handed on to.
        """
        self.records: list[Record] = []
        self.holds: list[HoldRun] = []
        self.counts: Counter[str] = Counter()
        self.commits = 0
        self._kinds = kinds
        self._behind = behind
        self._open: dict[str, list[Record]] = {}
        self._recent: deque[Record] = deque()
        self._state = b""
        self._ts_close_ns = 0

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        """Take what happened; errors are those of the journal behind this one."""
        if self._behind is not None:
            self._behind.commit(commits)
        self.commits += 1
        for _, commit in commits:
            for record in commit.records:
                self._take(record)
            self.holds += commit.holds
            self._state = commit.state or self._state
            self._ts_close_ns = commit.ts_close_ns or self._ts_close_ns

    def _take(self, record: Record) -> None:
        self.counts[record.kind] += 1
        if self._kinds is None or record.kind in self._kinds:
            self.records.append(record)
        if record.kind == "order_closed":
            self._open.pop(record.body["client_order_id"], None)
        elif record.kind == "order_reopened":
            name = record.body["client_order_id"]
            self._open[name] = [one for one in self._recent if one.body["client_order_id"] == name]
        elif record.kind in KINDS:
            name = record.body["client_order_id"]
            if record.kind == "order_intended":
                self._open[name] = []
            if name in self._open:
                self._open[name].append(record)
            self._recent.append(record)
            while self._recent[0].ts_ns < record.ts_ns - RECENT_NS:
                self._recent.popleft()

    @property
    def state(self) -> bytes:
        """The state of the trader that is durable."""
        return self._state

    @property
    def ts_close_ns(self) -> int:
        """The last close that is durable as decided; 0 for none."""
        return self._ts_close_ns

    def restored(self) -> tuple[int, bytes, list[Fact], list[Fact]]:
        """Return what `Trader.restore` starts from: last close, state, facts of open orders, all recent facts."""
        still_open = [record for records in self._open.values() for record in records]
        return self._ts_close_ns, self._state, _facts(still_open), _facts(self._recent)


def _facts(records: Iterable[Record]) -> list[Fact]:
    return [from_body(record.kind, record.body) for record in records]
