"""The order book page: a recorded tape as a ladder to walk through, its features, and what the price did after.

Invariants:
- books and features are those of `market.tape` and `market.book`, which research and live share;
- a book that is refused has no features and is counted by the name of what is wrong with it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marimo as mo
import numpy as np
from numpy.typing import NDArray

from novapulse.config import home_folder, recordings_folder
from novapulse.core.bars import Floats
from novapulse.market.book.columns import BookColumns, BookProblem
from novapulse.market.book.features import features
from novapulse.market.sample_tape import write_sample_tape
from novapulse.market.spelling import symbol_of
from novapulse.market.tape import Tape, read_tape
from novapulse.research.at_hand import SAMPLE_EXCHANGE
from novapulse.ui.jobs import Reporter, Results
from novapulse.ui.notebooks.spoken_votes import BPS, correlation, means
from novapulse.ui.notebooks.work import Came, Work

Html = mo.Html

ENDING = "_l2.parquet"
SAMPLE_SEED, SAMPLE_SECONDS = 7, 600
LEVELS = 50
DEPTH = 12
STRETCHES = 16
HORIZONS_S = (1, 2, 5, 10, 30, 60)
EVERY_MS = {"10 a second": 100, "4 a second": 250, "1 a second": 1000}

WATCHED = (
    "score",
    "imbalance",
    "pressure",
    "microprice_bps",
    "depth_ratio",
    "whale_balance",
    "spoofing",
    "spread_bps",
    "bid_depth",
    "ask_depth",
    "buy_slippage_bps",
    "sell_slippage_bps",
    "liquidity",
)
"""Features that can be drawn and are compared with the next moves."""

_READ = Results(4)


@dataclass(frozen=True)
class Watched:
    """A tape with its features.

    Attributes:
        symbol: What it is the book of.
        every_ms: One book is kept for each of these intervals.
        tape: The books.
        features: FEATURES[N].
        is_generated: Whether nobody recorded it.
    """

    symbol: str
    every_ms: int
    tape: Tape
    features: NDArray[np.void]
    is_generated: bool = False

    @property
    def books(self) -> BookColumns:
        """Return the books."""
        return self.tape.books


@dataclass(frozen=True)
class Refused:
    """Books in a row that are refused for the same reason.

    Attributes:
        problem: Why.
        first_ns: The first of them.
        last_ns: The last.
        books: How many.
    """

    problem: BookProblem
    first_ns: int
    last_ns: int
    books: int


@dataclass(frozen=True)
class Predicted:
    """The features against what the mid price did after.

    Attributes:
        horizon_s: How long after, seconds.
        edges: float64[B + 1] of the score.
        after: float64[B], mean move in bps, NaN where too few are known.
        error: float64[B], its standard error.
        correlations: By feature; NaN where it cannot be known.
        known: Books whose move is known.
    """

    horizon_s: int
    edges: Floats
    after: Floats
    error: Floats
    correlations: dict[str, float]
    known: int


class Desk:
    """One session.

    Attributes:
        tapes: Recorded books, by the name that is shown.
        problem: Why there is nothing to look at, in one sentence.
        work: Reads a tape.
    """

    def __init__(self, tapes: dict[str, Path], problem: str | None) -> None:
        self.tapes = tapes
        self.problem = problem
        self.work: Work[Watched] = Work("Playing the tape")


def open_desk() -> Desk:
    """Look which tapes are at hand; where none was recorded, one is generated, and said to be."""
    folder = recordings_folder(os.environ)
    found = sorted(folder.glob(f"*{ENDING}")) if folder else []
    if found:
        return Desk({_name(file): file for file in found}, None)
    sample = home_folder(os.environ) / "sample" / f"{SAMPLE_EXCHANGE}_BTC-USD{ENDING}"
    try:
        if not sample.is_file():
            write_sample_tape(sample, SAMPLE_SEED, SAMPLE_SECONDS)
    except OSError as wrong:
        where = folder or "the folder that NOVAPULSE_DATA_DIR names"
        why = f"no order book was recorded here, and none can be generated ({wrong.strerror or wrong})"
        return Desk({}, f"{why}: put a file such as binance_BTC-USDT{ENDING} into {where}")
    return Desk({"generated, BTC/USD": sample}, None)


def _name(file: Path) -> str:
    """Return a recording as it is chosen: its exchange and market."""
    exchange, _, symbol = file.name.removesuffix(ENDING).partition("_")
    return f"{exchange}, {symbol_of(symbol)}"


def tape_choice(desk: Desk) -> Any:
    """Return the widget that chooses a tape."""
    return mo.ui.dropdown(desk.tapes, next(iter(desk.tapes)), label="Tape", full_width=True, allow_select_none=False)


def every_choice(desk: Desk) -> Any:
    """Return the widget that chooses how many books are looked at."""
    assert desk.problem is None
    return mo.ui.dropdown(EVERY_MS, "10 a second", label="Books", full_width=True, allow_select_none=False)


def horizon_choice(desk: Desk) -> Any:
    """Return the widget that chooses after how long is looked at what became of the price."""
    assert desk.problem is None
    return mo.ui.slider(steps=list(HORIZONS_S), value=5, label="Next move, seconds", show_value=True, full_width=True)


def feature_choice(desk: Desk) -> Any:
    """Return the widget that chooses what is drawn beside the score."""
    assert desk.problem is None
    named = {name.replace("_", " "): name for name in WATCHED if name != "score"}
    return mo.ui.dropdown(named, "imbalance", label="Feature", full_width=True, allow_select_none=False)


def start(desk: Desk, file: Path, every_ms: int, set_came: Callable[[Came[Watched]], None]) -> Html:
    """Read a tape, and return what is to be seen of that."""
    return desk.work.run(lambda reporter: watched(file, every_ms, reporter), set_came)


def watched(file: Path, every_ms: int, reporter: Reporter) -> Watched:
    """Return a tape with its features; what was read is kept.

    Raises:
        TapeError: The file is no recorded book.
    """
    reporter.phase("building every book from its differences")

    def read() -> Watched:
        tape = read_tape(file, LEVELS, every_ms)
        reporter.phase("measuring the books")
        exchange, _, symbol = _name(file).partition(", ")
        return Watched(symbol, every_ms, tape, features(tape.books), exchange == SAMPLE_EXCHANGE)

    stamp = file.stat().st_mtime_ns if file.is_file() else 0
    return _READ.get((file, stamp, every_ms), read)


def refused(books: BookColumns) -> list[Refused]:
    """Return the books that are refused, those in a row together."""
    problem = books.problem
    starts = np.flatnonzero(np.diff(problem, prepend=np.int8(0)) != 0)
    ends = np.append(starts[1:], problem.size)[: starts.size]
    return [
        Refused(BookProblem(int(problem[a])), int(books.ts_ns[a]), int(books.ts_ns[b - 1]), int(b - a))
        for a, b in zip(starts, ends, strict=True)
        if a < b and problem[a] != BookProblem.NONE
    ]


def moves(watched_: Watched, horizon_s: int) -> Floats:
    """Return float64[N], the move of the mid over the horizon, bps; NaN where a book is missing or refused."""
    mid, stamps = watched_.features["mid"], watched_.books.ts_ns
    wanted = stamps + horizon_s * 1_000_000_000
    place = np.searchsorted(stamps, wanted)
    inside = place < stamps.size
    later = np.minimum(place, stamps.size - 1)
    late_ns = stamps[later] - wanted
    moved = np.full(stamps.size, np.nan)
    # Intervals in which nothing came have no book: one that stands much later says nothing of this moment.
    good = inside & (late_ns <= max(watched_.every_ms, 1000) * 1_000_000)
    moved[good] = (mid[later[good]] / mid[good] - 1.0) * BPS
    return moved


def predicted(watched_: Watched, horizon_s: int) -> Predicted:
    """Compare the features with the next moves."""
    moved, score = moves(watched_, horizon_s), watched_.features["score"]
    known = np.isfinite(moved) & np.isfinite(score)
    reach = max(float(np.abs(score[known]).max(initial=0.0)), 0.05)
    edges = np.linspace(-reach, reach, STRETCHES + 1)
    rows = max(1, round(horizon_s * 1000 / watched_.every_ms))
    after, error = means(score[known], moved[known], edges, rows)
    correlations = {}
    for name in WATCHED:
        values = np.ascontiguousarray(watched_.features[name])
        both = known & np.isfinite(values)
        correlations[name] = correlation(values[both], moved[both])
    return Predicted(horizon_s, edges, after, error, correlations, int(known.sum()))


def came_of(desk: Desk, came: Came[Watched]) -> Came[Watched]:
    """Return what came of reading; there is nothing to look at on a desk without a tape."""
    assert desk.problem is None
    return came


def level_pairs(prices: Floats, qtys: Floats) -> list[list[float]]:
    """Return a side of a book as pairs for the ladder, as far as it is known."""
    known = np.isfinite(prices[:DEPTH])
    return [[float(price), float(qty)] for price, qty in zip(prices[:DEPTH][known], qtys[:DEPTH][known], strict=True)]
