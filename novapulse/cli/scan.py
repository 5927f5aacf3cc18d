"""`novapulse scan`: the last bar of many instruments, judged by the strategies and rules that trade, and ranked."""

import argparse
import csv
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, progress, say, show_json
from novapulse.cli.render import UNKNOWN, headline, moment, number, percent, table, wrapped
from novapulse.config import load
from novapulse.research.inputs import checked_strategies, iso, open_lake
from novapulse.research.universe import Direction, Filter, Order, Scan, Scanned, Would, on_own_timeframe, series_of
from novapulse.research.universe import scan as scan_series
from novapulse.signals.regimes import LABELS

_AGES = (("d", 86_400), ("h", 3_600), ("min", 60))
_NAMED_MAX = 6


def scan(options: argparse.Namespace) -> int:
    """Judge the last bar of every chosen series and print them, ranked."""
    wanted = _filter(options)
    loaded = load(
        os.environ,
        options.config,
        {
            "scan.exchange": ("--exchange", options.exchange),
            "scan.symbols": ("--symbol", options.symbol),
            "scan.timeframe": ("--timeframe", options.timeframe),
            "scan.own_timeframe": ("--own-timeframe", options.own_timeframe),
        },
    )
    about, lake = loaded.settings.scan, open_lake()
    series = series_of(lake, about.exchange, about.symbols, about.timeframe)
    strategies = checked_strategies(loaded, say)
    settings = loaded.settings.backtest
    if about.own_timeframe:
        settings = on_own_timeframe(settings)
    now_ns = time.time_ns()
    with progress("scan") as told:
        found = scan_series(lake, series, settings, strategies, now_ns=now_ns, told=told)
    rows = found.chosen(wanted, Order(options.sort))
    if options.json:
        show_json(_values(found, rows, str(lake.path)))
    elif options.csv:
        _write_csv(found, rows)
    else:
        print("\n\n".join("\n".join(part) for part in _parts(found, rows) if part))
    broken = [row for row in found.rows if row.problem]
    for row in broken:
        error(f"{row.name} cannot be judged: {row.problem}")
    return EXIT_FAILED if broken else EXIT_DONE


def _filter(options: argparse.Namespace) -> Filter:
    if options.regime not in (None, *LABELS):
        raise UsageError(f"--regime {options.regime}: a market is one of {', '.join(LABELS)}")
    direction = Direction(options.direction) if options.direction else None
    return Filter(direction, options.regime or "", options.score_min, options.turnover_min)


def _values(found: Scan, rows: Sequence[Scanned], lake: str) -> dict[str, Any]:
    return {
        "lake": lake,
        "made": iso(found.made_ns),
        "settings_hash": found.settings.hash,
        "capital": found.settings.capital,
        "strategies": list(found.strategies),
        "series": len(found.rows),
        "not_warm": sum(bool(row.cold) for row in found.rows),
        "left_out": len(found.rows) - len(rows),
        "rows": [row.json(found.made_ns) for row in rows],
    }


def _write_csv(found: Scan, rows: Sequence[Scanned]) -> None:
    columns = list(_flat(Scanned("", "", ""), found))
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(row, found) for row in rows)


def _flat(row: Scanned, found: Scan) -> dict[str, Any]:
    values = row.json(found.made_ns)
    nested = {name: values.pop(name) or {} for name in ("forecasts", "weights", "would")}
    flat: dict[str, Any] = {
        **values,
        **{f"vote_{name}": nested["forecasts"].get(name) for name in found.strategies},
        **{f"weight_{name}": nested["weights"].get(name) for name in found.strategies},
        **{f"would_{name}": value for name, value in nested["would"].items()},
    }
    return {name: "" if value is None else value for name, value in flat.items()}


def _parts(found: Scan, rows: Sequence[Scanned]) -> Iterator[Sequence[str]]:
    judged = [row for row in rows if row.warm]
    left_out = len(found.rows) - len(rows)
    told = f"{len(found.rows)} series at {moment(iso(found.made_ns // 10**9 * 10**9))}: {len(judged)} judged"
    yield [headline(f"{told}, {left_out} left out by what was asked for" if left_out else told)]
    if judged:
        yield _judged(found, judged)
        yield _entries(judged)
        yield _refusals(judged)
    yield _cold([row for row in rows if row.cold])


def _judged(found: Scan, rows: Sequence[Scanned]) -> list[str]:
    header = ("series", "close", "change", "regime", "score", "votes", "a day", "age")
    cells = [
        [
            row.name,
            f"{row.price:.6g}",
            percent(row.change_fraction, 1),
            row.regime or UNKNOWN,
            _signed(row.consensus),
            "".join(_mark(row.forecasts or {}, name) for name in found.strategies),
            f"{_short(row.turnover)} {row.quote}",
            _age(row.age_s(found.made_ns)),
        ]
        for row in rows
    ]
    names = ", ".join(found.strategies)
    legend = [
        *wrapped(f"votes, in this order: {names}"),
        "+ long, - short, . no opinion; a day: traded on a day, median of the last 20",
    ]
    return [*table(header, cells), *legend]


def _mark(forecasts: Mapping[str, float], name: str) -> str:
    forecast = forecasts.get(name, 0.0)
    return "+" if forecast > 0 else "-" if forecast < 0 else "."


def _entries(rows: Sequence[Scanned]) -> list[str]:
    told = [line for row in rows if row.would.side for line in wrapped(_entry(row, row.would), 2)]
    if not told:
        return []
    return [headline("an account of its own, holding nothing, would"), *told]


def _entry(row: Scanned, would: Would) -> str:
    stop, target = (UNKNOWN if price is None else f"{price:.6g}" for price in (would.stop_price, would.target_price))
    return (
        f"{would.side} {would.qty:.6g} {row.name} at {row.price:.6g}, {number(would.notional)} {row.quote}; "
        f"stop {stop}, target {target}"
    )


def _refusals(rows: Sequence[Scanned]) -> list[str]:
    whose: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not row.would.side:
            whose[row.would.why].append(row.name)
    if not whose:
        return []
    return [
        headline("and nothing where"),
        *(line for why, names in whose.items() for line in wrapped(f"{why}: {_listed(names)}", 2)),
    ]


def _cold(rows: Sequence[Scanned]) -> list[str]:
    if not rows:
        return []
    lines = [line for row in rows for line in wrapped(f"{row.name} {row.cold}", 2)]
    return [*lines, *wrapped("A longer history warms them up; --own-timeframe needs the fewest bars.")]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join([*names[:_NAMED_MAX], *([f"{more} more"] if more > 0 else [])])


def _signed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+.1f}"


def _short(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    for unit, width in _AGES:
        if seconds >= 2 * width:
            return f"{seconds / width:,.0f} {unit}"
    return f"{seconds:.0f} s"
