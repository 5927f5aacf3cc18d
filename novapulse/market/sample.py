"""A generated market of our own, for demonstrations where no recorded bars are at hand.

Invariants:
- the same seed, symbols and length give the same bars; no global random state is read or changed;
- a symbol's bars depend on the seed and its own name, and on a market factor that all symbols share;
- prices lie on a decimal tick, bars are possible (`low <= open, close <= high`), volume follows the size of moves.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np

from novapulse.compiled import kernel
from novapulse.core.bars import MINUTE_NS, BarColumns, Floats, Integers

START_NS = 1_704_067_200_000_000_000

_TREND, _RANGE, _VOLATILE = 0, 1, 2
_REGIME_BARS_MEAN = 600.0
_VOLATILITY = np.array([0.0006, 0.0004, 0.0016])
_PULL = np.array([0.0, 0.03, 0.002])
_DRIFT_FRACTION = 0.12
_COMMON_FRACTION = 0.65


def sample_market(symbols: Sequence[str], bars: int, seed: int, timeframe_ns: int = MINUTE_NS) -> dict[str, BarColumns]:
    """Generate correlated markets that trend, range and storm in turns.

    Args:
        symbols: Names of the markets; each name has its own price level and noise.
        bars: Bars per market, >= 0.
        seed: Anything from 0; every seed is another market.
        timeframe_ns: Width of a bar; moves are those of a minute whatever the width.

    Returns:
        One set of columns per symbol on the same `24/7` grid, the first bar opening on 2024-01-01.

    Raises:
        ValueError: `bars` or `seed` is negative.
    """
    if bars < 0 or seed < 0:
        raise ValueError(f"a sample market needs bars and seed of 0 or more, got {bars} and {seed}")
    regime, drift = _regimes(bars, np.random.default_rng([seed, 0]))
    factor = _fat_tailed(np.random.default_rng([seed, 1]), bars)
    return {symbol: _one_market(symbol, regime, drift, factor, seed, timeframe_ns) for symbol in symbols}


def _regimes(bars: int, chance: np.random.Generator) -> tuple[Integers, Floats]:
    stretches = 1 + math.ceil(4 * bars / _REGIME_BARS_MEAN)
    lengths = 60 + chance.exponential(_REGIME_BARS_MEAN, stretches).astype(np.int64)
    kinds = chance.choice([_TREND, _RANGE, _VOLATILE], stretches, p=[0.45, 0.4, 0.15])
    slopes = np.where(kinds == _RANGE, 0.0, chance.choice([-1.0, 1.0], stretches)) * _DRIFT_FRACTION
    regime, slope = (np.repeat(values, lengths)[:bars] for values in (kinds, slopes))
    return regime.astype(np.int64), slope * _VOLATILITY[regime]


def _fat_tailed(chance: np.random.Generator, count: int) -> Floats:
    return chance.standard_t(5.0, count) * math.sqrt(3.0 / 5.0)


def _one_market(
    symbol: str, regime: Integers, drift: Floats, factor: Floats, seed: int, timeframe_ns: int
) -> BarColumns:
    count = regime.size
    chance = np.random.default_rng([seed, 2, zlib.crc32(symbol.encode())])
    level = 10.0 ** chance.uniform(0.0, 4.5)
    own = _fat_tailed(chance, count)
    noise = math.sqrt(_COMMON_FRACTION) * factor + math.sqrt(1.0 - _COMMON_FRACTION) * own
    volatility = _VOLATILITY[regime] * chance.uniform(0.8, 1.6)
    moves = np.empty(count, np.float64)
    _walk(noise * volatility, drift, _PULL[regime], moves)
    digits = max(0, 5 - math.ceil(math.log10(level)))
    close = np.maximum(np.round(level * np.exp(np.cumsum(moves)), digits), 10.0**-digits)
    open_ = np.concatenate([[round(level, digits)], close[:-1]])[:count]
    reach = np.abs(chance.standard_normal((2, count))) * volatility * 0.6
    high = np.maximum(np.round(np.maximum(open_, close) * (1.0 + reach[0]), digits), np.maximum(open_, close))
    low = np.round(np.minimum(open_, close) * (1.0 - np.minimum(reach[1], 0.5)), digits)
    low = np.minimum(np.maximum(low, 10.0**-digits), np.minimum(open_, close))
    size = 1.0 + 1.5 * np.abs(moves) / volatility
    volume = np.round(size * chance.lognormal(0.0, 0.5, count) * 200_000.0 / level, 4)
    closes = START_NS + (np.arange(count, dtype=np.int64) + 1) * timeframe_ns
    return BarColumns.checked(closes, open_, high, low, close, volume, timeframe_ns=timeframe_ns)


@kernel
def _walk(shocks: Floats, drift: Floats, pull: Floats, moves: Floats) -> None:
    stretched = 0.0
    for row in range(shocks.size):
        if pull[row] == 0.0:
            stretched = 0.0
        moves[row] = drift[row] + shocks[row] - pull[row] * stretched
        stretched += moves[row]
