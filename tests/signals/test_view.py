"""The memoising view: computed once, read-only, one segment, and the same bits in a window as in the whole history."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.signals import Indicators, indicators
from tests.signals.catalogue import made

START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
REQUESTS = {
    "sma": (20,),
    "ema": (12,),
    "wma": (9,),
    "rsi": (14,),
    "true_range": (),
    "atr": (14,),
    "adx": (14,),
    "plus_di": (14,),
    "minus_di": (14,),
    "macd": (12, 26, 9),
    "bollinger": (20, 2.0),
    "keltner": (20, 10, 2.0),
    "donchian": (20,),
    "stochastic": (14, 3, 3),
    "supertrend": (10, 3.0),
    "vwap": (),
    "rolling_vwap": (60,),
    "obv": (),
    "realized_volatility": (60, 525_960.0),
    "ewm_volatility": (32, 525_960.0),
    "efficiency_ratio": (60,),
    "pivot_low": (3,),
    "pivot_high": (3,),
    "levels": (3, 240, 0.002),
}


def bars(rows: int, first_minute: int = 1) -> BarColumns:
    closes = START_NS + MINUTE_NS * np.arange(first_minute, first_minute + rows)
    return BarColumns.checked(closes, **made(rows), timeframe_ns=MINUTE_NS)


def test_each_indicator_is_computed_once_and_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-10: every (series, parameters) once per evaluation, shared by all."""
    counted: dict[str, int] = {}

    def counting(name: str) -> None:
        function = getattr(indicators, name)

        def call(*columns: object) -> object:
            counted[name] = counted.get(name, 0) + 1
            return function(*columns)

        monkeypatch.setattr(indicators, name, call)

    for name in REQUESTS:
        counting(name)
    view = Indicators(bars(3_000))
    for name, parameters in REQUESTS.items():
        first = getattr(view, name)(*parameters)
        assert getattr(view, name)(*parameters) is first
        for array in first if isinstance(first, tuple) else (first,):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
    assert counted == dict.fromkeys(REQUESTS, 1)
    view.ema(13)
    view.ema(12, of="high")
    assert counted["ema"] == 3


def test_a_view_gives_what_the_functions_give() -> None:
    some = bars(2_000)
    view = Indicators(some)
    assert np.array_equal(view.ema(12, of="typical")[11:], indicators.ema(view.typical, 12)[11:])
    assert np.array_equal(view.macd(12, 26, 9).line[33:], indicators.macd(some.close, 12, 26, 9).line[33:])
    with pytest.raises(ValueError, match="column 'closes'"):
        view.ema(12, of="closes")


def test_regimes_are_computed_once() -> None:
    view = Indicators(bars(2_000))
    assert view.regime is view.regime
    assert view.regime.trend.shape == (2_000,)


def test_a_gap_is_refused_and_named() -> None:
    whole = bars(100)
    kept = np.delete(np.arange(100), [40, 41])
    columns = {name: getattr(whole, name)[kept] for name in ("open", "high", "low", "close", "volume")}
    broken = BarColumns.checked(whole.ts_close_ns[kept], **columns, timeframe_ns=MINUTE_NS)
    with pytest.raises(ValueError, match="closing 2026-01-01 00:40:00Z the next one closes 2026-01-01 00:43:00Z"):
        Indicators(broken)
    assert [len(Indicators(broken[segment])) for segment in broken.segments()] == [40, 58]


def test_vwap_of_a_session_seen_in_part_is_unknown() -> None:
    minutes = DAY_NS // MINUTE_NS
    whole = bars(2 * minutes)
    seen = Indicators(whole).vwap()
    late = Indicators(whole[100:]).vwap()
    assert not np.isnan(seen[minutes - 1])
    assert np.all(np.isnan(late[: minutes - 100]))
    assert late[minutes - 100 :].tobytes() == seen[minutes:].tobytes()
    assert Indicators(whole).session[[0, minutes - 1, minutes]].tolist() == [20_454, 20_454, 20_455]


def test_an_empty_view_has_empty_columns() -> None:
    view = Indicators(bars(0))
    for name, parameters in REQUESTS.items():
        result = getattr(view, name)(*parameters)
        assert all(array.size == 0 for array in (result if isinstance(result, tuple) else (result,)))


def test_a_window_of_recorded_bars_gives_the_bits_of_the_whole(shared_data: Path) -> None:
    """V-13, for a view: its slowest indicator is ADX with 2 x 50 x 14 bars; a session of VWAP is a day."""
    frame = pl.read_parquet(shared_data / "binance_BTC-USDT_1m.parquet")
    closes = frame["ts"].dt.timestamp("ns").to_numpy() + MINUTE_NS
    columns = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    recorded = BarColumns.checked(closes, **columns, timeframe_ns=MINUTE_NS)
    whole = Indicators(recorded)
    window = 2 * DAY_NS // MINUTE_NS
    for end in np.linspace(window, len(recorded), 25).astype(int):
        part = Indicators(recorded[end - window : end])
        for name, parameters in REQUESTS.items():
            if name in ("supertrend", "obv", "pivot_low", "pivot_high"):
                continue
            ours, theirs = getattr(part, name)(*parameters), getattr(whole, name)(*parameters)
            pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else ((ours, theirs),)
            assert all(a[-1].tobytes() == b[end - 1].tobytes() for a, b in pairs), (name, end)
