"""One reading of a home folder: what the ledger proves, what the trader says, and how old both are.

Invariants:
- nothing here writes, and nothing that goes wrong outside is an exception: it is a state with a name and a sentence;
- an account that cannot be read now is shown as it was proven last, marked so; it is never shown as flat;
- what only the trader knows is shown only while the trader gives signs of life and writes this ledger.
"""

import time
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from novapulse.core.bars import day_start_ns
from novapulse.core.instruments import AccountKey
from novapulse.monitor.build import account_state
from novapulse.monitor.locks import in_force
from novapulse.monitor.market import market_state
from novapulse.monitor.source import UNFIT, Known, Source
from novapulse.monitor.state import AccountState, InstrumentState, LedgerHealth, Overview, TraderState
from novapulse.monitor.trader import Word, word_of
from novapulse.monitor.votes import with_signal

LEDGER_FILE = "ledger.db"
MONEY = ("paper", "live")
NOT_RUN = "the trader that runs does not run this account"


class Home:
    """Readings of one home folder, each of which takes in only what is new."""

    def __init__(self, home: Path, ledger: str | Path | None = None) -> None:
        """Name the folder; nothing is opened yet.

        Args:
            home: Folder of the trader's state.
            ledger: Where the ledger lies, a path or an URL; None for the file in the folder.

        Raises:
            ValueError: The ledger is an URL of another kind of database.
        """
        self.home = home
        self.source = Source(home / LEDGER_FILE if ledger is None else ledger)
        self._proven: dict[AccountKey, tuple[tuple[int, bytes], AccountState]] = {}
        self._of_ledger = ""
        self._read_ns = 0

    def close(self) -> None:
        """Give the connection to the ledger back."""
        self.source.close()

    def look(self) -> Overview:
        """Return what is known now."""
        source = self.source
        if source.look():
            self._read_ns = time.time_ns()
        taken = source.taken
        now_ns = time.time_ns()
        word = word_of(self.home, now_ns)
        if word.state.running and word.state.ledger_id == taken.ledger_id:
            source.accept()
        if source.is_read:
            self._prove()
        word = _checked(word, taken.ledger_id)
        return Overview(
            as_of_ns=now_ns,
            ledger=source.health,
            ledger_problem=source.problem,
            ledger_read_ns=self._read_ns,
            ledger_id=taken.ledger_id,
            ledger_place=str(source.place),
            head_seq=taken.seq,
            head_ns=taken.head_ns,
            trader=word.state,
            accounts=tuple(self._shown(key, word, now_ns) for key in sorted(self._proven)),
        )

    def _prove(self) -> None:
        taken = self.source.taken
        if taken.ledger_id != self._of_ledger:
            self._proven, self._of_ledger = {}, taken.ledger_id
        for gone in self._proven.keys() - taken.accounts.keys():
            del self._proven[gone]
        for key, known in taken.accounts.items():
            if not known.fold.quote:
                # Nothing but a lease or a calibration: it has not been opened yet.
                continue
            version = known.fold.seq, known.state
            before = self._proven.get(key)
            if before is not None and (before[0] == version or known.broken):
                continue
            try:
                self._proven[key] = version, account_state(known.fold, known.kept)
            except UNFIT as wrong:
                known.broken = f"what was read up to entry {known.fold.seq} does not fit together: {wrong!r}"

    def _shown(self, key: AccountKey, word: Word, now_ns: int) -> AccountState:
        state, source = self._proven[key][1], self.source
        known = source.taken.accounts.get(key)
        problems = [] if known is None else [text for text in (known.broken, known.problem) if text]
        is_read = source.is_read and (known is None or not known.broken)
        if not source.is_read:
            problems.insert(0, f"the ledger is {source.health.value}: {source.problem}; this is what was proven last")
        elif source.health is LedgerHealth.REPLACED:
            problems.insert(0, source.problem)
        return _with_word(replace(state, proven=is_read), word, problems, now_ns, known)


def read_home(home: Path, ledger: str | Path | None = None) -> Overview:
    """Return one reading of a home folder, for scripts and tests; `hub_of` keeps reading.

    Args:
        home: Folder of the trader's state.
        ledger: Where the ledger lies, a path or an URL; None for the file in the folder.

    Raises:
        ValueError: The ledger is an URL of another kind of database.
    """
    reading = Home(home, ledger)
    try:
        return reading.look()
    finally:
        reading.close()


def _checked(word: Word, ledger_id: str) -> Word:
    """Take the word of a trader only for the ledger that it writes."""
    said = word.state
    if not ledger_id or not said.ledger_id or said.ledger_id == ledger_id:
        return word
    reason = f"the trader writes ledger {said.ledger_id}, the ledger here is {ledger_id}"
    return Word(replace(said, healthy=False, reasons=(reason, *said.reasons)), {})


def _with_word(state: AccountState, word: Word, problems: list[str], now_ns: int, known: Known | None) -> AccountState:
    said = word.accounts.get(state.key, {})
    trader, age_s = word.state, word.state.heartbeat_age_s or 0.0
    reasons = [*problems, *_of_trader(trader, bool(said)), *map(str, said.get("reasons", ()))]
    bar_age = said.get("last_bar_age_s")
    last_bar_age_s = None if bar_age is None else float(bar_age) + age_s
    own_ns = state.as_of_ns if last_bar_age_s is None else (state.last_close_ns or 0) + round(last_bar_age_s * 1e9)
    is_its_day = _is_its_day(state, own_ns)
    calendars = {} if known is None else known.fold.calendars
    signals = said.get("more", {}).get("signals", {})
    votes = tuple(
        _with_market(
            with_signal(one, signals.get(one.symbol, {}), () if known is None else known.fold.strategies),
            calendars.get(one.symbol, ""),
            own_ns,
        )
        for one in state.votes
    )
    return replace(
        state,
        day_pnl=state.day_pnl if is_its_day else None,
        day_pnl_fraction=state.day_pnl_fraction if is_its_day else None,
        money=next((word for word in MONEY if said.get("money") == word), None),
        healthy=state.proven and trader.running and bool(said.get("healthy")) and not problems,
        reasons=tuple(reasons),
        notes=tuple(map(str, said.get("notes", ()))),
        connected=said.get("connected") if trader.running else None,
        equity_said=_decimal(said.get("equity")),
        last_bar_age_s=last_bar_age_s,
        market_state=_of_all(votes),
        measured=said.get("more", {}).get("measured", {}) if trader.running else {},
        votes=votes,
        locks=in_force(state.locks, own_ns),
    )


def _is_its_day(state: AccountState, own_ns: int) -> bool:
    """Tell whether it is still the day of the last close, which the trader counts to the day that it ends."""
    return state.last_close_ns is not None and day_start_ns(state.last_close_ns) == day_start_ns(own_ns)


def _of_trader(trader: TraderState, is_named: bool) -> list[str]:
    if not trader.running:
        return list(trader.reasons[:1])
    return [] if is_named else [NOT_RUN]


def _with_market(one: InstrumentState, calendar: str, own_ns: int) -> InstrumentState:
    state = market_state(calendar, own_ns) if calendar else ""
    return one if state == one.market_state else replace(one, market_state=state)


def _of_all(votes: tuple[InstrumentState, ...]) -> str:
    states = {one.market_state for one in votes}
    if "closed" in states and states != {"closed"}:
        return "some closed"
    return next((state for state in ("half-day", "open", "closed", "24/7") if state in states), "")


def _decimal(text: Any) -> Decimal | None:
    try:
        found = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None
