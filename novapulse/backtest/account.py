"""What one fold needs around the kernel: checked bars, opening state, and outputs that grow when they are full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from novapulse.backtest.columns import (
    FILLS_PER_BAR,
    N_DENIALS,
    N_EQUITY,
    N_FILLS,
    N_ROUND_TRIPS,
    Fine,
    Market,
    Output,
    Records,
    Signals,
    State,
    new_output,
    new_scratch,
    new_state,
)
from novapulse.backtest.kernel import OUTPUT_FULL, fold
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.tally import new_tally
from novapulse.backtest.warmth import note_warmth
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import Record
from novapulse.execution.rules import instrument_records, rules_record, with_own_fees
from novapulse.market.calendars import calendar
from novapulse.market.facts import inferred
from novapulse.memory import keep_the_heap

Bars = Mapping[InstrumentKey, BarColumns]

_EVENTS_AT_FIRST = 4096
_ROWS_PER_EVENT = 16


@dataclass(frozen=True)
class Stretch:
    """Rows that are folded in one go: the same clock for market, signals and finer bars."""

    market: Market
    signals: Signals
    fine: Fine


def checked(
    bars: BarColumns | Bars, instruments: Mapping[InstrumentKey, Instrument], settings: BacktestSettings
) -> tuple[Bars, tuple[Instrument, ...]]:
    """Return the bars in sorted instrument order and the facts of each, or refuse what one account cannot trade.

    Raises:
        ValueError: There are no bars; timeframes, quote currencies or cash scales differ; the capital does not fit.
    """
    if isinstance(bars, BarColumns):
        key = next(iter(instruments), InstrumentKey("data", "BASE/QUOTE"))
        bars = {key: bars}
    if not bars or any(len(columns) == 0 for columns in bars.values()):
        empty = ", ".join(str(key) for key, columns in bars.items() if len(columns) == 0)
        raise ValueError(f"there are no bars to run on{': ' + empty if empty else ''}")
    for key in bars:
        if not isinstance(key, InstrumentKey):
            raise ValueError(f"bars are named by InstrumentKey(exchange, symbol), got {key!r}")
    table = {key: bars[key] for key in sorted(bars)}
    facts = tuple(instruments.get(key) or _inferred(key, columns) for key, columns in table.items())
    facts = with_own_fees(facts, settings.execution)
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


@dataclass(frozen=True)
class Plan:
    """What every fold of one account shares.

    Attributes:
        capital: Opening cash, quote.
        facts: Instruments in sorted order.
        records: INSTRUMENT[P].
        rules: RULES record of the settings.
        rows: Bars of all instruments together.
        has_resting_orders: Whether any order rests: without one nothing depends on touched limits, and the fill bands
            are one.
    """

    capital: float
    facts: tuple[Instrument, ...]
    records: Records
    rules: Record
    rows: int
    has_resting_orders: bool

    @classmethod
    def of(cls, settings: BacktestSettings, facts: tuple[Instrument, ...], table: Bars) -> Self:
        """Plan folds of checked bars."""
        keep_the_heap()
        width = next(iter(table.values())).timeframe_ns
        execution = settings.execution
        rules = rules_record(settings.risk, execution, width, facts[0] if len(facts) == 1 else None)
        rows = sum(len(columns) for columns in table.values())
        rests = "limit" in (execution.entry_order, execution.exit_order, execution.target_order)
        return cls(settings.capital, facts, instrument_records(facts), rules, rows, rests)

    @property
    def days_per_year(self) -> float:
        """Return the trading days a year of the busiest calendar."""
        return max(calendar(name).bars_per_year(DAY_NS) for name in {fact.calendar for fact in self.facts})


def opening_state(capital: float, instruments: Sequence[Instrument]) -> State:
    """Return the state of an account before its first bar; `capital` in quote is rounded to whole cash units."""
    factor = 10 ** instruments[0].cash_scale
    units = round(capital * factor)
    state = new_state(len(instruments), new_tally(units / factor, factor))
    state.account["cash_units"] = units
    for name in ("cash", "equity", "equity_peak", "day_opening_equity", "day_peak"):
        state.account[name] = units / factor
    return state


class Books:
    """The state and the output of one fold, which may go over several stretches."""

    def __init__(self, plan: Plan, *, keep: bool, touch_probability: float | None = None) -> None:
        """Open the books.

        Args:
            plan: What is folded.
            keep: Keep events and the equity curve; else totals only.
            touch_probability: Chance that a touched limit fills, instead of the rules' own.
        """
        count = plan.records.size
        events = _EVENTS_AT_FIRST + plan.rows // _ROWS_PER_EVENT
        self.state = opening_state(plan.capital, plan.facts)
        self.output = new_output(plan.rows, count, curve=keep, events=events if keep else 0)
        self._plan = plan
        self._rules = plan.rules.copy()
        if touch_probability is not None:
            self._rules.touch_probability = touch_probability
        self._scratch = new_scratch()

    def fold(self, stretch: Stretch) -> None:
        """Go on with the next stretch of bars."""
        plan = self._plan
        cursor = np.array(stretch.market.starts[:-1])
        inner = int((stretch.fine.stops - stretch.fine.starts).max(initial=1))
        room = plan.records.size * (FILLS_PER_BAR * max(inner, 1) + 2)
        market, signals, fine = stretch.market, stretch.signals, stretch.fine
        note_warmth(self.state.tally, market, signals.warm)
        full = OUTPUT_FULL
        while full == OUTPUT_FULL:
            full = fold(
                market, signals, fine, plan.records, self._rules, self.state, cursor, self._scratch, self.output, room
            )
            if full == OUTPUT_FULL:
                self._grow(room)

    def _grow(self, events: int) -> None:
        room = 2 * self.output.fills.size + events
        output = self.output
        self.output = output._replace(
            fills=_longer(output.fills, room),
            round_trips=_longer(output.round_trips, room),
            denials=_longer(output.denials, room),
        )

    @property
    def written(self) -> Output:
        """Return the output cut to what was written."""
        output, counts = self.output, self.output.counts
        return output._replace(
            fills=output.fills[: counts[N_FILLS]],
            round_trips=output.round_trips[: counts[N_ROUND_TRIPS]],
            denials=output.denials[: counts[N_DENIALS]],
            equity=output.equity[: counts[N_EQUITY]],
            equity_ts_ns=output.equity_ts_ns[: counts[N_EQUITY]],
        )


def _longer(events: Records, room: int) -> Records:
    longer = np.empty(room, events.dtype)
    longer[: events.size] = events
    return longer
