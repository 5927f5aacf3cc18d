"""The analysis agrees with the account it is about, and says nothing that it does not know."""

import json

import numpy as np
import pytest

from novapulse.research.analysis import analyse
from novapulse.strategies import STRATEGIES
from tests.research.runs import sample_run


def test_every_way_of_sharing_out_the_round_trips_adds_up_to_all_of_them():
    result, markets = sample_run()
    analysis = analyse(result, markets, STRATEGIES)
    assert set(analysis.attribution) == {"strategy", "regime", "hour", "exit", "instrument", "direction"}
    for name, groups in analysis.attribution.items():
        assert sum(row["trades"] for row in groups.values()) == result.round_trips.size > 20, name
        assert sum(row["pnl"] for row in groups.values()) == pytest.approx(result.round_trips["pnl"].sum()), name


def test_months_compound_to_the_return_and_the_deepest_drawdown_is_the_drawdown():
    result, markets = sample_run(bars=60_000)
    analysis = analyse(result, markets, STRATEGIES)
    assert len(analysis.months) == 2
    assert np.prod([1.0 + month["total_return"] for month in analysis.months]) == pytest.approx(
        1.0 + analysis.summary["total_return"]
    )
    assert analysis.drawdowns[0]["depth"] == pytest.approx(analysis.summary["max_drawdown"])


def test_what_was_refused_is_counted_as_the_result_counts_it():
    result, markets = sample_run()
    analysis = analyse(result, markets, STRATEGIES)
    refused = {one["reason"]: one for one in analysis.refused}
    assert sum(one["entries"] for one in analysis.refused) == result.denials.size > 0
    for name, bars in analysis.denials.items():
        assert refused[name]["bars"] == bars, name


def test_it_is_the_same_twice_and_fits_into_json():
    result, markets = sample_run()
    first, second = (analyse(result, markets, STRATEGIES).as_data() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert "result" not in first


def test_a_run_without_events_says_so_with_none():
    analysis = analyse(*sample_run(metrics_only=True), STRATEGIES)
    for name in ("by_strategy", "attribution", "stress", "monte_carlo"):
        assert getattr(analysis, name) is None, name
    assert (analysis.months, analysis.drawdowns, analysis.refused) == ((), (), ())
    assert analysis.verdict[0].startswith(("Lost", "Gained"))


def test_cold_bars_have_no_trades_no_ratios_and_a_sentence():
    analysis = analyse(*sample_run(bars=3_000), STRATEGIES)
    assert analysis.verdict[0] == "No round trip was closed in 2 days."
    assert "indicators are not warm yet" in analysis.verdict[1]
    assert analysis.monte_carlo is None
    for name in ("sqn", "payoff", "best_trade", "mae_r_median", "psr", "sharpe_low"):
        assert analysis.statistics[name] is None, name
