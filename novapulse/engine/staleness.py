"""Whether bars of an instrument still come, while others of its account go on.

Invariants:
- what counts are closes of the account at which a bar of the instrument was due by its own calendar and none was there
  to be judged: a market that is closed misses nothing, and the speed of a recording changes nothing;
- a bar that comes takes one off, so that what had fallen silent counts as heard only after some in a row;
- what is silent is not entered, an entry at work is taken back, and people are told: as critical where a position is
  held, because nobody judges its exits meanwhile;
- where all bars of an account stop, no close of its own counts them: the feed does, by those of others (`bars_due`).
"""

import math
from collections.abc import Iterable

import numpy as np

from novapulse.core.bars import DAY_NS, format_ns
from novapulse.core.instruments import Instrument
from novapulse.core.messages import BarsClosed, Severity
from novapulse.core.records import Intent, Reason
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import give_up
from novapulse.market.calendars import calendar


def count(desk: Desk, draft: Draft, event: BarsClosed) -> None:
    """Take note of whose bars a close has, and whose it lacks."""
    most = desk.in_force.breakers.missing_bars_max
    for row, here in enumerate(event.present.tolist()):
        slot = desk.slots[row]
        before = slot.missing_bars
        if here:
            slot.missing_bars = max(min(before, math.floor(most) + 1) - 1, 0)
        elif is_due(desk.instruments[row], event.ts_close_ns, desk.configured.timeframe_ns):
            slot.missing_bars += 1
        if before or slot.missing_bars:
            draft.told = True
            desk.measured(draft, "missing_bars", float(slot.missing_bars), desk.keys[row])
            _tell(desk, draft, row, most)


def _tell(desk: Desk, draft: Draft, row: int, most: float) -> None:
    slot, name = desk.slots[row], desk.instruments[row].symbol
    if desk.books.held_units(row) == 0 or slot.missing_bars <= most / 2:
        desk.alert_over(draft, f"stale:{name}", f"bars of {name} come again, or its position is closed")
    elif slot.missing_bars > most:
        last_ns = int(desk.books.last_bars[row].ts_close_ns)
        since = format_ns(last_ns) if last_ns else "the start"
        text = f"no bar of {name} since {since}: the exits of its position are not judged, its stop alone guards it"
        desk.alert(draft, Severity.CRITICAL, f"stale:{name}", text)


def withdraw_entry(desk: Desk, draft: Draft, row: int) -> None:
    """Take an entry at work back when the bars that it was to be judged by do not come any more."""
    is_silent = desk.slots[row].missing_bars > desk.in_force.breakers.missing_bars_max
    if is_silent and desk.books.intent(row) is Intent.ENTRY:
        give_up(desk, draft, row, Reason.BREAKER, "its bars do not come any more")


def is_due(instrument: Instrument, ts_close_ns: int, timeframe_ns: int) -> bool:
    """Tell whether a bar of an instrument closes at a moment by its calendar."""
    market, stamp = calendar(instrument.calendar), np.array([ts_close_ns], np.int64)
    flags = market.on_grid(stamp, timeframe_ns) if market.has(timeframe_ns) else market.regular(stamp)
    return bool(flags[0])


def bars_due(instruments: Iterable[Instrument], after_ns: int, until_ns: int, timeframe_ns: int) -> int:
    """Return how many bars of whichever of some instruments has the fewest close in (after, until] by its calendar."""
    return min(_due(one.calendar, after_ns, until_ns, timeframe_ns) for one in instruments)


def _due(name: str, after_ns: int, until_ns: int, timeframe_ns: int) -> int:
    market = calendar(name)
    width_ns = timeframe_ns if market.has(timeframe_ns) else DAY_NS
    return int(market.closes(after_ns, until_ns, width_ns).size) if until_ns > after_ns else 0
