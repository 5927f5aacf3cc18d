"""What sessions recorded themselves, and how the lake differs from it now.

Invariants:
- what an account heard comes from its recordings, to the bit; a close that two sessions were told counts as the later
  one heard it: the earlier one was killed before it was durable;
- a bar that the lake has otherwise, or no more, or only now, is named; one that came late is not missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from novapulse.core.bars import BarColumns, timeframe_text
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import BAR, SIGNAL, Record
from novapulse.engine.rows import Ticks
from novapulse.market.lake import Lake
from novapulse.market.recorder import HeardRecorder, heard_path, heard_paths, read_heard, read_recording
from novapulse.market.recorder import recordings as bars_of_session
from novapulse.market.storage import DataError
from novapulse.parity.causes import Span, bar_span, differing

_LATE = frozenset({"late", "out_of_order"})
"""Problems of bars that were good and came when nobody could decide on them."""


def heard_in(folder: Path, ledger_id: str, account: AccountKey, keys: Sequence[InstrumentKey]) -> Ticks | None:
    """Return what an account was told in all sessions of a ledger that are kept; None where there is none.

    Args:
        folder: Of the recordings.
        ledger_id: Of the ledger.
        account: Whose.
        keys: Instruments, sorted: a session that traded others is none of these.

    Raises:
        RecorderError: A recording is damaged.
    """
    parts = []
    taken = np.zeros(0, np.int64)
    for path in reversed(heard_paths(folder, account)):
        header, theirs, rows = read_heard(path)
        if header.get("ledger_id") != ledger_id or theirs != tuple(keys) or rows.size == 0:
            continue
        fresh = rows[~np.isin(rows["bar"]["ts_close_ns"], taken)]
        taken = np.union1d(taken, fresh["bar"]["ts_close_ns"])
        parts.append(fresh)
    return _laid_out(tuple(keys), np.concatenate(parts)) if parts else None


def _laid_out(keys: tuple[InstrumentKey, ...], rows: "np.ndarray[tuple[int], np.dtype[np.void]]") -> Ticks:
    stamps = np.unique(rows["bar"]["ts_close_ns"])
    at, column = np.searchsorted(stamps, rows["bar"]["ts_close_ns"]), rows["instrument"]
    shape = (stamps.size, len(keys))
    bars, signals, present = np.zeros(shape, BAR), np.zeros(shape, SIGNAL), np.zeros(shape, np.int64)
    bars[at, column], signals[at, column], present[at, column] = rows["bar"], rows["signal"], 1
    ids = np.zeros(stamps.size, "S16")
    ids[at] = rows["calibration"]
    for whole in (bars, signals, present, stamps):
        whole.flags.writeable = False
    return Ticks(keys, stamps, bars, signals, present, tuple(name.decode() for name in ids.tolist()))


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a session found when it began.

    Attributes:
        behind_seq: Number of the last record of the ledger.
        state: Fingerprint of the state that the account's trader began from.
        venue: Fingerprint of the account's venue, as its file had it.
        decided_ns: The last close that the account was not to be told any more.
    """

    behind_seq: int
    state: str
    venue: str
    decided_ns: int


def beginnings_in(folder: Path, ledger_id: str, account: AccountKey) -> list[Beginning]:
    """Return what the sessions of a ledger found that are kept, in the order of their starts.

    Raises:
        RecorderError: A recording is damaged.
    """
    headers = [read_heard(path)[0] for path in heard_paths(folder, account)]
    return [
        Beginning(int(one["behind_seq"]), str(one["state"]), str(one["venue"]), int(one["decided_ns"]))
        for one in headers
        if one.get("ledger_id") == ledger_id and "venue" in one
    ]


def close_behind(folder: Path, ledger_id: str, keys: Sequence[InstrumentKey], ts_ns: int) -> Ticks | None:
    """Return the first close behind a moment that came in any session of a ledger, without signals; None for none.

    Raises:
        RecorderError: A recording is damaged.
    """
    came: dict[int, dict[InstrumentKey, Record]] = {}
    for session in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in bars_of_session(session):
            header, seen = read_recording(path)
            for one in seen if header.get("ledger_id") == ledger_id else ():
                close_ns = int(one.bar["ts_close_ns"])
                if close_ns > ts_ns and not one.problem and one.instrument in keys:
                    came.setdefault(close_ns, {})[one.instrument] = one.bar
    if not came:
        return None
    stamp = min(came)
    bars, present = np.zeros((1, len(keys)), BAR), np.zeros((1, len(keys)), np.int64)
    for key, bar in came[stamp].items():
        bars[0, keys.index(key)], present[0, keys.index(key)] = bar, 1
    return Ticks(tuple(keys), np.array([stamp]), bars, np.zeros((1, len(keys)), SIGNAL), present, ("",))


def record_heard(folder: Path, session: str, ledger_id: str, account: AccountKey, ticks: Ticks) -> None:
    """Write ticks as the recording of a session.

    Raises:
        OSError: It cannot be written.
    """
    recorder = HeardRecorder(heard_path(folder, session, account), ticks.keys, {"ledger_id": ledger_id})
    for row in range(len(ticks)):
        recorder.write(ticks.bars[row], ticks.signals[row], ticks.present[row], ticks.calibrations[row])
    recorder.close()


def joined(first: Ticks, second: Ticks) -> Ticks:
    """Return ticks and the ticks behind them, of the same instruments."""
    assert first.keys == second.keys
    names = ("ts_close_ns", "bars", "signals", "present")
    stamps, bars, signals, present = (np.concatenate([getattr(first, n), getattr(second, n)]) for n in names)
    for whole in (stamps, bars, signals, present):
        whole.flags.writeable = False
    return Ticks(first.keys, stamps, bars, signals, present, first.calibrations + second.calibrations)


def bars_in(ticks: Ticks, timeframe_ns: int) -> dict[InstrumentKey, BarColumns]:
    """Return the bars of each instrument."""
    bars = {}
    for column, key in enumerate(ticks.keys):
        rows = ticks.bars[ticks.present[:, column] != 0, column]
        names = ("ts_close_ns", "open", "high", "low", "close", "volume")
        bars[key] = BarColumns.checked(*(rows[name].copy() for name in names), timeframe_ns=timeframe_ns)
    return bars


def late_in(folder: Path, ledger_id: str, keys: Sequence[InstrumentKey]) -> dict[tuple[InstrumentKey, int], bytes]:
    """Return the bars that came too late for their close in all sessions of a ledger that are kept.

    Raises:
        RecorderError: A recording is damaged.
    """
    late = {}
    for session in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in bars_of_session(session):
            header, seen = read_recording(path)
            if header.get("ledger_id") == ledger_id:
                late.update(
                    {
                        (one.instrument, int(one.bar["ts_close_ns"])): one.bar.tobytes()
                        for one in seen
                        if one.problem in _LATE and one.instrument in keys
                    }
                )
    return late


def lake_otherwise(
    heard: Ticks, late: dict[tuple[InstrumentKey, int], bytes], lake: Lake, timeframe_ns: int
) -> tuple[Span, ...]:
    """Return the bars that the lake has otherwise than they were heard, not at all, or only now.

    Args:
        heard: What was told.
        late: Bars that came too late, by instrument and close; an empty one is known by its close alone.
        lake: Where the bars came from.
        timeframe_ns: Width of a bar.
    """
    return tuple(span for column in range(len(heard.keys)) for span in _of_one(heard, column, late, lake, timeframe_ns))


def _of_one(
    heard: Ticks, column: int, late: dict[tuple[InstrumentKey, int], bytes], lake: Lake, timeframe_ns: int
) -> Iterator[Span]:
    key, first, last = heard.keys[column], int(heard.ts_close_ns[0]), int(heard.ts_close_ns[-1])
    try:
        columns = lake.bars(key.exchange, key.symbol, timeframe_text(timeframe_ns)).between(first - 1, last)
    except DataError as wrong:
        yield Span(key, first, last, f"the lake does not hold {key} any more: {wrong}")
        return
    there = np.zeros(len(columns), BAR)
    for name in BAR.names or ():
        there[name] = getattr(columns, name)
    theirs = {int(bar["ts_close_ns"]): bar.tobytes() for bar in there}
    rows = np.flatnonzero(heard.present[:, column])
    ours = {int(heard.ts_close_ns[row]): heard.bars[row, column].tobytes() for row in rows.tolist()}
    known = {stamp: bar for (other, stamp), bar in late.items() if other == key} | ours
    for stamp in sorted(known.keys() | theirs.keys()):
        mine, other = known.get(stamp), theirs.get(stamp)
        if other is None:
            yield bar_span(key, stamp, "is not in the lake any more")
        elif mine is None:
            yield bar_span(key, stamp, "is in the lake and was not heard")
        elif mine and mine != other:
            yield bar_span(key, stamp, f"is not as it was heard: the lake differs in {differing(mine, other)}")
