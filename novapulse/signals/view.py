"""One stretch of bars and every indicator asked of it, each computed once.

Invariants:
- the bars hold no gap, so no indicator ever averages across one;
- a result is computed on first use, kept for the life of the view, read-only, and the same object every time.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from novapulse.core.bars import DAY_NS, BarColumns, Floats, Integers, format_ns
from novapulse.signals import indicators
from novapulse.signals.indicators import Bands, Levels, Macd, Pivots, Stochastic, Supertrend

if TYPE_CHECKING:
    from novapulse.signals.regimes import RegimeColumns, Thresholds

Result = TypeVar("Result")

_COLUMNS = ("open", "high", "low", "close", "volume", "typical")


class Indicators:
    """Memoising view of one segment of bars.

    Attributes:
        bars: The bars.
        open: float64[N], quote per base.
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        volume: float64[N], base units.
    """

    def __init__(self, bars: BarColumns, thresholds: "Thresholds | None" = None) -> None:
        """Look at `bars`.

        Args:
            bars: One segment: consecutive bars without a gap.
            thresholds: Volatility thresholds of the regimes; None means the configured constants.

        Raises:
            ValueError: The bars hold a gap.
        """
        _refuse_gaps(bars)
        self.bars = bars
        self.open, self.high, self.low, self.close, self.volume = (
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
        )
        self._thresholds = thresholds
        self._known: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self.bars)

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """Return what `compute` gives, called only for the first use of `key`; arrays become read-only.

        Strategies use it to share columns of their own; keys that begin with an indicator's name are taken.
        """
        if key not in self._known:
            self._known[key] = _frozen(compute())
        return cast(Result, self._known[key])

    @property
    def typical(self) -> Floats:
        """float64[N], mean of high, low and close."""
        return self.once("typical", lambda: indicators.typical(self.high, self.low, self.close))

    @property
    def session(self) -> Integers:
        """int64[N], the UTC day in which each bar lies; its last bar closes at 00:00."""
        return self.once("session", lambda: (self.bars.ts_close_ns - 1) // DAY_NS)

    @property
    def regime(self) -> "RegimeColumns":
        """The market's state at each bar."""
        from novapulse.signals.regimes import regime_columns

        return self.once("regime", lambda: regime_columns(self, self._thresholds))

    def column(self, name: str) -> Floats:
        """Return a column of the bars by name.

        Raises:
            ValueError: There is no such column.
        """
        if name not in _COLUMNS:
            raise ValueError(f"column {name!r}: expected one of {', '.join(_COLUMNS)}")
        return cast(Floats, getattr(self, name))

    def sma(self, n: int, of: str = "close") -> Floats:
        """Return `indicators.sma` of a column."""
        return self.once(("sma", n, of), lambda: indicators.sma(self.column(of), n))

    def ema(self, n: int, of: str = "close") -> Floats:
        """Return `indicators.ema` of a column."""
        return self.once(("ema", n, of), lambda: indicators.ema(self.column(of), n))

    def wma(self, n: int, of: str = "close") -> Floats:
        """Return `indicators.wma` of a column."""
        return self.once(("wma", n, of), lambda: indicators.wma(self.column(of), n))

    def rsi(self, n: int) -> Floats:
        """Return `indicators.rsi`."""
        return self.once(("rsi", n), lambda: indicators.rsi(self.close, n))

    def true_range(self) -> Floats:
        """Return `indicators.true_range`."""
        return self.once("true_range", lambda: indicators.true_range(self.high, self.low, self.close))

    def atr(self, n: int) -> Floats:
        """Return `indicators.atr`."""
        return self.once(("atr", n), lambda: indicators.atr(self.high, self.low, self.close, n))

    def adx(self, n: int) -> Floats:
        """Return `indicators.adx`."""
        return self.once(("adx", n), lambda: indicators.adx(self.high, self.low, self.close, n))

    def plus_di(self, n: int) -> Floats:
        """Return `indicators.plus_di`."""
        return self.once(("plus_di", n), lambda: indicators.plus_di(self.high, self.low, self.close, n))

    def minus_di(self, n: int) -> Floats:
        """Return `indicators.minus_di`."""
        return self.once(("minus_di", n), lambda: indicators.minus_di(self.high, self.low, self.close, n))

    def macd(self, fast: int, slow: int, signal: int) -> Macd:
        """Return `indicators.macd`."""
        return self.once(("macd", fast, slow, signal), lambda: indicators.macd(self.close, fast, slow, signal))

    def bollinger(self, n: int, k: float) -> Bands:
        """Return `indicators.bollinger`."""
        return self.once(("bollinger", n, k), lambda: indicators.bollinger(self.close, n, k))

    def keltner(self, n: int, atr_n: int, k: float) -> Bands:
        """Return `indicators.keltner`."""
        return self.once(
            ("keltner", n, atr_n, k), lambda: indicators.keltner(self.high, self.low, self.close, n, atr_n, k)
        )

    def donchian(self, n: int) -> Bands:
        """Return `indicators.donchian`."""
        return self.once(("donchian", n), lambda: indicators.donchian(self.high, self.low, n))

    def stochastic(self, k_n: int, k_smooth: int, d_n: int) -> Stochastic:
        """Return `indicators.stochastic`."""
        return self.once(
            ("stochastic", k_n, k_smooth, d_n),
            lambda: indicators.stochastic(self.high, self.low, self.close, k_n, k_smooth, d_n),
        )

    def supertrend(self, n: int, k: float) -> Supertrend:
        """Return `indicators.supertrend`: path-dependent, so not for a strategy."""
        return self.once(("supertrend", n, k), lambda: indicators.supertrend(self.high, self.low, self.close, n, k))

    def vwap(self) -> Floats:
        """Return `indicators.vwap` by session; NaN in a first session whose beginning lies before these bars."""
        return self.once("vwap", self._session_vwap)

    def rolling_vwap(self, n: int) -> Floats:
        """Return `indicators.rolling_vwap`."""
        return self.once(
            ("rolling_vwap", n), lambda: indicators.rolling_vwap(self.high, self.low, self.close, self.volume, n)
        )

    def obv(self) -> Floats:
        """Return `indicators.obv`: its level depends on where the bars begin, so use changes only."""
        return self.once("obv", lambda: indicators.obv(self.close, self.volume))

    def realized_volatility(self, n: int, bars_per_year: float) -> Floats:
        """Return `indicators.realized_volatility`."""
        return self.once(
            ("realized_volatility", n, bars_per_year),
            lambda: indicators.realized_volatility(self.close, n, bars_per_year),
        )

    def ewm_volatility(self, n: int, bars_per_year: float) -> Floats:
        """Return `indicators.ewm_volatility`."""
        return self.once(
            ("ewm_volatility", n, bars_per_year), lambda: indicators.ewm_volatility(self.close, n, bars_per_year)
        )

    def efficiency_ratio(self, n: int) -> Floats:
        """Return `indicators.efficiency_ratio`."""
        return self.once(("efficiency_ratio", n), lambda: indicators.efficiency_ratio(self.close, n))

    def pivot_low(self, k: int) -> Pivots:
        """Return `indicators.pivot_low`; indices count from these bars' first."""
        return self.once(("pivot_low", k), lambda: indicators.pivot_low(self.low, k))

    def pivot_high(self, k: int) -> Pivots:
        """Return `indicators.pivot_high`; indices count from these bars' first."""
        return self.once(("pivot_high", k), lambda: indicators.pivot_high(self.high, k))

    def levels(self, k: int, window: int, tolerance: float) -> Levels:
        """Return `indicators.levels`."""
        return self.once(
            ("levels", k, window, tolerance),
            lambda: indicators.levels(self.high, self.low, self.close, k, window, tolerance),
        )

    def _session_vwap(self) -> Floats:
        averages = indicators.vwap(self.high, self.low, self.close, self.volume, self.session)
        if len(self) and (self.bars.ts_close_ns[0] - self.bars.timeframe_ns) % DAY_NS != 0:
            averages[self.session == self.session[0]] = np.nan
        return averages


def _refuse_gaps(bars: BarColumns) -> None:
    jumps = np.flatnonzero(np.diff(bars.number) != 1)
    if jumps.size:
        row = int(jumps[0])
        before, after = (format_ns(int(stamp)) for stamp in bars.ts_close_ns[row : row + 2])
        missing = int(bars.number[row + 1] - bars.number[row]) - 1
        raise ValueError(
            f"bars have a gap: after the bar closing {before} the next one closes {after}, {missing} missing; "
            "evaluate each of bars.segments() on its own"
        )


def _frozen(result: Result) -> Result:
    for array in result if isinstance(result, tuple) else (result,):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return result
