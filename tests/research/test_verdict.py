"""The sentences say what the figures say, gain or loss, and hold back where the record is short."""

from types import SimpleNamespace

import pytest

from novapulse.core.bars import DAY_NS
from novapulse.research.verdict import verdict


def told(total=0.05, *, days=200.0, trades=150, psr=0.9, stress=None, monte_carlo=None, **summary):
    result = SimpleNamespace(
        tally={"first_ts_ns": 0, "last_ts_ns": int(days * DAY_NS)},
        instruments=(SimpleNamespace(quote="USD"),),
        settings=SimpleNamespace(capital=1_000.0),
        decisions=lambda: {"NO_SIGNAL": 3, "NOT_WARM": 1},
    )
    figures = {
        "total_return": total,
        "trades": trades,
        "win_rate": 0.5,
        "expectancy_r": 0.1,
        "fees": 20.0,
        "slippage": 10.0,
        "break_even_slippage_bps": 12.0,
        "max_drawdown": 0.03,
        "sharpe": 1.5,
        **summary,
    }
    parts = {
        "summary": figures,
        "statistics": {
            "days": days,
            "psr": psr,
            "sharpe_low": -0.5,
            "sharpe_high": 3.0,
            "min_track_record_days": 400.0,
        },
        "stress": stress,
        "bands": {name: {"total_return": total} for name in ("pessimistic", "base", "optimistic")},
        "monte_carlo": monte_carlo,
    }
    return verdict(result, parts)


@pytest.mark.parametrize(("total", "word"), [(0.05, "Gained 5.00 %"), (-0.05, "Lost 5.00 %"), (0.0, "Kept 0.00 %")])
def test_the_headline_is_what_came_out(total, word):
    assert told(total)[0] == f"{word} in 200 days: 150 round trips, 50 % won, +0.10 R each after costs."


def test_costs_are_put_beside_what_they_took():
    text = " ".join(told(-0.01))
    assert "took 30.00 USD; the same fills free of cost would have made +2.00 %" in text
    assert "loses even without any slippage" in " ".join(told(-0.01, break_even_slippage_bps=-1.0))


def test_luck_that_is_needed_is_named():
    stress = {
        "as_tested": {"total_return": 0.05},
        "double_costs": {"total_return": 0.01},
        "one_bar_late": {"total_return": -0.01},
        "without_best_five": {"total_return": -0.02},
    }
    text = " ".join(told(0.05, stress=stress))
    assert (
        "It is gone one bar late and without its best five round trips; it stays above zero with twice the costs."
        in text
    )
    assert "It is gone" not in " ".join(told(-0.05, stress=stress))


def test_a_short_record_is_called_short_and_a_long_one_is_not():
    assert not any("Too little to judge" in sentence for sentence in told())
    assert told(days=30.0)[-1].startswith("Too little to judge by: 30")
    assert "400 days would be needed" in told(days=30.0)[-1]
    assert any("150 and 100" not in s and "12 round trips" in s for s in told(trades=12)[1:])


def test_bars_before_the_indicators_were_warm_are_told():
    assert "Nothing could be decided on 25 % of the bars: their indicators were not warm yet." in told()


@pytest.mark.parametrize(("psr", "said"), [(0.0, "under 1 %"), (0.42, "42 %"), (1.0, "over 99 %")])
def test_no_sample_is_certain(psr, said):
    assert f"above zero is {said}." in " ".join(told(psr=psr))


def test_no_ratio_is_no_zero():
    text = " ".join(told(sharpe=None, psr=None))
    assert "Sharpe ratio" not in text
    assert "for a yearly ratio" in text


def test_without_a_trade_it_says_why():
    first, why = told(trades=0)
    assert first == "No round trip was closed in 200 days."
    assert why.startswith("The most frequent reason, on 75 % of all decisions:")
