"""One subject, its variants, and every proof: the loop that all doors share."""

from dataclasses import replace

from novapulse.core.bars import BarColumns
from novapulse.research.bias.comparing import spoken_rows
from novapulse.research.bias.fills import fills
from novapulse.research.bias.proofs import Case, poison, prefix, timeframe, window
from novapulse.research.bias.report import Failure, Finding, Outcome, Proof, SubjectReport
from novapulse.research.bias.subjects import Effort, Subject, SubjectError

FULL = Effort()
HEAVY = Effort(25, 25, 8, 6, 16, 0)
QUICK = Effort(2, 2, 2, 1, 0, 0)


def examine(subject: Subject, bars: BarColumns, effort: Effort) -> SubjectReport:
    """Put one subject to every proof.

    Args:
        subject: The subject; one that cannot even be run on all bars is reported as failed.
        bars: At least one bar.
        effort: How often it is tried.
    """
    try:
        case = Case(subject, bars, subject.columns(bars))
    except SubjectError as error:
        return SubjectReport(subject.name, subject.kind, 0, (), f"it failed on all bars: {error}")
    findings = [[prefix(case, effort)], [poison(case, effort)], [timeframe(case, effort)], [fills(case)]]
    findings.append([window(case, effort)])
    if effort.variant_cuts:
        smaller = Effort(effort.variant_cuts, effort.variant_cuts, 2, 0, 2 * effort.variant_cuts, 0)
        for variant in subject.variants:
            for place, finding in zip((0, 1, 4), _of_variant(variant, bars, smaller), strict=True):
                findings[place].append(finding)
    return SubjectReport(subject.name, subject.kind, spoken_rows(case.full), tuple(map(_joined, findings)))


def _of_variant(variant: Subject, bars: BarColumns, effort: Effort) -> tuple[Finding, Finding, Finding]:
    try:
        case = Case(variant, bars, variant.columns(bars), parameters=variant.name)
    except SubjectError as error:
        failure = Failure(change="all bars", parameters=variant.name, error=f"it failed on all bars: {error}")
        failed = Finding(Proof.PREFIX, Outcome.FAILED, failure=failure)
        return failed, replace(failed, proof=Proof.POISON), replace(failed, proof=Proof.WINDOW)
    return prefix(case, effort), poison(case, effort), window(case, effort)


def _joined(findings: list[Finding]) -> Finding:
    first = findings[0]
    outcomes = {finding.outcome for finding in findings}
    outcome = next(each for each in (Outcome.FAILED, Outcome.PASSED, Outcome.NOT_SHOWN) if each in outcomes)
    return Finding(
        first.proof,
        outcome,
        sum(finding.cuts for finding in findings),
        sum(finding.felt for finding in findings),
        next((finding.failure for finding in findings if finding.failure), None),
        "; ".join(finding.note for finding in findings if finding.note),
    )
