"""`novapulse data`: bars into the lake, what is in it, and whether that is still what was recorded."""

import argparse
from dataclasses import asdict
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, error, progress, show_json
from novapulse.cli.render import moment, table
from novapulse.core.instruments import path_symbol
from novapulse.core.words import counted
from novapulse.market.calendars import CONTINUOUS
from novapulse.market.importer import import_file
from novapulse.market.lake import Lake, SeriesInfo
from novapulse.market.quality import report
from novapulse.market.spelling import symbol_of
from novapulse.market.storage import DataError
from novapulse.research.inputs import iso, open_lake

NEW_YORK = "XNYS"


def import_(options: argparse.Namespace) -> int:
    """Add the bars of a file to the lake."""
    lake = open_lake()
    # A pair trades around the clock; a stock without a named calendar is taken for one of New York, and that is said.
    usual = CONTINUOUS if "/" in symbol_of(options.symbol) else NEW_YORK
    calendar = options.calendar or usual
    done = import_file(
        lake,
        options.file,
        options.exchange,
        options.symbol,
        options.timeframe,
        options.stamps,
        calendar_name=calendar,
        zone=options.zone,
        sort=options.sort,
    )
    if options.json:
        times = {"first": iso(done.first_ns), "last": iso(done.last_ns)}
        values = asdict(done) | {"path": str(done.path), "calendar": calendar} | times
        show_json({name: value for name, value in values.items() if not name.endswith("_ns")})
        return EXIT_DONE
    print(
        f"{counted(done.added, 'bar')} added to {done.exchange} {done.symbol} {done.timeframe}, "
        f"{done.already_there:,} were there already\n"
        f"closes {moment(iso(done.first_ns))} to {moment(iso(done.last_ns))}, calendar {calendar}, "
        f"column {done.stamp_column} read as {done.stamps} stamps{', rows sorted' if done.sorted else ''}\n"
        f"lake {lake.path}"
    )
    return EXIT_DONE


def list_(options: argparse.Namespace) -> int:
    """List the series of the lake."""
    lake = open_lake()
    series = lake.series()
    if options.json:
        show_json({"lake": str(lake.path), "series": [_described(info) for info in series]})
        return EXIT_DONE
    print(f"lake {lake.path}: {len(series) or 'no'} series")
    if series:
        rows = [
            [
                _name(info),
                f"{info.bars:,}",
                moment(iso(info.first_ns)),
                moment(iso(info.last_ns)),
                info.content_hash[:8],
            ]
            for info in series
        ]
        print("\n".join(table(("series", "bars", "first close", "last close", "hash"), rows)))
    return EXIT_DONE


def verify(options: argparse.Namespace) -> int:
    """Compare every series with its hashes and report its gaps and odd prices; damage is a failure, gaps are not."""
    lake = open_lake()
    series = lake.series()
    found, damage = [], []
    with progress("verify") as told:
        for done, info in enumerate(series):
            told(done, len(series))
            try:
                found.append((info, _verified(lake, info)))
            except DataError as wrong:
                damage.append((info, str(wrong)))
    if options.json:
        whole = [_described(info) | {"ok": True, "findings": counts} for info, counts in found]
        broken = [_described(info) | {"ok": False, "error": sentence} for info, sentence in damage]
        show_json({"ok": not damage, "lake": str(lake.path), "series": [*whole, *broken]})
    else:
        _show_findings(lake, found)
        for info, sentence in damage:
            error(f"{_name(info)} is damaged: {sentence}")
    return EXIT_FAILED if damage else EXIT_DONE


def _verified(lake: Lake, info: SeriesInfo) -> dict[str, int]:
    lake.verify(info.exchange, info.symbol, info.timeframe)
    reading = lake.read(info.exchange, info.symbol, info.timeframe, flat_fill_max_bars=0)
    counts = report(reading.bars, lake.calendar(info.calendar)).counts()
    return counts | {"outside_sessions": reading.outside_sessions}


def _show_findings(lake: Lake, found: list[tuple[SeriesInfo, dict[str, int]]]) -> None:
    print(f"lake {lake.path}: {len(found) or 'no'} series as recorded")
    columns = {
        "quiet": "gaps_no_trades",
        "outages": "gaps_outage",
        "no session": "gaps_missing_sessions",
        "spikes": "spikes",
        "shifts": "shifts",
        "flat": "flat_runs",
        "outside": "outside_sessions",
    }
    rows = [
        [_name(info), f"{counts['bars']:,}", *(f"{counts[key]:,}" for key in columns.values())]
        for info, counts in found
    ]
    if rows:
        print("\n".join(table(("series", "bars", *columns), rows)))
        print(
            "quiet: gaps without trades; outages: longer ones; no session: whole days missing\n"
            "spikes and shifts: prices far off that came back, or stayed; flat: long runs at\n"
            "one price; outside: bars out of hours"
        )


def _name(info: SeriesInfo) -> str:
    return f"{info.exchange} {path_symbol(info.symbol)} {info.timeframe}"


def _described(info: SeriesInfo) -> dict[str, Any]:
    return {
        "exchange": info.exchange,
        "symbol": info.symbol,
        "timeframe": info.timeframe,
        "calendar": info.calendar,
        "bars": info.bars,
        "first": iso(info.first_ns),
        "last": iso(info.last_ns),
        "source": info.source,
        "hash": info.content_hash,
    }
