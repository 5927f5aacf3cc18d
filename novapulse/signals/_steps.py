"""What one bar contributes: the formulas that several indicators share."""

from novapulse.compiled import kernel
from novapulse.core.bars import Floats

_STILL = 1e-14


@kernel(inline=True)
def true_range_of(high: float, low: float, close_before: float) -> float:
    """Return the range of a bar, stretched to the close before it."""
    return max(high, close_before) - min(low, close_before)


@kernel(inline=True)
def typical_price(high: float, low: float, close: float) -> float:
    """Return the mean of high, low and close."""
    return (high + low + close) / 3.0


@kernel
def typical_prices(high: Floats, low: Floats, close: Floats, typical: Floats) -> None:
    """Fill the typical price of every bar."""
    for j in range(high.size):
        typical[j] = typical_price(high[j], low[j], close[j])


@kernel(inline=True)
def directional_move(ours: float, theirs: float) -> float:
    """Return our side's move where it is the larger one and above zero, else 0."""
    return ours if ours > theirs and ours > 0.0 else 0.0


@kernel(inline=True)
def share(part: float, whole: float, price: float, otherwise: float) -> float:
    """Return `part / whole`, or `otherwise` where `whole` is too small a movement, at that price, to mean anything."""
    return part / whole if whole > _STILL * min(abs(price), 1.0) else otherwise
