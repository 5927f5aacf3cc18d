"""What the kernel reads and writes, as named tuples of arrays: instruments lie one behind the other.

Rows of instrument j are `starts[j]:starts[j + 1]`. A signal column of length 0 has its neutral value on every bar.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, Flags, Floats, Integers
from novapulse.core.records import ACCOUNT, ACTION, BAR, DENIAL, FILL, ORDER, POSITION, ROUND_TRIP, SIGNAL, Reason

Records: TypeAlias = NDArray[Any]
K = TypeVar("K")


class Market(NamedTuple):
    """Bars of P instruments, N rows together."""

    starts: Integers
    ts_close_ns: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Signals(NamedTuple):
    """One row per bar of `Market`: consensus -20..20, ATR in price; the rest may have length 0."""

    consensus: Floats
    atr: Floats
    confidence: Floats
    volatility: Floats
    gate_probability: Floats
    lead: NDArray[np.int8]
    regime: NDArray[np.int8]
    warm: Flags
    sure_fire: Flags


class Fine(NamedTuple):
    """Finer bars inside the decision bars; `starts[k]:stops[k]` lie inside row k. Length 0: there are none."""

    starts: Integers
    stops: Integers
    ts_close_ns: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class State(NamedTuple):
    """What a fold carries on to the next stretch of bars. `day` serves one fold: a day's end, and the row behind it."""

    account: Records
    positions: Records
    orders: Records
    denials_open: Integers
    tally: Records
    day: Integers


WRITTEN = np.dtype((np.record, np.dtype([("fills", "i8"), ("round_trips", "i8"), ("denials", "i8")])))
"""How many events one bar wrote into the slots it was given."""


class Scratch(NamedTuple):
    """Records that one tick works in. A compiled loop cannot own them: a record does not keep its array alive."""

    bar: Records
    signal: Records
    action: Records
    written: Records


class Output(NamedTuple):
    """What a fold records. `counts` holds how many fills, round trips, denials and curve points are written.

    With `keep` 0 (metrics only) every event is written over the last one: the arrays are only as long as one bar needs.
    """

    keep: int

    counts: Integers
    fills: Records
    round_trips: Records
    denials: Records
    reasons: Integers
    equity_ts_ns: Integers
    equity: Floats


N_FILLS, N_ROUND_TRIPS, N_DENIALS, N_EQUITY = range(4)

FILLS_PER_BAR = 3
"""A bar can fill an entry, part of a stop and a resting exit; it closes at most one round trip."""


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    # One kind of array for one compiled kernel: numba compiles anew for a writeable or a strided one.
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len(columns) == 1:
        return _read_only(columns[0])
    whole = columns[0].base
    if isinstance(whole, np.ndarray) and _are_parts_of(whole, columns):
        return _read_only(whole)
    return _read_only(np.concatenate(columns))


def _are_parts_of(whole: NDArray[Any], columns: Sequence[NDArray[Any]]) -> bool:
    address = whole.ctypes.data
    for column in columns:
        in_place = column.base is whole and column.ctypes.data == address and column.flags.c_contiguous
        if not in_place or column.dtype != whole.dtype:
            return False
        address += column.nbytes
    return whole.ndim == 1 and address == whole.ctypes.data + whole.nbytes


def laid_out(bars: Mapping[K, BarColumns]) -> dict[K, BarColumns]:
    """Copy the bars of several instruments behind one another once, so that no run has to do it again."""
    names = [field.name for field in dataclasses.fields(BarColumns) if field.name != "timeframe_ns"]
    joined = {name: np.concatenate([getattr(b, name) for b in bars.values()]) for name in names}
    for column in joined.values():
        column.flags.writeable = False
    laid, start = {}, 0
    for key, b in bars.items():
        rows = slice(start, start + len(b))
        columns: dict[str, Any] = {name: column[rows] for name, column in joined.items()}
        laid[key] = dataclasses.replace(b, **columns)
        start = rows.stop
    return laid


NO_FLOATS: Floats = _read_only(np.zeros(0))
NO_INTEGERS: Integers = _read_only(np.zeros(0, np.int64))
NO_SMALL: NDArray[np.int8] = _read_only(np.zeros(0, np.int8))
NO_FLAGS: Flags = _read_only(np.zeros(0, np.bool_))
NO_FINE = Fine(NO_INTEGERS, NO_INTEGERS, NO_INTEGERS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS)


def market_of(bars: Sequence[BarColumns]) -> Market:
    """Lay the bars of several instruments one behind the other; a single instrument is not copied."""
    columns = [_joined([getattr(b, name) for b in bars]) for name in Market._fields[1:]]
    return Market(_starts(bars), *columns)


def _starts(bars: Sequence[BarColumns]) -> Integers:
    return _read_only(np.concatenate([[0], np.cumsum([len(b) for b in bars])]).astype(np.int64))


def signals_of(consensus: NDArray[Any], atr: NDArray[Any], **others: NDArray[Any]) -> Signals:
    """Return signal columns; those not given stay neutral."""
    neutral = Signals(
        _read_only(consensus), _read_only(atr), NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_SMALL, NO_SMALL, NO_FLAGS, NO_FLAGS
    )
    return neutral._replace(**{name: _read_only(column) for name, column in others.items()})


def joined_signals(signals: Sequence[Signals]) -> Signals:
    """Lay the signals of several instruments one behind the other, like their bars."""
    return Signals(*(_joined(columns) for columns in zip(*signals, strict=True)))


def fine_of(bars: Sequence[BarColumns], finer: Sequence[BarColumns]) -> Fine:
    """Assign to each decision bar the finer bars that close inside it, (open, close], where they are all of it.

    Finer bars stand for a decision bar only if together they have its open, high, low and close: from a group with a
    part missing, a stop that was hit might be missing too. Those in a gap belong to no bar.
    """
    starts, stops, offset = [], [], 0
    for coarse, fine in zip(bars, finer, strict=True):
        first = np.searchsorted(fine.ts_close_ns, coarse.ts_close_ns - coarse.timeframe_ns, side="right")
        last = np.searchsorted(fine.ts_close_ns, coarse.ts_close_ns, side="right")
        last = np.where(_are_whole(coarse, fine, first, last), last, first)
        starts.append(offset + first.astype(np.int64))
        stops.append(offset + last.astype(np.int64))
        offset += len(fine)
    columns = [_joined([getattr(f, name) for f in finer]) for name in Fine._fields[2:]]
    return Fine(_joined(starts), _joined(stops), *columns)


def _are_whole(coarse: BarColumns, fine: BarColumns, first: Integers, last: Integers) -> Flags:
    whole = last > first
    if not whole.any():
        return whole
    start, stop = first[whole], last[whole]
    edges = np.column_stack([start, stop]).ravel()
    highest = np.maximum.reduceat(np.append(fine.high, -np.inf), edges)[::2]
    lowest = np.minimum.reduceat(np.append(fine.low, np.inf), edges)[::2]
    made_of = (fine.open[start], highest, lowest, fine.close[stop - 1])
    wanted = (coarse.open[whole], coarse.high[whole], coarse.low[whole], coarse.close[whole])
    whole[whole] = np.all([np.isclose(a, b, rtol=1e-9, atol=0.0) for a, b in zip(made_of, wanted, strict=True)], axis=0)
    return whole


def new_output(rows: int, instruments: int, *, curve: bool, events: int) -> Output:
    """Allocate room for a fold.

    Args:
        rows: Number of clock ticks for the equity curve.
        instruments: Number of instruments.
        curve: Whether the equity curve is kept.
        events: Room for fills, round trips and denials each; 0 keeps none of them (metrics only).
    """
    points = rows if curve else 0
    # The curve of a single instrument has the stamps of its bars.
    stamps = points if instruments > 1 else 0
    room = max(events, FILLS_PER_BAR)
    return Output(
        int(events > 0),
        np.zeros(4, np.int64),
        np.empty(room, FILL),
        np.empty(room, ROUND_TRIP),
        np.empty(room, DENIAL),
        np.zeros((instruments, len(Reason)), np.int64),
        np.empty(stamps, np.int64),
        np.empty(points),
    )


def new_scratch() -> Scratch:
    """Allocate the records that a fold works in."""
    return Scratch(np.zeros(1, BAR), np.zeros(1, SIGNAL), np.zeros(1, ACTION), np.zeros(1, WRITTEN))


def new_state(instruments: int, tally: Records) -> State:
    """Return the state of an account that has not traded."""
    return State(
        np.zeros(1, ACCOUNT),
        np.zeros(instruments, POSITION),
        np.zeros(instruments, ORDER),
        np.full(instruments, -1, np.int64),
        tally,
        np.zeros(2, np.int64),
    )
