"""The last bars of an instrument: what sessions of the trader saw, and what lies in the lake before that.

Invariants:
- of a recording only its head and its last records are read, however long it is;
- bars that decided nothing, because they were late or impossible, are left out;
- generated bars and real ones never stand in one answer: the newest session says which these are.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, timeframe_ns, timeframe_text
from novapulse.core.instruments import InstrumentKey
from novapulse.market.recorder import ARRIVAL, recording_path

SESSIONS, LAKE, SAMPLE_LAKE = "sessions", "lake", "sample-lake"
_BLOCK = 2_048
_HEAD_MAX = 1 << 20

Rows = NDArray[np.void]


class NoBarsError(ValueError):
    """Nobody has bars of the instrument; the message says where was looked."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What a recording says of itself."""

    size: int
    row: int
    timeframe_ns: int
    is_sample: bool


def bars_of(
    home: Path,
    exchange: str,
    symbol: str,
    *,
    last: int,
    end_ns: int | None = None,
    lake: Path | None = None,
) -> BarColumns:
    """Return the last bars of an instrument.

    Args:
        home: Folder of the trader's state.
        exchange: Lower-case id.
        symbol: Canonical symbol.
        last: At most so many, > 0.
        end_ns: Only those that close up to here; None for all there are.
        lake: Folder of the lake; None for the one in the home folder.

    Raises:
        NoBarsError: Neither a session nor the lake has a bar of it.
        DataError: A file of the lake is damaged.
    """
    recorded, head = _recorded(home / SESSIONS, InstrumentKey(exchange, symbol), last, end_ns)
    missing = last - recorded.size
    before = None
    if missing > 0:
        folder = lake or home / (SAMPLE_LAKE if head is not None and head.is_sample else LAKE)
        until_ns = int(recorded["ts_close_ns"][0]) - 1 if recorded.size else end_ns
        before = _from_lake(folder, exchange, symbol, head, missing, until_ns)
    if before is None and head is None:
        raise NoBarsError(f"no bars of {symbol} on {exchange}: neither a session below {home} nor a lake has them")
    return _joined(before, recorded, head)


def _recorded(folder: Path, key: InstrumentKey, last: int, end_ns: int | None) -> tuple[Rows, _Head | None]:
    """Return records of one instrument, ascending, none twice, from the newest sessions backwards."""
    found: list[Rows] = []
    newest: _Head | None = None
    count, until_ns = 0, end_ns
    names = sorted((one.name for one in folder.iterdir() if one.is_dir()), reverse=True) if folder.is_dir() else []
    for name in names:
        try:
            with recording_path(folder, name, key.exchange).open("rb") as file:
                head = _head_of(file, key)
                if head is None or (newest is not None and _kind(head) != _kind(newest)):
                    continue
                rows = _tail(file, head, last - count, until_ns)
        except OSError:
            # A session that has not begun to record, or whose recording was just removed with the oldest.
            continue
        newest = newest or head
        if rows.size:
            found.append(rows)
            count += rows.size
            until_ns = int(rows["ts_close_ns"][0]) - 1
        if count >= last:
            break
    return (np.concatenate(found[::-1]) if found else np.zeros(0, ARRIVAL)), newest


def _kind(head: _Head) -> tuple[bool, int]:
    return head.is_sample, head.timeframe_ns


def _head_of(file: BinaryIO, key: InstrumentKey) -> _Head | None:
    line = file.readline(_HEAD_MAX)
    try:
        values = json.loads(line)
        row = values["instruments"].index([key.exchange, key.symbol])
        return _Head(len(line), row, int(values["timeframe_ns"]), bool(values.get("is_sample")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _tail(file: BinaryIO, head: _Head, wanted: int, end_ns: int | None) -> Rows:
    """Read blocks from the end of a recording until there are enough bars."""
    end = (file.seek(0, 2) - head.size) // ARRIVAL.itemsize
    found: list[Rows] = []
    count, before_ns = 0, np.iinfo(np.int64).max if end_ns is None else end_ns + 1
    while end > 0 and count < wanted:
        first = max(end - _BLOCK, 0)
        file.seek(head.size + first * ARRIVAL.itemsize)
        block = np.frombuffer(file.read((end - first) * ARRIVAL.itemsize), ARRIVAL)
        mine = block[(block["exact"] == 1) & (block["instrument"] == head.row) & (block["problem"] < 0)]
        _, at = np.unique(mine["ts_close_ns"], return_index=True)
        rows = mine[at]
        rows = rows[rows["ts_close_ns"] < before_ns]
        if rows.size:
            found.append(rows)
            count, before_ns = count + rows.size, int(rows["ts_close_ns"][0])
        end = first
    return np.concatenate(found[::-1])[-wanted:] if found else np.zeros(0, ARRIVAL)


def _from_lake(
    folder: Path, exchange: str, symbol: str, head: _Head | None, wanted: int, end_ns: int | None
) -> BarColumns | None:
    # The lake's library takes a while to load, and most answers do without.
    from novapulse.market.lake import Lake

    lake = Lake(folder)
    series = [one for one in lake.series() if (one.exchange, one.symbol) == (exchange, symbol)]
    width = None if head is None else timeframe_text(head.timeframe_ns)
    chosen = next((one for one in series if width in (None, one.timeframe)), None)
    if chosen is None:
        return None
    until_ns = chosen.last_ns if end_ns is None else min(end_ns, chosen.last_ns)
    span = 2 * wanted * timeframe_ns(chosen.timeframe)
    while True:
        start_ns = max(until_ns - span, chosen.first_ns - 1)
        bars = lake.bars(exchange, symbol, chosen.timeframe, start_ns, until_ns)
        if len(bars) >= wanted or start_ns < chosen.first_ns:
            return bars[max(len(bars) - wanted, 0) :]
        span *= 4


def _joined(before: BarColumns | None, rows: Rows, head: _Head | None) -> BarColumns:
    if rows.size == 0 and before is not None:
        return before
    assert head is not None
    recorded = BarColumns.checked(
        *(rows[name] for name in ("ts_close_ns", "open", "high", "low", "close", "volume")),
        timeframe_ns=head.timeframe_ns,
        number=rows["number"],
        made=rows["made"] == 1,
    )
    if before is None or len(before) == 0:
        return recorded
    names = ("ts_close_ns", "open", "high", "low", "close", "volume")
    return BarColumns.checked(
        *(np.concatenate([getattr(before, name), getattr(recorded, name)]) for name in names),
        timeframe_ns=head.timeframe_ns,
        number=np.concatenate([before.number, recorded.number]),
        made=np.concatenate([before.made, recorded.made]),
    )
