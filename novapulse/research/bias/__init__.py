"""Bias proofs: nothing knows the future, and a trailing window says what the whole history says, to the bit.

`self_test()` first shows that the proofs can fail, `prove(subjects, bars)` puts pure functions of bars to all of them,
and `quick_check` looks at one user strategy before it is run. Ready-made subjects: `strategy_subjects`,
`feature_subjects`, `regime_subject`, `slower_bars_subject`, `confluence_subjects`, `decisions_subject`.
"""

from novapulse.research.bias.examine import FULL, HEAVY, QUICK, examine
from novapulse.research.bias.features import feature_subjects, regime_subject, slower_bars_subject
from novapulse.research.bias.fills import impossible_fill
from novapulse.research.bias.mutants import MUTANTS, Mutant, self_test
from novapulse.research.bias.prove import prove, quick_check
from novapulse.research.bias.report import (
    CLAIMS,
    BiasReport,
    Failure,
    Finding,
    MutantReport,
    Outcome,
    Proof,
    SubjectReport,
)
from novapulse.research.bias.subjects import Effort, Subject, SubjectError, strategy_subject, strategy_subjects
from novapulse.research.bias.whole import confluence_subjects, decisions_subject

__all__ = [
    "CLAIMS",
    "FULL",
    "HEAVY",
    "MUTANTS",
    "QUICK",
    "BiasReport",
    "Effort",
    "Failure",
    "Finding",
    "Mutant",
    "MutantReport",
    "Outcome",
    "Proof",
    "Subject",
    "SubjectError",
    "SubjectReport",
    "confluence_subjects",
    "decisions_subject",
    "examine",
    "feature_subjects",
    "impossible_fill",
    "prove",
    "quick_check",
    "regime_subject",
    "self_test",
    "slower_bars_subject",
    "strategy_subject",
    "strategy_subjects",
]
