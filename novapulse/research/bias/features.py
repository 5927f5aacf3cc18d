"""Indicators and regimes as subjects, with the parameters that are in use: those that strategies ask for."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.market.resample import resample, visible_rows
from novapulse.market.sample import sample_market
from novapulse.research.bias.subjects import Column, Columns, Subject
from novapulse.signals import regimes
from novapulse.signals.view import Indicators
from novapulse.strategies import STRATEGIES, Strategy
from novapulse.strategies.votes import EMA_WARMUP, WILDER_WARMUP, warmup_of

Result = TypeVar("Result")
Call = tuple[Any, ...]

_USUAL: tuple[Call, ...] = (
    ("sma", 20, "close"),
    ("ema", 20, "close"),
    ("wma", 20, "close"),
    ("rsi", 14),
    ("true_range",),
    ("atr", 14),
    ("adx", 14),
    ("plus_di", 14),
    ("minus_di", 14),
    ("macd", 12, 26, 9),
    ("bollinger", 20, 2.0),
    ("keltner", 20, 10, 2.0),
    ("donchian", 20),
    ("stochastic", 14, 3, 3),
    ("supertrend", 10, 3.0),
    ("vwap",),
    ("rolling_vwap", 20),
    ("obv",),
    ("realized_volatility", 60, 525_960.0),
    ("ewm_volatility", 32, 525_960.0),
    ("efficiency_ratio", 60),
    ("pivot_low", 4),
    ("pivot_high", 4),
    ("levels", 4, 240, 0.002),
)

# A method that is not named here looks at its first parameter's number of bars and nothing before them.
_WARMUPS: dict[str, Callable[..., int | None]] = {
    "ema": lambda n, of: EMA_WARMUP * n,
    "rsi": lambda n: WILDER_WARMUP * n,
    "atr": lambda n: WILDER_WARMUP * n,
    "adx": lambda n: 2 * WILDER_WARMUP * n,
    "plus_di": lambda n: WILDER_WARMUP * n,
    "minus_di": lambda n: WILDER_WARMUP * n,
    "macd": lambda fast, slow, signal: EMA_WARMUP * (slow + signal),
    "keltner": lambda n, atr_n, k: max(EMA_WARMUP * n, WILDER_WARMUP * atr_n),
    "ewm_volatility": lambda n, year: EMA_WARMUP * n + 1,
    "stochastic": lambda k_n, k_smooth, d_n: k_n + k_smooth + d_n,
    "levels": lambda k, window, tolerance: window + 2 * k,
    "pivot_low": lambda k: 2 * k,
    "pivot_high": lambda k: 2 * k,
    "true_range": lambda: 1,
    "obv": lambda: None,
    "supertrend": lambda n, k: None,
}


def feature_subjects(
    strategies: Mapping[str, Strategy] = STRATEGIES, timeframe_ns: int = MINUTE_NS
) -> tuple[Subject, ...]:
    """Return every indicator of the public view: with the parameters in use, or usual ones where nobody asks for it.

    Args:
        strategies: Those whose calls are listened to, with their default parameters.
        timeframe_ns: Width of the bars to be proven on.

    Raises:
        StrategyError: A strategy does not say how many bars it needs.
    """
    asked = _asked(strategies, timeframe_ns)
    methods = {call[0] for call in asked}
    usual = [call for call in _USUAL if call[0] not in methods]
    calls = sorted((*asked, *usual), key=str)
    return tuple(_feature_subject(call, timeframe_ns) for call in calls)


def regime_subject() -> Subject:
    """Return the regimes with the constant thresholds."""

    def compute(bars: BarColumns) -> Columns:
        return _by_stretch(bars, lambda view: {"trend": view.regime.trend, "volatility": view.regime.volatility})

    return Subject("regimes", "regime", compute, regimes.warmup_bars())


def slower_bars_subject(multiples: tuple[int, ...] = (5, 15)) -> Subject:
    """Return what is known of slower bars at each bar's close; NaN before the first one."""

    def compute(bars: BarColumns) -> Columns:
        columns: dict[str, Column] = {}
        for multiple in multiples:
            slower = resample(bars, multiple)
            rows = visible_rows(bars, slower)
            for name in ("open", "high", "low", "close", "volume"):
                known = np.append(getattr(slower, name), np.nan)
                columns[f"{name}@{multiple}x"] = known[rows]
        return columns

    return Subject("slower bars", "feature", compute, 2 * max(multiples), multiples, whole_windows=True)


class _Listening(Indicators):
    def __init__(self, bars: BarColumns) -> None:
        super().__init__(bars)
        self.asked: dict[Hashable, None] = {}

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """Remember what was asked for."""
        self.asked[key] = None
        return super().once(key, compute)


def _asked(strategies: Mapping[str, Strategy], timeframe_ns: int) -> list[Call]:
    chosen = {name: (strategy, strategy.Params()) for name, strategy in strategies.items()}
    warmups = [warmup_of(name, strategy, params) for name, (strategy, params) in chosen.items()]
    bars = sample_market(("FEATURES",), max(warmups, default=0) + 2, seed=0, timeframe_ns=timeframe_ns)["FEATURES"]
    view = _Listening(bars)
    regimes.regime_columns(view)
    for strategy, params in chosen.values():
        strategy.votes(view, params)
    return [key for key in view.asked if isinstance(key, tuple) and hasattr(Indicators, str(key[0]))]


def _feature_subject(call: Call, timeframe_ns: int) -> Subject:
    method, *parameters = call

    def compute(bars: BarColumns) -> Columns:
        return _by_stretch(bars, lambda view: _named(getattr(view, method)(*parameters)))

    if method == "vwap":
        warmup: int | None = -(-DAY_NS // timeframe_ns)
    elif method in _WARMUPS:
        warmup = _WARMUPS[method](*parameters)
    else:
        warmup = parameters[0]
    return Subject(f"{method}({', '.join(str(value) for value in parameters)})", "feature", compute, warmup)


def _named(result: Any) -> Columns:
    if not isinstance(result, tuple):
        return {"value": result}
    columns = dict(zip(getattr(result, "_fields", map(str, range(len(result)))), result, strict=True))
    if "at" in columns:
        # An index counts from the first bar of the view; how long ago it was does not.
        at = columns.pop("at")
        columns["age"] = np.where(at >= 0, np.arange(at.size) - at, -1)
    return columns


def _by_stretch(bars: BarColumns, compute: Callable[[Indicators], Columns]) -> Columns:
    parts = [compute(Indicators(bars[rows])) for rows in bars.segments()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
