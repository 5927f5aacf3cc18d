"""The last close of an account's market: what a trader that starts anew is told of it.

Invariants:
- a close that nobody wrote down as decided is told again, or told as late: it is not lost in silence;
- it is told again to a trader that has been compared with its venue, if it is all that was missed and no other has
  come: what is over decides nothing;
- a close behind which the trader broke is not told again: it would break once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import BarLate, BarsClosed


@dataclass(slots=True)
class LastClose:
    """What an account's market said last, whether its trader heard it or not.

    Attributes:
        close: The last close; None before the first.
        before_ns: The close before it; 0 before the second.
        broke_behind: Whether the trader has broken since it came.
    """

    close: BarsClosed | None = None
    before_ns: int = 0
    broke_behind: bool = False

    def came(self, close: BarsClosed) -> None:
        """Take a close in, unless it is known."""
        last_ns = self.close.ts_close_ns if self.close is not None else 0
        if close.ts_close_ns > last_ns:
            self.close, self.before_ns, self.broke_behind = close, last_ns, False

    def missed(self, decided_ns: int) -> BarsClosed | None:
        """Return the last close if a trader whose ledger ends at `decided_ns` has not decided it; None if it has."""
        return self.close if self.close is not None and self.close.ts_close_ns > decided_ns else None

    def told(
        self, missed: BarsClosed, decided_ns: int, ready: bool, keys: Sequence[InstrumentKey], now_ns: int
    ) -> Sequence[BarsClosed | BarLate]:
        """Return what a trader is told now of a close that it missed; nothing while it has to be compared first.

        Args:
            missed: The close.
            decided_ns: Close of the last bar that the trader decided.
            ready: Whether the trader has been compared with its venue.
            keys: Its instruments.
            now_ns: Now.
        """
        if missed is not self.close or decided_ns < self.before_ns or self.broke_behind:
            late = [key for key, here in zip(keys, missed.present, strict=True) if here]
            return [BarLate(now_ns, key, missed.ts_close_ns, "the account was down") for key in late]
        return [replace(missed, ts_ns=now_ns)] if ready else ()
