"""Signals bar by bar: a window of the newest bars, and calibrations that advance at the end of each UTC day.

Invariants:
- what is said at a close is what the whole history would say, to the bit: the window is as long as the plan's warm-up
  asks for, and a calibration follows from the one before it and its day's bars;
- memory is fixed: rings of bars, and the calibrations that count inside the window;
- a bar that came too late decides nothing, and is part of what later bars are judged by if it is the newest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration, first_row
from novapulse.confluence.plan import Plan
from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, BarError
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Record as Entry
from novapulse.core.records import BAR, SIGNAL, Record
from novapulse.engine.calibrations import to_record
from novapulse.engine.gather import Arrival, Close
from novapulse.engine.tell import Row
from novapulse.engine.votes import Window
from novapulse.market.ring import BarRing
from novapulse.strategies.votes import Strategy

QUIET_NS_MAX = 120 * MINUTE_NS
"""Longest stretch without trades that is filled with flat bars, as the lake does when it is read."""


class WindowSignals:
    """Makes the signals of some instruments as their bars come."""

    def __init__(
        self, plan: Plan, history: Mapping[InstrumentKey, BarColumns], calibrations: Sequence[Calibration]
    ) -> None:
        """Begin behind a history.

        Args:
            plan: What is weighed.
            history: Bars so far, one timeframe.
            calibrations: Rows learned from it up to the last complete day; the last one has its memory.

        Raises:
            ValueError: There is no instrument, or timeframes differ.
            ConfluenceError: The calibrations are of other instruments or strategies.
        """
        widths = {columns.timeframe_ns for columns in history.values()}
        if len(widths) != 1:
            raise ValueError(f"a window needs instruments of one timeframe, got widths of {sorted(widths)} ns")
        (self._width_ns,) = widths
        self._plan = plan
        self._keys = tuple(sorted(history))
        self._calibrations = list(calibrations)
        self._window = plan.warmup_base_bars + 1
        capacity = self._window + DAY_NS // self._width_ns + plan.multiples[-1]
        self._rings = {key: BarRing(capacity, self._width_ns) for key in self._keys}
        for key, columns in history.items():
            self._rings[key].extend(columns)
        self._said: tuple[int, Row | None] = (0, None)

    @classmethod
    def behind(cls, plan: Plan, history: Mapping[InstrumentKey, BarColumns]) -> Self:
        """Learn from the whole days of a history and begin behind it.

        Raises:
            ValueError: There is no instrument, or timeframes differ.
            StrategyError: A strategy raised, or returned something that is not votes.
        """
        newest = max((int(columns.ts_close_ns[-1]) for columns in history.values() if len(columns)), default=0)
        whole = {key: columns.between(None, newest // DAY_NS * DAY_NS) for key, columns in history.items()}
        strategies = {name: strategy for name, (strategy, _) in plan.strategies.items()}
        _, calibrations = pipeline.signals(whole, plan.settings, strategies)
        return cls(plan, history, calibrations or [first_row(plan, sorted(history), max(newest - 1, 0) // DAY_NS)])

    @property
    def keys(self) -> tuple[InstrumentKey, ...]:
        """Instruments, sorted."""
        return self._keys

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """The rows that count inside the window."""
        return tuple(self._calibrations)

    def at(self, close: Close) -> Row | None:
        """Take the bars of a close in and return what is said at it; None when none of the instruments closed."""
        if self._said[0] == close.ts_close_ns:
            return self._said[1]
        here = [key for key in self._keys if key in close.bars]
        row = self._row(close, here) if here else None
        self._said = close.ts_close_ns, row
        return row

    def late(self, arrival: Arrival) -> None:
        """Take in a bar that decides nothing, if it is the newest of its instrument."""
        if arrival.instrument in self._rings:
            self._append(arrival)

    def learned(self, calibration: str) -> Entry | None:
        """Return the record of a calibration."""
        return next((to_record(row) for row in self._calibrations if row.id == calibration), None)

    def window(self, key: InstrumentKey, ts_close_ns: int, earlier: int = 0) -> Window | None:
        """Return what the votes on a bar, and on some before it, are made of, copied; None where it is not held."""
        ring = self._rings.get(key)
        if ring is None:
            return None
        found = Window.of(ring.columns(), self._plan, self._calibrations, ts_close_ns, earlier)
        return None if found is None else replace(found, bars=_kept(found.bars))

    def between(self, key: InstrumentKey, after_ns: int, before_ns: int) -> None:
        """Return nothing: what was said at a close is not kept once there is another."""
        return

    def _row(self, close: Close, here: Sequence[InstrumentKey]) -> Row:
        self._learn_days(close.ts_close_ns)
        bars, signals = np.zeros(len(self._keys), BAR), np.zeros(len(self._keys), SIGNAL)
        present = np.zeros(len(self._keys), np.int64)
        used = 0
        for key in here:
            self._append(close.bars[key])
        for column, key in enumerate(self._keys):
            if key not in here:
                continue
            present[column] = 1
            bars[column] = close.bars[key].bar
            window = self._rings[key].columns()[-self._window :]
            said = pipeline.run(window, self._plan, self._calibrations, key=key, last=1)
            used = max(used, int(said.calibration[0]))
            _write(signals[column : column + 1], said.to_kernel())
        for whole in (bars, signals, present):
            whole.flags.writeable = False
        return Row(bars, signals, present, self._calibrations[used].id)

    def _append(self, arrival: Arrival) -> None:
        ring, bar = self._rings[arrival.instrument], arrival.bar
        stamp, number = int(bar["ts_close_ns"]), arrival.number
        held = ring.columns()
        if len(held):
            last, last_stamp = int(held.number[-1]), int(held.ts_close_ns[-1])
            if stamp <= last_stamp or number <= last:
                return
            missing = number - last - 1
            is_quiet = (missing + 1) * self._width_ns == stamp - last_stamp and missing * self._width_ns <= QUIET_NS_MAX
            price = float(held.close[-1])
            for step in range(1, missing + 1) if is_quiet else ():
                ring.append(last_stamp + step * self._width_ns, price, price, price, price, 0.0, last + step, made=True)
        open_, high, low, price, volume = (float(bar[name]) for name in ("open", "high", "low", "close", "volume"))
        try:
            ring.append(stamp, open_, high, low, price, volume, number, arrival.made)
        except BarError:
            # Gathering has told of it already.
            return

    def _learn_days(self, ts_close_ns: int) -> None:
        today_ns = (ts_close_ns - 1) // DAY_NS * DAY_NS
        if self._calibrations[-1].valid_from_ns >= today_ns:
            return
        bars = {key: ring.columns().between(None, today_ns) for key, ring in self._rings.items()}
        if not any(len(columns) for columns in bars.values()):
            return
        for block in pipeline.blocks(bars, self._plan.settings, self._strategies(), self._calibrations):
            known = {row.valid_from_ns for row in self._calibrations}
            self._calibrations += [row for row in block.calibrations if row.valid_from_ns not in known]
        self._forget()

    def _strategies(self) -> dict[str, Strategy]:
        return {name: strategy for name, (strategy, _) in self._plan.strategies.items()}

    def _forget(self) -> None:
        oldest = min(int(ring.columns().ts_close_ns[0]) for ring in self._rings.values() if len(ring))
        while len(self._calibrations) > 1 and self._calibrations[1].valid_from_ns < oldest:
            self._calibrations.pop(0)


def _kept(bars: BarColumns) -> BarColumns:
    # The ring goes on writing: what is looked at later is copied now, read-only as all that kernels are compiled for.
    columns = {one.name: getattr(bars, one.name) for one in fields(bars)}
    copied: dict[str, Any] = {n: one.copy() if isinstance(one, np.ndarray) else one for n, one in columns.items()}
    for column in copied.values():
        if isinstance(column, np.ndarray):
            column.flags.writeable = False
    return BarColumns(**copied)


def _write(row: Record, said: Mapping[str, NDArray[np.generic]]) -> None:
    for name in SIGNAL.names or ():
        row[name] = said.get(name, np.nan)
