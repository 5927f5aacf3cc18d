"""What was voted at the last closes that readings had: remembered by whoever reads, as the ledger keeps decisions only.

Invariants:
- memory is fixed: of each instrument of each account the last `KEPT` closes, about 300 bytes each;
- votes of different strategies never stand in one memory: when the strategies change, it begins anew.
"""

import threading
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from novapulse.monitor.state import InstrumentState, Overview

KEPT = 720

_Whose = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Voted:
    """What was voted at one close.

    Attributes:
        regime: Label of the market's state.
        consensus: -20..20.
        forecasts: Strategy -> forecast; None where it is not known.
    """

    regime: str
    consensus: float
    forecasts: Mapping[str, float] | None = None


@dataclass(slots=True)
class _Remembered:
    names: tuple[str, ...]
    closes: "dict[int, tuple[str, float, array[float]]]" = field(default_factory=dict)

    def note(self, ts_ns: int, regime: str, consensus: float, forecasts: Mapping[str, float]) -> None:
        if ts_ns not in self.closes:
            self.closes[ts_ns] = (regime, consensus, array("d", forecasts.values()))


class Memory:
    """Remembers votes of readings; several threads may ask."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._of: dict[_Whose, _Remembered] = {}

    def note(self, reading: Overview) -> None:
        """Take note of what a reading says was voted."""
        with self._lock:
            for account in reading.accounts:
                for one in account.votes:
                    self._note((account.exchange, account.account_id, one.symbol), one)

    def closes(self, exchange: str, account_id: str, symbol: str) -> dict[int, Voted]:
        """Return close, ns -> what was voted at it, ascending."""
        with self._lock:
            kept = self._of.get((exchange, account_id, symbol))
            if kept is None:
                return {}
            return {
                ts_ns: Voted(regime, consensus, dict(zip(kept.names, forecasts, strict=True)))
                for ts_ns, (regime, consensus, forecasts) in sorted(kept.closes.items())
            }

    def _note(self, whose: _Whose, one: InstrumentState) -> None:
        if one.votes_ns is None or one.consensus is None or one.forecasts is None:
            return
        names, kept = tuple(one.forecasts), self._of.get(whose)
        if kept is None or kept.names != names:
            kept = self._of[whose] = _Remembered(names)
        for earlier in one.votes_before:
            if tuple(earlier.forecasts) == names:
                kept.note(earlier.ts_ns, earlier.regime, earlier.consensus, earlier.forecasts)
        kept.note(one.votes_ns, one.regime, one.consensus, one.forecasts)
        while len(kept.closes) > KEPT:
            del kept.closes[min(kept.closes)]
