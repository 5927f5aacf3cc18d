"""Subjects that cheat on purpose, each with the proof that must catch it: the proof that the proofs can fail.

The first six are the classic ways in which research looks ahead; the others cheat where those proofs would not see it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from novapulse.core.bars import BarColumns, Floats
from novapulse.core.records import FILL, Liquidity, Reason
from novapulse.market.resample import resample
from novapulse.market.sample import sample_market
from novapulse.research.bias.examine import FULL, examine
from novapulse.research.bias.report import MutantReport, Proof
from novapulse.research.bias.subjects import Column, Columns, Subject
from novapulse.signals import indicators

_SAMPLE_BARS = 1_500


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken subject and the proof that must catch it."""

    subject: Subject
    expected: Proof


def self_test() -> tuple[MutantReport, ...]:
    """Put every mutant to the proof on a generated market."""
    bars = sample_market(("MUTANT",), _SAMPLE_BARS, seed=1)["MUTANT"]
    effort = replace(FULL, random_cuts=8, turning_cuts=8, poisoned_cuts=4, open_bars=4, windows=8)
    return tuple(
        MutantReport(mutant.subject.name, mutant.expected, examine(mutant.subject, bars, effort).failed)
        for mutant in MUTANTS
    )


def shifted(bars: BarColumns) -> Floats:
    """Return the move of the bar that follows."""
    return np.append(bars.close[1:], np.nan) - bars.close


def centred(bars: BarColumns) -> Floats:
    """Return the mean of the ten bars before, this one and the ten that follow."""
    return bars.close - np.convolve(bars.close, np.full(21, 1 / 21), "same")[: len(bars)]


def standardised(bars: BarColumns) -> Floats:
    """Return the close in standard deviations of the whole sample."""
    spread = float(bars.close.std())
    return (bars.close - bars.close.mean()) / spread if spread > 0 else np.zeros(len(bars))


def filled_back(bars: BarColumns) -> Floats:
    """Return a value known on every tenth bar, carried back to the bars before."""
    known = np.flatnonzero(bars.number % 10 == 0)
    rows = np.append(known, -1)[np.searchsorted(known, np.arange(len(bars)))]
    return np.where(rows >= 0, bars.close[rows], np.nan)


def seen_while_open(bars: BarColumns) -> Floats:
    """Return the close of the 5x bar that each bar lies in, as if it were known from its open on."""
    slower = resample(bars, 5)
    opens = slower.ts_close_ns - slower.timeframe_ns
    rows = np.searchsorted(opens, bars.ts_close_ns - bars.timeframe_ns, side="right") - 1
    return np.append(slower.close, np.nan)[rows]


def scaled_to_all(bars: BarColumns) -> Floats:
    """Return volume between the smallest and the largest of the whole sample, 0..1."""
    low, high = float(bars.volume.min()), float(bars.volume.max())
    return (bars.volume - low) / (high - low) if high > low else np.zeros(len(bars))


def never_wrong(bars: BarColumns) -> Floats:
    """Return a five-bar momentum that keeps silent where the next bar goes against it."""
    vote = np.sign(np.append(np.zeros(5), bars.close[5:] - bars.close[:-5]))[: len(bars)]
    follows = np.append(np.diff(bars.close), 0.0)
    return np.where(vote * follows < 0.0, 0.0, vote)


def half_warm(bars: BarColumns) -> Floats:
    """Return an average that remembers far more than the bars it is declared to need."""
    return indicators.ema(bars.close, 20)


def running_sum(bars: BarColumns) -> Floats:
    """Return a mean from a running total: right, but not the same bits in every window."""
    total = np.append(0.0, np.cumsum(bars.close))
    mean = np.full(len(bars), np.nan)
    mean[9:] = (total[10:] - total[:-10]) / 10
    return mean


def fills_after(delay: int, price: Callable[[BarColumns, Column], Floats]) -> Callable[[BarColumns], Column]:
    """Return market buys decided on every hundredth bar and filled `delay` bars later at `price` of that bar."""

    def fills(bars: BarColumns) -> Column:
        decided = np.arange(50, len(bars) - delay, 100)
        records = np.zeros(decided.size, FILL)
        records["decision_ts_ns"] = bars.ts_close_ns[decided]
        records["ts_ns"] = bars.ts_close_ns[decided + delay]
        records["price"] = price(bars, decided + delay)
        records["side"] = 1
        records["qty"] = 1.0
        records["liquidity"] = Liquidity.TAKER
        records["reason"] = Reason.ENTER_CONSENSUS
        return records

    return fills


def _mutant(name: str, expected: Proof, compute: Callable[[BarColumns], Floats], warmup: int | None) -> Mutant:
    def columns(bars: BarColumns) -> Columns:
        return {"value": compute(bars)}

    return Mutant(Subject(name, "mutant", columns, warmup), expected)


def _trader(name: str, fills: Callable[[BarColumns], Column]) -> Mutant:
    return Mutant(Subject(name, "mutant", lambda bars: {"close": bars.close}, 1, fills=fills), Proof.FILLS)


MUTANTS = (
    _mutant("shift(-1)", Proof.PREFIX, shifted, 1),
    _mutant("centred window", Proof.PREFIX, centred, 21),
    _mutant("full-sample z-score", Proof.POISON, standardised, None),
    _mutant("filled backwards", Proof.PREFIX, filled_back, 10),
    _mutant("slower bar seen while open", Proof.TIMEFRAME, seen_while_open, 10),
    _mutant("scaler fitted on all rows", Proof.POISON, scaled_to_all, None),
    _mutant("vote withdrawn before it loses", Proof.PREFIX, never_wrong, 6),
    _mutant("warm-up declared too short", Proof.WINDOW, half_warm, 100),
    _mutant("running sum", Proof.WINDOW, running_sum, 10),
    _trader("filled on the bar that decided", fills_after(0, lambda bars, rows: bars.close[rows])),
    _trader("filled better than the open", fills_after(1, lambda bars, rows: bars.low[rows])),
)
