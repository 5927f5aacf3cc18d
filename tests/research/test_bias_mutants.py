"""The proof that the proofs can fail (N-5): every cheat is caught by name, and its honest twin is not accused."""

import warnings

import numpy as np
import pytest

from novapulse.core.bars import BarColumns, Floats
from novapulse.core.records import FILL, Liquidity, Reason
from novapulse.market.resample import resample, visible_rows
from novapulse.market.sample import sample_market
from novapulse.research.bias import MUTANTS, Effort, MutantReport, Proof, Subject, examine, impossible_fill, self_test
from novapulse.research.bias.mutants import fills_after

BARS = sample_market(("TWIN",), 1_500, seed=2)["TWIN"]
EFFORT = Effort(random_cuts=12, turning_cuts=12, poisoned_cuts=6, open_bars=6, windows=12)


@pytest.fixture(scope="module")
def caught() -> dict[str, MutantReport]:
    """What the self-test of `novapulse bias` says."""
    return {report.name: report for report in self_test()}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.subject.name)
def test_the_mutant_is_caught_by_the_proof_that_is_meant_for_it(caught: dict, mutant: object) -> None:
    report = caught[mutant.subject.name]
    assert mutant.expected in report.caught_by
    assert report.ok


def test_the_six_classic_ways_to_look_ahead_are_among_the_mutants() -> None:
    assert [mutant.subject.name for mutant in MUTANTS[:6]] == [
        "shift(-1)",
        "centred window",
        "full-sample z-score",
        "filled backwards",
        "slower bar seen while open",
        "scaler fitted on all rows",
    ]
    assert {mutant.expected for mutant in MUTANTS} == set(Proof)


def moved(bars: BarColumns) -> Floats:
    """Return the move of this bar."""
    return np.append(np.nan, np.diff(bars.close))[: len(bars)]


def trailing(bars: BarColumns) -> Floats:
    """Return the distance from the mean of the last 21 closes."""
    mean = np.full(len(bars), np.nan)
    if len(bars) >= 21:
        mean[20:] = np.lib.stride_tricks.sliding_window_view(bars.close, 21).copy().mean(axis=1)
    return bars.close - mean


def expanding(bars: BarColumns) -> Floats:
    """Return the close over the largest one so far."""
    return bars.close / np.maximum.accumulate(bars.close)


def filled_forward(bars: BarColumns) -> Floats:
    """Return a value known on every tenth bar, carried on to the bars behind."""
    known = np.flatnonzero(bars.number % 10 == 0)
    rows = np.append(known, -1)[np.searchsorted(known, np.arange(len(bars)), side="right") - 1]
    return np.where(rows >= 0, bars.close[rows], np.nan)


def seen_when_closed(bars: BarColumns) -> Floats:
    """Return the close of the last 5x bar that is closed."""
    slower = resample(bars, 5)
    return np.append(slower.close, np.nan)[visible_rows(bars, slower)]


HONEST = {"moved": (moved, 1), "trailing": (trailing, 20), "expanding": (expanding, None)} | {
    "filled forward": (filled_forward, 10),
    "seen when closed": (seen_when_closed, 8),
}


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_twin_is_not_accused(name: str) -> None:
    compute, warmup = HONEST[name]
    subject = Subject(name, "feature", lambda bars: {"value": compute(bars)}, warmup, whole_windows=True)
    report = examine(subject, BARS, EFFORT)
    assert report.complaint is None
    assert report.spoken_rows > 1_000


def test_one_dishonest_row_in_thousands_is_found_and_named() -> None:
    """The cut at a row on which a subject begins to speak sees what random cuts would miss."""
    row = 1_234

    def compute(bars: BarColumns) -> dict[str, Floats]:
        vote = np.zeros(len(bars))
        if len(bars) > row + 1 and bars.close[row + 1] > 0:
            vote[row] = bars.close[row + 1]
        return {"vote": vote}

    report = examine(Subject("rare", "feature", compute, 0), BARS, EFFORT)
    failure = report.findings[0].failure
    assert report.failed[0] is Proof.PREFIX
    assert failure is not None
    assert (failure.row, failure.column, failure.got) == (row, "vote", 0.0)
    assert failure.expected == BARS.close[row + 1]
    assert failure.ts_close_ns == BARS.ts_close_ns[row]


def test_a_difference_of_one_bit_is_a_difference_and_unknown_is_itself() -> None:
    for value, bars_long, honest in ((-0.0, 0.0, False), (0.1 + 0.2, 0.3, False), (np.nan, -np.nan, True)):

        def compute(bars: BarColumns, value: float = value, long: float = bars_long) -> dict[str, Floats]:
            return {"value": np.full(len(bars), long if len(bars) == len(BARS) else value)}

        report = examine(Subject("bits", "feature", compute, 3), BARS, EFFORT)
        assert (Proof.PREFIX not in report.failed) is honest


def test_a_subject_that_raises_on_a_possible_market_fails_and_one_that_refuses_the_impossible_does_not() -> None:
    def picky(bars: BarColumns) -> dict[str, Floats]:
        if not np.isfinite(bars.close).all():
            raise ValueError("bars are not numbers")
        return {"value": bars.close.copy()}

    def scared(bars: BarColumns) -> dict[str, Floats]:
        if bars.close.max() > 1_000 * bars.close[0]:
            raise ValueError("too high for me")
        return {"value": bars.close.copy()}

    assert examine(Subject("picky", "feature", picky, 0), BARS, EFFORT).ok
    report = examine(Subject("scared", "feature", scared, 0), BARS, EFFORT)
    assert "too high for me" in str(report.complaint)


@pytest.mark.parametrize("column", [np.zeros(3), np.zeros((len(BARS), 2)), np.array(["a"] * len(BARS))])
def test_columns_that_are_not_one_number_per_bar_are_named(column: np.ndarray) -> None:
    report = examine(Subject("odd", "feature", lambda bars: {"shape": column}, 0), BARS, EFFORT)
    assert not report.ok
    assert "column shape" in str(report.complaint)


def test_warnings_of_a_poisoned_market_are_not_errors() -> None:
    def overflowing(bars: BarColumns) -> dict[str, Floats]:
        return {"value": np.exp(bars.close) - np.exp(bars.close)}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert examine(Subject("overflowing", "feature", overflowing, 0), BARS, EFFORT).ok


def fill(row: int, **values: object) -> np.ndarray:
    """Return one market buy decided at the close of the bar before `row`, with some fields changed."""
    record = np.zeros(1, FILL)
    record["ts_ns"] = BARS.ts_close_ns[row]
    record["decision_ts_ns"] = BARS.ts_close_ns[row - 1]
    record["side"] = 1
    record["price"] = BARS.open[row]
    record["liquidity"] = Liquidity.TAKER
    record["reason"] = Reason.ENTER_CONSENSUS
    for name, value in values.items():
        record[name] = value
    return record


ROW = int(np.flatnonzero((BARS.low < BARS.open) & (BARS.open < BARS.high))[100])
STAMP = int(BARS.ts_close_ns[ROW])
LOW, HIGH, OPEN = float(BARS.low[ROW]), float(BARS.high[ROW]), float(BARS.open[ROW])
STOP = {"side": -1, "reason": Reason.EXIT_STOP}
TARGET = {"side": -1, "reason": Reason.EXIT_TARGET, "liquidity": Liquidity.MAKER}
MAKER = {"liquidity": Liquidity.MAKER}

FILLS = {
    "market at the open": ({}, None),
    "market worse than the open": ({"price": HIGH * 2}, None),
    "market better than the open": ({"price": (LOW + OPEN) / 2}, "better than the bar allows"),
    "market sell better than the open": ({"side": -1, "price": (HIGH + OPEN) / 2}, "better than the bar allows"),
    "limit inside the bar": (MAKER | {"price": LOW}, None),
    "limit outside the bar": (MAKER | {"price": LOW * 0.999}, "better than the bar allows"),
    "on its own decision bar": ({"decision_ts_ns": STAMP}, "no later than its decision"),
    "decided by a later bar": ({"decision_ts_ns": STAMP + 1}, "no later than its decision"),
    "between two bars": ({"ts_ns": STAMP - 1}, "no bar closes"),
    "after all bars": ({"ts_ns": int(BARS.ts_close_ns[-1]) + 1}, "no bar closes"),
    "stop below the open": (STOP | {"price": LOW}, None),
    "stop above the open": (STOP | {"price": HIGH}, "better than the bar allows"),
    "stop on the bar it was entered inside": (STOP | {"price": HIGH, "decision_ts_ns": STAMP}, None),
    "target inside the bar": (TARGET | {"price": HIGH}, None),
    "target beyond the bar": (TARGET | {"price": HIGH * 1.001}, "better than the bar allows"),
}


@pytest.mark.parametrize(("values", "complaint"), FILLS.values(), ids=FILLS)
def test_a_fill_is_possible_or_named(values: dict, complaint: str | None) -> None:
    failure = impossible_fill(fill(ROW, **values), BARS)
    assert (failure is None) == (complaint is None)
    if failure and complaint:
        assert complaint in failure.sentence
        assert f"row {ROW}" in failure.sentence or "no bar closes" in complaint


def test_fills_on_the_next_open_are_not_accused() -> None:
    assert impossible_fill(fills_after(1, lambda bars, rows: bars.open[rows])(BARS), BARS) is None
