"""A backtest in a few plain sentences: what came out, what it cost, and how little one may believe it.

Every sentence gives the number it speaks of, and none is left out because it would please.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from novapulse.backtest import Result
from novapulse.core.bars import DAY_NS
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.stress import BEST_TRIPS, LUCK
from novapulse.stats.sharpe import OBSERVATIONS_MIN

ROUND_TRIPS_MIN = 100
"""Round trips below which a result says little (the promotion gate asks for as many)."""

_COLD_SHOWN_FRACTION = 0.1
_DAYS_SHOWN_MAX = 1_000


def verdict(result: Result, parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences; the first is the headline.

    Args:
        result: The backtest.
        parts: The parts of its analysis: summary, statistics, stress, bands, monte_carlo.
    """
    return tuple(_sentences(result, parts))


def _sentences(result: Result, parts: Mapping[str, Any]) -> Iterator[str]:
    summary = parts["summary"]
    yield _headline(result, summary)
    yield from _open(result)
    yield from _why_so_little(result, summary)
    if summary["fills"] == 0:
        return
    yield from _costs(result, summary)
    yield from _bands(parts["bands"])
    yield from _luck(parts["stress"], summary["trades"])
    yield from _depth(summary, parts["monte_carlo"])
    yield from _belief(summary, parts["statistics"] or {"days": result.track_days})


def _headline(result: Result, summary: Mapping[str, Any]) -> str:
    total, trips = summary["total_return"], summary["trades"]
    came_out = f"{'Gained' if total > 0 else 'Lost' if total < 0 else 'Kept'} {_percent(abs(total))} {_span(result)}"
    if total <= -1.0:
        came_out = f"Lost everything {_span(result)}"
    if trips == 0:
        return f"{came_out}: no round trip was closed." if summary["fills"] else f"No order was filled {_span(result)}."
    each = summary["expectancy_r"]
    per_trip = f", {_plain(each)} R each after costs" if each is not None else ""
    return f"{came_out}: {_count(trips, 'round trip')}, {_percent(summary['win_rate'], 0)} won{per_trip}."


def _span(result: Result) -> str:
    days = float(result.tally["last_ts_ns"] - result.tally["first_ts_ns"]) / DAY_NS
    if days == 0:
        return "on a single bar"
    return f"in {days:,.0f} days" if days >= 2 else f"in {24 * days:,.1f} hours"


def _open(result: Result) -> Iterator[str]:
    held: dict[int, int] = {}
    for fill in result.fills:
        held[int(fill.instrument)] = held.get(int(fill.instrument), 0) + int(fill.side) * int(fill.qty_units)
    names = [result.instruments[number].key.symbol for number, units in sorted(held.items()) if units]
    if names:
        yield f"{_listed(names)} {'is' if len(names) == 1 else 'are'} still held and counted at the last close."


def _why_so_little(result: Result, summary: Mapping[str, Any]) -> Iterator[str]:
    decisions = result.decisions()
    taken = max(sum(decisions.values()), 1)
    cold = decisions.get(Reason.NOT_WARM.name, 0) / taken
    if cold >= _COLD_SHOWN_FRACTION:
        yield (
            f"Nothing could be decided on {_percent(cold, 0)} of the bars, whose indicators were not warm yet; "
            "rates and ratios begin behind them."
        )
    elif summary["fills"] == 0 and decisions:
        name, count = next(iter(decisions.items()))
        share = _percent(count / taken, 0)
        yield f"The most frequent reason, on {share} of all decisions: {REASON_TEXT[Reason[name]]}."


def _costs(result: Result, summary: Mapping[str, Any]) -> Iterator[str]:
    quote, fees, slippage = result.instruments[0].quote, summary["fees"], summary["slippage"]
    free = summary["total_return"] + (fees + slippage) / result.settings.capital
    paid = f"Fees and slippage took {fees + slippage:,.2f} {quote}"
    if fees + slippage < 0 <= fees:
        paid = f"Fees took {fees:,.2f} {quote} and better prices brought {-slippage:,.2f}"
    elif fees < 0:
        paid = f"Rebates brought {-fees:,.2f} {quote} and slippage took {slippage:,.2f}"
    yield f"{paid}; the same fills free of both would have made {_signed(free)}."
    breaks_even = summary["break_even_slippage_bps"]
    if breaks_even is not None and breaks_even <= 0:
        yield "It loses even without any slippage."
    elif breaks_even is not None:
        yield f"It breaks even at {breaks_even:.1f} bps of slippage over all that is traded."


def _bands(bands: Mapping[str, Any]) -> Iterator[str]:
    never, always = bands["pessimistic"]["total_return"], bands["optimistic"]["total_return"]
    if never != always:
        yield f"If a touched limit order never filled it would be {_signed(never)}, if it always did {_signed(always)}."


def _luck(stress: Mapping[str, Any] | None, trips: int) -> Iterator[str]:
    told = [
        f"{_signed(stress[name]['total_return'])} {text}"
        for name, text in LUCK.items()
        if stress and name in stress and name != "as_tested" and (name != "without_best_five" or trips > BEST_TRIPS)
    ]
    if told:
        yield f"It would be {_listed(told)}."


def _depth(summary: Mapping[str, Any], monte_carlo: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"The deepest drawdown was {_percent(summary['max_drawdown'])}."
    if monte_carlo is not None:
        likely = monte_carlo["resampled"]["max_drawdown"]["high"]
        own = _percent(monte_carlo["max_drawdown_at_exits"])
        yield (
            f"Round trips alone, each counted at its exit, fell by {own}; of "
            f"{monte_carlo['paths']:,} histories resampled from them one in twenty falls by more than "
            f"{_percent(likely)}."
        )


def _belief(summary: Mapping[str, Any], statistics: Mapping[str, Any]) -> Iterator[str]:
    days, trips = statistics.get("days"), summary["trades"]
    psr, low, high = (statistics.get(name) for name in ("psr", "sharpe_low", "sharpe_high"))
    if summary["sharpe"] is None:
        yield "There is no yearly ratio: too few days, too many without bars, or an account that lost everything."
    elif psr is None:
        yield f"Sharpe ratio {summary['sharpe']:+.2f} a year."
    else:
        between = "" if low is None or high is None else f" (95 % interval {low:+.1f} to {high:+.1f})"
        yield (
            f"Sharpe ratio {summary['sharpe']:+.2f} a year{between}. Were the true one zero, {_chance(psr)} of such "
            "records would look worse, if this was the only one tried."
        )
    if days is None:
        return
    needed = max(OBSERVATIONS_MIN, statistics.get("min_track_record_days") or 0.0)
    if days < needed or trips < ROUND_TRIPS_MIN:
        yield (
            f"Too little to judge by: {_count(days, 'daily return')} and {_count(trips, 'round trip')}, where "
            f"{_length(needed)} and {ROUND_TRIPS_MIN} are the least."
        )


def _length(days: float) -> str:
    return f"{days:,.0f}" if days <= _DAYS_SHOWN_MAX else f"{days:,.0f} ({days / 365.25:,.0f} years of days)"


def _percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:,.{digits}f} %"


def _signed(fraction: float) -> str:
    return f"{_plain(100 * fraction)} %"


def _plain(value: float) -> str:
    # Adding zero turns the -0.00 of a tiny loss into +0.00.
    return f"{round(value, 2) + 0.0:+,.2f}"


def _chance(probability: float) -> str:
    # 0 % and 100 % would claim what no sample can.
    if probability < 0.01:
        return "under 1 %"
    return "over 99 %" if probability > 0.99 else _percent(probability, 0)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
