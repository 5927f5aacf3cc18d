"""What can be put to the proof: pure functions of bars; strategies are the first of them.

A subject's columns have one row per bar. Its declared warm-up is a promise about windows: the last row of any
`warmup_bars + 1` consecutive rows is what it is with the whole history. None stands for a subject that remembers
everything and promises nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns
from novapulse.research.bias.parameters import draws
from novapulse.signals.regimes import Thresholds
from novapulse.strategies import STRATEGIES, Strategy, evaluate
from novapulse.strategies.votes import described, warmup_of

Column: TypeAlias = NDArray[Any]
Columns: TypeAlias = Mapping[str, Column]

VARIANTS = 6


class SubjectError(ValueError):
    """A subject that raised or returned something else than its columns."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A pure function of bars.

    Attributes:
        name: What the report calls it.
        kind: `strategy`, `feature`, `regime`, `calibration`, `pipeline`, `decisions` or `mutant`.
        compute: Bars -> named columns, one row per bar, numbers or flags.
        warmup_bars: Declared warm-up; None for a subject that remembers everything.
        multiples: Slower timeframes, in bars, that must not be seen before they close.
        variants: The same subject with other parameters; their names say which.
        fills: Bars -> FILL records, for a subject that trades.
        accepts_unknown: Whether bars that are not numbers may be given to it.
        whole_windows: Windows must be free of gaps to mean the same as the history.
        heavy: Fewer cuts: each run takes long.
        cuts_from: First row worth a cut at random, where no warm-up says it.
    """

    name: str
    kind: str
    compute: Callable[[BarColumns], Columns]
    warmup_bars: int | None = None
    multiples: tuple[int, ...] = (5, 15)
    variants: tuple["Subject", ...] = ()
    fills: Callable[[BarColumns], Column] | None = None
    accepts_unknown: bool = True
    whole_windows: bool = False
    heavy: bool = False
    cuts_from: int = 0

    def columns(self, bars: BarColumns) -> Columns:
        """Return the columns.

        Raises:
            SubjectError: It raised, or a column has not one number per bar.
        """
        try:
            with np.errstate(all="ignore"):
                columns = self.compute(bars)
        except Exception as error:
            raise SubjectError(_without_name(described(error), self.name)) from error
        for name, column in columns.items():
            if column.shape != (len(bars),) or column.dtype.kind not in "fiub":
                raise SubjectError(
                    f"column {name} is {column.dtype}{list(column.shape)}, expected {len(bars)} numbers or flags"
                )
        return columns


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each subject is put to the proof.

    Attributes:
        random_cuts: Cuts at random rows.
        turning_cuts: Most cuts at rows on which the subject begins to speak or changes its sign.
        poisoned_cuts: Cuts that get every other future, half of them at such rows.
        open_bars: Slower bars, per timeframe, whose rest is replaced while they are open.
        windows: Windows of the declared warm-up.
        variant_cuts: Cuts and windows per variant of the parameters.
    """

    random_cuts: int = 50
    turning_cuts: int = 40
    poisoned_cuts: int = 16
    open_bars: int = 12
    windows: int = 40
    variant_cuts: int = 8


def _without_name(message: str, name: str) -> str:
    return message.removeprefix("StrategyError: ").removeprefix(f"strategy {name}: ")


def strategy_subject(
    name: str, strategy: Strategy, params: Any = None, *, variants: int = VARIANTS, label: str = ""
) -> Subject:
    """Return a strategy's votes as a subject.

    Args:
        name: The strategy's name.
        strategy: Built-in or a user's own.
        params: Its parameters; None for the defaults.
        variants: Other parameter sets to prove as well, drawn from the bounds of its fields.
        label: Name of the subject, where it is a variant.

    Raises:
        StrategyError: The strategy does not say how many bars it needs.
    """
    given = strategy.Params() if params is None else params
    others = tuple(
        strategy_subject(name, strategy, drawn, variants=0, label=words)
        for words, drawn in draws(name, strategy.Params, variants)
    )

    def compute(bars: BarColumns) -> Columns:
        votes = evaluate(strategy, bars, given, Thresholds())
        return {"forecast": votes.forecast, "confidence": votes.confidence}

    return Subject(label or name, "strategy", compute, warmup_of(name, strategy, given), variants=others)


def strategy_subjects(strategies: Mapping[str, Strategy] = STRATEGIES) -> tuple[Subject, ...]:
    """Return every strategy with its defaults and with parameters that a search may choose.

    Raises:
        StrategyError: A strategy does not say how many bars it needs.
    """
    return tuple(strategy_subject(name, strategy) for name, strategy in strategies.items())
