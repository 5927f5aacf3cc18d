"""Bars and signals as rows of records, tick by tick: what the traders of one exchange are told at each close.

Invariants:
- a tick holds what closed at that moment, in the order of the instruments; the rest of its rows is not to be read;
- rows are read-only and shared: all accounts of an exchange read the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import BarColumns, Integers
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import BarsClosed
from novapulse.core.records import BAR, SIGNAL, Record


@dataclass(frozen=True, slots=True)
class Ticks:
    """Closes of some instruments.

    Attributes:
        keys: Instruments, sorted.
        ts_close_ns: int64[N], ascending.
        bars: BAR[N, P].
        signals: SIGNAL[N, P].
        present: int64[N, P], 1 where the instrument closed.
        calibrations: Id of the calibration of each tick.
    """

    keys: tuple[InstrumentKey, ...]
    ts_close_ns: Integers
    bars: Record
    signals: Record
    present: Integers
    calibrations: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.ts_close_ns.size)

    def of(self, keys: Sequence[InstrumentKey]) -> "Ticks":
        """Return the ticks as an account with these instruments sees them; closes of others are left out.

        Raises:
            KeyError: An instrument is not among them.
        """
        missing = [key for key in keys if key not in self.keys]
        if missing:
            raise KeyError(f"no rows of {', '.join(map(str, missing))}")
        columns = [self.keys.index(key) for key in sorted(keys)]
        rows = np.flatnonzero(self.present[:, columns].sum(axis=1))
        parts = [np.ascontiguousarray(whole[rows][:, columns]) for whole in (self.bars, self.signals, self.present)]
        for part in parts:
            part.flags.writeable = False
        ids = tuple(self.calibrations[row] for row in rows.tolist())
        return Ticks(tuple(sorted(keys)), self.ts_close_ns[rows], parts[0], parts[1], parts[2], ids)

    def after(self, ts_ns: int, until_ns: int | None = None) -> "Ticks":
        """Return the ticks in (ts_ns, until_ns]."""
        first = int(np.searchsorted(self.ts_close_ns, ts_ns, side="right"))
        last = len(self) if until_ns is None else int(np.searchsorted(self.ts_close_ns, until_ns, side="right"))
        cut = slice(first, last)
        return Ticks(
            self.keys,
            self.ts_close_ns[cut],
            self.bars[cut],
            self.signals[cut],
            self.present[cut],
            self.calibrations[cut],
        )

    def event(self, row: int, ts_ns: int) -> BarsClosed:
        """Return a tick as the event that arrives at `ts_ns`."""
        return BarsClosed(
            ts_ns,
            int(self.ts_close_ns[row]),
            self.bars[row],
            self.signals[row],
            self.present[row],
            self.calibrations[row],
        )

    def events(self) -> Iterator[BarsClosed]:
        """Yield every tick, as it arrives at its close."""
        for row in range(len(self)):
            yield self.event(row, int(self.ts_close_ns[row]))


def ticks_of(
    bars: Mapping[InstrumentKey, BarColumns],
    columns: Mapping[InstrumentKey, SignalColumns],
    calibration_ids: Sequence[str],
) -> Ticks:
    """Lay bars and their signals out tick by tick.

    Args:
        bars: Of the instruments of one exchange, one timeframe.
        columns: Signals of the same rows.
        calibration_ids: Names of the calibrations that the columns count in.
    """
    keys = tuple(sorted(bars))
    stamps = np.unique(np.concatenate([bars[key].ts_close_ns for key in keys]))
    shape = (stamps.size, len(keys))
    rows, signals, present = np.zeros(shape, BAR), np.zeros(shape, SIGNAL), np.zeros(shape, np.int64)
    used = np.zeros(stamps.size, np.int64)
    for column, key in enumerate(keys):
        at = np.searchsorted(stamps, bars[key].ts_close_ns)
        present[at, column] = 1
        for name in BAR.names or ():
            rows[name][at, column] = getattr(bars[key], name)
        said = columns[key].to_kernel()
        for name in SIGNAL.names or ():
            signals[name][at, column] = said.get(name, np.nan)
        np.maximum.at(used, at, columns[key].calibration)
    for whole in (rows, signals, present, stamps):
        whole.flags.writeable = False
    return Ticks(keys, stamps, rows, signals, present, tuple(calibration_ids[index] for index in used.tolist()))
