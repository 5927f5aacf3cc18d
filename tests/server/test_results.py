"""What round trips came to, what keeps entries away, which strategies there are, the machine, and the log."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from novapulse.control.roles import Role, Scope
from novapulse.ops.masking import Secrets
from novapulse.server.parts import API
from novapulse.server.routes import machine
from novapulse.strategies import STRATEGIES
from tests.server.conftest import House, Visitor

MAIN = f"{API}/accounts/kraken/main"


@pytest.fixture
def ana(house: House) -> Visitor:
    return house.browser(Role.VIEWER)


def month(date: datetime) -> str:
    return f"{date:%Y-%m}-01"


def week(date: datetime) -> str:
    return f"{date - timedelta(days=date.isocalendar().weekday - 1):%Y-%m-%d}"


KEYS: dict[str, Any] = {
    "symbol": lambda trip: trip["symbol"],
    "exit_reason": lambda trip: trip["exit_reason"],
    "strategy": lambda trip: trip["lead"],
    "day": lambda trip: f"{closed(trip):%Y-%m-%d}",
    "week": lambda trip: week(closed(trip)),
    "month": lambda trip: month(closed(trip)),
}


def closed(trip: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(trip["exit_ns"] // 10**9, UTC)


@pytest.mark.parametrize("by", KEYS)
def test_results_are_the_sums_of_the_round_trips(ana: Visitor, by: str) -> None:
    trips = ana.get(f"{MAIN}/round-trips", params={"limit": 1000}).json()
    assert len(trips) > 10
    sums: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trip in trips:
        sums[KEYS[by](trip)].append(trip)
    rows = ana.get(f"{MAIN}/results", params={"by": by}).json()
    assert [row["key"] for row in rows] == sorted(sums)
    for row in rows:
        mine = sums[row["key"]]
        pnl = [Decimal(trip["pnl"]) for trip in mine]
        assert (row["by"], row["exchange"], row["account_id"], row["quote"]) == (by, "kraken", "main", "USD")
        assert (row["trades"], row["wins"], row["losses"]) == (
            len(mine),
            sum(one > 0 for one in pnl),
            sum(one < 0 for one in pnl),
        )
        assert Decimal(row["pnl"]) == sum(pnl)
        assert Decimal(row["fees"]) == sum(Decimal(trip["fees"]) for trip in mine)
        assert Decimal(row["average_pnl"]) == pytest.approx(sum(pnl) / len(mine), abs=Decimal("1e-9"))
        assert row["average_r"] == pytest.approx(sum(trip["r_multiple"] for trip in mine) / len(mine))
        lost = -sum(one for one in pnl if one < 0)
        won = sum(one for one in pnl if one > 0)
        assert row["profit_factor"] == (pytest.approx(float(won / lost)) if lost else None)
        assert (row["first_seq"], row["last_seq"]) == (mine[-1]["seq"], mine[0]["seq"])


def test_results_of_all_accounts_are_those_of_each(ana: Visitor) -> None:
    each = [
        row
        for account in ana.get(f"{API}/accounts").json()
        for row in ana.get(
            f"{API}/accounts/{account['exchange']}/{account['account_id']}/results", params={"by": "month"}
        ).json()
    ]
    assert ana.get(f"{API}/results", params={"by": "month"}).json() == each
    assert "kraken,main" in ana.get(f"{MAIN}/results", params={"format": "csv"}).text.replace('"', "")


def test_a_round_trip_is_found_by_its_number_in_its_own_account(ana: Visitor) -> None:
    for trip in ana.get(f"{MAIN}/round-trips", params={"limit": 1000}).json():
        found = ana.get(f"{MAIN}/round-trips/{trip['number']}").json()
        assert found == {"exchange": "kraken", "account_id": "main", **trip}
    missing = ana.get(f"{MAIN}/round-trips/999999")
    assert (missing.status_code, missing.json()["text"]) == (404, "main on kraken has closed no round trip 999999")


def test_strategies_are_told_with_the_parameters_in_force(ana: Visitor) -> None:
    listed = {row["name"]: row for row in ana.get(f"{API}/strategies").json()}
    assert {*STRATEGIES} <= {*listed}
    for name, module in STRATEGIES.items():
        told = ana.get(f"{API}/strategies/{name}").json()
        assert {key: told[key] for key in listed[name]} == listed[name]
        params = module.Params.model_validate(told["parameters"])
        assert told["warmup_bars"] == module.warmup_bars(params)
        assert {*told["parameters"]} == {*told["parameters_schema"]["properties"]}
    assert ana.get(f"{API}/strategies/nothing").status_code == 404


def test_the_machine_is_told_without_its_name_and_its_folders(house: House, ana: Visitor) -> None:
    answer = ana.get(f"{API}/sysinfo")
    told = answer.json()
    assert 0 < told["disk_free_bytes"] <= told["disk_total_bytes"]
    assert told["memory_available_bytes"] is None or 0 < told["memory_available_bytes"] <= told["memory_total_bytes"]
    assert told["cpus"] >= 1
    assert all(told["libraries"].values())
    assert str(house.home) not in answer.text


def test_the_log_is_for_admins_alone_and_masked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    admin, folder = house.browser(Role.ADMIN), house.home / "logs"
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"level": "info", "event": f"number {at}"}) for at in range(150)]
    lines.append('{"level": "error", "event": "refused: password=kj3h4kjh5"}')
    lines.append("not json, and planted-secret-1234 in it")
    (folder / "trader.log").write_text("\n".join(lines) + "\n")
    known = Secrets()
    known.register("planted-secret-1234")
    monkeypatch.setattr(machine, "SECRETS", known)
    told = admin.get(f"{API}/logs", params={"last": 5}).json()
    assert [row["line"] for row in told[:3]] == lines[-5:-2]
    assert [row["level"] for row in told] == ["info", "info", "info", "error", ""]
    assert not any(secret in row["line"] for row in told for secret in ("kj3h4kjh5", "planted-secret-1234"))
    assert len(admin.get(f"{API}/logs").json()) == 100
    (folder / "errors.log").unlink(missing_ok=True)
    assert admin.get(f"{API}/logs", params={"of": "errors"}).status_code == 404
    for who in (house.browser(Role.OPERATOR), house.script(Scope.READ)):
        assert who.get(f"{API}/logs").status_code == 403
