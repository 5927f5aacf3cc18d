"""What each strategy said of an instrument's last bar, for the health document.

Invariants:
- votes are made on the thread that writes the document, once for each bar of an instrument, however many accounts trade
  it: the loop that trades only names the bars;
- what is told beside a consensus is of the very bar of that consensus; votes that cannot be made, or not in time, are
  not told, and a document never waits for them longer than `BUDGET_S` and one instrument.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.engine.feed import Feed, Signals
from novapulse.engine.votes import Vote, Window, votes_on
from novapulse.ops.health import AccountHealth

_log = structlog.get_logger("novapulse.live")

BUDGET_S = 0.5

_Name = tuple[int, InstrumentKey]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A bar whose votes are wanted, and where they go."""

    name: _Name
    ts_close_ns: int
    regime: int
    window: Window | None
    signal: dict[str, Any]


class LastVotes:
    """The votes on the last bar of every instrument of every account."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        """Take the feeds whose accounts are asked about."""
        self._signals = {listener.runner.key: listener.signals for feed in feeds for listener in feed.listeners}
        self._made: dict[_Name, tuple[int, dict[str, Vote]]] = {}
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
        is_made = self._made.get(name, (0, {}))[0] == ts_close_ns
        window = None if is_made else signals.window(key, ts_close_ns)
        return _Asked(name, ts_close_ns, int(signal["regime"]), window, signal)

    def _add(self, asked: Sequence[_Asked]) -> None:
        until_s = time.monotonic() + BUDGET_S
        for one in asked:
            made_ns, votes = self._made.get(one.name, (0, {}))
            if made_ns != one.ts_close_ns:
                if one.window is None or time.monotonic() > until_s:
                    continue
                votes = self._votes(one.window, one)
                self._made[one.name] = one.ts_close_ns, votes
            if votes:
                one.signal["votes"] = {
                    name: {"forecast": vote.forecast, "weight": vote.weight} for name, vote in votes.items()
                }

    def _votes(self, window: Window, one: _Asked) -> dict[str, Vote]:
        try:
            return votes_on(window, one.name[1], one.regime)
        except Exception as wrong:
            # A document without votes is a document; a trader without one counts as dead.
            if not self._failed:
                _log.error("votes for the screens could not be made", instrument=str(one.name[1]), exc_info=wrong)
            self._failed = True
            return {}
