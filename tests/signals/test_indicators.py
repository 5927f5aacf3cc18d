"""Indicators against TA-Lib, against their definitions, and against what real data does to them."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from novapulse.signals import indicators as ind
from tests.signals.catalogue import CATALOGUE, YEAR, Columns, cut, made, outputs, recorded

FILES = ("binance_BTC-USDT_1m", "binance_BTC-USDT_5m", "kraken_BTC-USD_1h", "us_SPY_1d")
NAMES = sorted(CATALOGUE)


@pytest.fixture(scope="module", params=FILES)
def real(request: pytest.FixtureRequest, shared_data: Path) -> Columns:
    return recorded(shared_data / f"{request.param}.parquet")


def same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.tobytes() == np.ascontiguousarray(theirs).tobytes()


def assert_agrees(ours: object, theirs: object, scale: np.ndarray | float = 0.0) -> None:
    """Assert one warm-up and a difference of at most 1e-9 of the value, or of `scale` where a value is a difference."""
    mine = ours if isinstance(ours, tuple) else (ours,)
    other = theirs if isinstance(theirs, tuple) else (theirs,)
    assert len(mine) == len(other)
    for a, b in zip(mine, other, strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        allowed = 1e-9 * np.maximum(np.abs(b), scale)
        assert np.nanmax(np.abs(a - b) - allowed) <= 0.0


@pytest.mark.parametrize("n", [5, 14, 20, 50, 200])
def test_equal_to_ta_lib_on_recorded_bars(real: Columns, n: int) -> None:
    """R-10."""
    high, low, close = real["high"], real["low"], real["close"]
    bars = (high, low, close)
    assert_agrees(ind.sma(close, n), talib.SMA(close, n))
    assert_agrees(ind.ema(close, n), talib.EMA(close, n))
    assert_agrees(ind.wma(close, n), talib.WMA(close, n))
    assert_agrees(ind.rsi(close, n), talib.RSI(close, n))
    assert_agrees(ind.true_range(*bars), talib.TRANGE(*bars))
    assert_agrees(ind.atr(*bars, n), talib.ATR(*bars, n))
    assert_agrees(ind.plus_di(*bars, n), talib.PLUS_DI(*bars, n))
    assert_agrees(ind.minus_di(*bars, n), talib.MINUS_DI(*bars, n))
    assert_agrees(ind.adx(*bars, n), talib.ADX(*bars, n))
    assert_agrees(ind.bollinger(close, n, 2.0), talib.BBANDS(close, n, 2.0, 2.0, 0))
    assert_agrees(ind.keltner(*bars, n, 10, 2.0), talib.KC(*bars, n, 10, 2.0))
    assert_agrees(ind.donchian(high, low, n), talib.DONCHIAN(high, low, n))
    line, direction = talib.SUPERTREND(*bars, n, 3.0)
    direction = np.where(np.isnan(line), np.nan, direction)
    assert_agrees(ind.supertrend(*bars, n, 3.0), (line, direction))


def test_differences_equal_to_ta_lib_in_their_scale(real: Columns) -> None:
    """R-10: 1e-9 of the value itself for the usual MACD, near zero as well.

    Of other spans TA-Lib's compiler rounds `gain * (x - average) + average` once or twice as the processor has it, so
    that its own bits differ from machine to machine: there 1e-14 of the price.
    """
    high, low, close, volume = (real[name] for name in ("high", "low", "close", "volume"))
    assert_agrees(ind.macd(close, 12, 26, 9), talib.MACD(close, 12, 26, 9))
    assert_agrees(ind.macd(close, 5, 35, 5), talib.MACD(close, 5, 35, 5), 1e-5 * close)
    assert_agrees(ind.stochastic(high, low, close, 14, 3, 3), talib.STOCH(high, low, close, 14, 3, 0, 3, 0), 100.0)
    assert_agrees(ind.obv(close, volume), talib.OBV(close, volume), volume.sum())
    assert_agrees(ind.vwap(high, low, close, volume), talib.VWAP(high, low, close, volume))
    moved = talib.ER(close, 60)
    moved[60:][np.abs(np.diff(close))[np.arange(close.size - 60)[:, None] + np.arange(60)].sum(axis=1) == 0] = 0.0
    assert_agrees(ind.efficiency_ratio(close, 60), moved, 1.0)


def test_a_market_that_does_not_move_has_no_opinion() -> None:
    """The known traps of TA-Lib: each differs on purpose."""
    flat = np.full(100, 42.0)
    nothing = np.zeros(100)
    assert talib.RSI(flat, 14)[-1] == 0.0
    assert np.all(ind.rsi(flat, 14)[14:] == 50.0)
    assert talib.ER(flat, 10)[-1] == 1.0
    assert np.all(ind.efficiency_ratio(flat, 10)[10:] == 0.0)
    assert talib.STOCH(flat, flat, flat, 5, 3, 0, 3, 0)[0][-1] == 0.0
    assert np.all(ind.stochastic(flat, flat, flat, 5, 3, 3).k[8:] == 50.0)
    assert talib.VWAP(flat, flat, flat, nothing)[-1] == 0.0
    assert np.all(np.isnan(ind.vwap(flat, flat, flat, nothing)))
    assert np.all(np.isnan(ind.rolling_vwap(flat, flat, flat, nothing, 5)))
    stopped = np.concatenate((np.linspace(10.0, 20.0, 60), np.full(1_000, 20.0)))
    bars = (stopped + 1.0, stopped - 1.0, stopped)
    still = tuple(np.concatenate((column[:60], np.full(1_000, 20.0))) for column in bars)
    assert talib.ADX(*still, 14)[-1] > 50.0
    assert ind.adx(*still, 14)[-1] < 1e-6


def test_rsi_reference_vector() -> None:
    closes = """44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826
                45.8931 46.0328 45.6140 46.2820 46.2820 46.0028 46.0328 46.4116"""
    strength = ind.rsi([float(close) for close in closes.split()], 14)
    assert strength[14:].round(4).tolist() == [70.5328, 66.3186, 66.5498, 69.4063]


@pytest.mark.parametrize("name", NAMES)
def test_edge_inputs(name: str) -> None:
    """R-10: empty, one bar, all NaN, constant, shorter than the window; inputs stay as they were."""
    bars = made(500)
    unknown = {key: np.full(300, np.nan) for key in bars}
    constant = {key: np.full(300, 7.0) for key in bars}
    for columns in (cut(bars, slice(0, 0)), cut(bars, slice(0, 1)), cut(bars, slice(0, 5)), unknown, constant, bars):
        before = {key: values.tobytes() for key, values in columns.items()}
        for result in outputs(name, columns):
            assert result.shape == columns["close"].shape
            assert not any(np.shares_memory(result, values) for values in columns.values())
            if columns is unknown:
                assert np.all(np.isnan(result))
            assert not np.any(np.isinf(result))
        assert {key: values.tobytes() for key, values in columns.items()} == before


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vwap"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_unknown_value_is_a_new_beginning(name: str, bad: float) -> None:
    bars = made(3_000)
    for column in CATALOGUE[name].reads:
        broken = {key: values.copy() for key, values in bars.items()}
        broken[column][1_700] = bad
        head, tail = outputs(name, cut(bars, slice(0, 1_700))), outputs(name, cut(bars, slice(1_701, None)))
        for result, before, behind in zip(outputs(name, broken), head, tail, strict=True):
            assert same_bits(result[:1_700], before)
            assert np.isnan(result[1_700])
            assert same_bits(result[1_701:], behind)


@given(
    name=st.sampled_from(NAMES), seed=st.integers(0, 50), bars=st.integers(1, 5_000), share=st.floats(0, 1, width=16)
)
def test_a_result_depends_on_the_past_only(name: str, seed: int, bars: int, share: float) -> None:
    """R-61: `f(x[:t]) == f(x)[:t]`, bit for bit."""
    columns = made(bars, seed)
    known = int(bars * share)
    for prefix, whole in zip(outputs(name, cut(columns, slice(0, known))), outputs(name, columns), strict=True):
        assert same_bits(prefix, whole[:known])


@given(seed=st.integers(0, 1_000), bars=st.integers(2, 400), n=st.integers(2, 60))
def test_bounds(seed: int, bars: int, n: int) -> None:
    columns = made(bars, seed)
    high, low, close = columns["high"], columns["low"], columns["close"]

    def within(values: np.ndarray, least: float | np.ndarray, most: float | np.ndarray) -> bool:
        return bool(np.all((values >= least) & (values <= most) | np.isnan(values)))

    assert within(ind.rsi(close, n), 0.0, 100.0)
    assert within(ind.adx(high, low, close, n), 0.0, 100.0 + 1e-9)
    assert within(ind.plus_di(high, low, close, n) + ind.minus_di(high, low, close, n), 0.0, 100.0 + 1e-9)
    assert within(ind.efficiency_ratio(close, n), 0.0, 1.0)
    assert within(ind.atr(high, low, close, n), 0.0, np.inf)
    assert within(ind.stochastic(high, low, close, n, 3, 3).k, -1e-9, 100.0 + 1e-9)
    upper, middle, lower = ind.donchian(high, low, n)
    assert within(close[n - 1 :], lower[n - 1 :], upper[n - 1 :])
    assert within(middle, lower, upper)
    for bands in (ind.bollinger(close, n, 2.0), ind.keltner(high, low, close, n, n, 2.0)):
        assert within(bands.middle, bands.lower, bands.upper)
    assert within(ind.realized_volatility(close, n, YEAR), 0.0, np.inf)


@pytest.mark.parametrize("name", [name for name in NAMES if CATALOGUE[name].window_bars])
def test_a_trailing_window_gives_the_bits_of_the_whole_history(real: Columns, name: str) -> None:
    """V-13 rests on this: 25 spans for an EMA, 50n for Wilder's smoothing, the window itself for the rest."""
    window = CATALOGUE[name].window_bars or 0
    size = real["close"].size
    whole = outputs(name, real)
    ends = np.linspace(window + 1, size, 150).astype(int)
    for end in ends:
        part = outputs(name, cut(real, slice(end - window, end)))
        assert [column[-1].tobytes() for column in part] == [column[end - 1].tobytes() for column in whole], end


def test_windows_against_their_definition() -> None:
    columns = made(400, 3)
    high, low, close, volume = (columns[name] for name in ("high", "low", "close", "volume"))
    typical, returns = (high + low + close) / 3.0, np.diff(np.log(close))
    for n in (2, 3, 7, 12, 31, 64, 100):
        for i in (n, n + 1, 250, 399):
            window = slice(i - n + 1, i + 1)
            sigma = np.std(returns[i - n : i], ddof=1) * math.sqrt(YEAR)
            assert ind.realized_volatility(close, n, YEAR)[i] == pytest.approx(sigma, rel=1e-9, abs=1e-12)
            weights = np.arange(1, n + 1)
            assert ind.wma(close, n)[i] == pytest.approx(np.average(close[window], weights=weights), rel=1e-12)
            if volume[window].sum() > 0:
                average = np.average(typical[window], weights=volume[window])
                assert ind.rolling_vwap(high, low, close, volume, n)[i] == pytest.approx(average, rel=1e-12)


def test_vwap_begins_anew_with_each_session() -> None:
    columns = made(50, 5)
    inputs = [columns[name] for name in ("high", "low", "close", "volume")]
    session = np.repeat([7, 7, 9, 8, 3], 10)
    whole = ind.vwap(*inputs, session)
    for start, stop in ((0, 20), (20, 30), (30, 40), (40, 50)):
        assert same_bits(whole[start:stop], ind.vwap(*(column[start:stop] for column in inputs)))


def test_pivots_are_stated_when_they_are_known() -> None:
    low = np.array([5, 4, 3, 4, 5, 2, 2, 5, 6, 1, 0, 1, 2.0])
    pivots = ind.pivot_low(low, 2)
    known = {int(i): (int(pivots.at[i]), float(pivots.price[i])) for i in np.flatnonzero(pivots.at >= 0)}
    assert known == {4: (2, 3.0), 7: (5, 2.0), 12: (10, 0.0)}
    assert np.array_equal(ind.pivot_high(-low, 2).at, pivots.at)


def test_levels_against_their_definition() -> None:
    columns = made(1_500, 11)
    high, low, close = columns["high"], columns["low"], columns["close"]
    k, window, tolerance = 2, 120, 0.004
    levels = ind.levels(high, low, close, k, window, tolerance)
    swings = (ind.pivot_high(high, k), ind.pivot_low(low, k))
    touched = 0
    for i in range(1_500):
        recent = slice(max(i - window + k + 1, 0), i + 1)
        prices = sorted(p for s in swings for p in s.price[recent] if not np.isnan(p))
        groups: list[list[float]] = []
        for price in prices:
            if groups and price <= groups[-1][0] * (1 + tolerance):
                groups[-1].append(price)
            else:
                groups.append([price])
        below = [g for g in groups if sum(g) / len(g) <= close[i]]
        above = [g for g in groups if sum(g) / len(g) > close[i]]
        assert levels.support_touches[i] == (len(below[-1]) if below else 0)
        assert levels.resistance_touches[i] == (len(above[0]) if above else 0)
        if below:
            assert levels.support[i] == pytest.approx(np.mean(below[-1]), rel=1e-12)
        if above:
            assert levels.resistance[i] == pytest.approx(np.mean(above[0]), rel=1e-12)
        touched += len(below) > 0 and len(above) > 0
    assert touched > 500


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: ind.sma([1.0], 0), "n"),
        (lambda: ind.ema([1.0], 2.5), "n"),
        (lambda: ind.rsi([1.0], True), "n"),
        (lambda: ind.adx([1.0], [1.0], [1.0], 1), "n"),
        (lambda: ind.macd([1.0], 26, 12, 9), "fast"),
        (lambda: ind.bollinger([1.0], 20, -1.0), "k"),
        (lambda: ind.bollinger([1.0], 20, math.nan), "k"),
        (lambda: ind.keltner([1.0], [1.0], [1.0], 20, 0, 2.0), "atr_n"),
        (lambda: ind.atr([1.0, 2.0], [1.0], [1.0, 2.0], 14), "low"),
        (lambda: ind.sma([[1.0]], 2), "close"),
        (lambda: ind.vwap([1.0], [1.0], [1.0], [1.0], [0, 1]), "session"),
        (lambda: ind.levels([1.0], [1.0], [1.0], 3, 3, 0.01), "window"),
        (lambda: ind.realized_volatility([1.0], 1, YEAR), "n"),
        (lambda: ind.realized_volatility([1.0], 2, 0.0), "bars_per_year"),
    ],
)
def test_a_wrong_argument_is_named(call: object, names: str) -> None:
    with pytest.raises(ValueError, match=rf"^{names}\b"):
        call()


def digest(columns: Columns) -> str:
    total = hashlib.sha256()
    for name in NAMES:
        for result in outputs(name, columns):
            total.update(result.tobytes())
    return total.hexdigest()


def test_compiled_and_uncompiled_give_the_same_bits(shared_data: Path) -> None:
    path = shared_data / "kraken_BTC-USD_1h.parquet"
    program = (
        "import sys, warnings; warnings.simplefilter('error');"
        "from tests.signals.test_indicators import cut, digest, recorded;"
        "print(digest(cut(recorded(sys.argv[1]), slice(3_000, 5_200))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(cut(recorded(path), slice(3_000, 5_200)))


def test_a_window_beyond_any_data_is_all_unknown_and_costs_no_memory() -> None:
    bars, far = made(50), 10**12
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    columns = [
        *(function(close, far) for function in (ind.sma, ind.ema, ind.wma, ind.rsi, ind.efficiency_ratio)),
        *(function(high, low, close, far) for function in (ind.atr, ind.adx, ind.plus_di, ind.minus_di)),
        *ind.macd(close, 12, far, 9),
        *ind.bollinger(close, far, 2.0),
        *ind.keltner(high, low, close, far, 10, 2.0),
        *ind.donchian(high, low, far),
        *ind.stochastic(high, low, close, far, 3, 3),
        *ind.supertrend(high, low, close, far, 3.0),
        ind.rolling_vwap(high, low, close, volume, far),
        ind.realized_volatility(close, far, YEAR),
        ind.ewm_volatility(close, far, YEAR),
        ind.pivot_low(low, far).price,
    ]
    assert all(np.all(np.isnan(column)) for column in columns)
    assert ind.levels(high, low, close, 2, far, 0.01).support.size == 50
