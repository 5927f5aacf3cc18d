"""The proofs. Each takes a subject, bars and what the subject says of all of them, and looks for a row that gives way.

Invariants:
- the rows at which bars are cut depend on the subject's name, the proof and the number of bars only;
- equality is to the bit, on every row up to the cut and on every column;
- a subject that raises on possible bars fails; one that refuses bars which are not numbers does not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from novapulse.core.bars import BarColumns, Integers
from novapulse.research.bias.comparing import (
    Difference,
    first_difference,
    gap_rows,
    rows_of,
    turning_rows,
)
from novapulse.research.bias.futures import FUTURES, unknown, wild_until
from novapulse.research.bias.parameters import chance_of
from novapulse.research.bias.report import Failure, Finding, Outcome, Proof
from novapulse.research.bias.subjects import Columns, Effort, Subject, SubjectError


@dataclass(frozen=True, slots=True)
class Case:
    """One subject on the bars of the proof.

    Attributes:
        subject: The subject.
        bars: All bars.
        full: What it says of all of them.
        parameters: What makes it a variant, as words.
    """

    subject: Subject
    bars: BarColumns
    full: Columns
    parameters: str = ""

    @property
    def first_row(self) -> int:
        """Return the first row worth a random cut."""
        wanted = self.subject.cuts_from if self.subject.warmup_bars is None else self.subject.warmup_bars
        return min(wanted, 3 * len(self.bars) // 4)


@dataclass(frozen=True, slots=True)
class Trial:
    """One comparison: what was changed, the last row that must not, and how it went."""

    felt: bool = False
    failure: Failure | None = None


def prefix(case: Case, effort: Effort) -> Finding:
    """Cut later bars off: every row up to the cut stays as it was."""
    rows = _cuts(case, Proof.PREFIX, effort.random_cuts, effort.turning_cuts)
    return _tried(Proof.PREFIX, (_prefix_trial(case, row) for row in rows))


def poison(case: Case, effort: Effort) -> Finding:
    """Replace later bars: every row up to the cut stays as it was."""
    count = effort.poisoned_cuts
    rows = _cuts(case, Proof.POISON, count - count // 2, count // 2)
    return _tried(Proof.POISON, (trial for row in rows for trial in _poison_trials(case, row)))


def timeframe(case: Case, effort: Effort) -> Finding:
    """Replace the rest of a slower bar while it is open: no row inside changes before it closes."""
    if not case.subject.multiples:
        return Finding(Proof.TIMEFRAME, Outcome.NOT_SHOWN, note="it uses no slower timeframe")
    trials = (
        _open_bar_trial(case, int(row), multiple)
        for multiple in case.subject.multiples
        for row in _open_rows(case, multiple, effort.open_bars)
    )
    return _tried(Proof.TIMEFRAME, trials)


def window(case: Case, effort: Effort) -> Finding:
    """Compute on windows of the declared warm-up: their last row is the whole history's."""
    warmup = case.subject.warmup_bars
    if warmup is None:
        return Finding(Proof.WINDOW, Outcome.NOT_SHOWN, note="it remembers everything and declares no warm-up")
    if effort.windows == 0:
        return Finding(Proof.WINDOW, Outcome.NOT_SHOWN, note="it was not tried")
    ends = _window_ends(case, warmup, effort.windows)
    if ends.size == 0:
        whole = " without a gap" if case.subject.whole_windows else ""
        kind = f" with {case.parameters}" if case.parameters else ""
        note = f"a window{kind} takes {warmup + 1} bars{whole}, there are {len(case.bars)}"
        return Finding(Proof.WINDOW, Outcome.NOT_SHOWN, note=note)
    return _tried(Proof.WINDOW, (_window_trial(case, int(end), warmup) for end in ends))


def _tried(proof: Proof, trials: Iterable[Trial]) -> Finding:
    cuts = felt = 0
    for trial in trials:
        cuts += 1
        felt += trial.felt
        if trial.failure:
            return Finding(proof, Outcome.FAILED, cuts, felt, trial.failure)
    if cuts == 0:
        return Finding(proof, Outcome.NOT_SHOWN, note="there are too few bars")
    return Finding(proof, Outcome.PASSED, cuts, felt)


def _cuts(case: Case, proof: Proof, random: int, turning: int) -> list[int]:
    last = len(case.bars) - 1
    if last < 1:
        return []
    chance = chance_of(case.subject.name, proof.value, len(case.bars))
    rows = set(chance.integers(case.first_row, last, random).tolist())
    for known in (turning_rows(case.full), gap_rows(case.bars)):
        known = known[known < last]
        rows.update(chance.choice(known, min(turning, known.size), replace=False).tolist())
    return sorted(rows)


def _prefix_trial(case: Case, row: int) -> Trial:
    change = "later bars cut off"
    stop = row + 1
    try:
        short = case.subject.columns(case.bars[:stop])
    except SubjectError as error:
        return Trial(True, _raised(case, change, row, error))
    return Trial(True, _compared(case, change, slice(0, stop), short, row))


def _poison_trials(case: Case, row: int) -> Iterator[Trial]:
    for words, future in FUTURES.items():
        if future is unknown and not case.subject.accepts_unknown:
            continue
        chance = chance_of(case.subject.name, words, row)
        change = f"{words} from row {row + 1} on".replace("after it ", "")
        try:
            other = case.subject.columns(future(case.bars, row, chance))
        except SubjectError as error:
            if future is not unknown:
                yield Trial(True, _raised(case, change, row, error))
            continue
        yield _trial(case, change, other, row)


def _open_rows(case: Case, multiple: int, count: int) -> Integers:
    number = case.bars.number
    inside = (number % multiple != 0)[:-1] & (np.diff(number) == 1)
    chance = chance_of(case.subject.name, Proof.TIMEFRAME.value, multiple)
    rows = np.flatnonzero(inside)
    turning = np.intersect1d(rows, turning_rows(case.full))
    late = rows[rows >= case.first_row]
    chosen = [
        chance.choice(known, min(share, known.size), replace=False)
        for known, share in ((turning, count // 2), (late, count - count // 2))
    ]
    return np.unique(np.concatenate(chosen))


def _open_bar_trial(case: Case, row: int, multiple: int) -> Trial:
    number = case.bars.number
    last_of_bar = number[row] + (-number[row]) % multiple
    stop = int(np.searchsorted(number, last_of_bar, side="right"))
    change = f"the rest of the open {multiple}x bar replaced from row {row + 1} on"
    try:
        other = case.subject.columns(
            wild_until(case.bars, row, stop, chance_of(case.subject.name, "open bar", row, multiple))
        )
    except SubjectError as error:
        return Trial(True, _raised(case, change, row, error))
    return _trial(case, change, other, row)


def _window_ends(case: Case, warmup: int, count: int) -> Integers:
    ends = np.arange(warmup, len(case.bars))
    if case.subject.whole_windows:
        ends = ends[case.bars.number[ends] - case.bars.number[ends - warmup] == warmup]
    if ends.size == 0:
        return ends
    chance = chance_of(case.subject.name, Proof.WINDOW.value, len(case.bars))
    turning = np.intersect1d(ends, turning_rows(case.full))
    chosen = [
        chance.choice(known, min(share, known.size), replace=False)
        for known, share in ((turning, count // 2), (ends, count - count // 2))
    ]
    return np.unique(np.concatenate(chosen))


def _window_trial(case: Case, end: int, warmup: int) -> Trial:
    change = f"nothing but the last {warmup + 1} bars (declared warm-up {warmup})"
    try:
        part = case.subject.columns(case.bars[end - warmup : end + 1])
    except SubjectError as error:
        return Trial(True, _raised(case, change, end, error))
    return Trial(True, _compared(case, change, slice(end, end + 1), rows_of(part, slice(-1, None)), end))


def _trial(case: Case, change: str, other: Columns, row: int) -> Trial:
    stop = row + 1
    failure = _compared(case, change, slice(0, stop), rows_of(other, slice(0, stop)), row)
    after = rows_of(case.full, slice(stop, None)), rows_of(other, slice(stop, None))
    return Trial(failure is None and _differ(*after), failure)


def _differ(one: Columns, other: Columns) -> bool:
    lengths = {column.size for columns in (one, other) for column in columns.values()}
    return len(lengths) > 1 or first_difference(one, other) is not None


def _compared(case: Case, change: str, rows: slice, got: Columns, cut_row: int) -> Failure | None:
    try:
        difference = first_difference(rows_of(case.full, rows), got)
    except ValueError as error:
        return _raised(case, change, cut_row, error)
    return None if difference is None else _failure(case, change, difference, rows.start, cut_row)


def _failure(case: Case, change: str, difference: Difference, first: int, cut_row: int) -> Failure:
    row = first + difference.row
    return Failure(
        change=change,
        column=difference.column,
        row=row,
        ts_close_ns=int(case.bars.ts_close_ns[row]),
        expected=difference.expected,
        got=difference.got,
        cut_row=cut_row,
        parameters=case.parameters,
    )


def _raised(case: Case, change: str, cut_row: int, error: Exception) -> Failure:
    words = f"with {change} it failed: {error}"
    return Failure(change=change, cut_row=cut_row, parameters=case.parameters, error=words)
