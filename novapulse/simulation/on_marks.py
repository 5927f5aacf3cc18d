"""What the losses of an account are measured from: money and coins that come or go without a trade never show in them.

Invariants:
- it counts by itself what came and went, from the records; equity, the day's opening and the peak, less that, are those
  of an account that only traded.
"""

from typing import TYPE_CHECKING

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Record
from novapulse.core.postings import Book
from novapulse.simulation.host import Host

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

NEAR = 0.01
"""By how much a mark may be off, in the quote currency: what was moved is worth whole cash units."""


def note_moved(auditor: "Auditor", host: Host, record: Record) -> None:
    """Count what came or went without a trade; what a split's rest is paid with is its price, and was a loss before."""
    assert host.trader is not None
    desk, tally, body = host.trader.desk, auditor.tallies[host.key], record.body
    if body.get("kind") == "cash_in_lieu":
        return
    if "instrument" in body:
        row = desk.rows[InstrumentKey(*body["instrument"])]
        one = desk.books.records[row]
        tally.moved += body["own_units"] / float(one.qty_factor) * body["price_units"] / float(one.price_factor)
        if body["own_units"]:
            auditor.world.marks.reached("coins of a position came or went")
        return
    cash = sum(leg.amount for leg in record.postings if leg.book is Book.CASH and leg.asset == desk.quote)
    tally.moved += cash / 10 ** desk.scales[desk.quote]


def check(auditor: "Auditor", host: Host) -> None:
    """MARKS: the day's opening and the peak are those of trading alone; of the days that are kept none is higher."""
    assert host.trader is not None
    tally, account = auditor.tallies[host.key], host.trader.desk.books.account[0]
    day_end_ns, kept, moved = int(account.day_end_ns), float(account.day_peaks.max()), tally.moved
    equity, opening = float(account.equity) - moved, float(account.day_opening_equity) - moved
    peak = float(account.equity_peak) - moved
    known, tally.marks = tally.marks, (day_end_ns, equity, opening, peak)
    if kept > 0.0 and abs(max(kept, float(account.day_peak)) - float(account.equity_peak)) > NEAR:
        auditor.broke("MARKS", host, f"the peak is {account.equity_peak}, the days that are kept say {kept}")
    if known is None or known[0] == 0:
        return
    for name, there, expected in (
        ("the day's opening", opening, known[1] if day_end_ns != known[0] else known[2]),
        ("the peak", peak, max(known[3], equity)),
    ):
        if abs(there - expected) > NEAR:
            text = f"{name} is {there:.4f} without what came and went ({moved:.4f}), and was {expected:.4f}"
            auditor.broke("MARKS", host, text)
