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
from novapulse.ui import panels
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
        assert (f'data-path="{figure.path}">{figure.text}<' in html) is not left_out
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
