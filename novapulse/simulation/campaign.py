"""Many seeds: over one or several processes that share one scene, and what they reached together.

Invariants:
- a seed's result does not depend on the process it ran in, nor on the seeds before it;
- a failing seed is told with the one command that lives it again.
"""

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from novapulse.simulation.faults import TABLE, Fault
from novapulse.simulation.scene import scene_of
from novapulse.simulation.seeds import SeedReport, cast_of, run_seed

MUST_BE_REACHED = (
    *(f"fault {fault.value}" for fault in Fault if not TABLE[fault].never),
    "restart",
    "crash during recovery",
    "rebuilt after a failed commit",
    "a missed close was told again",
    "a missed close was told as late",
    "a second instance was fenced",
    "absence_proved",
    "order_reopened",
    "split_applied",
    "dust_set_aside",
    "coins of a position came or went",
    "the rest of an entry was not completed",
    "an entry was unwound",
    "healthy in a calm",
    "break_found D2",
    "break_found D3",
    "break_found D4",
    "break_found D5",
    "break_found D9",
    "break_found D10",
    "break_found D11",
    "break_found D12",
    "break_found D13",
    "break_found D16",
    *(
        f"breaker_tripped {name}"
        for name in ("feed_silent", "missing_bars", "task_failures", "ledger", "daily_loss", "daily_loss_halt")
    ),
    *(f"told of {kind}" for kind in ("breaker_tripped", "dispute_raised", "fill_busted", "order_refused")),
    *(
        f"somebody {did}"
        for did in (
            "bought",
            "sold",
            "left an order",
            "brought money",
            "took money",
            "took money without a word",
            "brought coins",
            "took coins",
        )
    ),
    *(f"the venue was {mode}" for mode in ("maintenance", "cancel_only", "post_only")),
    *(f"sent twice to a venue that says {how}" for how in ("first", "once", "open")),
    *(
        f"order_refused {code}"
        for code in (
            "rate_limited",
            "post_only",
            "below_minimum",
            "insufficient_funds",
            "cancel_only",
            "bracket_refused",
            "invalid_nonce",
            "unavailable",
        )
    ),
    "a refusal was wrong",
    "a read was slow",
    "a request was refused for its nonce",
    "an order traded behind its cancel",
    "a close came twice",
    "a bar came late",
    "an execution was told in two versions",
    "the second leg of a bracket was refused",
    "the second leg of a bracket used up what is nobody's",
    "the second leg of a bracket turned the position",
    "what was executed beyond a position was closed",
    "what was given back is held",
    "told of an execution beyond what was held",
    "an exit was decided beside an entry",
    "a day's loss was too large",
    "a bust was not told",
    "a quote crossed",
    "a quote stood far from the price",
    "quotes stopped",
    "an entry was not decided for want of a spread",
    "operator says resume",
    "operator says resume_from_halt",
    "operator says adopt",
    "operator says flatten",
    "operator says kill",
    "operator says limits",
    "operator says cancel",
    "limits were changed",
    "all limits went back",
    "an order was cancelled by hand",
    "a cancel by hand came too late",
    "flat in a calm behind a flatten",
    "flat in a calm behind a kill",
    *(
        f"crash {side} the commit {where}"
        for side in ("before", "after")
        for where in ("at W1 and W2", "at W3", "at W4", "at W5", "at a cancel", "at an amendment", "at the start")
    ),
    *(f"crash behind a send of {what}" for what in ("Submit", "Cancel", "Amend", "Lookup", "ReadSnapshot")),
)
"""`sometimes` marks: a campaign that has not reached one of them has not shown what it claims to show."""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of the worlds of a campaign, at most: a seed has all accounts or some of them."""

    days: float = 1.0
    pairs: int = 4
    accounts: int = 3


@dataclass
class Campaign:
    """What came of many seeds.

    Attributes:
        size: Of each world.
        names: The faults, as they were asked for.
        reports: One for each seed, in order.
        seconds: How long all of them took together.
    """

    size: Size
    names: str
    reports: list[SeedReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[SeedReport]:
        """The seeds that broke something."""
        return [report for report in self.reports if not report.ok]

    @property
    def marks(self) -> Counter[str]:
        """What all seeds reached together."""
        marks: Counter[str] = Counter()
        for report in self.reports:
            marks.update(report.marks)
        return marks

    @property
    def seeds_per_hour(self) -> float:
        """The rate."""
        return len(self.reports) * 3600 / self.seconds if self.seconds else 0.0

    def never_reached(self) -> list[str]:
        """Return the marks that no seed has reached."""
        marks = self.marks
        return [mark for mark in MUST_BE_REACHED if not marks[mark]]

    def replay_of(self, seed: int) -> str:
        """Return the command that lives a seed again."""
        size = self.size
        return (
            f"novapulse simulate --seeds {seed}:{seed + 1} --days {size.days:g} --faults {self.names} "
            f"--pairs {size.pairs} --accounts {size.accounts}"
        )


def run_campaign(
    seeds: Sequence[int],
    faults: frozenset[Fault],
    names: str,
    *,
    size: Size | None = None,
    processes: int = 1,
    told: Callable[[SeedReport], None] | None = None,
) -> Campaign:
    """Live many seeds.

    Args:
        seeds: Which.
        faults: Those that may happen.
        names: The same, as a word for the command that replays a seed.
        size: Of each world.
        processes: How many live at a time.
        told: Called with each report as it comes.
    """
    campaign = Campaign(size or Size(), names)
    began = time.perf_counter()
    scene_of(campaign.size.days, campaign.size.pairs, campaign.size.accounts)
    for report in _reports(seeds, faults, campaign.size, processes):
        campaign.reports.append(report)
        if told is not None:
            told(report)
    campaign.seconds = time.perf_counter() - began
    return campaign


def _reports(seeds: Iterable[int], faults: frozenset[Fault], size: Size, processes: int) -> Iterator[SeedReport]:
    if processes == 1:
        for seed in seeds:
            yield _lived(seed, faults, size)
        return
    # A forked child has the scene that its parent made; numba's threads are not used here, so that a fork is safe.
    # What is frozen is never looked through for garbage: its pages stay shared.
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(partial(_lived, faults=faults, size=size), seeds, chunksize=1)
    gc.unfreeze()


def _lived(seed: int, faults: frozenset[Fault], size: Size) -> SeedReport:
    return run_seed(cast_of(scene_of(size.days, size.pairs, size.accounts), seed), seed, faults)


def table_of_faults() -> list[dict[str, object]]:
    """Return the faults as rows: number, name, what it does here, and why it takes a wire, or never happens, if so."""
    return [
        {"number": fault.number, "name": fault.value, "does": does.text, "wire": does.wire, "never": does.never}
        for fault, does in TABLE.items()
    ]
