"""From bars to the consensus: the one way that backtest, replay, paper and live trading go.

Invariants:
- only closed bars are seen, those of slower timeframes from their close on;
- the calibration of a day knows the days before it, no more;
- history is worked through in blocks of whole UTC days, each with the warm-up before it: memory is bounded by the
  block, and the result is the same to the bit as in one piece, or as in a live window of `Plan.warmup_base_bars`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from novapulse.confluence.calibration import (
    Calibration,
    advance_forecasts,
    advance_markets,
    copied,
    first_row,
    rows_after,
)
from novapulse.confluence.combine import SignalColumns
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.samples import Part, days_of, market_samples, with_votes
from novapulse.confluence.settings import ConfluenceError, ConfluenceSettings
from novapulse.confluence.timeframes import frames_of
from novapulse.confluence.voices import Rows, heard, weigh
from novapulse.core.bars import DAY_NS, BarColumns, Floats, format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.memory import keep_the_heap
from novapulse.strategies import STRATEGIES, Strategy
from novapulse.strategies.votes import FORECAST_MAX

NAMELESS = InstrumentKey("", "")
"""Key of bars that were given alone, without the name of their instrument."""

BLOCK_BARS = 65_536
_BLOCK_BARS_OF_ALL = 2_000_000
_BLOCK_BARS_LEAST = 16_384

Bars = Mapping[InstrumentKey, BarColumns]
Books = Mapping[InstrumentKey, Floats]
Progress = Callable[[int, int], None]

SHIPPED = ConfluenceSettings()


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole UTC days of all instruments.

    Attributes:
        rows: Which rows of each instrument's bars these are; they follow on those of the block before.
        signals: Columns as long as those rows; `calibration` counts in all rows since the first block's first.
        calibrations: The rows that became known; the first block begins with those given, or with constants.
    """

    rows: dict[InstrumentKey, slice]
    signals: dict[InstrumentKey, SignalColumns]
    calibrations: list[Calibration]


@overload
def signals(
    bars: BarColumns,
    settings: ConfluenceSettings = ...,
    strategies: Mapping[str, Strategy] = ...,
    calibrations: Sequence[Calibration] = ...,
    books: Floats | None = ...,
    progress: Progress | None = ...,
) -> tuple[SignalColumns, list[Calibration]]: ...
@overload
def signals(
    bars: Bars,
    settings: ConfluenceSettings = ...,
    strategies: Mapping[str, Strategy] = ...,
    calibrations: Sequence[Calibration] = ...,
    books: Books | None = ...,
    progress: Progress | None = ...,
) -> tuple[dict[InstrumentKey, SignalColumns], list[Calibration]]: ...
def signals(
    bars: BarColumns | Bars,
    settings: ConfluenceSettings = SHIPPED,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    calibrations: Sequence[Calibration] = (),
    books: Floats | Books | None = None,
    progress: Progress | None = None,
) -> tuple[SignalColumns | dict[InstrumentKey, SignalColumns], list[Calibration]]:
    """Return the consensus of every bar, of one instrument or of several; see `blocks` for the arguments.

    Returns:
        Columns as long as each instrument's bars, and the calibration rows that their `calibration` counts in: one
        after each UTC day with bars. The last row has seen the last day, complete or not: continue from it only if it
        was complete.

    Raises:
        ConfluenceError: Settings, strategies, books or calibrations do not belong together.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    many = {NAMELESS: bars} if isinstance(bars, BarColumns) else bars
    named = {NAMELESS: books} if isinstance(books, np.ndarray) else books
    plan = prepare(settings, strategies)
    whole = {key: SignalColumns.empty(len(columns), plan.names) for key, columns in many.items()}
    rows: list[Calibration] = []
    for block in blocks(many, settings, strategies, calibrations, named, progress):
        rows += block.calibrations
        for key, part in block.signals.items():
            whole[key].put(block.rows[key], part)
    return (whole[NAMELESS] if isinstance(bars, BarColumns) else whole), rows


def blocks(
    bars: Bars,
    settings: ConfluenceSettings = SHIPPED,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    calibrations: Sequence[Calibration] = (),
    books: Books | None = None,
    progress: Progress | None = None,
    block_bars: int | None = None,
) -> Iterator[Block]:
    """Work through history in blocks of whole UTC days and learn the calibrations on the way.

    Args:
        bars: Base bars of each instrument, gaps allowed.
        settings: What is weighed, and how.
        strategies: Name -> strategy; those without a weight are not run.
        calibrations: Rows learned before, ascending; bars up to the last one's day serve as its warm-up only.
        books: The order book's forecast at each bar, -20..20, NaN where there is none, for instruments that have one.
        progress: Called with base bars done and in total.
        block_bars: Bars of an instrument per block; None chooses by memory.

    Yields:
        Blocks in time order that cover all bars after the last given calibration.

    Raises:
        ConfluenceError: Settings, strategies, books or calibrations do not belong together.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    plan = prepare(settings, strategies)
    keys = sorted(bars)
    _check_books(bars, books or {})
    known = _start(plan, bars, keys, calibrations)
    fresh = list(known)
    from_ns = known[-1].valid_from_ns
    done = {key: int(np.searchsorted(bars[key].ts_close_ns, from_ns, side="right")) for key in keys}
    total = sum(len(bars[key]) for key in keys)
    keep_the_heap()
    size = block_bars or min(max(_BLOCK_BARS_OF_ALL // len(keys), _BLOCK_BARS_LEAST), BLOCK_BARS)
    while any(done[key] < len(bars[key]) for key in keys):
        rows = _next_rows(bars, done, size)
        block = _block(plan, bars, books or {}, rows, known)
        fresh += block.calibrations
        known += block.calibrations
        yield Block(block.rows, block.signals, fresh)
        fresh = []
        done = {key: rows[key].stop for key in keys}
        if progress is not None:
            progress(sum(done.values()), total)


def run(
    bars: BarColumns,
    plan: Plan,
    calibrations: Sequence[Calibration],
    *,
    key: InstrumentKey = NAMELESS,
    last: int | None = None,
    book: Floats | None = None,
) -> SignalColumns:
    """Return the consensus of the last bars of a window under calibrations that are known, as a live trader does.

    Args:
        bars: Base bars; `plan.warmup_base_bars` before those of interest make the result that of the whole history.
        plan: What is weighed.
        calibrations: Rows that cover the window, ascending; bars before the first are given its numbers.
        key: Which of the calibrations' instruments this is.
        last: How many bars are of interest; None for all.
        book: The order book's forecast at each of the bars.

    Raises:
        ConfluenceError: The calibrations are of other instruments or strategies.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    _check_rows(plan, calibrations)
    if key not in calibrations[-1].instruments:
        raise ConfluenceError(f"the calibration of {format_ns(calibrations[-1].valid_from_ns)} does not know {key}")
    first = 0 if last is None else max(len(bars) - last, 0)
    frames = frames_of(bars, first, plan)
    rows = Rows.of(calibrations, plan)
    p = calibrations[-1].instruments.index(key)
    votes = [heard(frame, rows.valid_from_ns, rows.thresholds[:, p, t], plan) for t, frame in enumerate(frames)]
    return weigh(bars[first:], frames, votes, rows, p, plan, None if book is None else book[first:])


def _block(plan: Plan, bars: Bars, books: Books, rows: dict[InstrumentKey, slice], known: list[Calibration]) -> Block:
    keys = list(rows)
    parts = [
        Part(
            bars[key][rows[key]],
            bars[key][: rows[key].start],
            frames_of(bars[key][: rows[key].stop], rows[key].start, plan),
        )
        for key in keys
    ]
    days = np.unique(np.concatenate([days_of(part.bars.ts_close_ns) for part in parts]))
    start = known[-1]
    assert start.memory is not None
    memory = copied(start.memory)
    samples, places = market_samples(days, parts, len(plan.multiples))
    markets = advance_markets(plan, memory, samples)
    covering = _covering(known, parts)
    valid_from_ns = np.append([row.valid_from_ns for row in covering], (days + 1) * DAY_NS)
    thresholds = np.concatenate([[row.thresholds for row in covering], markets.thresholds[1:]])
    votes = [
        [heard(frame, valid_from_ns, thresholds[:, p, t], plan) for t, frame in enumerate(part.frames)]
        for p, part in enumerate(parts)
    ]
    samples = with_votes(samples, days, parts, places, votes)
    forecasts = advance_forecasts(plan, memory, samples)
    following = rows_after(known[-1], days, markets, forecasts, memory)
    calibrations = Rows.of([*covering, *following], plan)
    said = {}
    for p, (key, part) in enumerate(zip(keys, parts, strict=True)):
        book = books[key][rows[key]] if key in books else None
        said[key] = weigh(part.bars, part.frames, votes[p], calibrations, p, plan, book)
        said[key].calibration[:] += len(known) - len(covering)
    return Block(rows, said, following)


def _covering(known: list[Calibration], parts: list[Part]) -> list[Calibration]:
    starts = [frame.bars.ts_close_ns[0] for part in parts for frame in part.frames if len(frame.bars)]
    earliest = min(starts, default=known[-1].valid_from_ns)
    first = bisect_left([row.valid_from_ns for row in known], earliest) - 1
    return known[max(first, 0) :]


def _next_rows(bars: Bars, done: dict[InstrumentKey, int], size: int) -> dict[InstrumentKey, slice]:
    ahead = {key: bars[key].ts_close_ns[row:] for key, row in done.items() if row < len(bars[key])}
    first_day = min(_day(stamps[0]) for stamps in ahead.values())
    full = [_day(stamps[size]) - 1 for stamps in ahead.values() if stamps.size > size]
    last_day = max(min(full), first_day) if full else max(_day(stamps[-1]) for stamps in ahead.values())
    end_ns = (last_day + 1) * DAY_NS
    return {
        key: slice(row, int(np.searchsorted(bars[key].ts_close_ns, end_ns, side="right"))) for key, row in done.items()
    }


def _day(stamp_ns: np.int64) -> int:
    return (int(stamp_ns) - 1) // DAY_NS


def _start(plan: Plan, bars: Bars, keys: list[InstrumentKey], calibrations: Sequence[Calibration]) -> list[Calibration]:
    if calibrations:
        _check_rows(plan, calibrations)
        last = calibrations[-1]
        if last.instruments != tuple(keys):
            theirs = ", ".join(map(str, last.instruments))
            raise ConfluenceError(f"calibrations are of {theirs}; the bars are of {', '.join(map(str, keys))}")
        if last.memory is None:
            raise ConfluenceError(f"the calibration of {format_ns(last.valid_from_ns)} has no memory to go on from")
        return list(calibrations)
    days = [_day(bars[key].ts_close_ns[0]) for key in keys if len(bars[key])]
    return [first_row(plan, keys, min(days, default=0))]


def _check_rows(plan: Plan, calibrations: Sequence[Calibration]) -> None:
    for row in calibrations:
        if row.strategies != plan.names or row.multiples != plan.multiples:
            raise ConfluenceError(
                f"the calibration of {format_ns(row.valid_from_ns)} weighs {', '.join(row.strategies)} on "
                f"{row.multiples}, the settings {', '.join(plan.names)} on {plan.multiples}"
            )


def _check_books(bars: Bars, books: Books) -> None:
    for key, book in books.items():
        if key not in bars:
            raise ConfluenceError(f"an order book was given for {key}, which has no bars")
        if book.dtype != np.float64 or book.shape != (len(bars[key]),):
            given = f"{book.dtype}{list(book.shape)}"
            raise ConfluenceError(f"the order book of {key} is {given}, expected float64[{len(bars[key])}]")
        bad = np.abs(book) > FORECAST_MAX
        if bad.any():
            row = int(np.argmax(bad))
            stamp = format_ns(int(bars[key].ts_close_ns[row]))
            raise ConfluenceError(f"the order book of {key} says {book[row]} at {stamp}, expected -20..20 or NaN")
