"""A look over the lake on the scanner: begun by an address, made beside the page, and kept as long as it is true.

Invariants:
- nothing here waits on the page or the server: a look is a job of its own thread, one at a time in this process;
- what is shown says when it was looked at and when each bar closed; a look is kept for the next reader only while bars
  and settings are the same;
- every series that was asked for is shown, or counted as left out.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from novapulse.config import ConfigError, load
from novapulse.market.storage import DataError
from novapulse.monitor import Overview
from novapulse.research.inputs import checked_strategies, open_lake
from novapulse.research.universe import (
    HOW_TO_FILL,
    Direction,
    Filter,
    Order,
    Scan,
    Scanned,
    on_own_timeframe,
    scan,
    series_of,
)
from novapulse.signals.regimes import LABELS
from novapulse.ui.apps.frame import Page, chips, note, stack
from novapulse.ui.apps.tables import Columns, moment
from novapulse.ui.jobs import Job, Reporter
from novapulse.ui.session import scope
from novapulse.ui.widgets import Rows, Tiles

_log = structlog.get_logger("novapulse.ui")

ALL = "all"
SHOWN_EVERY_S = 15.0
"""How often ages are written anew."""

_KEPT_MAX = 8
_SCORES = (0, 5, 10, 15)
_TURNOVERS = {"": "any", "1000000": "1 M", "10000000": "10 M", "100000000": "100 M", "1000000000": "1 B"}
_FIRST: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "exchange", "label": "exchange"},
    {"key": "timeframe", "label": "bars of"},
    {"key": "price", "label": "close", "kind": "figure"},
    {"key": "change_fraction", "label": "change", "kind": "percent", "digits": 2},
    {"key": "consensus", "label": "consensus", "kind": "signed", "digits": 1},
    {"key": "regime", "label": "regime"},
)
_LAST: Columns = (
    {"key": "turnover", "label": "traded on a day", "kind": "figure", "digits": 0, "unit": "quote"},
    {"key": "would", "label": "an account of its own would", "wide": True},
    {"key": "why", "label": "why", "wide": True},
    {"key": "ts_close_ns", "label": "bar closed", "kind": "time"},
    {"key": "age_s", "label": "age", "kind": "age"},
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants looked over.

    Attributes:
        exchange: Lower-case id; None for all.
        own_timeframe: Whether strategies vote on the bars themselves alone.
        config: File of the settings; None for the usual place.
        lake: Folder of the bars.
    """

    exchange: str | None
    own_timeframe: bool
    config: Path | None
    lake: Path


_jobs: "OrderedDict[Asked, Job[Scan]]" = OrderedDict()
_kept: "OrderedDict[Asked, tuple[Hashable, Scan]]" = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


def look(asked: Asked) -> Job[Scan]:
    """Return the work of looking over the lake: begun now, or the one that is under way."""
    with _lock:
        known = _jobs.get(asked)
        if known is None or known.is_over:
            known = _jobs[asked] = Job(lambda told: _looked(asked, told))
        _jobs.move_to_end(asked)
        while len(_jobs) > _KEPT_MAX:
            _jobs.popitem(last=False)
        return known


def _looked(asked: Asked, told: Reporter) -> Scan:
    told.phase("waiting for another look to end")
    with _one_at_a_time:
        phase = told.phase("looking over the lake")
        loaded, lake = load(os.environ, asked.config), open_lake()
        about, settings = loaded.settings.scan, loaded.settings.backtest
        if asked.own_timeframe:
            settings = on_own_timeframe(settings)
        series = series_of(lake, asked.exchange or about.exchange, about.symbols, about.timeframe)
        is_ours_alone = loaded.settings.data.strategies_folder is None
        # Strategies of one's own may have been edited since: what was kept of them is not true any more.
        same = (settings.hash, *((one, one.content_hash) for one in series)) if is_ours_alone else None
        with _lock:
            before = _kept.get(asked)
        if same is not None and before is not None and before[0] == same:
            return before[1]
        strategies = checked_strategies(loaded, _log.info)
        found = scan(lake, series, settings, strategies, now_ns=time.time_ns(), told=phase)
        with _lock:
            _kept[asked] = same, found
            while len(_kept) > _KEPT_MAX:
                _kept.popitem(last=False)
        return found


class Universe:
    """The part of the scanner that looks over the lake.

    Attributes:
        problem: What the address asks for and cannot be had; empty where nothing is wrong.
    """

    def __init__(self, page: Page, others: Mapping[str, object]) -> None:
        """Read what the address asks for.

        Args:
            page: Which shows it.
            others: What the page's other parts are asked, kept in every link.
        """
        self._page = page
        names = ("universe", "own", "way", "market", "score", "turnover", "by")
        self._asked = {name: page.asked(name) for name in names}
        self._others = dict(others)
        self._job: Job[Scan] | None = None
        self._shown_s = 0.0
        self._is_told = False
        allowed = {
            "own": ("", "1", "0"),
            "way": ("", *Direction),
            "market": ("", *LABELS),
            "score": ("", *map(str, _SCORES)),
            "turnover": tuple(_TURNOVERS),
            "by": ("", *Order),
        }
        wrong = [name for name, values in allowed.items() if self._asked[name] not in values]
        self.problem = "".join(
            f"no {name} {self._asked[name]}: it is one of {', '.join(filter(None, allowed[name]))}"
            for name in wrong[:1]
        )

    @property
    def asked(self) -> dict[str, str]:
        """What the address asks of this part, for the links of the others."""
        return {name: value for name, value in self._asked.items() if value}

    def shown(self) -> str:
        """Return it as a part of a page, and begin to look where the address asks for it."""
        lake = open_lake()
        try:
            exchanges = sorted({one.exchange for one in lake.series()})
        except DataError as wrong:
            return _card(note(str(wrong)))
        if not exchanges:
            return _card(note(f"The lake {lake.path} is empty: {HOW_TO_FILL}."))
        wanted = self._asked["universe"]
        links = [("nothing", self._link(universe=""), wanted == "")]
        links += [(one, self._link(universe=one), wanted == one) for one in (ALL, *exchanges)]
        chosen = chips("Look over", links)
        if not wanted:
            words = "Judges the last bar of every series of the lake, as 'novapulse scan' does, beside this page."
            return _card(chosen, note(words))
        if wanted not in (ALL, *exchanges):
            return _card(chosen, note(f"The lake {lake.path} has no bars of {wanted}: it has {', '.join(exchanges)}."))
        config = self._page.who.config
        try:
            is_own = self._is_own(config)
        except ConfigError as wrong:
            return _card(chosen, note(str(wrong)))
        asked = Asked(None if wanted == ALL else wanted, is_own, config, lake.path)
        self._job = look(asked)
        own = scope().own
        # What was looked at says when: it does not grow old by itself.
        self._tiles, self._rows = own(Tiles(label="Looked over", stale_s=0)), own(Rows(label="Universe", stale_s=0))
        self._page.on_reading(self._tell)
        choices = f'<div class="np-switches">{chosen}{self._choices(asked)}</div>'
        return stack([_card(choices), self._tiles, self._rows])

    def _is_own(self, config: Path | None) -> bool:
        said = self._asked["own"]
        return said == "1" if said else load(os.environ, config).settings.scan.own_timeframe

    def _link(self, **changes: object) -> str:
        return self._page.here(None, **{**self._others, **self._asked, **changes})

    def _choices(self, asked: Asked) -> str:
        said = self._asked
        scores = {str(one): f"{one} and more" if one else "any" for one in _SCORES}
        rows = {
            "Votes on": ("own", {"0": "all timeframes", "1": "the bars alone"}, "1" if asked.own_timeframe else "0"),
            "Way": ("way", {"": "either", **{str(one): str(one) for one in Direction}}, said["way"]),
            "Regime": ("market", {"": "any", **{one: one for one in LABELS}}, said["market"]),
            "Consensus": ("score", scores, said["score"] or "0"),
            "Traded": ("turnover", _TURNOVERS, said["turnover"]),
            "First": ("by", {str(one): str(one) for one in Order}, said["by"] or Order.STRENGTH.value),
        }
        return "".join(
            chips(label, [(text, self._link(**{name: value}), value == now) for value, text in values.items()])
            for label, (name, values, now) in rows.items()
        )

    def _tell(self, _: Overview) -> None:
        job = self._job
        assert job is not None
        now_s = time.monotonic()
        if not job.is_over:
            self._say_progress(job)
        elif not self._is_told or now_s - self._shown_s >= SHOWN_EVERY_S:
            self._is_told, self._shown_s = True, now_s
            if job.result is None:
                self._refuse(job.problem or "it was cancelled")
            else:
                self._show(job.result, time.time_ns())

    def _say_progress(self, job: Job[Scan]) -> None:
        progress = job.progress
        share = "" if progress.fraction is None else f" {progress.fraction:.0%}"
        words = f"{progress.phase} …{share}"
        self._tiles.show_state({"tiles": [{"label": "working", "value": "a moment", "note": words}]})
        self._rows.show_state({"columns": [], "rows": [], "none": words})

    def _refuse(self, why: str) -> None:
        self._tiles.show_state({"tiles": [{"label": "look", "value": "not possible", "note": why, "level": "over"}]})
        self._rows.show_state({"columns": [], "rows": [], "none": why})

    def _show(self, found: Scan, now_ns: int) -> None:
        said = self._asked
        wanted = Filter(
            Direction(said["way"]) if said["way"] else None,
            said["market"],
            float(said["score"] or 0),
            float(said["turnover"] or 0),
        )
        rows = found.chosen(wanted, Order(said["by"] or Order.STRENGTH))
        self._tiles.show_state({"tiles": tiles_of(found, rows)})
        self._rows.show_state(
            {
                "columns": (*_FIRST, *votes_of(found), *_LAST),
                "rows": [row_of(row, found, now_ns) for row in rows],
                "none": "No series is like that now.",
            }
        )


def tiles_of(found: Scan, rows: tuple[Scanned, ...]) -> list[dict[str, Any]]:
    """Return when was looked, at how much, and what came of it."""
    cold, broken = sum(bool(row.cold) for row in found.rows), sum(bool(row.problem) for row in found.rows)
    left_out = len(found.rows) - len(rows)
    enter = sum(bool(row.would.side) for row in found.rows)
    told = "that trade" if len(found.settings.confluence.timeframe_multiples) > 1 else "on the bars alone"
    return [
        {"label": "looked at", "value": moment(found.made_ns), "plain": True, "note": f"UTC, strategies {told}"},
        {"label": "series", "value": str(len(found.rows)), "digits": 0, "note": f"{left_out} left out by the choice"},
        {"label": "would enter", "value": str(enter), "digits": 0, "note": "as the only instrument of an account"},
        {"label": "not warm", "value": str(cold), "digits": 0, "note": "too few bars without a gap"},
        {"label": "not read", "value": str(broken), "digits": 0, "level": "over" if broken else "ok"},
    ]


def votes_of(found: Scan) -> Columns:
    """Return a column for each strategy that voted."""
    return tuple({"key": f"vote {name}", "label": name, "kind": "signed", "digits": 1} for name in found.strategies)


def row_of(row: Scanned, found: Scan, now_ns: int) -> dict[str, Any]:
    """Return a series as a row: unknown is None, never 0."""
    would = row.would
    stop = "" if would.stop_price is None else f", stop {would.stop_price:.6g} {row.quote}"
    base = row.symbol.partition("/")[0]
    return {
        **{one["key"]: getattr(row, one["key"]) for one in (*_FIRST, _LAST[0])},
        "quote": row.quote,
        **{f"vote {name}": None if row.forecasts is None else row.forecasts[name] for name in found.strategies},
        "key": row.name,
        "would": f"{would.side} {would.qty:.6g} {base}{stop}" if would.side else "nothing" if would.reason else "",
        "why": row.problem or row.cold or would.why,
        "ts_close_ns": row.ts_close_ns,
        "age_s": row.age_s(now_ns),
        "level": "over" if row.problem else "unknown" if row.cold else "",
    }


def _wrong(name: str, said: str, there: Collection[str]) -> str:
    return "" if said in there else f"no {name} {said}: it is one of {', '.join(filter(None, there))}"


def _card(*parts: str) -> str:
    return f'<section class="np-card" aria-label="The whole lake"><h2>The whole lake</h2>{"".join(parts)}</section>'
