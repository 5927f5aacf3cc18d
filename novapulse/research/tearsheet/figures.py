"""What each figure of an analysis is called, how it is written and what it means, and the groups they stand in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from novapulse.research.tearsheet.words import (
    BARS,
    BPS,
    COUNT,
    DAYS,
    HOURS,
    MONEY,
    MONEY_RESULT,
    NUMBER,
    R_PLAIN,
    R_RESULT,
    RESULT,
    SHARE,
    SHARE_FINE,
    TURNS,
    Figure,
    Kind,
    figure,
    plain,
)

Values = Mapping[str, Any]


class Meaning(NamedTuple):
    """Name of a figure for people, how it is written, and what it says."""

    label: str
    kind: Kind
    hint: str = ""


MEANINGS: dict[str, Meaning] = {
    "total_return": Meaning("Return", RESULT),
    "cagr": Meaning("Return a year", RESULT, "compounded"),
    "final_equity": Meaning("Final equity", MONEY),
    "sharpe": Meaning("Sharpe ratio", NUMBER, "daily return by its deviation, a year"),
    "sharpe_low": Meaning("Sharpe, low end", NUMBER, "95 % interval"),
    "sharpe_high": Meaning("Sharpe, high end", NUMBER, "95 % interval"),
    "psr": Meaning(
        "Probabilistic Sharpe ratio", SHARE_FINE, "records of a strategy without edge that would look worse"
    ),
    "min_track_record_days": Meaning("Minimum track record", DAYS, "days until that share is 95 %"),
    "days": Meaning("Days", COUNT, "daily returns these ratios rest on"),
    "skew": Meaning("Skew of daily returns", NUMBER, "below 0: losses are the larger ones"),
    "kurtosis": Meaning("Kurtosis of daily returns", NUMBER, "3 is that of a normal spread"),
    "market_return": Meaning("Market itself", RESULT, "equal shares held from the first warm bar"),
    "alpha": Meaning("Alpha a year", RESULT, "what the market does not explain"),
    "beta": Meaning("Beta", NUMBER, "share of the market's moves taken along"),
    "sortino": Meaning("Sortino ratio", NUMBER, "by the deviation of losses only"),
    "calmar": Meaning("Calmar ratio", NUMBER, "return a year by deepest drawdown"),
    "volatility": Meaning("Volatility", SHARE, "a year"),
    "max_drawdown": Meaning("Deepest drawdown", SHARE, "below the highest equity so far"),
    "max_drawdown_bars": Meaning("Longest under water", BARS),
    "exposure": Meaning("Exposure", SHARE, "average position by equity"),
    "time_in_market": Meaning("Time in the market", SHARE_FINE),
    "turnover": Meaning("Turnover", TURNS, "equity traded a year"),
    "trades": Meaning("Round trips", COUNT),
    "win_rate": Meaning("Won", SHARE_FINE),
    "profit_factor": Meaning("Profit factor", NUMBER, "gains by losses; above 1 earns"),
    "payoff": Meaning("Payoff", NUMBER, "average gain by average loss"),
    "expectancy": Meaning("Average result", MONEY_RESULT),
    "expectancy_r": Meaning("Average result in R", R_RESULT, "R: what is lost at the stop"),
    "average_win": Meaning("Average gain", MONEY_RESULT),
    "average_loss": Meaning("Average loss", MONEY_RESULT),
    "sqn": Meaning("System quality number", NUMBER, "average R by its deviation, times the root of the count"),
    "longest_losing_streak": Meaning("Most losses in a row", COUNT),
    "longest_winning_streak": Meaning("Most gains in a row", COUNT),
    "best_trade": Meaning("Best", MONEY_RESULT),
    "worst_trade": Meaning("Worst", MONEY_RESULT),
    "hours_held_average": Meaning("Held on average", HOURS),
    "hours_held_median": Meaning("Held, median", HOURS),
    "bars_held_average": Meaning("Bars held on average", NUMBER),
    "edge_ratio": Meaning("Best by worst moment", NUMBER, "average excursion for the entry by that against it"),
    "mae_r_median": Meaning("Typical worst moment", R_PLAIN, "median excursion against the entry"),
    "mfe_r_median": Meaning("Typical best moment", R_PLAIN, "median excursion for the entry"),
    "fees": Meaning("Fees", MONEY),
    "slippage": Meaning("Spread and slippage", MONEY),
    "fills": Meaning("Fills", COUNT),
    "maker_share": Meaning("Filled as maker", SHARE_FINE),
    "break_even_slippage_bps": Meaning("Break-even slippage", BPS, "below 0: loses even without any"),
    "under_water_trades": Meaning("Longest under water, round trips", COUNT),
    "pnl": Meaning("Result", MONEY_RESULT),
    "average_r": Meaning("Average R", R_RESULT),
    "total_r": Meaning("In all", R_RESULT),
    "ruin_probability": Meaning("Chance of ruin", SHARE),
    "depth": Meaning("Depth", SHARE),
}

_BY_ENDING = {"_bps": BPS, "_bars": BARS, "_days": DAYS, "_r": R_RESULT}
_BY_WORD = {"return": RESULT, "rate": SHARE, "share": SHARE, "probability": SHARE, "drawdown": SHARE, "streak": COUNT}


def meaning(name: str) -> Meaning:
    """Return what a figure is called; one that is not known here is named and written by the parts of its name."""
    if name in MEANINGS:
        return MEANINGS[name]
    kind = next((kind for ending, kind in _BY_ENDING.items() if name.endswith(ending)), None)
    kind = kind or next((kind for word, kind in _BY_WORD.items() if word in name.split("_")), NUMBER)
    return Meaning(plain(name), kind)


@dataclass(frozen=True, slots=True)
class Item:
    """A figure with its name and what it says."""

    label: str
    hint: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that belong together."""

    title: str
    items: list[Item]


_GROUPS = {
    "Return": "total_return cagr final_equity market_return alpha beta volatility sharpe sortino calmar",
    "How sure": "sharpe_low sharpe_high psr min_track_record_days days skew kurtosis",
    "Round trips": "trades win_rate profit_factor payoff expectancy expectancy_r average_win average_loss sqn "
    "best_trade worst_trade mae_r_median mfe_r_median edge_ratio",
    "Time held": "hours_held_average hours_held_median bars_held_average",
    "Risk": "max_drawdown max_drawdown_bars exposure time_in_market turnover longest_losing_streak "
    "longest_winning_streak",
    "Costs": "fees slippage fills maker_share break_even_slippage_bps",
}
_TILES = ("total_return", "max_drawdown", "sharpe", "profit_factor", "win_rate", "expectancy_r")


def tiles(summary: Values) -> list[Item]:
    """Return the handful of figures that are looked at first."""
    return [_item("summary", name, summary[name]) for name in _TILES if name in summary]


def groups(summary: Values, statistics: Values) -> list[Group]:
    """Return all figures of the account in groups; none is left out."""
    places = {**{name: "statistics" for name in statistics}, **{name: "summary" for name in summary}}
    both = {**statistics, **summary}
    grouped = {title: [name for name in names.split() if name in both] for title, names in _GROUPS.items()}
    listed = {name for names in grouped.values() for name in names}
    grouped["Also"] = [name for name in both if name not in listed and not isinstance(both[name], Mapping | list)]
    return [
        Group(title, [_item(places[name], name, both[name]) for name in names])
        for title, names in grouped.items()
        if names
    ]


def row_figures(path: str, row: Values, names: tuple[str, ...]) -> Iterator[Figure]:
    """Yield some figures of one row of data."""
    for name in names:
        yield figure(f"{path}.{name}", row.get(name), meaning(name).kind)


def _item(place: str, name: str, value: Any) -> Item:
    what = meaning(name)
    return Item(what.label, what.hint, figure(f"{place}.{name}", value, what.kind))
