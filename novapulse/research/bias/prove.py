"""The doors: prove subjects, and check one user strategy quickly."""

from collections.abc import Callable, Sequence
from typing import Any

from novapulse.core.bars import BarColumns
from novapulse.research.bias.examine import FULL, HEAVY, QUICK, examine
from novapulse.research.bias.report import BiasReport, MutantReport, SubjectReport
from novapulse.research.bias.subjects import Effort, Subject, strategy_subject
from novapulse.strategies import Strategy

Progress = Callable[[int, int], None]

_QUICK_BARS = 2_000


def prove(
    subjects: Sequence[Subject],
    bars: BarColumns,
    *,
    effort: Effort = FULL,
    heavy_effort: Effort = HEAVY,
    mutants: Sequence[MutantReport] = (),
    progress: Progress | None = None,
) -> BiasReport:
    """Put subjects to every proof.

    Args:
        subjects: Pure functions of bars.
        bars: Bars of one instrument and timeframe, at least one; real ones, long enough for every warm-up.
        effort: How often each is tried.
        heavy_effort: The same for subjects that are `heavy`.
        mutants: A self-test (`self_test`), to be kept with the report.
        progress: Called with (subjects done, subjects in all).

    Returns:
        One report per subject, in their order; the same for the same input.

    Raises:
        ValueError: There are no bars.
    """
    if len(bars) == 0:
        raise ValueError("there are no bars to prove anything on")
    reports = []
    for number, subject in enumerate(subjects):
        if progress:
            progress(number, len(subjects))
        reports.append(examine(subject, bars, heavy_effort if subject.heavy else effort))
    if progress:
        progress(len(subjects), len(subjects))
    first, last = int(bars.ts_close_ns[0]), int(bars.ts_close_ns[-1])
    return BiasReport(len(bars), first, last, bars.timeframe_ns, tuple(reports), tuple(mutants))


def quick_check(name: str, strategy: Strategy, bars: BarColumns, params: Any = None) -> SubjectReport:
    """Look for lookahead in one strategy, cheaply: few cuts on the last bars, so that what is rare can slip through.

    Args:
        name: The strategy's name.
        strategy: A user's own strategy.
        bars: Bars it is about to run on, at least one.
        params: Its parameters; None for the defaults.

    Returns:
        The report; `complaint` is the sentence to show, or None.

    Raises:
        StrategyError: The strategy does not say how many bars it needs.
    """
    subject = strategy_subject(name, strategy, params, variants=0)
    length = (subject.warmup_bars or 0) + _QUICK_BARS
    return examine(subject, bars[max(0, len(bars) - length) :], QUICK)
