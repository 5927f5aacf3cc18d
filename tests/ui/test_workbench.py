"""What a page computes with: kept parts change nothing, and figures and explanations are the command line's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse.config import Settings, load
from novapulse.core.bars import format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.research.inputs import open_lake
from novapulse.research.tearsheet.words import unparted
from novapulse.ui import backtest_page, panels, workbench
from novapulse.ui.jobs import CancelledError, Reporter
from novapulse.ui.workbench import Request, Workbench, open_workbench
from tests.cli.conftest import SYMBOLS, Cli


def quiet(done: int, total: int) -> None:
    """Listen to no progress."""


@pytest.fixture
def bench(lake: Path) -> Workbench:
    return open_workbench(quiet)


def asked(settings: dict[str, Any] | None = None, symbols: tuple[str, ...] = SYMBOLS) -> Request:
    return Request("binance", "1m", symbols, None, None, Settings.model_validate(settings or {}).backtest)


def test_the_pages_figures_are_those_of_the_command_line(bench: Workbench, cli: Cli):
    words = [word for symbol in SYMBOLS for word in ("--symbol", symbol)]
    outcome = bench.outcome(asked(), Reporter())
    printed = cli("backtest", *words, "--json")
    assert printed.code == 0, printed.err
    data = json.loads(json.dumps(outcome.analysis.as_data()))
    said = json.loads(printed.out)
    assert said["summary"]["trades"] > 0
    assert {key: data[key] for key in said} == said


def test_every_tile_shows_a_figure_of_the_data(bench: Workbench):
    data = bench.outcome(asked(), Reporter()).analysis.as_data()
    html = panels.tiles(data)
    for figure in panels.figures(data):
        assert figure.value == panels.at(data, figure.path)
        is_below = figure.path not in {tile.path for tile in panels.TILES}
        left_out = is_below and figure.value is None
        assert (f'data-path="{figure.path}">{unparted(figure.text)}<' in html) is not left_out
    assert len(panels.figures(data)) >= 2 * len(panels.TILES)


def test_an_unknown_figure_is_not_a_zero():
    html = panels.tiles({"summary": {"total_return": None}, "statistics": {}})
    assert html.count(">unknown<") == len(panels.TILES)
    assert html.count('<span class="np-below"></span>') == len(panels.TILES)


@pytest.mark.parametrize(
    "settings",
    [{"risk": {"stops": {"stop_atr": 3.0}}}, {"execution": {"slippage_bps": 9.0}}, {"capital": 500.0}],
    ids=lambda settings: next(iter(settings)),
)
def test_kept_signals_give_the_result_of_a_whole_run(lake: Path, bench: Workbench, settings: dict[str, Any]):
    bench.outcome(asked(), Reporter())
    kept = bench.outcome(asked(settings), Reporter())
    assert kept.kept_signals
    fresh = Workbench(load({}), open_lake(), quiet).outcome(asked(settings), Reporter())
    assert not fresh.kept_signals
    assert kept.analysis.as_data() == fresh.analysis.as_data()
    for name in ("fills", "round_trips", "denials", "equity", "reasons"):
        assert np.array_equal(getattr(kept.result, name), getattr(fresh.result, name))


def test_what_changes_the_votes_is_asked_anew(bench: Workbench):
    bench.outcome(asked(), Reporter())
    assert not bench.outcome(asked({"confluence": {"weights": {"trend": 1.0}}}), Reporter()).kept_signals
    assert not bench.outcome(asked(symbols=SYMBOLS[:1]), Reporter()).kept_signals
    assert not bench.outcome(replace(asked(), start="2024-01-03"), Reporter()).kept_signals


def test_a_cancelled_run_leaves_nothing_behind(bench: Workbench):
    reporter = Reporter()
    reporter.cancel()
    request = asked({"capital": 777.0})
    with pytest.raises(CancelledError):
        bench.outcome(request, reporter)
    assert bench.outcome(request, Reporter()).result.settings.capital == 777.0


def test_a_bar_is_explained_as_the_command_line_explains_it(bench: Workbench, cli: Cli):
    outcome = bench.outcome(asked(), Reporter())
    trip = outcome.result.round_trips[-1]
    fills = outcome.result.fills
    entry = int(fills["decision_ts_ns"][fills["round_trip"] == trip["number"]][0])
    key = outcome.result.instruments[int(trip["instrument"])].key
    for at_ns in (entry, int(outcome.markets.bars[key].ts_close_ns[-777])):
        at = format_ns(at_ns).replace(" ", "T")
        printed = cli("explain", "--exchange", "binance", "--of", key.symbol, "--at", at, "--json")
        assert printed.code == 0, printed.err
        record = {name: value for name, value in bench.explained(outcome, key, at_ns).items() if name != "lines"}
        assert json.loads(json.dumps(record)) == {
            name: value for name, value in json.loads(printed.out).items() if name in record
        }


def test_a_bar_that_does_not_exist_is_told_in_a_sentence(bench: Workbench):
    outcome = bench.outcome(asked(), Reporter())
    with pytest.raises(ValueError, match="no bar of BTC/USDT on binance closes at 1970"):
        bench.explained(outcome, InstrumentKey("binance", "BTC/USDT"), 1)


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_run_is_long_beyond_as_many_bars_as_follow_a_slider(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, limit: int
):
    whole = asked()
    bars = sum(len(one) for one in bench.markets(whole, Reporter()).bars.values())
    assert bench.bars_of(whole) == bars > 1_000
    monkeypatch.setattr(workbench, "FOLLOWED_BARS", bars + limit)
    assert bench.is_long(whole) is (limit < 0)
    assert not bench.is_long(asked(symbols=SYMBOLS[:1]))


def test_only_the_bars_of_the_period_count(bench: Workbench):
    (series,) = [one for one in bench.series() if (one.symbol, one.timeframe) == (SYMBOLS[0], "1m")]
    middle = format_ns((series.first_ns + series.last_ns) // 2 // 60_000_000_000 * 60_000_000_000)
    for start, end in ((None, None), (middle, None), (None, middle), ("2001-01-01T00:00:00Z", "2040-01-01T00:00:00Z")):
        request = replace(asked(symbols=SYMBOLS[:1]), start=start, end=end)
        (bars,) = bench.markets(request, Reporter()).bars.values()
        assert len(bars) <= bench.bars_of(request) <= series.bars
        if start == middle or end == middle:
            assert bench.bars_of(request) < series.bars
    assert bench.bars_of(replace(asked(), end="2001-01-01T00:00:00Z")) == 0


def test_beyond_it_no_slider_recomputes_but_a_button_does(
    bench: Workbench, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    ran: list[Request] = []
    outcome = Workbench.outcome
    monkeypatch.setattr(Workbench, "outcome", lambda *given: (ran.append(given[1]), outcome(*given))[1])
    monkeypatch.setattr(workbench, "FOLLOWED_BARS", 1_000)
    desk, views, pressed = backtest_page.open_desk(), list[backtest_page.View](), list[Request]()
    first, moved = (backtest_page.Asked(asked({"capital": capital}), ()) for capital in (10_000, 11_000))

    def start(now: backtest_page.Asked) -> str:
        last = pressed[-1] if pressed else None
        return str(backtest_page.start(desk, now, views.append, last, pressed.append).text)

    assert start(first) == ""
    assert ran == [first.request], "a page opens with figures"
    assert "more than" in start(moved)
    assert desk.go is not None
    assert ran == [first.request], "a slider was moved, and nothing was computed"
    desk.go._on_click(None)
    assert pressed == [moved.request]
    assert start(moved) == ""
    assert ran == [first.request, moved.request]
    assert [one.outcome.request for one in views if one.outcome] == ran
    monkeypatch.setattr(workbench, "FOLLOWED_BARS", 10**9)
    assert start(first) == ""
    assert len(ran) == 3, "fewer bars follow"


def test_amounts_of_money_name_their_currency_and_words_of_a_table_begin_at_their_left(bench: Workbench):
    """Bugs: nothing said in what the final equity and the fees were; what a book is for stood at the right edge."""
    html = panels.tiles(bench.outcome(asked(), Reporter()).analysis.as_data())
    assert [html.count(f'np-below">USDT, {what} ') for what in ("turned over", "slippage")] == [1, 1]
    table = panels.table(
        ("Book", "Amount", "What it is"), [("cash", "+5.00", "free money"), ("fees", "\u22121.2", "paid")]
    )
    assert '<td>+5.00</td><td class="np-words">free money</td>' in table
    assert '<th class="np-words">What it is</th>' in table
    assert "np-words" not in panels.table(("A", "B"), [("1", "2 %"), ("0.5", "\u2014")])
    assert "<th>A</th>" in panels.table(("A",), [])
