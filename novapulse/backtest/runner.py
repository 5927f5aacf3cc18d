"""From bars and settings to a result: signals once, the fold over them, the three fill bands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from novapulse.backtest.account import Bars, Books, Plan, Stretch, checked
from novapulse.backtest.columns import NO_FINE, Fine, Output, Signals, fine_of, joined_signals, market_of, signals_of
from novapulse.backtest.result import Result, summarise
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import BarColumns, Floats, Integers
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import STRATEGIES_MAX
from novapulse.strategies import STRATEGIES, Strategy

BANDS = {"pessimistic": 0.0, "base": None, "optimistic": 1.0}
"""Chance that a touched limit fills; None is the settings' own."""

_RULE_BLOCK_BARS = 131_072

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SignalRule:
    """Signals as a function of bars, asked block by block: its columns never leave the processor's cache.

    Attributes:
        warmup_bars: Bars before the first row of interest that make a row the same as from the whole history; a block
            is handed in with that many bars before it, as far as there are.
        signals: Makes as many rows of signals as it is given bars.
    """

    warmup_bars: int
    signals: Callable[[BarColumns], Signals]


def run(
    bars: BarColumns | Bars,
    settings: BacktestSettings | None = None,
    *,
    instruments: Mapping[InstrumentKey, Instrument] | None = None,
    strategies: Mapping[str, Strategy] | None = None,
    signals: Mapping[InstrumentKey, Signals] | Signals | SignalRule | None = None,
    finer: Mapping[InstrumentKey, BarColumns] | None = None,
    order_books: Mapping[InstrumentKey, Floats] | None = None,
    metrics_only: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Backtest the confluence on one or many instruments over shared cash.

    Args:
        bars: Bars of one instrument, or by instrument; one timeframe.
        settings: What to run; None means the defaults.
        instruments: Facts of each instrument; those missing are read off the bars and marked `inferred`.
        strategies: Strategies by name; None means the built-in ones.
        signals: Ready signal columns instead of the confluence's, rows as in `bars`; or, for a single instrument, a
            rule that makes them block by block.
        finer: Finer bars of some instruments, for fills inside the decision bars.
        order_books: The order book's own forecast at each bar, -20..20, NaN where there is none: the optional vote.
        metrics_only: Keep no events and no curve, and run long histories in blocks: bounded memory.
        progress: Called with (rows done, rows in all).

    Returns:
        The result; `summary()` first.

    Raises:
        ValueError: There are no bars, timeframes or quote currencies differ, or an instrument does not fit its bars.
    """
    settings = settings or BacktestSettings()
    strategies = STRATEGIES if strategies is None else strategies
    table, facts = checked(bars, instruments or {}, settings)
    given = None if isinstance(signals, SignalRule) else _by_key(signals, table)
    rule = _for_one(signals, table) if isinstance(signals, SignalRule) else None
    plan = Plan.of(settings, facts, table)
    bands = BANDS if plan.has_resting_orders else {"base": None}
    books = {
        name: Books(plan, keep=chance is None and not metrics_only, touch_probability=chance)
        for name, chance in bands.items()
    }
    said = _Said(given, rule, strategies)
    for stretch in _stretches(table, settings, strategies, said, finer or {}, order_books, metrics_only, progress):
        for book in books.values():
            book.fold(stretch)
    base = books["base"]
    written, days_per_year = base.written, plan.days_per_year
    summaries = {name: summarise(book.state.tally[0], settings.capital, days_per_year) for name, book in books.items()}
    return Result(
        settings=settings,
        instruments=facts,
        strategies=said.names,
        fills=written.fills,
        round_trips=written.round_trips,
        denials=written.denials,
        equity=written.equity,
        equity_ts_ns=_stamps(written, table),
        reasons=written.reasons,
        tally=base.state.tally[0],
        days_per_year=days_per_year,
        bands={name: summaries.get(name, summaries["base"]) for name in BANDS},
        signals=said.columns,
        calibrations=tuple(said.calibrations),
    )


def _stamps(written: Output, table: Bars) -> Integers:
    if len(table) > 1:
        return written.equity_ts_ns
    (bars,) = table.values()
    return bars.ts_close_ns[: written.equity.size]


class _Said:
    """What the confluence said, as far as it is kept: ready signals, or columns and their calibrations."""

    def __init__(
        self,
        given: Mapping[InstrumentKey, Signals] | None,
        rule: SignalRule | None,
        strategies: Mapping[str, Strategy],
    ) -> None:
        self.given = given
        self.rule = rule
        self.names: tuple[str, ...] = tuple(strategies)
        self.columns: Mapping[InstrumentKey, SignalColumns] = {}
        self.calibrations: list[Calibration] = []


def _by_key(
    signals: Mapping[InstrumentKey, Signals] | Signals | None, table: Bars
) -> Mapping[InstrumentKey, Signals] | None:
    given = {next(iter(table)): signals} if isinstance(signals, Signals) else signals
    if given is None:
        return None
    for key, bars in table.items():
        if key not in given or given[key].consensus.size != len(bars):
            rows = given[key].consensus.size if key in given else 0
            raise ValueError(f"{key}: there are {rows} rows of signals for {len(bars)} bars")
        lead = given[key].lead
        if lead.size and not (-1 <= int(lead.min()) <= int(lead.max()) < STRATEGIES_MAX):
            raise ValueError(f"{key}: lead names a strategy outside -1..{STRATEGIES_MAX - 1}")
    return given


def _stretches(
    table: Bars,
    settings: BacktestSettings,
    strategies: Mapping[str, Strategy],
    said: _Said,
    finer: Mapping[InstrumentKey, BarColumns],
    order_books: Mapping[InstrumentKey, Floats] | None,
    metrics_only: bool,
    progress: Progress | None,
) -> Iterator[Stretch]:
    keys, bars = list(table), list(table.values())
    if said.rule is not None:
        yield from _ruled(said.rule, keys[0], bars[0], finer)
        return
    if said.given is not None:
        yield Stretch(market_of(bars), joined_signals([said.given[key] for key in keys]), _fine(bars, keys, finer))
        return
    if metrics_only:
        for block in pipeline.blocks(table, settings.confluence, strategies, books=order_books, progress=progress):
            part = [table[key][block.rows[key]] for key in keys]
            said.names = block.signals[keys[0]].strategies
            yield Stretch(market_of(part), _kernel_signals(block.signals, keys), _fine(part, keys, finer))
        return
    columns, calibrations = pipeline.signals(
        table, settings.confluence, strategies, books=order_books, progress=progress
    )
    said.columns, said.calibrations, said.names = columns, calibrations, columns[keys[0]].strategies
    yield Stretch(market_of(bars), _kernel_signals(columns, keys), _fine(bars, keys, finer))


def _ruled(
    rule: SignalRule, key: InstrumentKey, bars: BarColumns, finer: Mapping[InstrumentKey, BarColumns]
) -> Iterator[Stretch]:
    for start in range(0, len(bars), _RULE_BLOCK_BARS):
        block = bars[start : start + _RULE_BLOCK_BARS]
        first = max(start - rule.warmup_bars, 0)
        made = rule.signals(bars[first : start + len(block)])
        if made.consensus.size != start + len(block) - first:
            raise ValueError(
                f"{key}: the signal rule made {made.consensus.size} rows for {start + len(block) - first} bars"
            )
        signals = made._replace(**{name: column[start - first :] for name, column in made._asdict().items()})
        yield Stretch(market_of([block]), signals, _fine([block], [key], finer))


def _for_one(rule: SignalRule, table: Bars) -> SignalRule:
    if len(table) > 1:
        raise ValueError(
            f"a signal rule is for a single instrument, got {len(table)}: give signal columns by instrument"
        )
    return rule


def _kernel_signals(columns: Mapping[InstrumentKey, SignalColumns], keys: Sequence[InstrumentKey]) -> Signals:
    return joined_signals([signals_of(**columns[key].to_kernel()) for key in keys])


def _fine(bars: Sequence[BarColumns], keys: Sequence[InstrumentKey], finer: Mapping[InstrumentKey, BarColumns]) -> Fine:
    if not any(key in finer for key in keys):
        return NO_FINE
    return fine_of(bars, [finer.get(key, columns[:0]) for key, columns in zip(keys, bars, strict=True)])
