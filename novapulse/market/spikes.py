"""Bad prints, told from real moves by the price's own volatility: a Hampel filter with confirmation.

Invariants:
- a price is judged by what came before it only, and the state is bounded: history and live ticks take the same steps;
- a move beyond `reject_scales` of the robust scale is rejected, unless `confirmations` rejected prices in a row agree:
  then the level has shifted, and is accepted;
- no move, however large, feeds more than `reject_scales` into the scale, so one bad print cannot widen it.
"""

import enum
import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers

_MAD_TO_SIGMA = 1.4826

# Places in the state: what is known between two prices.
_LEVEL, _VARIANCE, _SINCE, _RETURNS, _NEXT, _CANDIDATES, _SCALE = range(7)
_STATE_SIZE = 7


class Verdict(enum.IntEnum):
    """What the filter says about a price."""

    ACCEPTED = 0
    REJECTED = 1
    SHIFTED = 2


class SpikeSettings(BaseModel):
    """How far a price may move, per instrument and regime.

    Attributes:
        reject_scales: Moves beyond this many scales are rejected.
        agree_scales: Rejected prices within this many scales of each other confirm a new level.
        confirmations: Rejected prices in a row that must agree.
        window_returns: Accepted returns from which the median absolute deviation is taken.
        warmup_returns: Returns that are accepted unseen, before there is a scale.
        decay_fraction: Weight of the past in the exponential variance.
        elapsed_bars_max: The scale grows with the square root of the bars since the last accepted price, up to this.
        scale_min_fraction: Smallest scale, as a fraction of price, for markets that hardly move; a tick where larger.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reject_scales: float = Field(8.0, gt=0)
    agree_scales: float = Field(9.0, gt=0)
    confirmations: int = Field(3, ge=1, le=8)
    window_returns: int = Field(60, ge=3, le=1000)
    warmup_returns: int = Field(20, ge=2)
    decay_fraction: float = Field(0.97, gt=0, lt=1)
    elapsed_bars_max: int = Field(10, ge=1)
    scale_min_fraction: float = Field(0.00002, ge=0)


_Memory = tuple[Floats, Floats, Floats, Floats, Floats]


def _memory(settings: SpikeSettings, tick: float) -> _Memory:
    rules = np.array(
        [
            settings.reject_scales,
            settings.agree_scales,
            min(settings.warmup_returns, settings.window_returns),
            settings.decay_fraction,
            settings.elapsed_bars_max,
            settings.scale_min_fraction,
            tick,
        ]
    )
    state = np.zeros(_STATE_SIZE)
    state[_LEVEL] = math.nan
    returns, ordered = np.zeros(settings.window_returns), np.zeros(settings.window_returns)
    return state, returns, ordered, np.zeros(settings.confirmations), rules


class SpikeFilter:
    """The filter for live prices, one at a time, in memory that never grows."""

    def __init__(self, settings: SpikeSettings | None = None, tick: float = 0.0) -> None:
        """Start without a level.

        Args:
            settings: How far a price may move.
            tick: Price step, quote per base, >= 0; a move of one tick is never a spike by itself.
        """
        self._memory = _memory(settings or SpikeSettings(), tick)

    def step(self, price: float, elapsed_bars: int = 1, confirmed: bool = False) -> Verdict:
        """Judge the next price.

        Args:
            price: Quote per base; anything not finite and above zero is rejected.
            elapsed_bars: Bars since the price before, >= 1.
            confirmed: Whether a second venue shows the same level: a move that is too far is then `SHIFTED` at once.

        Returns:
            The verdict; `SHIFTED` is an accepted new level.
        """
        verdict, _ = _step(price, elapsed_bars, confirmed, *self._memory)
        return Verdict(verdict)


def spikes(
    prices: Floats, elapsed_bars: Integers | None = None, settings: SpikeSettings | None = None, tick: float = 0.0
) -> tuple[NDArray[np.int8], Floats]:
    """Judge a whole history, step by step as `SpikeFilter` would.

    Args:
        prices: float64[N], quote per base, any values.
        elapsed_bars: int64[N], bars since the price before, >= 1; None means 1 throughout.
        settings: How far a price may move.
        tick: Price step, >= 0.

    Returns:
        int8[N] of `Verdict`, and float64[N], the scale (log price, one bar) each price was judged by, 0 in warm-up.

    Raises:
        ValueError: The lengths differ.
    """
    values = np.ascontiguousarray(prices, np.float64)
    steps = np.ones(values.size, np.int64) if elapsed_bars is None else np.ascontiguousarray(elapsed_bars, np.int64)
    if steps.shape != values.shape:
        raise ValueError(f"elapsed_bars has shape {steps.shape}, prices {values.shape}")
    memory = _memory(settings or SpikeSettings(), tick)
    verdicts, scales = np.zeros(values.size, np.int8), np.zeros(values.size, np.float64)
    _run(values, steps, *memory, verdicts, scales)
    return verdicts, scales


@kernel
def _insert(ordered: Floats, count: int, value: float) -> None:
    place = count
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value


@kernel
def _remove(ordered: Floats, count: int, value: float) -> None:
    place = 0
    while ordered[place] != value:
        place += 1
    while place + 1 < count:
        ordered[place] = ordered[place + 1]
        place += 1


@kernel
def _median_deviation(ordered: Floats, count: int) -> float:
    # Deviations grow outwards from the median on both sides, so the middle one is found by merging the two sides.
    middle = 0.5 * (ordered[(count - 1) // 2] + ordered[count // 2])
    right = 0
    while right < count and ordered[right] < middle:
        right += 1
    left = right - 1
    deviation, before = 0.0, 0.0
    for _ in range(count // 2 + 1):
        before = deviation
        if right >= count or (left >= 0 and middle - ordered[left] <= ordered[right] - middle):
            deviation = middle - ordered[left]
            left -= 1
        else:
            deviation = ordered[right] - middle
            right += 1
    return deviation if count % 2 else 0.5 * (before + deviation)


@kernel
def _learn(change: float, state: Floats, returns: Floats, ordered: Floats, rules: Floats) -> None:
    count = int(state[_RETURNS])
    place = int(state[_NEXT])
    if count == returns.size:
        _remove(ordered, count, returns[place])
        count -= 1
    _insert(ordered, count, change)
    returns[place] = change
    count += 1
    state[_NEXT] = (place + 1) % returns.size
    decay = rules[3] if count > 1 else 0.0
    state[_VARIANCE] = decay * state[_VARIANCE] + (1.0 - decay) * change * change
    state[_RETURNS] = count
    if count >= rules[2]:
        spread = _MAD_TO_SIGMA * _median_deviation(ordered, count)
        state[_SCALE] = max(spread, math.sqrt(state[_VARIANCE]))


@kernel
def _agree(level: float, reach: float, state: Floats, candidates: Floats) -> bool:
    for place in range(candidates.size - 1):
        candidates[place] = candidates[place + 1]
    candidates[candidates.size - 1] = level
    state[_CANDIDATES] += 1
    if state[_CANDIDATES] < candidates.size:
        return False
    lowest, highest = candidates[0], candidates[0]
    for place in range(1, candidates.size):
        lowest = min(lowest, candidates[place])
        highest = max(highest, candidates[place])
    return bool(highest - lowest <= reach)


@kernel
def _step(
    price: float,
    elapsed: int,
    confirmed: bool,
    state: Floats,
    returns: Floats,
    ordered: Floats,
    candidates: Floats,
    rules: Floats,
) -> tuple[int, float]:
    since = state[_SINCE] + max(1, elapsed)
    if not 0.0 < price < math.inf:
        state[_SINCE] = since
        state[_CANDIDATES] = 0
        return 1, 0.0
    level = math.log(price)
    if math.isnan(state[_LEVEL]):
        state[_LEVEL] = level
        return 0, 0.0
    change = level - state[_LEVEL]
    stretch = math.sqrt(min(since, rules[4]))
    warm = state[_RETURNS] >= rules[2]
    scale = max(state[_SCALE], rules[5], rules[6] / price) if warm else 0.0
    limit = rules[0] * scale * stretch
    verdict = 0
    if warm and abs(change) > limit:
        if not confirmed and not _agree(level, rules[1] * scale, state, candidates):
            state[_SINCE] = since
            return 1, scale
        verdict = 2
    if warm:
        change = min(max(change, -limit), limit)
    _learn(change / stretch, state, returns, ordered, rules)
    state[_LEVEL] = level
    state[_SINCE] = 0
    state[_CANDIDATES] = 0
    return verdict, scale


@kernel
def _run(
    prices: Floats,
    elapsed: Integers,
    state: Floats,
    returns: Floats,
    ordered: Floats,
    candidates: Floats,
    rules: Floats,
    verdicts: NDArray[np.int8],
    scales: Floats,
) -> None:
    for row in range(prices.size):
        verdicts[row], scales[row] = _step(prices[row], elapsed[row], False, state, returns, ordered, candidates, rules)
