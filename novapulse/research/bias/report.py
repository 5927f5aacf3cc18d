"""What the bias proofs found, as data: frozen, JSON-able, with one sentence per failure.

Invariants:
- `ok` is True when nothing failed; what could not be shown (too few bars) is named, and is not a failure;
- a number that is not finite is None in JSON.
"""

import enum
import math
from dataclasses import dataclass

from novapulse.core.bars import format_ns, timeframe_text

Json = dict[str, object]


class Proof(enum.StrEnum):
    """The ways in which a subject is put to the proof."""

    PREFIX = "prefix"
    POISON = "poison"
    TIMEFRAME = "timeframe"
    FILLS = "fills"
    WINDOW = "window"


CLAIMS = {
    Proof.PREFIX: "later bars cut off: every row stays as it was",
    Proof.POISON: "later bars replaced: every row stays as it was",
    Proof.TIMEFRAME: "the rest of a slower bar replaced: it is not seen before its close",
    Proof.FILLS: "nothing fills on the bar that decided, nor better than the next bar allows",
    Proof.WINDOW: "a window of the declared warm-up gives the bits of the whole history",
}


class Outcome(enum.StrEnum):
    """How one proof ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class Failure:
    """The first row at which a proof failed.

    Attributes:
        change: What was done to the bars, as words.
        column: Column of the subject; empty when it raised.
        row: Row of the bars; None when it raised.
        ts_close_ns: Close of that bar.
        expected: Value with all bars known.
        got: Value after the change.
        cut_row: Last row that was left as it was.
        parameters: Parameters other than the defaults, as words.
        error: What was raised or found, as a sentence, when it is not a difference of two values.
    """

    change: str
    column: str = ""
    row: int | None = None
    ts_close_ns: int | None = None
    expected: float | None = None
    got: float | None = None
    cut_row: int | None = None
    parameters: str = ""
    error: str = ""

    @property
    def sentence(self) -> str:
        """Return the failure in one sentence."""
        tail = f" (with {self.parameters})" if self.parameters else ""
        if self.error:
            return f"{self.error}{tail}"
        bar = "" if self.ts_close_ns is None else f" of the bar closing {format_ns(self.ts_close_ns)} (row {self.row})"
        return f"{self.column}{bar} is {self.got!r} with {self.change}, but {self.expected!r} with all bars{tail}"

    def to_json(self) -> Json:
        """Return plain data for JSON."""
        return {
            "column": self.column or None,
            "row": self.row,
            "ts_close": None if self.ts_close_ns is None else format_ns(self.ts_close_ns),
            "expected": _finite(self.expected),
            "got": _finite(self.got),
            "cut_row": self.cut_row,
            "change": self.change,
            "parameters": self.parameters or None,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One proof of one subject.

    Attributes:
        proof: Which.
        outcome: How it ended.
        cuts: Comparisons made.
        felt: Comparisons in which rows after the cut did change: where it is 0 the change meant nothing to the subject.
        failure: The first failure, when it failed.
        note: What could not be shown, and why.
    """

    proof: Proof
    outcome: Outcome
    cuts: int = 0
    felt: int = 0
    failure: Failure | None = None
    note: str = ""

    def to_json(self) -> Json:
        """Return plain data for JSON."""
        return {
            "outcome": self.outcome.value,
            "cuts": self.cuts,
            "felt": self.felt,
            "failure": self.failure.to_json() if self.failure else None,
            "note": self.note or None,
        }


@dataclass(frozen=True, slots=True)
class SubjectReport:
    """Every proof of one subject.

    Attributes:
        name: The subject.
        kind: What it is: `strategy`, `feature`, `regime`, `calibration`, `pipeline`, `decisions` or `mutant`.
        spoken_rows: Rows on which a column was neither 0 nor unknown: a silent subject proves little.
        findings: In the order of `Proof`.
        error: Why the subject could not be run at all, else empty.
    """

    name: str
    kind: str
    spoken_rows: int
    findings: tuple[Finding, ...]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Return whether no proof failed."""
        return not self.error and not self.failed

    @property
    def failed(self) -> tuple[Proof, ...]:
        """Return the proofs that failed."""
        return tuple(finding.proof for finding in self.findings if finding.outcome is Outcome.FAILED)

    @property
    def complaint(self) -> str | None:
        """Return what is wrong in one sentence that names the subject and the proof, or None."""
        if self.error:
            return f"{self.kind} {self.name}: {self.error}"
        for finding in self.findings:
            if finding.failure:
                flaw = "depends on where its window begins" if finding.proof is Proof.WINDOW else "looks ahead"
                return f"{self.kind} {self.name} {flaw}: {finding.proof.value} proof: {finding.failure.sentence}"
        return None

    def to_json(self) -> Json:
        """Return plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "ok": self.ok,
            "spoken_rows": self.spoken_rows,
            "complaint": self.complaint,
            "proofs": {finding.proof.value: finding.to_json() for finding in self.findings},
        }


@dataclass(frozen=True, slots=True)
class MutantReport:
    """One deliberately broken subject, and who noticed.

    Attributes:
        name: The flaw.
        expected: The proof that must catch it.
        caught_by: The proofs that did.
    """

    name: str
    expected: Proof
    caught_by: tuple[Proof, ...]

    @property
    def ok(self) -> bool:
        """Return whether the expected proof caught it."""
        return self.expected in self.caught_by

    def to_json(self) -> Json:
        """Return plain data for JSON."""
        caught_by = [proof.value for proof in self.caught_by]
        return {"name": self.name, "expected": self.expected.value, "caught_by": caught_by, "ok": self.ok}


@dataclass(frozen=True, slots=True)
class BiasReport:
    """What was proven on which bars.

    Attributes:
        bars: How many.
        start_ns: Close of the first.
        end_ns: Close of the last.
        timeframe_ns: Their width.
        subjects: One report each, in the order given.
        mutants: The self-test, where it was run.
    """

    bars: int
    start_ns: int
    end_ns: int
    timeframe_ns: int
    subjects: tuple[SubjectReport, ...]
    mutants: tuple[MutantReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether no proof failed and every mutant was caught."""
        return all(subject.ok for subject in self.subjects) and all(mutant.ok for mutant in self.mutants)

    def to_json(self) -> Json:
        """Return plain data for JSON."""
        return {
            "ok": self.ok,
            "data": {
                "bars": self.bars,
                "start": format_ns(self.start_ns),
                "end": format_ns(self.end_ns),
                "timeframe": timeframe_text(self.timeframe_ns),
            },
            "subjects": [subject.to_json() for subject in self.subjects],
            "mutants": [mutant.to_json() for mutant in self.mutants],
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
