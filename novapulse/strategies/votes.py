"""Votes: what one strategy thinks of each bar, and the one place where strategies are run.

Invariants of every `Votes` that leaves `evaluate`:
- `forecast` is finite and in -20..20, `confidence` is finite and in 0..1;
- rows of the warm-up, counted anew behind every gap, are 0: no opinion;
- a strategy sees one stretch of bars without gaps at a time, and all strategies share its indicators.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import BarColumns, Floats, format_ns
from novapulse.signals.regimes import Thresholds
from novapulse.signals.view import Indicators

FORECAST_MAX = 20.0
ACTIONABLE_STRENGTH = 0.1

EMA_WARMUP = 25
WILDER_WARMUP = 50
ATR_BARS = 14
VOLUME_BARS = 20


class StrategyError(ValueError):
    """A strategy that cannot be used: the message names the strategy, what it did and where."""


@dataclass(frozen=True, slots=True)
class Votes:
    """One strategy's opinion of each bar.

    Attributes:
        forecast: float64[N], -20..20, signed and continuous, 0 = no opinion.
        confidence: float64[N], 0..1, the strategy's own evidence; it multiplies the forecast.
    """

    forecast: Floats
    confidence: Floats

    @classmethod
    def made(cls, forecast: Floats, confidence: Floats | float, warmup_bars: int) -> Self:
        """Build votes from raw columns: clipped to their ranges, 0 where unknown (NaN) and in warm-up.

        Args:
            forecast: float64[N], any size, positive for up.
            confidence: float64[N], or one number for all bars.
            warmup_bars: First rows that are no opinion, >= 0.

        Raises:
            ValueError: The shapes differ.
        """
        raw = np.ascontiguousarray(forecast, np.float64)
        evidence = np.ascontiguousarray(np.broadcast_to(np.asarray(confidence, np.float64), raw.shape))
        if raw.ndim != 1:
            raise ValueError(f"forecast has shape {raw.shape}, expected one number per bar")
        votes = cls(np.zeros(raw.size), np.zeros(raw.size))
        _settle(raw, evidence, warmup_bars, votes.forecast, votes.confidence)
        return votes

    @property
    def direction(self) -> NDArray[np.int8]:
        """int8[N], -1, 0 or +1."""
        return np.sign(self.forecast).astype(np.int8)

    @property
    def strength(self) -> Floats:
        """float64[N], 0..1."""
        size: Floats = np.abs(self.forecast) / FORECAST_MAX
        return size

    def __len__(self) -> int:
        return int(self.forecast.size)


class Strategy(Protocol):
    """What a strategy owes; a module with these three names is one."""

    Params: Any

    def warmup_bars(self, params: Any, /) -> int:
        """Return how many first rows of a stretch are no opinion, bars, >= 0."""

    def votes(self, indicators: Indicators, params: Any, /) -> Votes:
        """Return the votes on a stretch of bars without gaps."""


def evaluate(strategy: Strategy, bars: BarColumns, params: Any, thresholds: Thresholds) -> Votes:
    """Run one strategy; see `evaluate_all`."""
    name = str(getattr(strategy, "__name__", type(strategy).__name__)).rpartition(".")[2]
    return evaluate_all({name: (strategy, params)}, bars, thresholds)[name]


def evaluate_all(
    strategies: Mapping[str, tuple[Strategy, Any]], bars: BarColumns, thresholds: Thresholds
) -> dict[str, Votes]:
    """Run strategies on each stretch without gaps and join what they say; every indicator is computed once for all.

    Args:
        strategies: Name -> strategy and its params.
        bars: Bars of one timeframe, gaps allowed.
        thresholds: Regime thresholds, numbers or columns as long as `bars`.

    Returns:
        Votes of each strategy, as long as `bars`; 0 in each stretch's warm-up.

    Raises:
        StrategyError: A strategy raised, or returned something that is not votes on these bars.
        ValueError: Thresholds are contradictory, or not as long as `bars`.
    """
    thresholds.check_length(len(bars))
    warmups = {name: warmup_of(name, strategy, params) for name, (strategy, params) in strategies.items()}
    joined = {name: Votes(np.zeros(len(bars)), np.zeros(len(bars))) for name in strategies}
    for rows in bars.segments():
        stretch = bars[rows]
        if len(stretch) <= min(warmups.values(), default=0):
            continue
        indicators = Indicators(stretch, thresholds=thresholds.rows(rows))
        for name, (strategy, params) in strategies.items():
            if len(stretch) > warmups[name]:
                _settle_stretch(name, strategy, params, indicators, warmups[name], joined[name], rows.start)
    for votes in joined.values():
        votes.forecast.flags.writeable = votes.confidence.flags.writeable = False
    return joined


def warmup_of(name: str, strategy: Strategy, params: Any) -> int:
    """Return a strategy's warm-up, bars.

    Raises:
        StrategyError: It raised, or its answer is not a number of bars.
    """
    try:
        warmup = strategy.warmup_bars(params)
    except Exception as error:
        raise StrategyError(f"strategy {name}: warmup_bars raised {described(error)}") from error
    if not isinstance(warmup, int) or warmup < 0:
        raise StrategyError(f"strategy {name}: warmup_bars returned {warmup!r}, expected a whole number of bars >= 0")
    return warmup


def _settle_stretch(
    name: str, strategy: Strategy, params: Any, indicators: Indicators, warmup: int, joined: Votes, start: int
) -> None:
    bars = indicators.bars
    try:
        votes = strategy.votes(indicators, params)
    except Exception as error:
        last = format_ns(int(bars.ts_close_ns[-1]))
        raise StrategyError(
            f"strategy {name}: votes raised {described(error)} on the {len(bars)} bars up to {last}"
        ) from error
    if not isinstance(votes, Votes):
        raise StrategyError(f"strategy {name}: votes returned {type(votes).__name__}, expected Votes")
    for what, column in (("forecast", votes.forecast), ("confidence", votes.confidence)):
        if not isinstance(column, np.ndarray) or column.dtype != np.float64 or column.shape != (len(bars),):
            shape = f"{column.dtype}{list(column.shape)}" if isinstance(column, np.ndarray) else type(column).__name__
            raise StrategyError(f"strategy {name}: {what} is {shape}, expected float64[{len(bars)}]")
    stop = start + len(bars)
    out = (joined.forecast[start:stop], joined.confidence[start:stop])
    given = np.ascontiguousarray(votes.forecast), np.ascontiguousarray(votes.confidence)
    bad = int(_copy_checked(*given, warmup, *out))
    if bad >= 0:
        stamp = format_ns(int(bars.ts_close_ns[bad]))
        raise StrategyError(
            f"strategy {name}: bar closing {stamp} has forecast {votes.forecast[bad]} and confidence "
            f"{votes.confidence[bad]}, expected -20..20 and 0..1 (Votes.made clips and fills them)"
        )


def described(error: BaseException) -> str:
    """Return what an error says and on which line of which strategy file, in one sentence."""
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    trace, where = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and "site-packages" not in file and not file.startswith("<"):
            where = f" (line {trace.tb_lineno} of {file})"
        trace = trace.tb_next
    return message + where


@kernel
def _settle(raw: Floats, evidence: Floats, warmup: int, forecast: Floats, confidence: Floats) -> None:
    for i in range(max(warmup, 0), raw.size):
        if not (math.isnan(raw[i]) or math.isnan(evidence[i])):
            forecast[i] = min(max(raw[i], -FORECAST_MAX), FORECAST_MAX)
            confidence[i] = min(max(evidence[i], 0.0), 1.0)


@kernel
def _copy_checked(forecast: Floats, confidence: Floats, warmup: int, out: Floats, evidence: Floats) -> int:
    for i in range(warmup, forecast.size):
        if not (-FORECAST_MAX <= forecast[i] <= FORECAST_MAX and 0.0 <= confidence[i] <= 1.0):
            return i
        out[i] = forecast[i]
        evidence[i] = confidence[i]
    return -1


Market = tuple[Floats, Floats, Floats, Floats, Floats, Floats]


def market(indicators: Indicators) -> Market:
    """Return what every strategy here reads: high, low, close, volume, its mean over 20 bars, and ATR over 14."""
    volume_mean, atr = indicators.sma(VOLUME_BARS, of="volume"), indicators.atr(ATR_BARS)
    return indicators.high, indicators.low, indicators.close, indicators.volume, volume_mean, atr


@kernel(inline=True)
def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on and a straight line between; 0 for NaN."""
    if not value > low:
        return 0.0
    return 1.0 if value >= high else (value - low) / (high - low)


@kernel(inline=True)
def capped(forecast: float) -> float:
    """Return a forecast kept within -20..20."""
    return min(max(forecast, -FORECAST_MAX), FORECAST_MAX)
