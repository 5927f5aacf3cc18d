"""What a reading says is what the ledger proves, however it was read, and whatever the trader does not say any more."""

import json
import shutil
import sqlite3
from collections import defaultdict, deque
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from novapulse.core.bars import DAY_NS
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.ledger.journal import Ledger
from novapulse.ledger.queries import orders, reading
from novapulse.market.lake import Lake
from novapulse.monitor import UnknownAccountError, read_home
from novapulse.monitor.home import Home, _of_all
from novapulse.monitor.state import AccountState, LedgerHealth, Life, Overview
from novapulse.ops import health
from tests.engine.harness import ACCOUNT
from tests.monitor.conftest import beat, bodies


def test_reading_on_is_reading_from_the_beginning_at_every_commit(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    going_on = Home(home, where)
    looked = held = 0
    for number, commit in enumerate(lived[1]):
        ledger.commit([(ACCOUNT, commit)])
        if number % 7 == 0 or commit.holds:
            now, anew = going_on.look(), read_home(home, where)
            assert now.ledger is LedgerHealth.OK, now.ledger_problem
            assert facts(now) == facts(anew)
            looked, held = looked + 1, held + bool(now.accounts[0].positions)
    going_on.close()
    assert looked > 40
    assert held > 10, "nothing was ever held: the comparison shows nothing"


def test_every_price_is_told_with_the_digits_of_its_tick(growing: Any, lived: Any) -> None:
    """A bug: 3,201.9 stood beside 65,120.00, as the last close happened to end."""
    home, ledger, where = growing
    going_on, ended = Home(home, where), set()
    for commit in lived[1]:
        ledger.commit([(ACCOUNT, commit)])
        account = going_on.look().accounts[0]
        prices = [one.price for one in account.votes] + [one.mark_price for one in account.positions]
        prices += [one.close for one in account.recent_decisions] + [
            one.limit_price for one in account.recent_decisions
        ]
        prices += [price for one in account.recent_round_trips for price in (one.entry_price, one.exit_price)]
        known = [str(price) for price in prices if price is not None]
        # An average price, and a bar that closes between two ticks, may have more.
        assert all(len(price.partition(".")[2]) >= 2 for price in known), known
        ended |= {price[-1] for price in known}
    going_on.close()
    assert "0" in ended, "no close was one whose last digit a float leaves out: this shows nothing"


def test_a_stop_is_in_force_or_there_is_a_reason(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    going_on, seen = Home(home, where), defaultdict(set)
    for commit in lived[1]:
        ledger.commit([(ACCOUNT, commit)])
        for one in going_on.look().accounts[0].positions:
            seen[one.stop_status].add((one.stop_price is not None, bool(one.stop_missing_reason)))
    going_on.close()
    assert seen.pop("ACCEPTED") == {(True, False)}
    assert seen.pop("REPLACE_PENDING") == {(True, False)}
    seen.pop("PARTIALLY_FILLED", None)
    without = seen.pop("", {(False, True)})
    assert without == {(False, True)}
    assert seen, "every stop was in force at once: this shows nothing"
    assert all(is_told for kinds in seen.values() for _, is_told in kinds), dict(seen)


def test_what_the_day_brought_is_unknown_once_it_is_over(paper_home: Path) -> None:
    account = read_home(paper_home).account("kraken", "main")
    assert account.day_pnl is not None
    assert account.last_close_ns is not None
    left_s = (DAY_NS - account.last_close_ns % DAY_NS) / 1e9
    for age_s, is_known in ((left_s - 60, True), (left_s + 60, False)):
        told = json.loads((paper_home / health.FILE).read_text())["accounts"]
        beat(paper_home, accounts=[{**one, "last_bar_age_s": age_s} for one in told])
        now = read_home(paper_home).account("kraken", "main")
        assert (now.day_pnl is not None, now.day_pnl_fraction is not None) == (is_known, is_known)
        assert now.equity == account.equity


def test_the_start_and_the_peak_are_those_of_the_account(left_home: Path) -> None:
    for account in read_home(left_home).accounts:
        assert account.start is not None
        assert account.start[1] == capital(left_home, account.key)
        assert account.equity_peak is not None
        assert account.equity is not None
        assert account.drawdown_fraction == pytest.approx(1 - float(account.equity / account.equity_peak))
        assert account.compared_ns is not None


@pytest.mark.parametrize(
    ("states", "all_"),
    [(("24/7", "closed"), "some closed"), (("closed", "closed"), "closed"), (("24/7", "open"), "open"), ((), "")],
)
def test_one_market_that_trades_does_not_hide_another_that_is_closed(
    left_home: Path, states: tuple[str, ...], all_: str
) -> None:
    vote = read_home(left_home).accounts[0].votes[0]
    assert _of_all(tuple(replace(vote, market_state=one) for one in states)) == all_


def facts(one: Overview) -> Any:
    return replace(one, as_of_ns=0, ledger_read_ns=0)


def test_equity_is_that_of_the_trader_after_every_close(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    going_on, seen = Home(home, where), 0
    for commit in lived[1][:400]:
        ledger.commit([(ACCOUNT, commit)])
        decided = [one for one in commit.records if one.kind == "decision_taken"]
        if not decided:
            continue
        account = going_on.look().accounts[0]
        last = account.recent_decisions[0]
        assert last.equity is not None
        assert account.equity is not None
        assert float(account.equity) == pytest.approx(float(last.equity), abs=1e-6)
        assert account.equity_points[-1] == (last.ts_ns, round(last.equity, 8))
        seen += 1
    going_on.close()
    assert seen > 20


@pytest.mark.parametrize("account", [("kraken", "main"), ("kraken", "second"), ("coinbase", "main")])
def test_everything_equals_what_executions_and_bars_come_to(left_home: Path, account: tuple[str, str]) -> None:
    key = AccountKey(*account)
    state = read_home(left_home).account(*account)
    fills, opening = bodies(left_home, key, "fill_booked"), capital(left_home, key)
    cash, realized, fees, lots = Fraction(opening), Fraction(0), Fraction(0), defaultdict(deque)
    for fill in fills:
        paid, fee, units = Fraction(fill["cash_units"], 10**8), Fraction(fill["fee_units"], 10**8), fill["qty_units"]
        cash += -fill["side"] * paid - fee
        fees += fee
        book = lots[fill["instrument"][1]]
        if fill["side"] > 0:
            book.append([units, (paid + fee) / units, fill["price_units"]])
            continue
        realized += paid - fee
        while units:
            part = min(units, book[0][0])
            realized -= part * book[0][1]
            book[0][0] -= part
            units -= part
            if book[0][0] == 0:
                book.popleft()
    assert state.cash is not None
    assert state.hold is not None
    assert Fraction(state.cash + state.hold) == cash
    assert Fraction(state.fees or 0) == fees
    assert state.realized_pnl == money(realized)
    held = {symbol: book for symbol, book in lots.items() if book}
    assert {one.symbol for one in state.positions} == set(held)
    equity = cash
    for one in state.positions:
        digits = qty_digits(left_home, key, one.symbol)
        units = sum(lot[0] for lot in held[one.symbol])
        mark = last_close(left_home, key, one.symbol, state.last_close_ns)
        worth = Fraction(units, 10**digits) * Fraction(mark)
        assert (Fraction(one.qty), one.mark_price) == (Fraction(units, 10**digits), mark)
        assert one.unrealized_pnl == money(worth - sum(lot[0] * lot[1] for lot in held[one.symbol]))
        equity += worth
    assert state.equity == money(equity) == state.equity_said
    assert state.trades == len(bodies(left_home, key, "round_trip_closed"))
    assert state.unrealized_pnl is not None
    assert abs(state.equity - (opening + state.realized_pnl + state.unrealized_pnl)) <= Decimal("0.00000002")
    assert len(state.recent_fills) == min(50, len(fills))


def money(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**8)).scaleb(-8)


def capital(home: Path, key: AccountKey) -> Decimal:
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        query = "SELECT -amount FROM balance WHERE exchange = ? AND account_id = ? AND book = 'capital'"
        return Decimal(ledger.execute(query, (key.exchange, key.account_id)).fetchone()[0]).scaleb(-8)


def qty_digits(home: Path, key: AccountKey, symbol: str) -> int:
    listed = bodies(home, key, "account_opened")[0]["instruments"]
    lot = next(Decimal(one["lot"]) for one in listed if one["symbol"] == symbol)
    return -int(lot.normalize().as_tuple().exponent)


def last_close(home: Path, key: AccountKey, symbol: str, until_ns: int | None) -> Decimal:
    bars = Lake(home / "lake").bars(key.exchange, symbol, "15m").between(None, until_ns)
    return Decimal(repr(float(bars.close[-1])))


def test_an_unknown_account_is_an_error_that_names_those_there_are(left_home: Path) -> None:
    with pytest.raises(UnknownAccountError, match=r"no account second at coinbase .* main at coinbase, main at kraken"):
        read_home(left_home).account("coinbase", "second")


def test_a_reading_is_plain_json_with_exact_amounts(left_home: Path) -> None:
    told = json.loads(json.dumps(read_home(left_home).json(), allow_nan=False))
    account = next(one for one in told["accounts"] if one["account_id"] == "second")
    assert (account["exchange"], account["quote"]) == ("kraken", "USD")
    for name in ("equity", "cash", "hold", "realized_pnl", "fees"):
        assert isinstance(account[name], str)
        assert "E" not in account[name]
    assert account["recent_fills"][0]["price"] == format(Decimal(account["recent_fills"][0]["price"]), "f")


def test_a_trader_that_died_is_seen_and_what_was_proven_last_stays(paper_home: Path) -> None:
    beat(paper_home, 0.5)
    before = read_home(paper_home)
    assert (before.trader.life, before.trader.reasons) == (Life.RUNNING, ())
    assert all(one.healthy for one in before.accounts)
    beat(paper_home, 4.0)
    after = read_home(paper_home)
    assert (after.trader.life, after.trader.running, after.healthy) == (Life.SILENT, False, False)
    assert after.trader.reasons[0].startswith("no sign of life for 4 s")
    for one, other in zip(before.accounts, after.accounts, strict=True):
        assert not other.healthy
        assert other.reasons[0] == after.trader.reasons[0]
        assert (other.equity, other.positions, other.as_of_seq) == (one.equity, one.positions, one.as_of_seq)
        assert other.connected is None


def test_a_trader_of_another_ledger_says_nothing_about_this_one(paper_home: Path) -> None:
    beat(paper_home, ledger={"id": "other", "place": "elsewhere"})
    seen = read_home(paper_home)
    assert "the trader writes ledger other" in seen.trader.reasons[0]
    assert not any(one.healthy for one in seen.accounts)
    assert {one.equity_said for one in seen.accounts} == {None}


def test_what_money_an_account_trades_with_is_what_its_trader_says(paper_home: Path) -> None:
    """A bug: pages said it as the server was configured, of every account of every home."""
    assert {one.money for one in read_home(paper_home).accounts} == {"paper"}
    said = json.loads((paper_home / "health.json").read_text())["accounts"]
    for word, known in (("live", "live"), ("gold", None), ("", None), (None, None), (["paper"], None)):
        beat(paper_home, accounts=[{**one, "money": word} for one in said])
        assert {one.money for one in read_home(paper_home).accounts} == {known}
    beat(paper_home, accounts=said[:2])
    named = {(one["exchange"], one["account_id"]) for one in said[:2]}
    assert {(one.exchange, one.account_id) for one in read_home(paper_home).accounts if one.money} == named
    beat(paper_home, accounts=said, ledger={"id": "other", "place": "elsewhere"})
    assert {one.money for one in read_home(paper_home).accounts} == {None}
    (paper_home / "health.json").unlink()
    assert {one.money for one in read_home(paper_home).accounts} == {None}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"accounts": [], "heartbeat_ns": "x"}', '{"accounts": [3]}'])
def test_a_damaged_health_document_makes_nobody_healthy(paper_home: Path, text: str) -> None:
    (paper_home / "health.json").write_text(text)
    seen = read_home(paper_home)
    assert seen.trader.life is Life.UNREADABLE
    assert len(seen.accounts) == 3
    assert not any(one.healthy for one in seen.accounts)


def test_a_home_without_anything_is_named_so_and_empty(tmp_path: Path) -> None:
    seen = read_home(tmp_path)
    assert (seen.ledger, seen.trader.life, seen.accounts) == (LedgerHealth.MISSING, Life.ABSENT, ())
    assert not seen.healthy


def broken_by(home: Path, how: str) -> Any:
    """Do something bad to a ledger that is being read; what is returned is kept until the end."""
    path = home / "ledger.db"
    if how == "missing":
        path.rename(home / "gone.db")
    elif how == "damaged":
        # Another file in its place, as a rescue tool or a full disk leaves one.
        (home / "new").write_bytes(b"x" * 20_000)
        (home / "new").replace(path)
    elif how == "locked":
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        return holder
    return None


@pytest.mark.parametrize("how", ["missing", "damaged", "locked"])
def test_a_ledger_that_cannot_be_read_keeps_what_was_proven_last(paper_home: Path, how: str) -> None:
    beat(paper_home)
    home = Home(paper_home)
    before = home.look()
    if how == "locked":
        home.close()
    kept = broken_by(paper_home, how)
    after = home.look()
    assert after.ledger.value == how, after.ledger_problem
    assert after.ledger_read_ns == before.ledger_read_ns
    assert not after.healthy
    for one, other in zip(before.accounts, after.accounts, strict=True):
        assert (other.proven, other.healthy, other.is_flat) == (False, False, None)
        assert (other.equity, other.positions, other.cash) == (one.equity, one.positions, one.cash)
        assert f"the ledger is {how}" in other.reasons[0]
    if kept is not None:
        kept.close()
        assert home.look().ledger is LedgerHealth.OK
    home.close()


def test_another_ledger_in_its_place_is_named_until_the_trader_writes_it(paper_home: Path, tmp_path: Path) -> None:
    beat(paper_home)
    home = Home(paper_home)
    was = home.look().ledger_id
    with Ledger.open(tmp_path / "other.db", now_ns=1, ledger_id="other-ledger"):
        pass
    shutil.move(tmp_path / "other.db", paper_home / "ledger.db")
    seen = home.look()
    assert (seen.ledger, seen.ledger_id, seen.accounts) == (LedgerHealth.REPLACED, "other-ledger", ())
    assert was in seen.ledger_problem
    beat(paper_home, ledger={"id": "other-ledger", "place": "here"})
    assert home.look().ledger is LedgerHealth.OK
    home.close()


def test_an_older_copy_of_the_same_ledger_is_read_anew(growing: Any, lived: Any, tmp_path: Path) -> None:
    _, ledger, where = growing
    if "://" in where:
        pytest.skip("a server's ledger is put back by its own tools")
    for commit in lived[1][:60]:
        ledger.commit([(ACCOUNT, commit)])
    ledger.close()
    copied = tmp_path / "home"
    copied.mkdir()
    shutil.copy(where, copied / "ledger.db")
    with Ledger.open(copied / "ledger.db", durable=False, now_ns=1) as longer:
        longer.take_lease(ACCOUNT, "test", 2 * 10**18, 10**17)
        for commit in lived[1][60:120]:
            longer.commit([(ACCOUNT, commit)])
    home = Home(copied)
    head = home.look().head_seq
    shutil.copy(where, copied / "older")
    (copied / "older").replace(copied / "ledger.db")
    seen = home.look()
    home.close()
    assert seen.ledger is LedgerHealth.REPLACED
    assert f"entry {head} is not the same" in seen.ledger_problem
    assert facts(replace(seen, ledger=LedgerHealth.OK, ledger_problem="")).head_seq == read_home(copied).head_seq
    assert amounts(seen.accounts[0]) == amounts(read_home(copied).accounts[0])


def amounts(one: AccountState) -> Any:
    return one.equity, one.cash, one.positions, one.orders, one.recent_fills, one.as_of_seq


def test_an_entry_that_cannot_be_read_stops_its_account_and_no_other(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    other = AccountKey("coinbase", "main")
    ledger.take_lease(other, "test", 10**18, 10**18)
    for commit in lived[1][:40]:
        ledger.commit([(ACCOUNT, commit)])
        ledger.commit([(other, Commit(tuple(one for one in commit.records if one.kind == "account_opened")))])
    reading = Home(home, where)
    before = reading.look().account("kraken", "main")
    ledger.commit([(ACCOUNT, Commit((Record("mode_changed", 1, {"from": "NORMAL"}),)))])
    ledger.commit([(other, Commit((Record("mode_changed", 1, {"to": "PAUSED"}),)))])
    after = reading.look()
    reading.close()
    assert after.ledger is LedgerHealth.DAMAGED
    assert "(mode_changed) cannot be read" in after.ledger_problem
    mine, theirs = after.account("kraken", "main"), after.account("coinbase", "main")
    assert (mine.proven, mine.equity, mine.as_of_seq) == (False, before.equity, before.as_of_seq)
    assert (theirs.proven, theirs.mode) == (True, "paused")


def test_why_nothing_is_done_is_that_of_the_last_bar(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    going_on, seen = Home(home, where), set()
    for commit in lived[1]:
        ledger.commit([(ACCOUNT, commit)])
        if not commit.state:
            continue
        for one in going_on.look().accounts[0].votes:
            if one.why_not_reason:
                seen.add(one.why_not_reason)
                assert one.why_not_since_ns is not None
                assert one.price_ns is not None
                assert one.why_not_since_ns + (one.why_not_bars - 1) * 60 * 10**9 <= one.price_ns
    going_on.close()
    assert {"NO_SIGNAL", "HOLDING"} <= seen


def test_orders_are_those_of_the_ledger_and_a_position_has_a_resting_stop_or_a_reason(growing: Any, lived: Any) -> None:
    home, ledger, where = growing
    going_on, bare, guarded = Home(home, where), 0, 0
    for number, commit in enumerate(lived[1]):
        ledger.commit([(ACCOUNT, commit)])
        if number % 5:
            continue
        account = going_on.look().accounts[0]
        with reading(where) as connection:
            rows = [row.order for row in orders(connection, ACCOUNT, only_open=True)]
        assert {one.client_order_id: one.status for one in account.orders} == {
            order.client_order_id: order.status.value
            for order in rows
            if order.is_risk or order.status.value == "INTENT"
        }
        for one in account.positions:
            resting = [order for order in account.orders if order.client_order_id == one.stop_order]
            is_guarded = bool(resting) and resting[0].status in ("ACCEPTED", "PARTIALLY_FILLED", "REPLACE_PENDING")
            assert is_guarded != bool(one.stop_missing_reason)
            assert not resting or resting[0].stop_price == one.stop_price
            bare, guarded = bare + (not is_guarded), guarded + is_guarded
    going_on.close()
    assert bare
    assert guarded


def test_labels_are_those_of_the_signals() -> None:
    from novapulse.monitor.decisions import REGIMES
    from novapulse.signals.regimes import LABELS

    assert REGIMES == LABELS
