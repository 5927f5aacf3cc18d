"""The tables of a tear sheet, each made of one part of an analysis.

Invariants:
- every number of a table is a `Figure` that names where it stands in the data;
- a part that is not there is None here, and words on the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from novapulse.core.bars import DAY_NS
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.tearsheet.figures import Values, meaning, row_figures
from novapulse.research.tearsheet.scales import Scale, scale_of
from novapulse.research.tearsheet.svg import Markup, lying_bar, lying_range
from novapulse.research.tearsheet.words import (
    COUNT,
    R_RESULT,
    RESULT,
    Figure,
    Kind,
    Value,
    day,
    duration,
    figure,
    minute,
    plain,
)

Cell = Figure | Markup | str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its name, a remark below the name, and its cells."""

    name: str
    cells: list[Cell]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it shows, the heads of its columns (the first is of the rows' names), and its rows."""

    caption: str
    heads: list[str]
    rows: list[Row]
    remark: str = ""


_STRESS = {
    "as_tested": ("As tested", ""),
    "double_costs": ("Double costs", "fees, spread and slippage paid twice; rebates as they are"),
    "one_bar_late": ("One bar late", "decided on what was known a bar before"),
    "without_best_five": ("Without the best five", "the five best round trips taken out"),
}
_BANDS = {
    "pessimistic": ("Pessimistic", "a touched limit never fills"),
    "base": ("Base", "it fills by the chance that is set"),
    "optimistic": ("Optimistic", "it always fills"),
}


def stress(values: Mapping[str, Values] | None) -> Table | None:
    """Return what is left of the result when something is worse than assumed."""
    names = ("total_return", "max_drawdown", "sharpe", "trades", "final_equity")
    return _outcomes("stress", "Worse than assumed", values, _STRESS, names)


def bands(values: Mapping[str, Values]) -> Table | None:
    """Return the result by how often a touched limit order fills."""
    names = ("total_return", "max_drawdown", "sharpe", "trades", "fees", "break_even_slippage_bps")
    return _outcomes("bands", "If a touched limit order fills never, by chance, always", values, _BANDS, names)


def _outcomes(
    part: str,
    caption: str,
    values: Mapping[str, Values] | None,
    known: Mapping[str, tuple[str, str]],
    names: tuple[str, ...],
) -> Table | None:
    if not values:
        return None
    scale = _bar_scale(row.get("total_return") for row in values.values())
    rows = []
    for name, row in values.items():
        title, remark = known.get(name, (plain(name), ""))
        first, *others = row_figures(f"{part}.{name}", row, names)
        rows.append(Row(title, [first, _bar(first, scale), *others], remark))
    heads = [meaning(name).label for name in names]
    return Table(caption, ["", heads[0], "", *heads[1:]], rows)


_ATTRIBUTION = {
    "strategy": "By the strategy that led the entry",
    "direction": "By direction",
    "instrument": "By instrument",
    "regime": "By regime at the entry",
    "exit": "By reason of the exit",
    "hour": "By hour of the entry, UTC",
}


_EXITS = {
    Reason.EXIT_STOP.name: "Protective stop",
    Reason.EXIT_BREAKEVEN.name: "Stop at break-even",
    Reason.EXIT_TRAIL.name: "Trailing stop",
    Reason.EXIT_TARGET.name: "Take-profit",
    Reason.EXIT_TIME.name: "Time limit",
    Reason.EXIT_OPPOSITE.name: "Consensus turned",
    Reason.EXIT_MODE.name: "Told to flatten",
}


def attribution(values: Mapping[str, Mapping[str, Values]] | None, quote: str) -> list[Table]:
    """Return where the result came from; parts with one row only, such as a single instrument, say nothing."""
    tables = []
    for part, caption in _ATTRIBUTION.items():
        rows = (values or {}).get(part) or {}
        traded = {name: row for name, row in rows.items() if row.get("trades")}
        if not traded or (part == "instrument" and len(rows) == 1):
            continue
        idle = [name for name in rows if name not in traded]
        remark = f"None of: {', '.join(idle)}." if idle and part == "strategy" else ""
        tables.append(_attributed(part, caption, traded, quote, remark))
    return tables


def _attributed(part: str, caption: str, rows: Mapping[str, Values], quote: str, remark: str) -> Table:
    names = ("trades", "win_rate", "average_r", "fees")
    scale = _bar_scale(row.get("pnl") for row in rows.values())
    order = sorted(rows) if part == "hour" else sorted(rows, key=lambda name: -(rows[name]["trades"] or 0))
    lines = []
    for name in order:
        path = f"attribution.{part}.{name}"
        (pnl,) = row_figures(path, rows[name], ("pnl",))
        lines.append(Row(_group_name(part, name), [pnl, _bar(pnl, scale), *row_figures(path, rows[name], names)]))
    return Table(caption, ["", f"Result, {quote}", "", *(meaning(name).label for name in names)], lines, remark)


def _group_name(part: str, name: str) -> str:
    if part == "hour":
        return f"{name}:00"
    if part == "exit":
        return _EXITS.get(name, plain(name))
    return plain(name) if part == "direction" else name


_MONTE_CARLO = {
    "resampled": ("If other trades of this kind had come", "blocks of days with their round trips, drawn again"),
    "permuted": ("If the same trades had come in another order", "the same days of round trips, shuffled"),
}


_RUIN = "ruin_probability"


def monte_carlo(values: Mapping[str, Any] | None) -> list[Table]:
    """Return the intervals of resampled and of shuffled round trips."""
    tables = []
    for name, (caption, remark) in _MONTE_CARLO.items():
        one = (values or {}).get(name)
        if not one:
            continue
        path = f"monte_carlo.{name}"
        rows = [_interval(f"{path}.{key}", key, value or {}) for key, value in one.items() if key != _RUIN]
        if _RUIN in one:
            rows.append(
                Row(meaning(_RUIN).label, ["", figure(f"{path}.{_RUIN}", one[_RUIN], meaning(_RUIN).kind), "", ""])
            )
        tables.append(Table(caption, ["", "5 %", "Middle", "95 %", ""], rows, remark))
    return tables


def _interval(path: str, name: str, value: Values) -> Row:
    ends = [figure(f"{path}.{end}", value.get(end), meaning(name).kind) for end in ("low", "median", "high")]
    known = [one.value for one in ends if one.value is not None]
    drawn: Cell = ""
    if len(known) == len(ends):
        scale = scale_of([0.0, *known], room=0.06)
        words = f"from {ends[0].text} to {ends[2].text}, middle {ends[1].text}"
        drawn = lying_range(known[0], known[1], known[2], scale, description=words)
    return Row(meaning(name).label, [*ends, drawn])


def refused(rows: Sequence[Values], denials: Mapping[str, int]) -> Table | None:
    """Return what each rule refused, how often, and what the refused entries would have made."""
    if not rows and not denials:
        return None
    scale = _bar_scale(row.get("total_r") for row in rows)
    lines, listed = [], set()
    for row in sorted(rows, key=lambda row: (row["reason"] != "TAKEN", -(row.get("entries") or 0))):
        reason = str(row["reason"])
        listed.add(reason)
        path = f"refused.{reason}"
        total, average = (figure(f"{path}.{name}", row.get(name), R_RESULT) for name in ("total_r", "average_r"))
        counts = [figure(f"{path}.{name}", row.get(name), COUNT) for name in ("entries", "bars")]
        (won,) = row_figures(path, row, ("win_rate",))
        lines.append(Row(_sentence(str(row["text"])), [*counts, total, _bar(total, scale), average, won]))
    for name, count in denials.items():
        if name not in listed:
            text = next((REASON_TEXT[one] for one in Reason if one.name == name), plain(name))
            cells: list[Cell] = ["", figure(f"denials.{name}", count, COUNT), "not imagined", "", "", ""]
            lines.append(Row(_sentence(text), cells))
    heads = ["Rule", "Entries", "Bars", "Would have made", "", "Average", "Won"]
    return Table("Entries that were refused or not filled, and what they would have made", heads, lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def drawdowns(rows: Sequence[Values]) -> Table | None:
    """Return the deepest drawdowns."""
    lines = []
    for number, row in enumerate(rows):
        path = f"drawdowns.{number}"
        (depth,) = row_figures(path, row, ("depth",))
        recovered = minute(row["recovered"]) if row["recovered"] else "not recovered"
        length = figure(f"{path}.days", row["days"], _SPAN)
        lines.append(Row(str(number + 1), [depth, minute(row["peak"]), minute(row["trough"]), recovered, length]))
    heads = ["", "Depth", "From the peak", "Lowest", "Recovered", "Under water"]
    return Table("From peak to recovery, times in UTC", heads, lines) if lines else None


_SPAN = Kind(lambda days: duration(days * DAY_NS))


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the table: its figure and how strongly it is shaded, 0..1; None where there is no data."""

    name: str
    figure: Figure | None = None
    shade: float = 0.0


@dataclass(frozen=True, slots=True)
class Year:
    """A line of the monthly table."""

    year: int
    months: list[Month]
    total: Figure


MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def months(rows: Sequence[Values], totals: Sequence[Values]) -> list[Year]:
    """Return years by months, shaded by the size of the return, with what each year came to."""
    years: dict[int, dict[int, Figure]] = {}
    for row in rows:
        path = f"months.{row['year']}-{row['month']:02d}.total_return"
        years.setdefault(row["year"], {})[row["month"]] = figure(path, row["total_return"], RESULT)
    total = {row["year"]: row["total_return"] for row in totals}
    strongest = max((abs(one.value or 0.0) for year in years.values() for one in year.values()), default=0.0)
    return [_year(year, made, total.get(year), strongest) for year, made in sorted(years.items())]


def _year(year: int, made: Mapping[int, Figure], total: Value, strongest: float) -> Year:
    cells = []
    for number, name in enumerate(MONTHS, 1):
        one = made.get(number)
        shade = abs(one.value) / strongest if one and one.value and strongest else 0.0
        cells.append(Month(name, one, round(shade, 2)))
    return Year(year, cells, figure(f"years.{year}.total_return", total, RESULT))


def series(data: Values) -> Table:
    """Return where the bars came from."""
    lines = []
    for number, one in enumerate(data["instruments"]):
        path = f"data.instruments.{number}"
        counts = [figure(f"{path}.{name}", one.get(name), COUNT) for name in ("bars", "gaps", "made")]
        finer = f"{one['finer']} bars" if one.get("finer") else "none"
        fees = (
            f"{_fee(one.get('maker_fee_bps'))} / {_fee(one.get('taker_fee_bps'))} ({one.get('fees_from', 'unknown')})"
        )
        steps = "read off the bars" if one.get("inferred") else "from the exchange"
        period = f"{day(one['start'])} to {day(one['end'])}"
        cells: list[Cell] = [period, *counts, finer, fees, steps, str(one["hash"])[:16]]
        lines.append(Row(f"{one['symbol']} on {one['exchange']}", cells))
    heads = ["", "Period", "Bars", "Gaps", "Made flat", "Finer", "Maker / taker, bps", "Steps", "Hash"]
    return Table(f"Bars of {data['timeframe']}", heads, lines)


def _fee(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _bar_scale(values: Iterable[Any]) -> Scale:
    return scale_of([0.0, *(float(value) for value in values if value is not None)])


def _bar(one: Figure, scale: Scale) -> Cell:
    return "" if one.value is None else lying_bar(float(one.value), scale, description=one.text)
