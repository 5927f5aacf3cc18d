"""Other futures: the same bars up to a row, and something else behind it.

Invariants: rows up to `row` are the given ones; `wild` and `wandering` bars are possible bars, `unknown` ones are not.
"""

from collections.abc import Callable

import numpy as np

from novapulse.core.bars import BarColumns, Flags, Floats

Future = Callable[[BarColumns, int, np.random.Generator], BarColumns]

_HOLES = 0.1


def wild(bars: BarColumns, row: int, chance: np.random.Generator) -> BarColumns:
    """Return bars whose prices leap between ten thousand times and a ten-thousandth of the last one after `row`."""
    count = len(bars) - row - 1
    up = np.arange(count) % 2 == chance.integers(2)
    close = bars.close[row] * np.where(up, 1e4, 1e-4)
    return continued(bars, row, close, np.where(up, 1e6 * (bars.volume[row] + 1.0), 0.0))


def wandering(bars: BarColumns, row: int, chance: np.random.Generator) -> BarColumns:
    """Return bars that go on after `row` as a random walk of another market, with holes where bars are missing."""
    count = len(bars) - row - 1
    close = bars.close[row] * np.exp(np.cumsum(chance.normal(chance.normal(0.0, 2e-4), 0.003, count)))
    other = continued(bars, row, close, chance.lognormal(np.log(bars.volume[row] + 1.0), 1.0, count))
    kept = np.ones(len(bars), np.bool_)
    kept[row + 1 :] = chance.random(count) >= _HOLES
    return _rows(other, kept)


def unknown(bars: BarColumns, row: int, chance: np.random.Generator) -> BarColumns:
    """Return bars that are not numbers after `row`: unchecked on purpose."""
    columns = [column.copy() for column in (bars.open, bars.high, bars.low, bars.close, bars.volume)]
    for column in columns:
        column[row + 1 :] = np.nan
    return _frozen(bars, columns)


FUTURES: dict[str, Future] = {
    "wild prices after it": wild,
    "a random walk after it": wandering,
    "unknown prices after it": unknown,
}


def wild_until(bars: BarColumns, row: int, stop: int, chance: np.random.Generator) -> BarColumns:
    """Return bars that are wild after `row` and the given ones again from row `stop` on."""
    other = wild(bars[:stop], row, chance)
    columns = [
        np.concatenate((getattr(other, name), getattr(bars, name)[stop:]))
        for name in ("open", "high", "low", "close", "volume")
    ]
    return _frozen(bars, columns)


def continued(bars: BarColumns, row: int, close: Floats, volume: Floats) -> BarColumns:
    """Return bars with these closes and volumes after `row`: each opens at the close before it, wicks are of 1 %."""
    open_ = np.concatenate((bars.close[row : row + 1], close[:-1]))[: close.size]
    high, low = np.maximum(open_, close) * 1.01, np.minimum(open_, close) * 0.99
    old = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    new = (open_, high, low, close, volume)
    return _frozen(bars, [np.concatenate((a[: row + 1], b)) for a, b in zip(old, new, strict=True)])


def _rows(bars: BarColumns, kept: Flags) -> BarColumns:
    shell = BarColumns(
        bars.ts_close_ns[kept],
        bars.open[kept],
        bars.high[kept],
        bars.low[kept],
        bars.close[kept],
        bars.volume[kept],
        bars.number[kept],
        bars.made[kept],
        bars.timeframe_ns,
    )
    return _frozen(shell, [shell.open, shell.high, shell.low, shell.close, shell.volume])


def _frozen(bars: BarColumns, prices: list[Floats]) -> BarColumns:
    open_, high, low, close, volume = prices
    frozen = BarColumns(bars.ts_close_ns, open_, high, low, close, volume, bars.number, bars.made, bars.timeframe_ns)
    for column in (frozen.ts_close_ns, *prices, frozen.number, frozen.made):
        column.flags.writeable = False
    return frozen
