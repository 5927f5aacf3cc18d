"""A trader that is started anew with other symbols: one more, and one fewer."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.core.bars import format_ns
from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import Kept
from novapulse.ledger.journal import Ledger
from novapulse.parity.kept import Kept as KeptLedger
from tests.cli.conftest import Cli
from tests.cli.living import BARS, KEYS, configure, live, refused
from tests.killing import ACCOUNTS, WIDTH_NS, books_of, check_books, configuration

SECOND = AccountKey("kraken", "second")


def trading(*symbols: str) -> list[dict[str, Any]]:
    """Return the accounts, the second one with some symbols."""
    return [ACCOUNTS[0], {**ACCOUNTS[1], "symbols": list(symbols)}, ACCOUNTS[2]]


def until(ts_ns: int) -> dict[str, Any]:
    """Return the feed, ending at a moment."""
    return {**configuration(BARS)["feed"], "end": format_ns(ts_ns)}


def state_of(home: Path) -> Kept:
    with Ledger.open(home / "ledger.db") as ledger:
        return Kept.of(ledger.restore(SECOND).state)


def symbols_of(home: Path) -> list[str]:
    return [key.symbol for key in state_of(home).instruments]


def head_of(home: Path) -> tuple[int, bytes]:
    with Ledger.open(home / "ledger.db") as ledger:
        return ledger.head()


def kept_sessions(home: Path) -> list[int]:
    with KeptLedger(home / "ledger.db") as kept:
        return [one.first_seq for one in kept.sessions(SECOND)]


def records(home: Path, kind: str) -> list[dict[str, Any]]:
    with Ledger.open(home / "ledger.db") as ledger:
        return [dict(entry.record.body) for entry in ledger.records(SECOND, (kind,))]


def test_an_account_takes_up_one_more_symbol_and_gives_one_up_again(cli: Cli, stocked_home: Path) -> None:
    first = np.datetime64(configuration(BARS)["feed"]["start"].rstrip("Z"), "ns").astype(np.int64)
    configure(stocked_home, feed=until(int(first) + BARS // 3 * WIDTH_NS))
    live(cli, stocked_home)
    before = books_of(stocked_home)[SECOND.exchange, SECOND.account_id]
    shutil.copytree(stocked_home, stocked_home.with_name("ahead"))

    # ---- one more ----
    configure(stocked_home, accounts=trading("BTC/USD", "ETH/USD"))
    said = live(cli, stocked_home)
    assert 0 < said["closes"] <= 2 * (BARS - BARS // 3 + 1)
    check_books(stocked_home)
    assert symbols_of(stocked_home) == ["BTC/USD", "ETH/USD"]
    assert [one["symbol"] for one in records(stocked_home, "instrument_listed")] == ["ETH/USD"]
    after = books_of(stocked_home)[SECOND.exchange, SECOND.account_id]
    assert before.fills
    assert set(before.fills) <= set(after.fills)
    trips = [(entry_ns, exit_ns) for symbol, entry_ns, exit_ns, *_ in after.round_trips if symbol == "ETH/USD"]
    nexts = [*(entry_ns for entry_ns, _ in trips[1:]), 2**62]
    entry_ns, exit_ns = next(
        trip
        for trip, later in zip(trips, nexts, strict=True)
        if trip[1] - trip[0] > 3 * WIDTH_NS and later - trip[1] > 4 * WIDTH_NS
    )

    # ---- one fewer: not while it is held ----
    shutil.rmtree(stocked_home)
    stocked_home.with_name("ahead").rename(stocked_home)
    configure(stocked_home, feed=until(entry_ns + 2 * WIDTH_NS), accounts=trading("BTC/USD", "ETH/USD"))
    live(cli, stocked_home)
    held = (stocked_home / "config.yaml").read_text()
    head = head_of(stocked_home)
    configure(stocked_home, accounts=trading("BTC/USD"))
    words = ("live", "--config", stocked_home / "config.yaml", "--json")
    refused(cli(*words), 2, "account 'second' on kraken cannot go on without ETH/USD", "--symbol ETH/USD", "is held")
    assert head_of(stocked_home) == head
    with Ledger.open(stocked_home / "ledger.db") as ledger:
        given_back = [ledger.lease(AccountKey(*key)) for key in KEYS]
    assert [lease.expires_ns for lease in given_back if lease is not None] == [0] * len(KEYS)
    (stocked_home / "config.yaml").write_text(held)
    configure(stocked_home, feed=until(exit_ns + 2 * WIDTH_NS), accounts=trading("BTC/USD", "ETH/USD"))
    live(cli, stocked_home)
    configure(stocked_home, accounts=trading("BTC/USD"))
    live(cli, stocked_home)
    check_books(stocked_home)
    assert symbols_of(stocked_home) == ["BTC/USD"]
    last = books_of(stocked_home)[SECOND.exchange, SECOND.account_id]
    assert max(fill[1] for fill in last.fills if fill[0] == "ETH/USD") <= exit_ns
    assert max(fill[1] for fill in last.fills if fill[0] == "BTC/USD") > exit_ns

    # ---- what it did can still be explained, and run again where that is possible ----
    sessions = kept_sessions(stocked_home)
    assert cli("parity", "--session", str(sessions[0])).code == 0
    told = cli("parity", "--session", str(sessions[-1]))
    assert told.code != 0
    assert "of this account traded other instruments (BTC/USD, ETH/USD) than session" in told.err
    decisions = [one["decision_id"] for one in records(stocked_home, "decision_taken")]
    for name in (decisions[0], decisions[len(decisions) // 2], decisions[-1]):
        explained = json.loads(cli("explain", "--decision", name, "--json").out)
        assert explained["same"], explained


def test_an_account_that_trades_something_else_altogether_goes_on_and_hears_no_close_twice(
    cli: Cli, stocked_home: Path
) -> None:
    first = int(np.datetime64(configuration(BARS)["feed"]["start"].rstrip("Z"), "ns").astype(np.int64))
    ends = (BARS // 4, BARS // 2, 3 * BARS // 4)
    closes = []
    for symbols, bars in zip((["BTC/USD"], ["ETH/USD"], ["BTC/USD"]), ends, strict=True):
        # Nothing is ever worth an entry: it is flat at every start.
        accounts = [{**ACCOUNTS[1], "symbols": symbols, "overrides": {"risk": {"entry_forecast_min": 20.0}}}]
        configure(stocked_home, feed=until(first + bars * WIDTH_NS), accounts=accounts)
        closes.append(live(cli, stocked_home)["closes"])
        assert symbols_of(stocked_home) == symbols
    assert closes == [BARS // 4, BARS // 4, BARS // 4]
    check_books(stocked_home)
