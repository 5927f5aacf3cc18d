"""`novapulse bias`: the proofs that no strategy looks ahead, on the bars at hand."""

import argparse
import os
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, UsageError, error, progress, say, show_json
from novapulse.cli.inputs import checked_strategies, iso, open_lake
from novapulse.cli.render import moment, table
from novapulse.config import Loaded, load
from novapulse.config.schema import nearest
from novapulse.core.bars import BarColumns, timeframe_ns
from novapulse.market.sample import sample_market
from novapulse.strategies import STRATEGIES, Strategy

_BARS_MAX = 20_000
_SAMPLE_SEED = 7


def bias(options: argparse.Namespace) -> int:
    """Put strategies to the proofs; one that fails is named, a user's own as wrong input."""
    from novapulse.research.bias import (
        Subject,
        feature_subjects,
        prove,
        regime_subject,
        self_test,
        slower_bars_subject,
        strategy_subject,
    )

    loaded = load(os.environ, options.config)
    strategies = _chosen(options.strategy, loaded, checked_strategies(loaded))
    parameters = loaded.settings.confluence.parameters
    subjects: list[Subject] = [
        strategy_subject(name, strategy, strategy.Params(**parameters.get(name, {})))
        for name, strategy in strategies.items()
    ]
    if options.strategy is None:
        subjects += [
            *feature_subjects(),
            regime_subject(),
            slower_bars_subject(loaded.settings.confluence.timeframe_multiples[1:]),
        ]
    with progress("self-test") as told:
        told(0, 1)
        mutants = self_test()
    with progress("bias") as told:
        report = prove(subjects, _bars(loaded), mutants=mutants, progress=told)
    if options.json:
        show_json(report.to_json())
    else:
        _show(report)
    complaints = [one for one in report.subjects if not one.ok]
    for one in complaints:
        error(str(one.complaint))
    if any(one.name not in STRATEGIES for one in complaints):
        return EXIT_USAGE
    return EXIT_DONE if report.ok else EXIT_FAILED


def _chosen(name: str | None, loaded: Loaded, strategies: dict[str, Strategy]) -> dict[str, Strategy]:
    if name is None:
        return {shared: strategies[shared] for shared in loaded.settings.confluence.shares}
    if name not in strategies:
        raise UsageError(f"--strategy {name}: there is no such strategy{nearest(name, list(strategies))}")
    return {name: strategies[name]}


def _bars(loaded: Loaded) -> BarColumns:
    data, lake = loaded.settings.data, open_lake()
    there = {
        info.symbol for info in lake.series() if (info.exchange, info.timeframe) == (data.exchange, data.timeframe)
    }
    for symbol in data.symbols:
        if symbol in there:
            bars = lake.bars(data.exchange, symbol, data.timeframe)[-_BARS_MAX:]
            say(f"real bars: the last {len(bars):,} {data.timeframe} bars of {data.exchange} {symbol}")
            return bars
    symbol = data.symbols[0]
    say(
        f"sample market: no configured pair has {data.timeframe} bars in {lake.path}, "
        f"so {_BARS_MAX:,} generated ones are used"
    )
    return sample_market([symbol], _BARS_MAX, _SAMPLE_SEED, timeframe_ns(data.timeframe))[symbol]


def _show(report: Any) -> None:
    from novapulse.research.bias import CLAIMS, Outcome

    marks = {Outcome.PASSED: "yes", Outcome.FAILED: "NO", Outcome.NOT_SHOWN: "not shown"}
    first, last = (moment(iso(stamp)) for stamp in (report.start_ns, report.end_ns))
    print(f"{report.bars:,} bars, {first} to {last}")
    found = [{finding.proof: finding for finding in subject.findings} for subject in report.subjects]
    shown = [proof for proof in CLAIMS if any(p[proof].outcome is not Outcome.NOT_SHOWN for p in found if proof in p)]
    print("\n".join(f"{proof.value + ':':<11}{CLAIMS[proof]}" for proof in shown))
    rows = [
        [f"{subject.kind} {subject.name}", *(marks[by[proof].outcome] if proof in by else "" for proof in shown)]
        for subject, by in zip(report.subjects, found, strict=True)
    ]
    print("\n".join(table(("subject", *(proof.value for proof in shown)), rows)))
    caught = sum(mutant.ok for mutant in report.mutants)
    print(f"self-test: {caught} of {len(report.mutants)} deliberately broken subjects were caught")
    quiet = [s.name for s in report.subjects if s.spoken_rows == 0 and not s.error]
    if quiet:
        print(f"said nothing on these bars, so little is proven of: {', '.join(quiet)}")
    print("every proof that could be tried holds" if report.ok else "NOT EVERY PROOF HOLDS")
