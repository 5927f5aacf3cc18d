"""Whether a market trades at a moment, by its calendar."""

from functools import lru_cache

import numpy as np

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.market.calendars import CONTINUOUS, CalendarError, calendar

_HALF_HOUR_NS = 30 * MINUTE_NS
_USUAL_DAYS = 20


def market_state(name: str, ts_ns: int) -> str:
    """Return `24/7`, `open`, `half-day` (open, and it closes early) or `closed`; empty for an unknown calendar.

    Args:
        name: Of the calendar.
        ts_ns: The moment, ns UTC.
    """
    return CONTINUOUS if name == CONTINUOUS else _state(name, ts_ns // MINUTE_NS)


@lru_cache(maxsize=256)
def _state(name: str, minute: int) -> str:
    try:
        market = calendar(name)
        now_ns = minute * MINUTE_NS
        # The minute that begins now closes in a session, or nothing trades.
        if not market.regular(np.array([now_ns + MINUTE_NS]))[0]:
            return "closed"
        ends = market.closes(now_ns, now_ns + DAY_NS, DAY_NS)
        bars = market.closes(now_ns - 2 * _USUAL_DAYS * DAY_NS, int(ends[0]), _HALF_HOUR_NS)
    except CalendarError:
        return ""
    _, lengths = np.unique(bars // DAY_NS, return_counts=True)
    return "half-day" if lengths[-1] < lengths.max() else "open"
