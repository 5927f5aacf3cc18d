"""The sentences say what the figures say, whatever came out, and hold back where the record is short."""

import numpy as np
import pytest

from novapulse.backtest import BacktestSettings, Result
from novapulse.backtest.tally import new_tally
from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.core.records import DENIAL, FILL, ROUND_TRIP, Reason
from novapulse.research.verdict import verdict
from tests.backtest.builders import START_NS, instrument

DECISIONS = {Reason.NO_SIGNAL: 75, Reason.HOLDING: 20, Reason.NOT_WARM: 5}


def result_of(*, span_ns=200 * DAY_NS, held=(), decisions=DECISIONS, track_days=200) -> Result:
    """A result with so much of an account as a verdict looks at; `held` are (instrument, side, units) of fills."""
    tally = new_tally(1_000.0, 100.0)[0]
    tally.first_ts_ns, tally.last_ts_ns = START_NS, START_NS + span_ns
    tally.warm_ts_ns, tally.days, tally.cold_days = START_NS + 1, track_days + 6, 7
    fills = np.zeros(len(held), FILL)
    for fill, (number, side, units) in zip(fills, held, strict=True):
        fill.instrument, fill.side, fill.qty_units = number, side, units
    reasons = np.zeros((2, len(Reason)), np.int64)
    for reason, count in decisions.items():
        reasons[:, reason] = count
    return Result(
        settings=BacktestSettings(capital=1_000.0),
        instruments=(instrument("BTC/USD"), instrument("ETH/USD")),
        strategies=("a",),
        fills=fills,
        round_trips=np.zeros(0, ROUND_TRIP),
        denials=np.zeros(0, DENIAL),
        equity=np.zeros(0),
        equity_ts_ns=np.zeros(0, np.int64),
        reasons=reasons,
        tally=tally,
        days_per_year=365.25,
    )


def told(
    total=0.0512,
    *,
    never=0.031,
    always=0.074,
    late=0.021,
    stress=True,
    monte_carlo=True,
    statistics=True,
    psr=0.914,
    needed=180.0,
    days=200,
    interval=(-0.52, 3.04),
    result=None,
    **summary,
) -> tuple[str, ...]:
    """The verdict on an account of 1,000 USD; every figure differs from every other."""
    figures = {
        "total_return": total,
        "trades": 150,
        "fills": 300,
        "win_rate": 0.53,
        "expectancy_r": 0.104,
        "fees": 20.5,
        "slippage": 10.2,
        "break_even_slippage_bps": 12.34,
        "max_drawdown": 0.0321,
        "sharpe": 1.57,
        **summary,
    }
    luck = {
        "as_tested": {"total_return": total},
        "double_costs": {"total_return": 0.011},
        "one_bar_late": {"total_return": late},
        "without_best_five": {"total_return": -0.022},
    }
    quantiles = {"low": 0.011, "median": 0.041, "high": 0.0872}
    drawn = {
        "paths": 1_000,
        "max_drawdown_at_exits": 0.0287,
        "resampled": {"max_drawdown": quantiles},
        "permuted": {"max_drawdown": {name: 2 * value for name, value in quantiles.items()}},
    }
    known = {
        "days": days,
        "psr": psr,
        "sharpe_low": interval[0],
        "sharpe_high": interval[1],
        "min_track_record_days": needed,
    }
    parts = {
        "summary": figures,
        "statistics": known if statistics else None,
        "stress": luck if stress else None,
        "bands": {
            "pessimistic": {"total_return": never},
            "base": {"total_return": total},
            "optimistic": {"total_return": always},
        },
        "monte_carlo": drawn if monte_carlo else None,
    }
    return verdict(result or result_of(), parts)


HEADLINE = "Gained 5.12 % in 200 days: 150 round trips, 53 % won, +0.10 R each after costs."
COSTS = "Fees and slippage took 30.70 USD; the same fills free of both would have made +8.19 %."
BREAK_EVEN = "It breaks even at 12.3 bps of slippage over all that is traded."
BANDS = "If a touched limit order never filled it would be +3.10 %, if it always did +7.40 %."
LUCK = "It would be +1.10 % with twice the costs, +2.10 % one bar late and -2.20 % without its best five round trips."
DEPTH = (
    "The deepest drawdown was 3.21 %.",
    "Round trips alone, each counted at its exit, fell by 2.87 %; of 1,000 histories resampled from them one in twenty "
    "falls by more than 8.72 %.",
)
SURE = (
    "Sharpe ratio +1.57 a year (95 % interval -0.5 to +3.0). Were the true one zero, 91 % of such records would look "
    "worse, if this was the only one tried."
)
NO_RATIO = "There is no yearly ratio: too few days, too many without bars, or an account that lost everything."


def test_a_gain_over_a_long_record_has_no_warning():
    assert told() == (HEADLINE, COSTS, BREAK_EVEN, BANDS, LUCK, *DEPTH, SURE)


def test_a_loss_is_as_plain_and_pays_for_its_costs():
    assert told(-0.0512, never=-0.06, always=-0.04, late=-0.0000001, break_even_slippage_bps=-3.0, psr=0.004) == (
        "Lost 5.12 % in 200 days: 150 round trips, 53 % won, +0.10 R each after costs.",
        "Fees and slippage took 30.70 USD; the same fills free of both would have made -2.05 %.",
        "It loses even without any slippage.",
        "If a touched limit order never filled it would be -6.00 %, if it always did -4.00 %.",
        "It would be +1.10 % with twice the costs, +0.00 % one bar late and -2.20 % without its best five round trips.",
        *DEPTH,
        SURE.replace("91 %", "under 1 %"),
    )


def test_rebates_are_brought_and_no_cost():
    assert told(fees=-20.5, never=0.0512, always=0.0512, stress=False, monte_carlo=False) == (
        HEADLINE,
        "Rebates brought 20.50 USD and slippage took 10.20; the same fills free of both would have made +4.09 %.",
        BREAK_EVEN,
        DEPTH[0],
        SURE,
    )


NOTHING = {"total": 0.0, "trades": 0, "fills": 0, "win_rate": None, "expectancy_r": None, "sharpe": None}


def test_without_a_fill_it_says_why_and_no_more():
    assert told(**NOTHING) == (
        "No order was filled in 200 days.",
        "The most frequent reason, on 75 % of all decisions: the consensus is weaker than the entry threshold.",
    )
    cold = result_of(decisions={Reason.NO_SIGNAL: 1, Reason.NOT_WARM: 3})
    assert told(**NOTHING, result=cold) == (
        "No order was filled in 200 days.",
        "Nothing could be decided on 75 % of the bars, whose indicators were not warm yet; "
        "rates and ratios begin behind them.",
    )


def test_a_single_bar_has_no_days():
    assert told(**NOTHING, result=result_of(span_ns=0, decisions={})) == ("No order was filled on a single bar.",)


def test_a_position_that_never_closed_is_counted_and_no_round_trip():
    """Of what was bought and sold of the other instrument nothing is left."""
    held = result_of(held=[(0, 1, 500), (1, -1, 70), (1, 1, 70)])
    assert told(trades=0, fills=3, win_rate=None, expectancy_r=None, monte_carlo=False, result=held) == (
        "Gained 5.12 % in 200 days: no round trip was closed.",
        "BTC/USD is still held and counted at the last close.",
        COSTS,
        BREAK_EVEN,
        BANDS,
        "It would be +1.10 % with twice the costs and +2.10 % one bar late.",
        DEPTH[0],
        SURE,
        "Too little to judge by: 200 daily returns and 0 round trips, where 180 and 100 are the least.",
    )
    both = told(result=result_of(held=[(1, -1, 70), (0, 1, 500), (0, -1, 499)]))
    assert both[1] == "BTC/USD and ETH/USD are still held and counted at the last close."


def test_an_account_that_is_wiped_out_has_lost_everything():
    ruined = {"max_drawdown": 1.0, "sharpe": None, "break_even_slippage_bps": -90.0}
    expected = (
        "Lost everything in 200 days: 150 round trips, 53 % won, +0.10 R each after costs.",
        "Fees and slippage took 30.70 USD; the same fills free of both would have made -96.93 %.",
        "It loses even without any slippage.",
        "If a touched limit order never filled it would be -90.00 %, if it always did -95.00 %.",
        LUCK,
        "The deepest drawdown was 100.00 %.",
        NO_RATIO,
    )
    assert told(-1.0, never=-0.9, always=-0.95, monte_carlo=False, psr=None, needed=None, **ruined) == expected
    assert told(-1.2, monte_carlo=False, psr=None, needed=None, **ruined)[0] == expected[0]


def test_nothing_gained_and_nothing_lost_is_kept():
    assert told(0.0)[0] == "Kept 0.00 % in 200 days: 150 round trips, 53 % won, +0.10 R each after costs."
    assert told(expectancy_r=None)[0] == "Gained 5.12 % in 200 days: 150 round trips, 53 % won."


def test_a_short_record_is_called_short():
    short = result_of(span_ns=30 * DAY_NS)
    assert told(days=30, trades=12, needed=None, interval=(None, None), result=short) == (
        HEADLINE.replace("200 days: 150", "30 days: 12"),
        COSTS,
        BREAK_EVEN,
        BANDS,
        LUCK,
        *DEPTH,
        SURE.replace(" (95 % interval -0.5 to +3.0)", ""),
        "Too little to judge by: 30 daily returns and 12 round trips, where 120 and 100 are the least.",
    )


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"trades": 99}, "200 daily returns and 99 round trips, where 180 and 100 are the least."),
        ({"trades": 1, "days": 1}, "1 daily return and 1 round trip, where 180 and 100 are the least."),
        ({"needed": 201.0}, "200 daily returns and 150 round trips, where 201 and 100 are the least."),
        (
            {"needed": 3_652.5},
            "200 daily returns and 150 round trips, where 3,652 (10 years of days) and 100 are the least.",
        ),
        ({"days": 119, "needed": 5.0}, "119 daily returns and 150 round trips, where 120 and 100 are the least."),
    ],
)
def test_what_would_be_the_least_is_told(figures, said):
    assert told(**figures)[-1] == f"Too little to judge by: {said}"


def test_as_much_as_is_needed_is_enough():
    assert told(trades=100, days=180)[-1] == SURE


@pytest.mark.parametrize(("trades", "is_told"), [(0, False), (5, False), (6, True)])
def test_without_the_best_five_only_where_there_are_more(trades, is_told):
    (luck,) = [sentence for sentence in told(trades=trades) if sentence.startswith("It would be ")]
    assert luck == (LUCK if is_told else "It would be +1.10 % with twice the costs and +2.10 % one bar late.")


def test_touched_limits_are_told_where_they_matter_at_all():
    assert BANDS in told(never=0.031, always=0.074)
    swapped = "If a touched limit order never filled it would be +7.40 %, if it always did +3.10 %."
    assert swapped in told(never=0.074, always=0.031)
    assert not [sentence for sentence in told(never=0.07, always=0.07) if "touched" in sentence]


@pytest.mark.parametrize(
    ("psr", "said"),
    [(0.0, "under 1 %"), (0.0099, "under 1 %"), (0.01, "1 %"), (0.42, "42 %"), (0.99, "99 %"), (0.9901, "over 99 %")],
)
def test_no_sample_is_certain(psr, said):
    assert told(psr=psr)[-1] == SURE.replace("91 %", said)


def test_an_unknown_ratio_is_named_and_one_without_its_chance_stands_alone():
    assert told(sharpe=None, psr=None) == (*told()[:-1], NO_RATIO)
    assert told(psr=None) == (*told()[:-1], "Sharpe ratio +1.57 a year.")


def test_a_metrics_only_run_says_what_it_knows():
    known = (HEADLINE, COSTS, BREAK_EVEN, BANDS, DEPTH[0], "Sharpe ratio +1.57 a year.")
    totals = {"stress": False, "monte_carlo": False, "statistics": False}
    assert told(**totals) == known
    least = "where 120 and 100 are the least."
    short = result_of(track_days=119)
    assert told(**totals, result=short)[-1] == (
        f"Too little to judge by: 119 daily returns and 150 round trips, {least}"
    )
    assert told(**totals, trades=7)[-1] == f"Too little to judge by: 200 daily returns and 7 round trips, {least}"


@pytest.mark.parametrize(("cold", "is_told"), [(9, False), (10, True)])
def test_cold_bars_are_told_from_a_tenth_on(cold, is_told):
    result = result_of(decisions={Reason.HOLDING: 100 - cold, Reason.NOT_WARM: cold})
    sentence = (
        "Nothing could be decided on 10 % of the bars, whose indicators were not warm yet; "
        "rates and ratios begin behind them."
    )
    assert told(result=result) == (HEADLINE, *([sentence] * is_told), *told()[1:])


@pytest.mark.parametrize(
    ("span_ns", "words"),
    [
        (90 * MINUTE_NS, "in 1.5 hours"),
        (2 * DAY_NS - MINUTE_NS, "in 48.0 hours"),
        (2 * DAY_NS, "in 2 days"),
        (1_234 * DAY_NS, "in 1,234 days"),
    ],
)
def test_the_span_is_in_days_or_in_hours(span_ns, words):
    assert told(result=result_of(span_ns=span_ns))[0] == HEADLINE.replace("in 200 days", words)
