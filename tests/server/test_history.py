"""Lists go as far back as the ledger: page by page, whole as CSV, and cut only where that is said."""

import csv
import io
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from novapulse.control.roles import Role
from novapulse.server import history
from novapulse.server.answers import NEXT_BEFORE
from novapulse.server.parts import API
from novapulse.server.routes import accounts
from tests.server.conftest import ACCOUNTS as KEYS
from tests.server.conftest import House, Visitor, bodies

MAIN = f"{API}/accounts/kraken/main"
AT_HAND = 10
KINDS = {"fills": "fill_booked", "decisions": "decision_taken", "round-trips": "round_trip_closed"}


@pytest.fixture(autouse=True)
def _little_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "RECENT", AT_HAND)


@pytest.fixture
def ana(house: House) -> Visitor:
    return house.browser(Role.VIEWER)


def walked(ana: Visitor, path: str, limit: int) -> list[dict[str, Any]]:
    """Every page of a list, one behind the other."""
    found: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        answer = ana.get(path, params={"limit": limit, **before})
        assert answer.status_code == 200, answer.text
        found += answer.json()
        assert len(answer.json()) <= limit
        if NEXT_BEFORE not in answer.headers:
            return found
        before = {"before": answer.headers[NEXT_BEFORE]}


def cells(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("name", KINDS)
def test_pages_and_csv_hold_all_that_the_ledger_has(house: House, ana: Visitor, name: str) -> None:
    written = bodies(house.home, KEYS[1], KINDS[name])
    assert len(written) > AT_HAND, "the session has to be longer than what is at hand"
    rows = walked(ana, f"{MAIN}/{name}", 7)
    assert len(rows) == len(written)
    assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows}, reverse=True)
    assert rows[:AT_HAND] == ana.get(f"{MAIN}/{name}").json(), "the newest are those of the reading"
    whole = ana.get(f"{MAIN}/{name}", params={"format": "csv"})
    assert [int(one["seq"]) for one in cells(whole)] == [row["seq"] for row in rows]
    assert NEXT_BEFORE not in whole.headers
    assert "not-whole" not in whole.headers["content-disposition"]


@pytest.mark.parametrize("name", KINDS)
def test_rows_made_from_the_ledger_are_those_of_the_live_reading(house: House, name: str) -> None:
    live = {"fills": "recent_fills", "decisions": "recent_decisions", "round-trips": "recent_round_trips"}
    for key in KEYS:
        shown = getattr(house.hub.now().account(key.exchange, key.account_id), live[name])
        assert shown
        assert tuple(history.rows(house.home, key, name, 1000, None)) == tuple(shown)
        assert tuple(history.rows(house.home, key, name, 2, shown[3].seq)) == tuple(shown[4:6])


def test_a_csv_that_is_cut_says_so(ana: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ROWS_MAX", 20)
    cut = ana.get(f"{MAIN}/fills", params={"format": "csv"})
    assert len(cells(cut)) == 20
    assert "not-whole" in cut.headers["content-disposition"]
    assert cut.headers[NEXT_BEFORE] == cells(cut)[-1]["seq"]
    rest = ana.get(f"{MAIN}/fills", params={"format": "csv", "before": cut.headers[NEXT_BEFORE]})
    assert int(cells(rest)[0]["seq"]) < int(cells(cut)[-1]["seq"])


def test_all_accounts_are_walked_together(house: House, ana: Visitor) -> None:
    rows = walked(ana, f"{API}/all/fills", 11)
    assert len(rows) == sum(len(bodies(house.home, key, "fill_booked")) for key in KEYS)
    assert [row["seq"] for row in rows] == sorted((row["seq"] for row in rows), reverse=True)
    assert {(row["exchange"], row["account_id"]) for row in rows} == {(key.exchange, key.account_id) for key in KEYS}


def test_orders_that_ended_are_walked_to_the_first(house: House, ana: Visitor) -> None:
    rows = walked(ana, f"{MAIN}/ended-orders", 7)
    ended = bodies(house.home, KEYS[1], "order_closed")
    assert len({row["seq"] for row in rows}) == len(rows) == len(ended) > AT_HAND


def test_books_settings_days_and_pauses_of_an_account(house: House, ana: Visitor) -> None:
    account = ana.get(MAIN).json()
    balances = ana.get(f"{MAIN}/balances").json()
    cash = next(one for one in balances if (one["book"], one["asset"]) == ("cash", account["quote"]))
    assert Decimal(cash["amount"]) == Decimal(account["cash"])
    settings = ana.get(f"{MAIN}/settings").json()
    assert settings["settings_hash"] == account["settings_hash"]
    assert settings["configuration"]["decides"]["risk"]
    days = ana.get(f"{MAIN}/days").json()
    assert days == sorted(days, key=lambda one: -one["day_ns"])
    assert days
    holds = ana.get(f"{MAIN}/holds", params={"limit": 3}).json()
    assert len(holds) == 3
    assert all(one["why"] for one in holds)


@pytest.mark.parametrize("most", [1, 2, 7])
def test_pauses_are_walked_to_the_first(ana: Visitor, most: int) -> None:
    """A bug: who wanted those before the newest had to ask for all."""
    wanted, found = ana.get(f"{MAIN}/holds", params={"limit": history.ROWS_MAX}).json(), []
    path, params = f"{MAIN}/holds", {"limit": most}
    assert len(wanted) > 50
    while True:
        page = ana.get(path, params=params)
        begun = {one["first_ns"] for one in page.json()}
        # More than were asked for only where one bar began more.
        assert len(page.json()) <= most or len(begun) == 1
        found += page.json()
        if NEXT_BEFORE not in page.headers:
            break
        params = {"limit": most, "before": page.headers[NEXT_BEFORE]}
    assert found == wanted


def test_pauses_that_began_with_one_bar_are_on_one_page(house: House, ana: Visitor) -> None:
    with closing(sqlite3.connect(house.home / "ledger.db")) as ledger, ledger:
        ledger.execute(
            "INSERT INTO hold_run SELECT exchange, account_id, symbol || 'X', first_ns, last_ns, reason, bars "
            "FROM hold_run"
        )
    page = ana.get(f"{MAIN}/holds", params={"limit": 3})
    begun = [one["first_ns"] for one in page.json()]
    assert begun == [begun[0]] * 2
    assert page.headers[NEXT_BEFORE] == str(begun[0])
    assert len(ana.get(f"{MAIN}/holds", params={"limit": 1}).json()) == 2
