from collections.abc import Iterator

import numpy as np
import pytest

from novapulse.confluence import pipeline
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.engine.calibrations import from_body, to_body
from novapulse.engine.gather import Arrival, Close
from novapulse.engine.rows import Ticks, ticks_of
from novapulse.engine.votes import Past, Window, votes_on
from novapulse.engine.window_signals import WindowSignals
from novapulse.market.sample import sample_market
from novapulse.strategies import STRATEGIES

WIDTH_NS = 60 * MINUTE_NS
DAY = DAY_NS // WIDTH_NS
SETTINGS = ConfluenceSettings.model_validate(
    {
        "timeframe_multiples": [1, 2],
        "timeframe_weights": [0.6, 0.4],
        "agreement_multipliers": [0.7, 1.0],
        "regime_timeframe_multiple": 2,
        "stop_timeframe_multiple": 2,
        "calibration": {"days_min": 3},
    }
)
BTC, ETH = InstrumentKey("kraken", "BTC/USD"), InstrumentKey("kraken", "ETH/USD")
Bars = dict[InstrumentKey, BarColumns]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return prepare(SETTINGS, STRATEGIES)


@pytest.fixture(scope="module")
def bars(plan: Plan) -> Bars:
    market = sample_market(["BTC/USD", "ETH/USD"], plan.warmup_base_bars // DAY * DAY + 8 * DAY + 5, 5, WIDTH_NS)
    return {InstrumentKey("kraken", symbol): columns for symbol, columns in market.items()}


@pytest.fixture(scope="module")
def ticks(bars: Bars) -> Ticks:
    columns, rows = pipeline.signals(bars, SETTINGS, STRATEGIES)
    return ticks_of(bars, columns, [row.id for row in rows])


def closes(bars: Bars, ticks: Ticks, first: int) -> Iterator[tuple[int, Close]]:
    for row in range(first, len(ticks)):
        stamp = int(ticks.ts_close_ns[row])
        here = {
            key: Arrival(stamp, key, ticks.bars[row, column], int(bars[key].number[row]))
            for column, key in enumerate(ticks.keys)
        }
        yield row, Close(stamp, here)


@pytest.mark.parametrize("into_the_day", [0, 7])
def test_bar_by_bar_says_what_the_whole_history_says_to_the_bit(
    plan: Plan, bars: Bars, ticks: Ticks, into_the_day: int
) -> None:
    first = len(ticks) // DAY * DAY - 4 * DAY + into_the_day
    window = WindowSignals.behind(plan, {key: columns[:first] for key, columns in bars.items()})
    used = set()
    for row, close in closes(bars, ticks, first):
        said = window.at(close)
        assert said is not None
        assert said.signals.tobytes() == ticks.signals[row].tobytes()
        assert said.bars.tobytes() == ticks.bars[row].tobytes()
        assert said.calibration == ticks.calibrations[row]
        assert window.at(close) is said
        used.add(said.calibration)
        record = window.learned(said.calibration)
        assert record is not None
        assert record.body["id"] == said.calibration
    assert len(used) >= 4
    assert ticks.signals["warm"][first:].any()
    assert (ticks.signals["consensus"][first:] != 0).any()


def test_the_votes_beside_a_signal_are_those_that_explain_makes_of_the_whole_history(
    plan: Plan, bars: Bars, ticks: Ticks
) -> None:
    first = len(ticks) // DAY * DAY - 4
    _, rows = pipeline.signals(bars, SETTINGS, STRATEGIES)
    past = Past(plan, bars, tuple(rows))
    window = WindowSignals.behind(plan, {key: columns[:first] for key, columns in bars.items()})
    spoken = 0
    for row, close in closes(bars, ticks, first):
        window.at(close)
        for column, key in enumerate(ticks.keys):
            regime = int(ticks.signals[row, column]["regime"])
            cuts = window.window(key, close.ts_close_ns), past.window(key, close.ts_close_ns)
            told = explain(bars[key], plan, rows, key=key, row=row)
            for cut in cuts:
                assert cut is not None
                votes = votes_on(cut, key, regime)
                assert {name: (one.forecast, one.weight) for name, one in votes.items()} == {
                    one["name"]: (one["forecast"], one["share_of_weight"]) for one in told["strategies"]
                }
                spoken += sum(one.forecast != 0.0 for one in votes.values())
            assert told["consensus"] == float(ticks.signals[row, column]["consensus"])
    assert spoken > 15


def test_a_window_stays_as_it_was_when_more_bars_come(plan: Plan, bars: Bars, ticks: Ticks) -> None:
    first = len(ticks) - 20
    window = WindowSignals.behind(plan, {key: columns[:first] for key, columns in bars.items()})
    cut: Window | None = None
    for _, close in closes(bars, ticks, first):
        window.at(close)
        cut = cut or window.window(BTC, close.ts_close_ns)
    assert cut is not None
    assert cut.bars.ts_close_ns.tolist() == bars[BTC].ts_close_ns[: first + 1][-len(cut.bars) :].tolist()
    assert np.array_equal(cut.bars.close, bars[BTC].close[: first + 1][-len(cut.bars) :])
    # As everywhere: for other columns every kernel would be compiled anew, in the middle of trading.
    assert not any(getattr(cut.bars, name).flags.writeable for name in ("ts_close_ns", "close", "number", "made"))


def test_of_a_bar_that_is_not_there_there_are_no_votes(plan: Plan, bars: Bars) -> None:
    _, rows = pipeline.signals(bars, SETTINGS, STRATEGIES)
    past, stamps = Past(plan, bars, tuple(rows)), bars[BTC].ts_close_ns
    assert past.window(BTC, int(stamps[-1]) - 1) is None
    assert past.window(BTC, int(stamps[0]) - 1) is None
    assert past.window(InstrumentKey("kraken", "SOL/USD"), int(stamps[-1])) is None
    assert WindowSignals.behind(plan, bars).window(InstrumentKey("kraken", "SOL/USD"), int(stamps[-1])) is None


def test_a_bar_that_came_late_decides_nothing_and_is_not_missing_afterwards(
    plan: Plan, bars: Bars, ticks: Ticks
) -> None:
    first = len(ticks) // DAY * DAY - DAY
    window = WindowSignals.behind(plan, {key: columns[:first] for key, columns in bars.items()})
    for row, close in closes(bars, ticks, first):
        late = close.bars[BTC] if row == first + 3 else None
        here = {key: one for key, one in close.bars.items() if one is not late}
        said = window.at(Close(close.ts_close_ns, here))
        assert said is not None
        assert said.present.tolist() == [int(late is None), 1]
        if late is None:
            assert said.signals.tobytes() == ticks.signals[row].tobytes()
        else:
            window.late(late)


def test_minutes_without_trades_are_filled_as_the_lake_fills_them(plan: Plan, bars: Bars, ticks: Ticks) -> None:
    first = len(ticks) // DAY * DAY - DAY
    window = WindowSignals.behind(plan, {key: columns[:first] for key, columns in bars.items()})
    quiet = first + 4
    said = None
    for row, close in closes(bars, ticks, first):
        if row > quiet + 1:
            break
        here = {key: one for key, one in close.bars.items() if not (key == BTC and row == quiet)}
        said = window.at(Close(close.ts_close_ns, here))
    assert said is not None
    assert said.signals["warm"].tolist() == [1, 1]


def test_a_close_of_nobody_says_nothing(plan: Plan, bars: Bars) -> None:
    window = WindowSignals.behind(plan, bars)
    stamp = int(bars[BTC].ts_close_ns[-1]) + WIDTH_NS
    assert window.at(Close(stamp, {})) is None


def test_a_calibration_comes_back_from_the_ledger_to_the_bit(bars: Bars) -> None:
    _, rows = pipeline.signals(bars, SETTINGS, STRATEGIES)
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        again = from_body(to_body(row))
        assert again.id == row.id
        for name in ("thresholds", "volatility", "scalars", "weights", "learned"):
            assert np.array_equal(getattr(again, name), getattr(row, name), equal_nan=True)
    body = to_body(rows[-1])
    with pytest.raises(ValueError, match="has numbers of"):
        from_body({**body, "diversification": (2.0).hex()})
    with pytest.raises(ValueError, match="cannot be read"):
        from_body({"id": "x"})
