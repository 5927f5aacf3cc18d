"""The consensus of each bar, from votes that are already known at its close: compiled loops over a few bars at a time.

    forecast of a strategy   F_s = sum over timeframes of share_t * scaled(vote_ts * scalar_ts)
    consensus                F   = clip(D * A * (sum w_s F_s + book) / (sum w_s + book's weight))

A vote is scaled with the calibration that counted at its own close, weighed with the one that counts now. `w_s` is the
tilted weight times the regime multiplier, and the sum below the line runs over all strategies, not only those that
speak: a lone weak opinion stays weak. `D` is the diversification multiplier, `A` the factor for how many timeframes
agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.confluence.scale import scaled
from novapulse.core.bars import Flags, Floats, Integers
from novapulse.strategies.votes import FORECAST_MAX

Codes = NDArray[np.int8]

NOBODY = -1
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class SignalColumns:
    """One row per base bar of one instrument.

    Attributes:
        consensus: float64[N], -20..20; 0 while not warm.
        confidence: float64[N], 0..1, share of the weighted strength that agrees with the consensus.
        atr: float64[N], quote per base, of the stop timeframe's last closed bar; NaN while unknown.
        volatility: float64[N], annual forecast, a fraction; NaN while unknown.
        lead: int8[N], index into `strategies` of the one that adds most to the consensus; -1 for none.
        regime: int8[N], index into `regimes.LABELS`.
        warm: bool[N], all timeframes have enough bars without a gap behind them.
        sure_fire: bool[N].
        calibration: int64[N], index into the calibrations that came with these columns.
        strategies: Names in the order that `lead` counts.
    """

    consensus: Floats
    confidence: Floats
    atr: Floats
    volatility: Floats
    lead: Codes
    regime: Codes
    warm: Flags
    sure_fire: Flags
    calibration: Integers
    strategies: tuple[str, ...]

    @classmethod
    def empty(cls, bars: int, strategies: tuple[str, ...]) -> Self:
        """Return columns that say nothing yet."""
        unknown = np.full(bars, np.nan), np.full(bars, np.nan)
        codes = np.full(bars, NOBODY, np.int8), np.ones(bars, np.int8)
        flags = np.zeros(bars, np.bool_), np.zeros(bars, np.bool_)
        return cls(np.zeros(bars), np.zeros(bars), *unknown, *codes, *flags, np.zeros(bars, np.int64), strategies)

    def __len__(self) -> int:
        return int(self.consensus.size)

    def __getitem__(self, rows: slice) -> Self:
        """Return a stretch of rows, as views."""
        cut: dict[str, Any] = {name: column[rows] for name, column in self._columns()}
        return replace(self, **cut)

    def after(self, before: Self) -> Self:
        """Return the rows of `before`, then these."""
        mine = dict(self._columns())
        joined: dict[str, Any] = {name: np.concatenate([column, mine[name]]) for name, column in before._columns()}
        return replace(self, **joined)

    def _columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray):
                yield field.name, column

    def put(self, rows: slice, part: Self) -> None:
        """Write the columns of a stretch of rows."""
        for name, column in self._columns():
            column[rows] = getattr(part, name)

    def to_kernel(self) -> dict[str, NDArray[np.generic]]:
        """Return the columns that a backtest folds over, by the names it gives them."""
        names = ("consensus", "atr", "confidence", "volatility", "lead", "regime", "warm", "sure_fire")
        return {name: getattr(self, name) for name in names}


class Known(NamedTuple):
    """What is known at each of N base closes.

    Attributes:
        votes: float64[S, n], scaled votes times their timeframe's share, the timeframes behind one another.
        rows: int64[T, N], column of `votes` for each timeframe; -1 where nothing is known or not warm.
        regime: int8[N], index into `regimes.LABELS`.
        book: float64[N], the order book's forecast, NaN where there is none; or length 0.
        calibration: int64[N], row of what follows.
        weights: float64[R, 6, S], tilted weights times regime multipliers.
        diversification: float64[R].
    """

    votes: Floats
    rows: Integers
    regime: Codes
    book: Floats
    calibration: Integers
    weights: Floats
    diversification: Floats


class Rules(NamedTuple):
    """Constants of the combination."""

    agreement: Floats
    book_weight: float
    actionable: float
    strategies_min: int
    confidence_min: float


class Said(NamedTuple):
    """What the combination fills, float64[N], int8[N] and bool[N]: see `SignalColumns`."""

    consensus: Floats
    confidence: Floats
    lead: Codes
    warm: Flags
    sure_fire: Flags


class _Desk(NamedTuple):
    """Room for `_CHUNK` bars: forecasts and contributions [S, _CHUNK], opinions [T, _CHUNK], sums [_CHUNK]."""

    forecasts: Floats
    contributions: Floats
    opinions: Floats
    ups: Floats
    downs: Floats
    mass: Floats
    side: Floats
    most: Floats
    lead: Integers
    actionable: Integers


@kernel
def scale_votes(votes: Floats, calibration: Integers, scalars: Floats, share: float) -> None:
    """Scale votes in place with the calibration that counts at their own close, and take their timeframe's share.

    Args:
        votes: float64[S, N], forecast times confidence.
        calibration: int64[N], row of each bar, ascending.
        scalars: float64[R, S].
        share: The timeframe's, 0..1.
    """
    start = 0
    while start < calibration.size:
        row = calibration[start]
        stop = np.searchsorted(calibration, row, side="right")
        for s in range(votes.shape[0]):
            scalar = scalars[row, s]
            for i in range(start, stop):
                votes[s, i] = share * scaled(votes[s, i], scalar)
        start = stop


@kernel
def combine(known: Known, rules: Rules, said: Said) -> None:
    """Fill the consensus of every bar and what belongs to it; bars that are not warm are left as they are."""
    strategies, timeframes = known.votes.shape[0], known.rows.shape[0]
    desk = _Desk(
        np.empty((strategies, _CHUNK)),
        np.empty((strategies, _CHUNK)),
        np.empty((timeframes, _CHUNK)),
        np.empty(_CHUNK),
        np.empty(_CHUNK),
        np.empty(_CHUNK),
        np.empty(_CHUNK),
        np.empty(_CHUNK),
        np.empty(_CHUNK, np.int64),
        np.empty(_CHUNK, np.int64),
    )
    rows, weights_at = np.empty((timeframes, _CHUNK), np.int64), np.empty(_CHUNK, np.int64)
    weights = known.weights.reshape(-1)
    for first in range(0, known.calibration.size, _CHUNK):
        count = min(_CHUNK, known.calibration.size - first)
        for i in range(count):
            weights_at[i] = (known.calibration[first + i] * 6 + known.regime[first + i]) * strategies
            warm = True
            for t in range(timeframes):
                warm = warm and known.rows[t, first + i] >= 0
            said.warm[first + i] = warm
            for t in range(timeframes):
                rows[t, i] = known.rows[t, first + i] if warm else 0
        _add_up(known.votes, rows, weights, weights_at, count, desk)
        if known.book.size > 0:
            _add_book(known.book[first : first + count], rules.book_weight, desk)
        _find_lead(rules.actionable, count, desk)
        _conclude(known, rules, first, count, desk, said)


@kernel
def _add_up(votes: Floats, rows: Integers, weights: Floats, weights_at: Integers, count: int, desk: _Desk) -> None:
    opinions, ups, downs, mass = desk.opinions, desk.ups, desk.downs, desk.mass
    opinions[:] = 0.0
    ups[:] = 0.0
    downs[:] = 0.0
    mass[:] = 0.0
    weight = np.empty(count)
    for s in range(votes.shape[0]):
        forecast, contribution, vote = desk.forecasts[s], desk.contributions[s], votes[s]
        for i in range(count):
            weight[i] = weights[weights_at[i] + s]
            mass[i] += weight[i]
        forecast[:] = 0.0
        for t in range(rows.shape[0]):
            row, opinion = rows[t], opinions[t]
            for i in range(count):
                share = vote[row[i]]
                forecast[i] += share
                opinion[i] += weight[i] * share
        for i in range(count):
            part = weight[i] * forecast[i]
            contribution[i] = part
            ups[i] += max(part, 0.0)
            downs[i] += max(-part, 0.0)


@kernel
def _add_book(book: Floats, weight: float, desk: _Desk) -> None:
    for i in range(book.size):
        if book[i] == book[i]:
            desk.mass[i] += weight
            desk.ups[i] += weight * max(book[i], 0.0)
            desk.downs[i] += weight * max(-book[i], 0.0)


@kernel
def _find_lead(actionable: float, count: int, desk: _Desk) -> None:
    side, most, lead, acting = desk.side, desk.most, desk.lead, desk.actionable
    for i in range(count):
        side[i] = 1.0 if desk.ups[i] >= desk.downs[i] else -1.0
    most[:] = 0.0
    lead[:] = NOBODY
    acting[:] = 0
    for s in range(desk.forecasts.shape[0]):
        forecast, contribution = desk.forecasts[s], desk.contributions[s]
        for i in range(count):
            part = contribution[i] * side[i]
            lead[i] += int(part > most[i]) * (s - lead[i])
            most[i] = max(part, most[i])
        for i in range(count):
            acting[i] += int(forecast[i] * side[i] >= actionable)


@kernel
def _conclude(known: Known, rules: Rules, first: int, count: int, desk: _Desk, said: Said) -> None:
    for i in range(count):
        at = first + i
        ups, downs, side = desk.ups[i], desk.downs[i], desk.side[i]
        if not said.warm[at] or ups == downs:
            continue
        agreeing = 0
        for t in range(desk.opinions.shape[0]):
            agreeing += 1 if desk.opinions[t, i] * side > 0.0 else 0
        factor = known.diversification[known.calibration[at]] * rules.agreement[max(agreeing, 1) - 1]
        confidence = max(ups, downs) / (ups + downs)
        book = known.book[at] if known.book.size > 0 else np.nan
        said.consensus[at] = min(max(factor * (ups - downs) / desk.mass[i], -FORECAST_MAX), FORECAST_MAX)
        said.confidence[at] = confidence
        said.lead[at] = desk.lead[i]
        said.sure_fire[at] = (
            desk.actionable[i] >= rules.strategies_min and confidence >= rules.confidence_min and not book * side <= 0.0
        )
