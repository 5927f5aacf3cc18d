"""Everything a tear sheet shows, in the order it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from novapulse.backtest.result import Result
from novapulse.core.words import counted
from novapulse.research.inputs import Markets
from novapulse.research.tearsheet import tables
from novapulse.research.tearsheet.charts import Chart, equity_charts, price_chart
from novapulse.research.tearsheet.distributions import excursion_scatter, holding_histogram, r_histogram
from novapulse.research.tearsheet.figures import Group, Item, groups, tiles
from novapulse.research.tearsheet.settings import Section, Setting, changed, sections
from novapulse.research.tearsheet.tables import Table, Year
from novapulse.research.tearsheet.words import day

_SYMBOLS_NAMED = 6
_PRICES_DRAWN = 12


@dataclass(frozen=True, slots=True)
class Page:
    """The parts of a tear sheet; an empty part is told in words."""

    title: str
    period: str
    quote: str
    headline: str
    verdict: list[str]
    notes: list[str]
    tiles: list[Item]
    equity: list[Chart]
    groups: list[Group]
    stress: Table | None
    bands: Table | None
    years: list[Year]
    prices: list[Chart]
    prices_left: str
    attribution: list[Table]
    distributions: list[Chart]
    monte_carlo: list[Table]
    chance_words: str
    refused: Table | None
    drawdowns: Table | None
    has_events: bool
    sections: list[Section]
    changed: list[Setting]
    settings_hash: str
    data_hash: str
    data: Table
    data_words: str


def laid_out(data: Mapping[str, Any], result: Result, markets: Markets) -> Page:
    """Return the parts of a tear sheet.

    Args:
        data: What `--json` prints.
        result: Curves and round trips.
        markets: The bars it ran on.
    """
    quote = result.instruments[0].quote
    headline, *more = data["verdict"] or ["There is no verdict on this run."]
    settings = sections(result.settings)
    has_events = data["by_strategy"] is not None
    return Page(
        title=_title(data["data"]["instruments"]),
        period=f"{day(data['data']['start'])} to {day(data['data']['end'])}, {data['data']['timeframe']} bars",
        quote=quote,
        headline=headline,
        verdict=more,
        notes=list(data["notes"]),
        tiles=tiles(data["summary"]),
        equity=equity_charts(result, quote),
        groups=groups(data["summary"], data["statistics"] or {}),
        stress=tables.stress(data["stress"]),
        bands=tables.bands(data["bands"]),
        years=tables.months(data["months"] or [], data["years"] or []),
        prices=_prices(result, markets) if has_events else [],
        prices_left=_prices_left(result) if has_events else "",
        attribution=tables.attribution(data["attribution"], quote),
        distributions=_distributions(result) if has_events else [],
        monte_carlo=tables.monte_carlo(data["monte_carlo"]),
        chance_words=_chance_words(data["monte_carlo"]),
        refused=tables.refused(data["refused"] or [], data["denials"]),
        drawdowns=tables.drawdowns(data["drawdowns"] or []),
        has_events=has_events,
        sections=settings,
        changed=changed(settings),
        settings_hash=data["settings_hash"],
        data_hash=data["data"]["hash"],
        data=tables.series(data["data"]),
        data_words=_data_words(data["data"]),
    )


def _title(instruments: list[Mapping[str, Any]]) -> str:
    symbols = [one["symbol"] for one in instruments]
    more = len(symbols) - _SYMBOLS_NAMED
    named = ", ".join(symbols[:_SYMBOLS_NAMED]) + (f" and {more} more" if more > 0 else "")
    exchanges = ", ".join(dict.fromkeys(one["exchange"] for one in instruments))
    return f"{named} on {exchanges}"


def _prices(result: Result, markets: Markets) -> list[Chart]:
    trips = result.round_trips
    return [
        price_chart(
            number,
            result.instruments[number],
            markets.bars[result.instruments[number].key],
            trips[trips["instrument"] == number],
            result.strategies,
        )
        for number in _prices_drawn(result)
    ]


def _prices_drawn(result: Result) -> list[int]:
    counts = np.bincount(result.round_trips["instrument"], minlength=len(result.instruments))
    return sorted(np.argsort(-counts, kind="stable")[:_PRICES_DRAWN].tolist())


def _prices_left(result: Result) -> str:
    count = len(result.instruments)
    return (
        f"Drawn are the {_PRICES_DRAWN} of {count} instruments with the most round trips."
        if count > _PRICES_DRAWN
        else ""
    )


def _distributions(result: Result) -> list[Chart]:
    trips = result.round_trips
    return [r_histogram(trips), holding_histogram(trips), excursion_scatter(trips)] if trips.size else []


def _data_words(data: Mapping[str, Any]) -> str:
    gaps = counted(data["gaps"], "gap") if data["gaps"] else "no gaps"
    return f"{counted(data['bars'], 'bar')}, {gaps}, {data['bars_per_year']:,.0f} bars a year."


def _chance_words(drawn: Mapping[str, Any] | None) -> str:
    if not drawn:
        return ""
    blocks = f"blocks of {drawn['block_days']:.3g} days on average"
    return f"{drawn['paths']:,} histories each, from {counted(drawn['days'], 'day')} with round trips, in {blocks}."
