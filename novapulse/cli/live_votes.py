"""What each strategy said of an instrument's last bars, for the health document.

Invariants:
- votes are made on the thread that writes the document, once for each bar of an instrument, however many accounts trade
  it: the loop that trades only names the bars;
- what is told beside a consensus is of the very bar of that consensus; votes that cannot be made, or not in time, are
  not told, and a document never waits for them longer than `BUDGET_S` and one instrument;
- where more than one bar closed since the document before the last one, those before the last bar are told as well,
  at most `EARLIER_MAX` of them: who reads every second document misses none.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from novapulse.core.bars import Integers
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import Record
from novapulse.engine.feed import Feed, Signals
from novapulse.engine.votes import Vote, Window, forecasts_on, votes_on
from novapulse.ops.health import AccountHealth

_log = structlog.get_logger("novapulse.live")

BUDGET_S = 0.5
EARLIER_MAX = 60
"""Closes before the last one that a document tells of an instrument."""

_Name = tuple[int, InstrumentKey]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A bar whose votes are wanted, and where they go."""

    name: _Name
    ts_close_ns: int
    regime: int
    window: Window | None
    signal: dict[str, Any]
    earlier: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Made:
    """What was told of an instrument last."""

    ts_close_ns: int
    before_ns: int
    votes: dict[str, Vote]
    earlier: dict[str, Any]


class LastVotes:
    """The votes on the last bar of every instrument of every account."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        """Take the feeds whose accounts are asked about."""
        self._signals = {listener.runner.key: listener.signals for feed in feeds for listener in feed.listeners}
        self._made: dict[_Name, _Made] = {}
        self._failed = False

    def asked(self, accounts: Sequence[AccountHealth]) -> Callable[[], None]:
        """Name the bars whose votes are missing; call it on the loop.

        Args:
            accounts: As they are told; the signals of each get the votes.

        Returns:
            What adds the votes, to be called elsewhere.
        """
        asked = [one for account in accounts for one in self._asked_of(account)]
        return lambda: self._add(asked)

    def _asked_of(self, account: AccountHealth) -> Iterable[_Asked]:
        signals = self._signals.get(AccountKey(account.exchange, account.account_id))
        if signals is None:
            return
        for symbol, signal in account.more.get("signals", {}).items():
            # While nothing is warm, nothing is said: no vote is 0.
            if signal["warm"]:
                yield self._asked_at(signals, InstrumentKey(account.exchange, symbol), signal)

    def _asked_at(self, signals: Signals, key: InstrumentKey, signal: dict[str, Any]) -> _Asked:
        name, ts_close_ns = (id(signals), key), int(signal["ts_close_ns"])
        made, regime = self._made.get(name), int(signal["regime"])
        if made is not None and made.ts_close_ns == ts_close_ns:
            return _Asked(name, ts_close_ns, regime, None, signal, {})
        found = None if made is None else signals.between(key, made.before_ns, ts_close_ns)
        earlier = {} if found is None else _columns(*found)
        window = signals.window(key, ts_close_ns, len(earlier.get("ts_close_ns", ())))
        return _Asked(name, ts_close_ns, regime, window, signal, earlier)

    def _add(self, asked: Sequence[_Asked]) -> None:
        until_s = time.monotonic() + BUDGET_S
        for one in asked:
            made = self._made.get(one.name)
            if made is None or made.ts_close_ns != one.ts_close_ns:
                if one.window is None or time.monotonic() > until_s:
                    continue
                before_ns = one.ts_close_ns if made is None else made.ts_close_ns
                votes = self._votes(one.window, one)
                made = self._made[one.name] = _Made(one.ts_close_ns, before_ns, votes, one.earlier if votes else {})
            if made.votes:
                one.signal["votes"] = {
                    name: {"forecast": vote.forecast, "weight": vote.weight} for name, vote in made.votes.items()
                }
            if made.earlier:
                one.signal["earlier"] = made.earlier

    def _votes(self, window: Window, one: _Asked) -> dict[str, Vote]:
        try:
            if one.earlier:
                _add_forecasts(one.earlier, window, one.name[1])
            return votes_on(window, one.name[1], one.regime)
        except Exception as wrong:
            # A document without votes is a document; a trader without one counts as dead.
            if not self._failed:
                _log.error("votes for the screens could not be made", instrument=str(one.name[1]), exc_info=wrong)
            self._failed = True
            return {}


def _columns(ts_close_ns: Integers, signals: Record) -> dict[str, Any]:
    """Return the last closes of some as columns; nothing where there are none that say anything."""
    latest = np.flatnonzero((signals["warm"] > 0) & np.isfinite(signals["consensus"]))[-EARLIER_MAX:]
    if not latest.size:
        return {}
    return {
        "ts_close_ns": ts_close_ns[latest].tolist(),
        **{name: signals[name][latest].tolist() for name in ("consensus", "regime")},
    }


def _add_forecasts(earlier: dict[str, Any], window: Window, key: InstrumentKey) -> None:
    """Add what each strategy forecast at earlier closes; those of the window's last bars, or none is told."""
    count = len(earlier["ts_close_ns"])
    if window.bars.ts_close_ns[-1 - count : -1].tolist() != earlier["ts_close_ns"]:
        earlier.clear()
        return
    found = forecasts_on(window, key, count + 1)
    earlier["forecasts"] = {name: forecasts[:-1] for name, forecasts in found.items()}
