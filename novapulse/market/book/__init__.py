"""Order books: built from snapshots and differences, checked, and measured. One definition for research and live.

Invariants:
- a book that is crossed, empty on a side, out of order or missing an update is refused by name, never measured;
- what is measured at a moment follows from the books of the window before it, and from nothing else;
- unknown is NaN: a side that is not deep enough to answer gives no number.
"""

from novapulse.market.book.build import Builder, GapError, LevelError
from novapulse.market.book.columns import BookColumns, BookProblem, problems
from novapulse.market.book.features import FEATURES, BookSettings, features

__all__ = [
    "FEATURES",
    "BookColumns",
    "BookProblem",
    "BookSettings",
    "Builder",
    "GapError",
    "LevelError",
    "features",
    "problems",
]
