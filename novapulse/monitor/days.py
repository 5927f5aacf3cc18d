"""What each day brought, as a fold: every round trip counts on the day it closed, however many there were.

Invariants:
- the sums of a day are those of all its round trips; only the entries behind them are kept for the last of them;
- midnight belongs to the day that it ends: its close is the last of that day for the trader as well;
- the last `DAYS_KEPT` days are kept.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from novapulse.core.bars import day_start_ns
from novapulse.monitor.rows import DayState, RoundTripState

DAYS_KEPT = 31
SEQS_KEPT = 20


@dataclass(slots=True)
class _Day:
    trades: int = 0
    wins: int = 0
    pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    equity: Decimal | None = None
    equity_ns: int | None = None
    seqs: deque[int] = field(default_factory=lambda: deque(maxlen=SEQS_KEPT))


class Days:
    """Days of one account, by where they begin."""

    def __init__(self) -> None:
        """Begin without any."""
        self._days: dict[int, _Day] = {}

    def take_trip(self, trip: RoundTripState) -> None:
        """Count a round trip that was closed."""
        day = self._of(trip.exit_ns)
        day.trades += 1
        day.wins += trip.pnl > 0
        day.pnl += trip.pnl
        day.fees += trip.fees
        day.seqs.appendleft(trip.seq)

    def take_equity(self, ts_ns: int, equity: Decimal) -> None:
        """Note what the account was worth; the last of a day counts."""
        day = self._of(ts_ns)
        day.equity, day.equity_ns = equity, ts_ns

    def _of(self, ts_ns: int) -> _Day:
        found = self._days.setdefault(day_start_ns(ts_ns), _Day())
        while len(self._days) > DAYS_KEPT:
            del self._days[min(self._days)]
        return found

    @property
    def rows(self) -> tuple[DayState, ...]:
        """All of them, newest first."""
        return tuple(
            DayState(day_ns, day.trades, day.wins, day.pnl, day.fees, day.equity, day.equity_ns, tuple(day.seqs))
            for day_ns, day in sorted(self._days.items(), reverse=True)
        )
