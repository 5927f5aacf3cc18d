"""A look over many instruments: what the strategies say of the last bar of each, and what would be done about it.

Invariants:
- each instrument is judged by the code that trades, as the only one of an account that holds nothing: its calibrations
  are learned from its own bars, and `decide` is asked as it would be at that close;
- no series that was chosen is dropped: one that is not warm says how many bars it has and needs, one that cannot be
  read says why, and what filters leave out is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from novapulse.backtest.account import Plan as AccountPlan
from novapulse.backtest.account import checked, opening_state
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.confluence.combine import NOBODY, SignalColumns
from novapulse.confluence.forecasts import forecasts_by_strategy, shares_of_weight
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey, path_symbol
from novapulse.core.records import ACTION, BAR, REASON_TEXT, SIGNAL, Reason, Verb
from novapulse.market.calendars import CalendarError
from novapulse.market.lake import Lake, SeriesInfo
from novapulse.market.storage import DataError
from novapulse.research.inputs import InputError, Told
from novapulse.research.running import refuse_lookahead
from novapulse.risk.decide import decide
from novapulse.signals.regimes import LABELS
from novapulse.strategies import Strategy

TURNOVER_DAYS = 20
HOW_TO_FILL = (
    "'novapulse data import FILE --exchange us --symbol SPY --timeframe 1d' adds the bars of a stock, "
    "'novapulse demo' brings some of its own"
)


class Order(StrEnum):
    """What rows are sorted by."""

    STRENGTH = "strength"
    """Size of the consensus, the strongest first."""
    SCORE = "score"
    """The consensus with its sign, the most bullish first."""
    CHANGE = "change"
    TURNOVER = "turnover"
    AGE = "age"
    """The newest bar first."""
    SYMBOL = "symbol"


class Direction(StrEnum):
    """Which way the consensus points."""

    LONG = "long"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Would:
    """What an account of its own, holding nothing, would do at the bar.

    Attributes:
        side: `buy`, `sell`, or empty for nothing.
        qty: Base units; 0 for nothing.
        notional: The same at the close, quote.
        stop_price: Where its stop would lie if it entered at the close; None for nothing.
        target_price: Its take-profit likewise; None without one.
        reason: A name of `core.records.Reason`; empty where nothing could be asked.
        why: That reason in words, or why nothing could be asked.
    """

    side: str = ""
    qty: float = 0.0
    notional: float = 0.0
    stop_price: float | None = None
    target_price: float | None = None
    reason: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One series and what is thought of its last bar; unknown is None.

    Attributes:
        exchange: Lower-case id.
        symbol: Canonical symbol.
        timeframe: Width of its bars, such as `1d`.
        quote: Currency of its prices; empty while unknown.
        bars: How many there are.
        gapless_bars: Of these the last ones without a gap.
        needed_bars: So many without a gap make it warm.
        ts_close_ns: Of the last bar.
        price: Its close, quote per base.
        change_fraction: Since the close before.
        turnover: Quote traded on a day: the median of the last `TURNOVER_DAYS` UTC days with bars.
        warm: Whether everything that votes has seen enough.
        regime: Label of the market's state; None while not warm, as all that follow.
        consensus: -20..20.
        confidence: 0..1.
        lead: Strategy that weighs most in the consensus; empty for nobody.
        forecasts: Strategy -> forecast, -20..20.
        weights: Strategy -> share of the whole weight, 0..1.
        would: What would be done.
        problem: Why the series could not be judged; empty where it could.
    """

    exchange: str
    symbol: str
    timeframe: str
    quote: str = ""
    bars: int = 0
    gapless_bars: int = 0
    needed_bars: int = 0
    ts_close_ns: int | None = None
    price: float | None = None
    change_fraction: float | None = None
    turnover: float | None = None
    warm: bool = False
    regime: str | None = None
    consensus: float | None = None
    confidence: float | None = None
    lead: str | None = None
    forecasts: Mapping[str, float] | None = None
    weights: Mapping[str, float] | None = None
    would: Would = Would()
    problem: str = ""

    @property
    def name(self) -> str:
        """Exchange, symbol as in paths, and width."""
        return f"{self.exchange} {path_symbol(self.symbol)} {self.timeframe}"

    @property
    def cold(self) -> str:
        """How many bars it has of those it needs, in words; empty where it is warm or could not be judged."""
        if self.warm or self.problem:
            return ""
        return f"not warm: {self.gapless_bars:,} of {self.needed_bars:,} bars without a gap"

    def age_s(self, now_ns: int) -> float | None:
        """Return how long ago the last bar closed; None where there is none."""
        return None if self.ts_close_ns is None else (now_ns - self.ts_close_ns) / 1e9

    def json(self, now_ns: int) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "age_s": self.age_s(now_ns), "note": self.problem or self.cold}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted; the opinions of series that are not warm are unknown, so those fit no opinion.

    Attributes:
        direction: Way of the consensus; None for either.
        regime: Label of the market's state; empty for any.
        score_min: Smallest size of the consensus, 0..20.
        turnover_min: Least quote traded on a day, in each series' own currency.
    """

    direction: Direction | None = None
    regime: str = ""
    score_min: float = 0.0
    turnover_min: float = 0.0

    def fits(self, row: Scanned) -> bool:
        """Tell whether a row is wanted; one that could not be judged always is."""
        if row.problem:
            return True
        if self.turnover_min > 0.0 and (row.turnover is None or row.turnover < self.turnover_min):
            return False
        if self.regime and row.regime != self.regime:
            return False
        if row.consensus is None:
            return self.direction is None and self.score_min <= 0.0
        sign = {None: 1.0, Direction.LONG: 1.0, Direction.SHORT: -1.0}[self.direction]
        points = self.direction is None or row.consensus * sign > 0.0
        return points and abs(row.consensus) >= self.score_min


@dataclass(frozen=True)
class Scan:
    """What a look over many instruments found.

    Attributes:
        rows: One for each series that was chosen, in the order of the lake.
        strategies: Those that voted.
        settings: What they and the account were set to.
        made_ns: When the look began, machine clock: later bars are not in it.
    """

    rows: tuple[Scanned, ...]
    strategies: tuple[str, ...]
    settings: BacktestSettings
    made_ns: int

    def chosen(self, wanted: Filter | None = None, order: Order = Order.STRENGTH) -> tuple[Scanned, ...]:
        """Return the rows that fit, sorted; what is unknown comes last."""
        found = [row for row in self.rows if (wanted or Filter()).fits(row)]
        return tuple(sorted(found, key=lambda row: (*_place(row, order), row.name)))


def _place(row: Scanned, order: Order) -> tuple[bool, float]:
    if order is Order.SYMBOL:
        return False, 0.0
    value = {
        Order.STRENGTH: None if row.consensus is None else abs(row.consensus),
        Order.SCORE: row.consensus,
        Order.CHANGE: row.change_fraction,
        Order.TURNOVER: row.turnover,
        Order.AGE: row.ts_close_ns,
    }[order]
    return value is None, -float(value or 0.0)


def series_of(
    lake: Lake, exchange: str | None = None, symbols: Sequence[str] = ("*",), timeframe: str | None = None
) -> list[SeriesInfo]:
    """Return the series of a lake that are wanted, by exchange, symbol and width.

    Args:
        lake: Where bars are.
        exchange: Lower-case id; None for all.
        symbols: Patterns such as `BTC-*`, `SPY` or `*`, in capitals or not, with `/` or `-`.
        timeframe: Width; None for all there are.

    Raises:
        InputError: The lake is empty, or nothing fits; the message says what there is.
        DataError: A sidecar is damaged.
    """
    there = lake.series()
    if not there:
        raise InputError(f"the lake {lake.path} is empty: {HOW_TO_FILL}")
    patterns = [path_symbol(symbol.upper()) for symbol in symbols]
    found = [
        info
        for info in there
        if exchange in (None, info.exchange)
        and timeframe in (None, info.timeframe)
        and any(fnmatchcase(path_symbol(info.symbol).upper(), pattern) for pattern in patterns)
    ]
    if not found:
        wanted = " ".join(filter(None, (exchange, ", ".join(symbols), timeframe)))
        exchanges = sorted({info.exchange for info in there})
        widths = list(dict.fromkeys(info.timeframe for info in there))
        raise InputError(
            f"no series of {wanted} in {lake.path}: there are {len(there)} of {', '.join(exchanges)}, "
            f"{', '.join(widths)} wide; 'novapulse data list' shows them"
        )
    return found


def on_own_timeframe(settings: BacktestSettings) -> BacktestSettings:
    """Return the settings with strategies that vote on the bars themselves alone, without slower timeframes.

    Years of daily bars are too few for the slower ones: what is left needs the fewest bars.
    """
    confluence = settings.confluence
    own = {
        "timeframe_multiples": confluence.timeframe_multiples[:1],
        "timeframe_weights": (1.0,),
        "agreement_multipliers": confluence.agreement_multipliers[-1:],
        "stop_timeframe_multiple": None,
        "regime_timeframe_multiple": None,
    }
    changed = ConfluenceSettings.model_validate({**confluence.model_dump(), **own})
    return settings.model_copy(update={"confluence": changed})


def scan(
    lake: Lake,
    series: Sequence[SeriesInfo],
    settings: BacktestSettings,
    strategies: Mapping[str, Strategy],
    *,
    now_ns: int,
    told: Told,
) -> Scan:
    """Judge the last bar of every series.

    Args:
        lake: Where their bars are.
        series: Which ones.
        settings: What votes, and the account that would act.
        strategies: By name, the built-in ones and the user's own.
        now_ns: Of the machine's clock.
        told: Called with (series done, all of them).

    Raises:
        InputError: A strategy of the user looks ahead.
        StrategyError: A strategy cannot be used.
    """
    plan = prepare(settings.confluence, strategies)
    rows: list[Scanned] = []
    is_checked = False
    for done, info in enumerate(series):
        told(done, len(series))
        try:
            bars = lake.bars(info.exchange, info.symbol, info.timeframe, end=now_ns)
        except (DataError, CalendarError) as wrong:
            rows.append(_unjudged(info, str(wrong)))
            continue
        if len(bars) == 0:
            rows.append(_unjudged(info, "no bar of it closes in a session up to now"))
            continue
        if not is_checked:
            refuse_lookahead(settings, strategies, bars)
            is_checked = True
        rows.append(_judged(lake, info, bars, plan, settings))
    told(len(series), len(series))
    return Scan(tuple(rows), plan.names, settings, now_ns)


def _unjudged(info: SeriesInfo, problem: str) -> Scanned:
    return Scanned(info.exchange, info.symbol, info.timeframe, problem=problem)


def _judged(lake: Lake, info: SeriesInfo, bars: BarColumns, plan: Plan, settings: BacktestSettings) -> Scanned:
    key = InstrumentKey(info.exchange, info.symbol)
    strategies = {name: strategy for name, (strategy, _) in plan.strategies.items()}
    columns, calibrations = pipeline.signals({key: bars}, settings.confluence, strategies)
    said = columns[key][-1:]
    try:
        fact = lake.instrument(key.exchange, key.symbol)
    except DataError as wrong:
        return _unjudged(info, str(wrong))
    warm = bool(said.warm[0])
    row = Scanned(
        info.exchange,
        info.symbol,
        info.timeframe,
        quote=fact.quote,
        bars=len(bars),
        gapless_bars=gapless_bars(bars),
        needed_bars=plan.warmup_base_bars + 1,
        ts_close_ns=int(bars.ts_close_ns[-1]),
        price=float(bars.close[-1]),
        change_fraction=float(bars.close[-1] / bars.close[-2] - 1.0) if len(bars) > 1 else None,
        turnover=turnover_of(bars),
        warm=warm,
        would=would_do(key, bars, said, fact, settings),
    )
    if not warm:
        return row
    lead, regime, used = int(said.lead[0]), int(said.regime[0]), int(said.calibration[0])
    forecasts = forecasts_by_strategy(bars, plan, calibrations, key, last=1)[:, -1].tolist()
    shares = shares_of_weight(plan, calibrations[used], regime)
    opinion: dict[str, Any] = {
        "regime": LABELS[regime],
        "consensus": float(said.consensus[0]),
        "confidence": float(said.confidence[0]),
        "lead": "" if lead == NOBODY else plan.names[lead],
        "forecasts": dict(zip(plan.names, forecasts, strict=True)),
        "weights": dict(zip(plan.names, shares, strict=True)),
    }
    return replace(row, **opinion)


def gapless_bars(bars: BarColumns) -> int:
    """Return how many bars up to the last one follow each other without a gap."""
    breaks = np.flatnonzero(np.diff(bars.number) != 1)
    return len(bars) if breaks.size == 0 else len(bars) - 1 - int(breaks[-1])


def turnover_of(bars: BarColumns) -> float:
    """Return the quote that was traded on a day: the median of the last days, UTC, that have bars."""
    days = (bars.ts_close_ns - 1) // DAY_NS
    first = int(np.searchsorted(days, np.unique(days)[-TURNOVER_DAYS:][0]))
    worth, begins = (bars.close * bars.volume)[first:], np.flatnonzero(np.diff(days[first:], prepend=-1))
    return float(np.median(np.add.reduceat(worth, begins)))


def would_do(
    key: InstrumentKey,
    bars: BarColumns,
    said: SignalColumns,
    fact: Instrument,
    settings: BacktestSettings,
) -> Would:
    """Return what an account that trades this instrument alone and holds nothing would do at the last bar.

    Args:
        key: The instrument.
        bars: Its bars; only the last one is looked at.
        said: What was said of that bar, one row.
        fact: What is known of the instrument.
        settings: The account.
    """
    last = bars[-1:]
    try:
        table, known = checked({key: last}, {key: fact}, settings)
        plan = AccountPlan.of(settings, known, table)
    except ValueError as wrong:
        return Would(why=str(wrong))
    state, action = opening_state(plan.capital, plan.facts), np.zeros(1, ACTION)[0]
    bar, signal = np.zeros(1, BAR)[0], np.zeros(1, SIGNAL)[0]
    for name in BAR.names or ():
        bar[name] = getattr(last, name)[0]
    columns = said.to_kernel()
    for name in SIGNAL.names or ():
        signal[name] = columns[name][0] if name in columns else np.nan
    decide(state.account[0], state.positions[0], plan.records[0], bar, signal, 0.0, plan.rules, action)
    reason = Reason(int(action.reason))
    told: dict[str, Any] = {"reason": reason.name, "why": REASON_TEXT[reason]}
    if action.verb == Verb.ENTER:
        side, price = int(action.side), float(bar.close)
        told |= {
            "side": "buy" if side > 0 else "sell",
            "qty": float(action.qty),
            "notional": float(action.notional),
            "stop_price": price - side * float(action.stop_distance),
            "target_price": price + side * float(action.target_distance) if action.target_distance > 0.0 else None,
        }
    return Would(**told)
