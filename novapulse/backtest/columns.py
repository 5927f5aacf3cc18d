"""What the kernel reads and writes, as named tuples of arrays: instruments lie one behind the other.

Rows of instrument j are `starts[j]:starts[j + 1]`. A signal column of length 0 has its neutral value on every bar.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, Floats, Integers
from novapulse.core.records import ACCOUNT, ACTION, BAR, DENIAL, FILL, ORDER, POSITION, ROUND_TRIP, SIGNAL, Reason

Records = NDArray[np.void]


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
    warm: NDArray[np.bool_]
    sure_fire: NDArray[np.bool_]


class Fine(NamedTuple):
    """Finer bars inside the decision bars; `starts[k]:starts[k + 1]` lie inside row k. Length 0: there are none."""

    starts: Integers
    ts_close_ns: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class State(NamedTuple):
    """What a fold carries from one stretch of bars to the next."""

    account: Records
    positions: Records
    orders: Records
    denials_open: Integers
    tally: Records


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
"""A bar can fill an entry, part of a stop, and a resting exit; it closes at most one round trip and gives up one entry."""

NO_FLOATS = np.zeros(0)
NO_INTEGERS = np.zeros(0, np.int64)
NO_SMALL = np.zeros(0, np.int8)
NO_FLAGS = np.zeros(0, np.bool_)
NO_FINE = Fine(NO_INTEGERS, NO_INTEGERS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_FLOATS)


def _joined(columns: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def market_of(bars: list[BarColumns]) -> Market:
    """Lay the bars of several instruments one behind the other; a single instrument is not copied."""
    starts = np.zeros(len(bars) + 1, np.int64)
    np.cumsum([len(b) for b in bars], out=starts[1:])
    names = Market._fields[1:]
    return Market(starts, *(_joined([getattr(b, name) for b in bars]) for name in names))  # type: ignore[arg-type]


def signals_of(consensus: Floats, atr: Floats, **others: NDArray[np.generic]) -> Signals:
    """Return signal columns; those not given stay neutral."""
    neutral = Signals(consensus, atr, NO_FLOATS, NO_FLOATS, NO_FLOATS, NO_SMALL, NO_SMALL, NO_FLAGS, NO_FLAGS)
    return neutral._replace(**others)


def joined_signals(signals: list[Signals]) -> Signals:
    """Lay the signals of several instruments one behind the other, like their bars."""
    return Signals(*(_joined(list(columns)) for columns in zip(*signals, strict=True)))  # type: ignore[arg-type]


def fine_of(bars: list[BarColumns], finer: list[BarColumns]) -> Fine:
    """Assign each finer bar to the decision bar in which it closes: (previous close, close]."""
    names = Fine._fields[1:]
    edges, offset = [np.zeros(0, np.int64)], 0
    for coarse, fine in zip(bars, finer, strict=True):
        opens = coarse.ts_close_ns - coarse.timeframe_ns
        first = np.searchsorted(fine.ts_close_ns, opens, side="right")
        edges.append(offset + first.astype(np.int64))
        offset += len(fine)
    starts = np.append(np.concatenate(edges), offset)
    return Fine(starts, *(_joined([getattr(f, name) for f in finer]) for name in names))  # type: ignore[arg-type]


def new_output(rows: int, instruments: int, *, curve: bool, events: int) -> Output:
    """Allocate room for a fold.

    Args:
        rows: Number of clock ticks for the equity curve.
        instruments: Number of instruments.
        curve: Whether the equity curve is kept.
        events: Room for fills, round trips and denials each; 0 keeps none of them (metrics only).
    """
    points = rows if curve else 0
    room = max(events, FILLS_PER_BAR)
    return Output(
        int(events > 0),
        np.zeros(4, np.int64),
        np.zeros(room, FILL),
        np.zeros(room, ROUND_TRIP),
        np.zeros(room, DENIAL),
        np.zeros((instruments, len(Reason)), np.int64),
        np.zeros(points, np.int64),
        np.zeros(points),
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
    )
