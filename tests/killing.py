"""`kill -9` of the real paper trader at chosen moments of its feed, and what is left of its books.

A moment is a close that the session has recorded: the same whatever the machine is busy with.
"""

import json
import os
import pwd
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from novapulse.core.bars import MINUTE_NS
from novapulse.ledger.audit import audit
from novapulse.market.lake import Lake
from novapulse.market.recorder import ARRIVAL
from novapulse.market.sample import sample_market

ROOT = Path(__file__).resolve().parents[1]
WIDTH_NS = 15 * MINUTE_NS
WARM_BARS = 1600
ACCOUNTS = [
    {"exchange": "kraken", "account_id": "main", "symbols": ["BTC/USD", "ETH/USD"]},
    {"exchange": "kraken", "account_id": "second", "symbols": ["BTC/USD"], "capital": 2500},
    {"exchange": "coinbase", "account_id": "main", "symbols": ["BTC/USD"]},
]


def configuration(bars: int) -> dict[str, Any]:
    """Settings that trade often on a short stretch: one timeframe, no cooldowns."""
    start_ns = sample_market(["BTC/USD"], 1, 5, WIDTH_NS)["BTC/USD"].ts_close_ns[0] + WARM_BARS * WIDTH_NS
    cooldowns = ("loss_cooldown_s", "instrument_cooldown_s", "strategy_cooldown_s", "loss_streak_max")
    return {
        "schema_version": 1,
        "data": {"exchange": "kraken", "symbols": ["BTC/USD"], "timeframe": "15m"},
        "confluence": {
            "timeframe_multiples": [1],
            "timeframe_weights": [1.0],
            "agreement_multipliers": [1.0],
            "regime_timeframe_multiple": 1,
            "stop_timeframe_multiple": 1,
            "calibration": {"days_min": 3},
        },
        "risk": {
            "entry_forecast_min": 3.0,
            "stops": {"target_cost_multiple_min": 1},
            "limits": dict.fromkeys(cooldowns, 0),
        },
        "execution": {"maker_fee_bps": 1.0, "taker_fee_bps": 2.0},
        "accounts": ACCOUNTS,
        "feed": {"source": "recorded", "speed": 0, "start": _iso(int(start_ns)), "end": None},
    }


def _iso(ts_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts_ns // 10**9))


def play_at(home: Path, speed: float) -> None:
    """Let the next run of a home play its bars at a speed, bars a second; 0 for as fast as they are taken."""
    path = home / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["feed"]["speed"] = speed
    path.write_text(yaml.safe_dump(settings))


def make_home(home: Path, bars: int, changes: Mapping[str, Any] | None = None) -> Path:
    """Fill a home folder with a lake and a configuration, and return the folder."""
    home.mkdir(parents=True)
    lake = Lake(home / "lake")
    market = sample_market(["BTC/USD", "ETH/USD"], WARM_BARS + bars, 5, WIDTH_NS)
    for exchange in ("kraken", "coinbase"):
        for symbol, columns in market.items():
            lake.append(exchange, symbol, "15m", columns, source="a test")
    (home / "config.yaml").write_text(yaml.safe_dump({**configuration(bars), **(changes or {})}))
    return home


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    # Compiled kernels lie in the user's own cache, wherever a test says that home is.
    return {**own, "HOME": pwd.getpwuid(os.getuid()).pw_dir, "NOVAPULSE_HOME": str(home)}


def start(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start the trader; what it says on stderr is kept in the home folder."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "novapulse.cli",
        "live",
        "--config",
        str(home / "config.yaml"),
        "--json",
        *words,
    ]
    with (home / "stderr.txt").open("a") as errors:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=errors, text=True
        )


def finish(process: "subprocess.Popen[str]", home: Path) -> dict[str, Any]:
    """Wait for a trader that ends by itself and return what it printed."""
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, f"exit {process.returncode}: {out}\n{(home / 'stderr.txt').read_text()[-3000:]}"
    said: dict[str, Any] = json.loads(out)
    return said


def newest_session(home: Path) -> str:
    """Return the name of the last session; empty before the first."""
    return max((folder.name for folder in home.glob("sessions/*")), default="")


def last_seen_ns(home: Path) -> int:
    """Return the last close that the newest session has recorded; 0 before the first."""
    recording = home / "sessions" / newest_session(home) / "kraken.bars"
    whole = recording.read_bytes().partition(b"\n")[2] if recording.is_file() else b""
    end = len(whole) // ARRIVAL.itemsize * ARRIVAL.itemsize
    last = np.frombuffer(whole[max(end - ARRIVAL.itemsize, 0) : end], ARRIVAL)
    return int(last["ts_close_ns"][0]) if last.size else 0


@dataclass
class Killed:
    """What became of it."""

    kills: int
    said: dict[str, Any]


def kill_at(home: Path, moments_ns: list[int], chance: random.Random, speed: float = 0.0) -> Killed:
    """Kill the trader when it has seen each moment, now and then while it starts, and run it to the end of its feed.

    At a speed it waits for the machine's clock and writes in a thread of its own until it is killed: a kill meets a
    commit anywhere between its two threads. The last run is as fast as it can be.
    """
    kills = 0
    play_at(home, speed)
    # Between two bars at that speed anything may be under way.
    late_s = 1.0 / speed if speed else 0.004
    for moment_ns in sorted(moments_ns):
        kills += _killed(home, moment_ns, chance, late_s)
        if chance.random() < 0.25:
            kills += _killed(home, 0, chance, late_s)
    play_at(home, 0.0)
    return Killed(kills, finish(start(home), home))


def _killed(home: Path, moment_ns: int, chance: random.Random, late_s: float) -> int:
    before = newest_session(home)
    process = start(home)
    while process.poll() is None:
        if newest_session(home) != before and last_seen_ns(home) >= moment_ns:
            time.sleep(chance.random() * late_s)
            process.kill()
            process.communicate()
            return 1
        time.sleep(0.0005)
    process.communicate()
    assert process.returncode == 0, (home / "stderr.txt").read_text()[-3000:]
    return 0


# ---- The books ----


@dataclass
class Book:
    """What an account's ledger and its venue say in the end."""

    fills: list[tuple[Any, ...]]
    balances: list[tuple[str, str, int]]
    round_trips: list[tuple[Any, ...]]


def books_of(home: Path) -> dict[tuple[str, str], Book]:
    """Return the books by account: times, prices, quantities and cash, without ids."""
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        accounts = ledger.execute("SELECT exchange, account_id FROM event WHERE kind = 'account_opened'").fetchall()
        return {account: _book(ledger, account) for account in accounts}


def _bodies(ledger: sqlite3.Connection, account: tuple[str, str], kind: str) -> list[dict[str, Any]]:
    query = "SELECT body FROM event WHERE exchange = ? AND account_id = ? AND kind = ? ORDER BY seq"
    return [json.loads(body) for (body,) in ledger.execute(query, (*account, kind))]


def _book(ledger: sqlite3.Connection, account: tuple[str, str]) -> Book:
    names = ("ts_event_ns", "side", "qty_units", "price_units", "cash_units", "fee_units", "liquidity")
    fills = [(one["instrument"][1], *(one[name] for name in names)) for one in _bodies(ledger, account, "fill_booked")]
    trips = [
        (one["instrument"][1], one["entry_ns"], one["exit_ns"], one["pnl_units"], one["exit_reason"])
        for one in _bodies(ledger, account, "round_trip_closed")
    ]
    query = (
        "SELECT book, asset, amount FROM balance WHERE exchange = ? AND account_id = ? AND amount <> 0 ORDER BY 1, 2"
    )
    return Book(sorted(fills), ledger.execute(query, account).fetchall(), sorted(trips))


def check_books(home: Path) -> None:
    """Assert that the ledger is whole and tells what each venue tells: nothing twice, nothing orphaned."""
    found = audit(home / "ledger.db")
    assert found.ok, found.faults
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        accounts = ledger.execute("SELECT exchange, account_id FROM event WHERE kind = 'account_opened'").fetchall()
        assert len(accounts) == len(set(accounts))
        for account in accounts:
            _check_venue(ledger, account, home / f"paper-{account[0]}-{account[1]}.db")


def _check_venue(ledger: sqlite3.Connection, account: tuple[str, str], path: Path) -> None:
    with closing(sqlite3.connect(path)) as venue:
        orders = venue.execute("SELECT client_order_id, is_live FROM venue_order").fetchall()
        trades = [json.loads(body) for (body,) in venue.execute("SELECT body FROM trade WHERE NOT is_busted")]
        (cash,) = venue.execute("SELECT cash_units FROM account").fetchone()
        held = dict(venue.execute("SELECT symbol, qty_units + stray_units FROM instrument").fetchall())
    ids = [client_id for client_id, _ in orders]
    assert len(ids) == len(set(ids)), "the venue has two orders of one client order id"
    intended = {one["client_order_id"] for one in _bodies(ledger, account, "order_intended")}
    assert set(ids) <= intended, "the venue has an order that was never intended"
    closed = {one["client_order_id"] for one in _bodies(ledger, account, "order_closed")}
    live = {client_id for client_id, is_live in orders if is_live}
    assert not live & closed, "an order is live at the venue and closed in the ledger"
    booked = [one["venue_trade_id"] for one in _bodies(ledger, account, "fill_booked")]
    assert len(booked) == len(set(booked))
    assert len(booked) == len(trades), "the venue has traded what is not booked, or the other way round"
    balances = {(book, asset): amount for book, asset, amount in _book(ledger, account).balances}
    cash_booked = sum(amount for (book, _), amount in balances.items() if book in ("cash", "hold"))
    assert cash_booked == cash
    inventory = {asset: amount for (book, asset), amount in balances.items() if book == "inventory"}
    assert inventory == {symbol.partition("/")[0]: units for symbol, units in held.items() if units}
