"""`novapulse parity`: the ladder from the decision core to the recorded session, rung by rung."""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from novapulse.cli.backtest import load_run, read_run, tell_missing
from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, progress, say, show_json
from novapulse.cli.render import headline, table, wrapped
from novapulse.cli.replay import default_ledger, stretch_at_hand
from novapulse.config import home_folder, load
from novapulse.core import words
from novapulse.core.bars import format_ns, timeframe_text
from novapulse.core.ports import JournalError
from novapulse.market.lake import Lake
from novapulse.market.recorder import SESSIONS
from novapulse.parity.causes import Cause, Explained, ExplainedRecord, Span, counted
from novapulse.parity.kept import Kept, Session
from novapulse.parity.ladder import (
    Rung,
    Stretch,
    fold_rung,
    kernel_of,
    rehearsed,
    replay_rung,
    session_kernel_rung,
    session_rung,
    simulation_rung,
    stretch_of_session,
)
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Script, play
from novapulse.parity.runs import runs_of, sessions_named
from novapulse.parity.sessions import SessionRun, configuration_of, replay_session
from novapulse.parity.words import FIELD_TEXT
from novapulse.research.inputs import checked_strategies, lake_with, open_lake

_Climbed = tuple[Stretch, list[Rung], dict[str, Any] | None]

SHOWN = 10
"""Differences that are listed; all of them are counted."""


def parity(options: argparse.Namespace) -> int:
    """Climb the ladder and print each rung; exit 1 when one does not hold."""
    if options.list:
        return _list_sessions(options)
    began_s, climbed = time.perf_counter(), []
    try:
        for stretch, rungs, session in _of_sessions(options) if options.session else _of_run(options):
            rungs.append(simulation_rung())
            values = {
                **_described(stretch),
                "session": session,
                "holds": all(rung.holds is not False for rung in rungs),
                "rungs": [_spelled(rung) for rung in rungs],
            }
            climbed.append(values)
            if not options.json:
                _show(values, rungs)
    except JournalError as wrong:
        error(str(wrong))
        return EXIT_FAILED
    holds, seconds = all(one["holds"] for one in climbed), round(time.perf_counter() - began_s, 3)
    if options.json and len(climbed) == 1:
        show_json({**climbed[0], "seconds": seconds})
    elif options.json:
        show_json({"holds": holds, "sessions": climbed, "seconds": seconds})
    return EXIT_DONE if holds else EXIT_FAILED


def _of_run(options: argparse.Namespace) -> Iterator[_Climbed]:
    loaded = load_run(options)
    strategies = checked_strategies(loaded, say)
    markets = read_run(options, loaded)
    tell_missing(markets, loaded)
    stretch = stretch_at_hand(loaded, strategies, markets)
    rungs = _first_rungs(stretch)
    with tempfile.TemporaryDirectory(prefix="novapulse-parity-") as folder, progress("session and its replay") as told:
        found = rehearsed(stretch, Path(folder), open_lake(), strategies, told)
        rungs.append(session_rung(found))
    say("rung 3: a session with a late bar, a pause and a restart, recorded now; --session ID takes one of a ledger")
    yield stretch, rungs, None


def _of_sessions(options: argparse.Namespace) -> Iterator[_Climbed]:
    given = [name for name in ("exchange", "symbol", "timeframe", "start", "end", "capital") if getattr(options, name)]
    if given:
        raise UsageError(f"--session brings its own bars and settings: leave out --{', --'.join(given)}")
    loaded = load(os.environ, options.config)
    strategies = checked_strategies(loaded, say)
    with Kept(default_ledger(options)) as kept:
        folder = recordings_beside(options)
        for session in sessions_named(kept, options.session, folder):
            account = session.account
            say(f"session {session.first_seq} of {account.account_id} on {account.exchange}; --list shows the others")
            with progress("replay of the session") as told:
                found = replay_session(kept, session, lake_of(session), strategies, told, folder)
            stretch = stretch_of_session(found)
            rungs = _first_rungs(stretch)
            rungs.append(session_rung(found))
            rungs.append(session_kernel_rung(found, stretch, kernel_of(stretch)))
            yield stretch, rungs, _session_told(found)


def _list_sessions(options: argparse.Namespace) -> int:
    with Kept(default_ledger(options)) as kept:
        sessions = kept.sessions()
        runs = runs_of(sessions, recordings_beside(options))
    if options.json:
        told = [
            {
                "id": one.first_seq,
                "run": runs.get(one.first_seq, ""),
                "exchange": one.account.exchange,
                "account_id": one.account.account_id,
                "started_ns": one.started_ns,
                "until_ns": one.until_ns,
                "last_seq": one.last_seq,
            }
            for one in sessions
        ]
        show_json({"sessions": told})
        return EXIT_DONE
    rows = [
        (
            str(one.first_seq),
            *(one.account.exchange, one.account.account_id, format_ns(one.started_ns)),
            format_ns(one.until_ns) if one.until_ns > one.ts_close_ns else "no bar decided",
            runs.get(one.first_seq, "-"),
        )
        for one in sessions
    ]
    print("\n".join(table(("session", "exchange", "account", "started", "decided until", "run of live"), rows)))
    return EXIT_DONE


def recordings_beside(options: argparse.Namespace) -> Path:
    """Return the folder of the recordings that belong to a ledger: beside its file, else in the home folder."""
    beside = default_ledger(options).parent / SESSIONS
    return beside if beside.is_dir() else home_folder(os.environ) / SESSIONS


def lake_of(session: Session) -> Lake:
    """Return the lake that a session's bars came from: where there are none, they were generated."""
    configuration = configuration_of(session)
    return lake_with((one.key for one in configuration.instruments), configuration.timeframe_ns)


def _session_told(found: SessionRun) -> dict[str, Any]:
    session, compared = found.session, found.compared
    return {
        "id": session.first_seq,
        "ledger_id": session.ledger_id,
        "exchange": session.account.exchange,
        "account_id": session.account.account_id,
        "started_ns": session.started_ns,
        "starts": 1 + len(found.script.starts_ns),
        "records": compared.session,
        "replayed": compared.replay,
        "same_moments": compared.moments_equal,
        "in_order": compared.in_order,
        "late_bars": len(found.script.late),
        "commands": len(found.script.commands),
    }


def _first_rungs(stretch: Stretch) -> list[Rung]:
    kernel = kernel_of(stretch)
    say(f"kernel: {len(kernel.round_trips):,} round trips; now every bar again in plain Python")
    first = fold_rung(stretch, kernel)
    with progress("replay") as told:
        played = play(stretch.key, stretch.configuration, stretch.ticks, MemoryJournal(), Script(), told)
    return [first, replay_rung(stretch, kernel, played)]


def _described(stretch: Stretch) -> dict[str, Any]:
    ticks = stretch.ticks
    return {
        "exchange": stretch.key.exchange,
        "account_id": stretch.key.account_id,
        "symbols": [key.symbol for key in ticks.keys],
        "timeframe": timeframe_text(stretch.configuration.timeframe_ns),
        "bars": int(ticks.present.sum()),
        "start": format_ns(int(ticks.ts_close_ns[0])),
        "end": format_ns(int(ticks.ts_close_ns[-1])),
        "settings_hash": stretch.configuration.decides.hash,
    }


def _spelled(rung: Rung) -> dict[str, Any]:
    return {
        "rung": rung.number,
        "name": rung.name,
        "holds": rung.holds,
        "same_in_deed": rung.is_same_in_deed or rung.holds,
        "counts": {what: {"equal": equal, "of": whole} for what, (equal, whole) in rung.counts.items()},
        "how": rung.text,
        "causes": counted(rung.differences) if rung.differences else {},
        "differences": [_difference(one) for one in rung.differences[:SHOWN]],
        "lake_otherwise": {
            "cause": Cause.DATA.value,
            "bars": len(rung.lake_otherwise),
            "first": [_span(one) for one in rung.lake_otherwise[:SHOWN]],
        },
    }


def _span(one: Span) -> dict[str, Any]:
    symbol = one.instrument.symbol if one.instrument else None
    return {"cause": Cause.DATA.value, "symbol": symbol, "at": format_ns(one.first_ns), "why": one.text}


def _difference(one: Explained | ExplainedRecord) -> dict[str, Any]:
    told: dict[str, Any] = {"cause": one.cause.value, "why": one.why, "follows": one.follows}
    if isinstance(one, ExplainedRecord):
        symbol = one.instrument.symbol if one.instrument else None
        return {"kind": one.kind, "symbol": symbol, "at": format_ns(one.ts_ns), **told}
    trip = one.difference.one
    return {
        "kind": "round trip",
        "symbol": trip.instrument.symbol,
        "at": format_ns(trip.entry_ns),
        "field": one.difference.field,
        **told,
    }


def _show(values: Mapping[str, Any], rungs: Sequence[Rung]) -> None:
    symbols = ", ".join(values["symbols"])
    print(headline("The parity ladder"))
    print("\n".join(wrapped(f"{values['exchange']} {symbols}, {values['timeframe']} bars", 2)))
    print(f"{values['start']} to {values['end']}: {values['bars']:,} bars, settings {values['settings_hash']}\n")
    for rung in rungs:
        verdict = {True: "bit for bit", False: "DIFFERS", None: "run it by itself"}[rung.holds]
        if rung.holds is False and rung.is_same_in_deed:
            kinds = sorted({one.kind for one in rung.differences if isinstance(one, ExplainedRecord)})
            verdict = f"DIFFERS, in what was noticed alone: {', '.join(kinds)}"
        print(f"{rung.number}  {rung.name:<34}{verdict}")
        told = ", ".join(f"{equal:,} of {whole:,} {what.replace('_', ' ')}" for what, (equal, whole) in _told(rung))
        print("\n".join(f"   {line}" for text in (told, rung.text) if text for line in wrapped(text)))
        for line in (*_difference_lines(rung), *_lake_lines(rung)):
            print(f"   {line}")
    session = values["session"]
    if session:
        nouns = {"starts": "start", "commands": "command", "late_bars": "late bar"}
        told = ", ".join(words.counted(session[key], noun) for key, noun in nouns.items())
        print(
            f"\nsession {session['id']} of {session['account_id']} on {session['exchange']}, ledger "
            f"{session['ledger_id']}: {session['same_moments']:,} of {session['records']:,} records also at the same "
            f"nanosecond, {told}"
        )


def _told(rung: Rung) -> list[tuple[str, tuple[int, int]]]:
    counts = list(rung.counts.items())
    if rung.number != 3 or len(counts) <= 4:
        return counts
    total = sum(equal for _, (equal, _) in counts), sum(whole for _, (_, whole) in counts)
    shown = ("decision_taken", "order_intended", "fill_booked", "round_trip_closed")
    return [("records", total), *((kind, rung.counts[kind]) for kind in shown if kind in rung.counts)]


def _lake_lines(rung: Rung) -> list[str]:
    if not rung.lake_otherwise:
        return []
    lines = [f"{len(rung.lake_otherwise):,} bars differ from the lake as it is now ({Cause.DATA}):"]
    return lines + [text for one in rung.lake_otherwise[:SHOWN] for text in wrapped(one.text)]


def _difference_lines(rung: Rung) -> list[str]:
    if not rung.differences:
        return []
    causes = Counter(one.cause.value for one in rung.differences)
    told = ", ".join(f"{count} by {cause}" for cause, count in causes.most_common())
    lines = [f"{len(rung.differences)} differ: {told}"]
    for one in rung.differences[:SHOWN]:
        spelled = _difference(one)
        field = f", {FIELD_TEXT[spelled['field']]}" if "field" in spelled else ""
        lines.append(f"{spelled['at']} {spelled['symbol'] or '-'} {spelled['kind']}{field}: {one.cause}, {one.why}")
    more = len(rung.differences) - SHOWN
    return [*lines, *([f"and {more:,} more"] if more > 0 else [])]
