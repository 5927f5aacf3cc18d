"""From bars and settings to a result: signals once, the fold over them, the three fill bands."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from novapulse.backtest.columns import (
    FILLS_PER_BAR,
    N_DENIALS,
    N_EQUITY,
    N_FILLS,
    N_ROUND_TRIPS,
    NO_FINE,
    Fine,
    Market,
    Output,
    Records,
    Signals,
    fine_of,
    joined_signals,
    market_of,
    new_output,
    new_scratch,
    new_state,
    signals_of,
)
from novapulse.backtest.kernel import OUTPUT_FULL, fold
from novapulse.backtest.result import Result, summarise
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.tally import TALLY
from novapulse.confluence import pipeline
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import Record
from novapulse.execution.rules import instrument_records, rules_record
from novapulse.market.calendars import calendar
from novapulse.market.facts import inferred
from novapulse.strategies import STRATEGIES, Strategy

BANDS = {"pessimistic": 0.0, "base": None, "optimistic": 1.0}
"""Chance that a touched limit fills; None is the settings' own."""

_EVENTS_AT_FIRST = 4096

Progress = Callable[[int, int], None]
Bars = Mapping[InstrumentKey, BarColumns]


@dataclass(frozen=True)
class Stretch:
    """Rows that are folded in one go: the same clock for market, signals and finer bars."""

    market: Market
    signals: Signals
    fine: Fine


def run(
    bars: BarColumns | Bars,
    settings: BacktestSettings | None = None,
    *,
    instruments: Mapping[InstrumentKey, Instrument] | None = None,
    strategies: Mapping[str, Strategy] | None = None,
    signals: Mapping[InstrumentKey, Signals] | Signals | None = None,
    finer: Mapping[InstrumentKey, BarColumns] | None = None,
    metrics_only: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Backtest the confluence on one or many instruments over shared cash.

    Args:
        bars: Bars of one instrument, or by instrument; one timeframe.
        settings: What to run; None means the defaults.
        instruments: Facts of each instrument; those missing are read off the bars and marked `inferred`.
        strategies: Strategies by name; None means the built-in ones.
        signals: Ready signal columns instead of the confluence's, rows as in `bars`.
        finer: Finer bars of some instruments, for fills inside the decision bars.
        metrics_only: Keep no events and no curve, and run long histories in blocks: bounded memory.
        progress: Called with (rows done, rows in all).

    Returns:
        The result; `summary()` first.

    Raises:
        ValueError: There are no bars, timeframes or quote currencies differ, or an instrument does not fit its bars.
    """
    settings = settings or BacktestSettings()
    strategies = STRATEGIES if strategies is None else strategies
    table, facts = _checked(bars, instruments or {}, settings)
    given = _by_key(signals, table)
    stretches = _stretches(table, settings, strategies, given, finer or {}, metrics_only, progress)
    return _Account(settings, facts, table, tuple(strategies)).fold_all(stretches, metrics_only)


def _checked(
    bars: BarColumns | Bars, instruments: Mapping[InstrumentKey, Instrument], settings: BacktestSettings
) -> tuple[Bars, tuple[Instrument, ...]]:
    if isinstance(bars, BarColumns):
        key = next(iter(instruments), InstrumentKey("data", "BASE/QUOTE"))
        bars = {key: bars}
    if not bars or any(len(columns) == 0 for columns in bars.values()):
        empty = ", ".join(str(key) for key, columns in bars.items() if len(columns) == 0)
        raise ValueError(f"there are no bars to run on{': ' + empty if empty else ''}")
    table = {key: bars[key] for key in sorted(bars)}
    facts = tuple(instruments.get(key) or _inferred(key, columns) for key, columns in table.items())
    widths = {columns.timeframe_ns for columns in table.values()}
    if len(widths) > 1:
        raise ValueError(f"bars of one run need one timeframe, got widths of {sorted(w // 10**9 for w in widths)} s")
    quotes = {fact.quote: fact.key for fact in facts}
    if len(quotes) > 1:
        listed = ", ".join(f"{key} in {quote}" for quote, key in quotes.items())
        raise ValueError(f"one account has one quote currency, and there is no conversion rate between: {listed}")
    scales = {fact.cash_scale for fact in facts}
    if len(scales) > 1:
        raise ValueError(f"cash_scale differs between instruments of one account: {sorted(scales)}")
    if settings.capital * 10 ** facts[0].cash_scale >= 2**62:
        raise ValueError(f"capital {settings.capital:g} does not fit cash of {facts[0].cash_scale} digits")
    return table, facts


def _inferred(key: InstrumentKey, bars: BarColumns) -> Instrument:
    return inferred(key.exchange, key.symbol, "24/7", (bars.open, bars.high, bars.low, bars.close), bars.volume)


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
    return given


def _stretches(
    table: Bars,
    settings: BacktestSettings,
    strategies: Mapping[str, Strategy],
    given: Mapping[InstrumentKey, Signals] | None,
    finer: Mapping[InstrumentKey, BarColumns],
    metrics_only: bool,
    progress: Progress | None,
) -> Iterator[tuple[Stretch, Mapping[InstrumentKey, object]]]:
    keys = list(table)
    if given is not None:
        fine = _fine([table[key] for key in keys], keys, finer)
        yield Stretch(market_of(list(table.values())), joined_signals([given[key] for key in keys]), fine), given
        return
    for rows, columns in pipeline.blocks(
        table, settings.confluence, strategies, whole=not metrics_only, progress=progress
    ):
        part = [table[key][rows[key]] for key in keys]
        kernel_signals = [signals_of(**columns[key].kernel_columns()) for key in keys]
        yield Stretch(market_of(part), joined_signals(kernel_signals), _fine(part, keys, finer)), columns


def _fine(bars: Sequence[BarColumns], keys: Sequence[InstrumentKey], finer: Mapping[InstrumentKey, BarColumns]) -> Fine:
    if not any(key in finer for key in keys):
        return NO_FINE
    return fine_of(bars, [finer.get(key, columns[:0]) for key, columns in zip(keys, bars, strict=True)])


class _Account:
    """One account's fold: its state, and outputs that grow when they are full."""

    def __init__(
        self, settings: BacktestSettings, facts: tuple[Instrument, ...], table: Bars, strategies: tuple[str, ...]
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._table = table
        self._strategies = strategies
        self._records = instrument_records(facts)
        self._timeframe_ns = next(iter(table.values())).timeframe_ns
        self._rules = rules_record(
            settings.risk, settings.execution, self._timeframe_ns, facts[0] if len(facts) == 1 else None
        )

    def fold_all(
        self, stretches: Iterable[tuple[Stretch, Mapping[InstrumentKey, object]]], metrics_only: bool
    ) -> Result:
        books = [_Books(self, chance, keep=chance is None and not metrics_only) for chance in BANDS.values()]
        columns: Mapping[InstrumentKey, object] = {}
        for stretch, signals in stretches:
            for book in books:
                book.fold(stretch)
            columns = {} if metrics_only else signals
        days_per_year = self._days_per_year()
        capital = self._settings.capital
        base = books[list(BANDS).index("base")]
        fills, round_trips, denials, equity, stamps = base.kept()
        return Result(
            settings=self._settings,
            instruments=self._facts,
            strategies=self._strategies,
            fills=fills,
            round_trips=round_trips,
            denials=denials,
            equity=equity,
            equity_ts_ns=stamps,
            reasons=base.output.reasons,
            tally=base.state.tally[0],
            days_per_year=days_per_year,
            bands={
                name: summarise(book.state.tally[0], capital, days_per_year)
                for name, book in zip(BANDS, books, strict=True)
            },
            signals=columns,
        )

    def _days_per_year(self) -> float:
        return max(calendar(name).bars_per_year(DAY_NS) for name in {fact.calendar for fact in self._facts})

    @property
    def records(self) -> Records:
        return self._records

    @property
    def rows(self) -> int:
        return sum(len(columns) for columns in self._table.values())

    def rules(self, touch_probability: float | None) -> Record:
        rules = self._rules.copy()
        if touch_probability is not None:
            rules.touch_probability = touch_probability
        return rules

    def opened_state(self) -> tuple[Records, Records]:
        """Return ACCOUNT[1] and TALLY[1] with the opening cash."""
        state = new_state(len(self._facts), np.zeros(1, TALLY))
        account, tally = state.account[0], state.tally[0]
        factor = 10.0 ** self._facts[0].cash_scale
        account.cash_units = round(self._settings.capital * factor)
        account.cash = account.cash_units / factor
        account.equity = account.equity_peak = account.day_opening_equity = account.day_peak = account.cash
        tally.equity = tally.opening_equity = tally.equity_peak = tally.day_equity = account.cash
        return state.account, state.tally


class _Books:
    """The state and output of one fold."""

    def __init__(self, owner: _Account, touch_probability: float | None, keep: bool) -> None:
        account, tally = owner.opened_state()
        count = owner.records.size
        self.state = new_state(count, tally)._replace(account=account)
        self.output = new_output(owner.rows, count, curve=keep, events=_EVENTS_AT_FIRST if keep else 0)
        self._owner = owner
        self._rules = owner.rules(touch_probability)
        self._scratch = new_scratch()

    def fold(self, stretch: Stretch) -> None:
        cursor = np.array(stretch.market.starts[:-1])
        inner = int((stretch.fine.stops - stretch.fine.starts).max(initial=1))
        events = self._owner.records.size * (FILLS_PER_BAR * max(inner, 1) + 2)
        while (
            fold(
                stretch.market,
                stretch.signals,
                stretch.fine,
                self._owner.records,
                self._rules,
                self.state,
                cursor,
                self._scratch,
                self.output,
                events,
            )
            == OUTPUT_FULL
        ):
            self._grow(events)

    def _grow(self, events: int) -> None:
        room = 2 * self.output.fills.size + events
        longer: dict[str, Records] = {}
        for name in ("fills", "round_trips", "denials"):
            old = getattr(self.output, name)
            longer[name] = np.zeros(room, old.dtype)
            longer[name][: old.size] = old
        self.output = self.output._replace(**longer)

    def kept(self) -> tuple[Records, Records, Records, Records, Records]:
        output: Output = self.output
        counts = output.counts
        return (
            output.fills[: counts[N_FILLS]].copy(),
            output.round_trips[: counts[N_ROUND_TRIPS]].copy(),
            output.denials[: counts[N_DENIALS]].copy(),
            output.equity[: counts[N_EQUITY]].copy(),
            output.equity_ts_ns[: counts[N_EQUITY]].copy(),
        )
