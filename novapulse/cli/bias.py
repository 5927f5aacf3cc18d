"""`novapulse bias`: the proofs that nothing looks ahead, from indicators to decisions, on the bars at hand."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, UsageError, error, progress, say, show_json
from novapulse.cli.render import UNKNOWN, good_or_bad, headline, moment, table, wrapped
from novapulse.config import Loaded, load
from novapulse.config.schema import nearest
from novapulse.core.bars import BarColumns, timeframe_ns, timeframe_text
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.market.calendars import CONTINUOUS
from novapulse.market.facts import inferred
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.research.inputs import checked_strategies, iso, open_lake
from novapulse.strategies import STRATEGIES, Strategy

if TYPE_CHECKING:
    from novapulse.research.bias import BiasReport, Finding, Subject, SubjectReport

_BARS_MAX = 45_000
_SAMPLE_EXCHANGE, _SAMPLE_SEED = "sample", 7
_SECTIONS = {
    "Strategies": ("strategy",),
    "Indicators and regimes": ("feature", "regime"),
    "The whole way, with calibrations and cash shared": ("calibration", "pipeline", "decisions"),
}


@dataclass(frozen=True)
class _Market:
    """Bars to prove on, and those of an instrument that shares calibrations and cash with them, where there is one.

    Facts about instruments belong to it: inferred anew from bars that are cut, they would differ themselves.
    """

    key: InstrumentKey
    bars: dict[InstrumentKey, BarColumns]
    facts: dict[InstrumentKey, Instrument]

    @property
    def own(self) -> BarColumns:
        return self.bars[self.key]

    @property
    def companions(self) -> dict[InstrumentKey, BarColumns]:
        return {key: bars for key, bars in self.bars.items() if key != self.key}


def bias(options: argparse.Namespace) -> int:
    """Put everything that decides to the proofs; one that fails is named, a user's own strategy as wrong input."""
    from novapulse.research.bias import prove, self_test

    loaded = load(os.environ, options.config)
    strategies = checked_strategies(loaded, say)
    _refuse_unknown(options.strategy, strategies)
    market = _market(loaded)
    subjects = _subjects(options.strategy, loaded, strategies, market)
    with progress("self-test") as told:
        told(0, 1)
        mutants = self_test()
    with progress("bias") as told:
        report = prove(subjects, market.own, mutants=mutants, progress=told)
    if options.json:
        show_json(report.to_json())
    else:
        print("\n".join(_lines(report)))
    complaints = [one for one in report.subjects if not one.ok]
    for one in complaints:
        error(str(one.complaint))
    if any(one.kind == "strategy" and one.name not in STRATEGIES for one in complaints):
        return EXIT_USAGE
    return EXIT_DONE if report.ok else EXIT_FAILED


def _refuse_unknown(name: str | None, strategies: dict[str, Strategy]) -> None:
    if name is not None and name not in strategies:
        raise UsageError(f"--strategy {name}: there is no such strategy{nearest(name, list(strategies))}")


def _subjects(
    name: str | None, loaded: Loaded, strategies: dict[str, Strategy], market: _Market
) -> "tuple[Subject, ...]":
    from novapulse.research.bias import (
        confluence_subjects,
        decisions_subject,
        feature_subjects,
        regime_subject,
        slower_bars_subject,
        strategy_subject,
    )

    settings = loaded.settings.backtest
    confluence = settings.confluence
    voices = tuple(
        strategy_subject(voice, strategies[voice], strategies[voice].Params(**confluence.parameters.get(voice, {})))
        for voice in ([name] if name else confluence.shares)
    )
    if name:
        return voices
    others = market.companions
    return (
        *voices,
        *feature_subjects(timeframe_ns=market.own.timeframe_ns),
        regime_subject(),
        slower_bars_subject(tuple(multiple for multiple in confluence.timeframe_multiples if multiple > 1)),
        *confluence_subjects(confluence, market.own, strategies, key=market.key, companions=others),
        decisions_subject(
            settings,
            market.facts[market.key],
            strategies,
            companions=others,
            facts=[market.facts[key] for key in others],
        ),
    )


def _market(loaded: Loaded) -> _Market:
    data, lake = loaded.settings.data, open_lake()
    there = {
        info.symbol for info in lake.series() if (info.exchange, info.timeframe) == (data.exchange, data.timeframe)
    }
    keys = [InstrumentKey(data.exchange, symbol) for symbol in data.symbols if symbol in there]
    market = _recorded(lake, keys, data.timeframe) if keys else _generated(data.symbols, data.timeframe)
    source = "real bars" if keys else f"sample market: no configured symbol has {data.timeframe} bars in {lake.path}"
    other = "".join(f", beside those of {key.symbol}" for key in market.companions)
    say(f"{source}: the last {len(market.own):,} {data.timeframe} bars of {market.key}{other}")
    return market


def _recorded(lake: Lake, keys: list[InstrumentKey], timeframe: str) -> _Market:
    key = keys[0]
    bars = {key: lake.bars(key.exchange, key.symbol, timeframe)[-_BARS_MAX:]}
    facts = {key: lake.instrument(key.exchange, key.symbol)}
    start_ns = int(bars[key].ts_close_ns[0]) - bars[key].timeframe_ns
    for other in keys[1:]:
        theirs = lake.instrument(other.exchange, other.symbol)
        beside = lake.bars(other.exchange, other.symbol, timeframe).between(start_ns, int(bars[key].ts_close_ns[-1]))
        if theirs.quote == facts[key].quote and len(beside):
            return _Market(key, {**bars, other: beside}, {**facts, other: theirs})
    return _Market(key, bars, facts)


def _generated(symbols: tuple[str, ...], timeframe: str) -> _Market:
    made = sample_market(symbols[:1], _BARS_MAX, _SAMPLE_SEED, timeframe_ns(timeframe))
    bars = {InstrumentKey(_SAMPLE_EXCHANGE, symbol): columns for symbol, columns in made.items()}
    facts = {
        key: inferred(key.exchange, key.symbol, CONTINUOUS, (one.open, one.high, one.low, one.close), one.volume)
        for key, one in bars.items()
    }
    return _Market(next(iter(bars)), bars, facts)


def _lines(report: "BiasReport") -> Iterator[str]:
    from novapulse.research.bias import CLAIMS

    first, last = (moment(iso(stamp)) for stamp in (report.start_ns, report.end_ns))
    yield f"{report.bars:,} bars of {timeframe_text(report.timeframe_ns)}, {first} to {last}"
    caught = sum(mutant.ok for mutant in report.mutants)
    yield f"The proofs can fail: {caught} of {len(report.mutants)} subjects that cheat on purpose were caught."
    yield ""
    for proof, claim in CLAIMS.items():
        yield from wrapped(f"{proof.value:<10} {claim}", indent=11)
    header, *rows = table(
        ("", *(proof.value for proof in CLAIMS)),
        [[f"  {subject.name}", *_marks(subject)] for subject in report.subjects],
    )
    yield from ("", header)
    for title, kinds in _SECTIONS.items():
        within = [row for row, subject in zip(rows, report.subjects, strict=True) if subject.kind in kinds]
        if within:
            yield headline(title)
            yield from within
    yield from ("", *_remarks(report))
    verdict = "every proof that could be tried holds" if report.ok else "NOT EVERY PROOF HOLDS"
    yield good_or_bad(verdict, 1.0 if report.ok else -1.0)


def _marks(subject: "SubjectReport") -> list[str]:
    from novapulse.research.bias import CLAIMS

    if subject.error:
        return ["NO" for _ in CLAIMS]
    return [_mark(subject, finding) for finding in subject.findings]


def _mark(subject: "SubjectReport", finding: "Finding") -> str:
    from novapulse.research.bias import Outcome

    if finding.outcome is Outcome.NOT_SHOWN:
        return UNKNOWN if _is_worth_a_word(subject, finding) else ""
    return "yes" if finding.outcome is Outcome.PASSED else "NO"


def _is_worth_a_word(subject: "SubjectReport", finding: "Finding") -> bool:
    from novapulse.research.bias import Proof

    return finding.proof is not Proof.FILLS or subject.kind == "decisions"


def _remarks(report: "BiasReport") -> Iterator[str]:
    from novapulse.research.bias import Outcome

    unshown: dict[str, list[str]] = {}
    for subject in report.subjects:
        for finding in subject.findings:
            if finding.outcome is Outcome.NOT_SHOWN and _is_worth_a_word(subject, finding):
                unshown.setdefault(f"{finding.proof.value}: {finding.note}", []).append(subject.name)
    for why, names in unshown.items():
        yield from wrapped(f"{UNKNOWN} {why}: {', '.join(names)}", indent=2)
    silent = [subject.name for subject in report.subjects if subject.spoken_rows == 0 and not subject.error]
    if silent:
        yield from wrapped(f"Silent on these bars, so that little is proven of them: {', '.join(silent)}", indent=2)
