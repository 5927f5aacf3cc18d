"""What answers look like: exact, plain text, without traces, and nothing that a browser or a spreadsheet would run."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from novapulse.control.roles import Role
from novapulse.monitor.state import Overview
from novapulse.ops.logs import Logs
from novapulse.server.csv import csv_of
from novapulse.server.parts import API
from novapulse.server.problems import told
from novapulse.server.routes import accounts
from novapulse.server.routes.health import exposition
from novapulse.strategies import STRATEGIES
from tests.server.conftest import ACCOUNTS as KEYS
from tests.server.conftest import OURS, PASSWORD, House, Visitor, beat, bodies

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def ana(house: House) -> Visitor:
    return house.browser(Role.OPERATOR)


def cells(answer: Any) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_csv_has_the_same_exact_values_as_json(ana: Visitor) -> None:
    for path in ("accounts/kraken/main/fills", "all/fills", "accounts/kraken/main/equity", "statistics"):
        rows = ana.get(f"{API}/{path}", params={"limit": 10_000}).json()
        found = ana.get(f"{API}/{path}", params={"format": "csv"})
        assert "attachment" in found.headers["content-disposition"]
        assert len(cells(found)) == len(rows) > 0
        for row, cell in zip(rows, cells(found), strict=True):
            assert {name: cell[name] for name, value in row.items() if isinstance(value, str)} == {
                name: value for name, value in row.items() if isinstance(value, str)
            }
    fills = cells(ana.get(f"{API}/accounts/kraken/main/fills", params={"format": "csv"}))
    assert all(Decimal(one["price"]) > 0 and "e" not in one["price"].lower() for one in fills)
    assert ana.get(f"{API}/accounts", params={"format": "xlsx"}).status_code == 422


def test_who_looks_is_answered_while_nothing_can_be_written_and_who_signs_in_is_not(
    house: House, ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.clock.wait(120)
    monkeypatch.setattr(house.plane.storage, "_busy_s", 0.1)
    with house.plane.storage.writing():
        assert [ana.get(f"{API}/overview").status_code for _ in range(35)] == [200] * 35
        words = {"name": "operator", "password": PASSWORD}
        refused = house.nobody().post("/sign-in", json=words, headers={"origin": OURS})
    assert refused.status_code == 503, refused.text


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|'/c calc'!A0", "-٣"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_runs_nothing_of_it(text: str) -> None:
    body = bytes(csv_of([{"reason": text, "pnl": "-0.00000001", "note": f"a;{text}"}], "x").body).decode()
    (row,) = csv.DictReader(io.StringIO(body, newline=""))
    assert row["reason"] == f"'{text}"
    assert row["pnl"] == "-0.00000001"
    # Where cells are parted by semicolons, this one still begins and ends in quotes.
    assert f'"a;{text}"' in body


def test_a_file_is_named_without_what_a_header_cannot_hold() -> None:
    header = csv_of([], 'fills-kraken-ä"; x=\r\n').headers["content-disposition"]
    assert header == 'attachment; filename="fills-kraken-_x_.csv"'


def test_planted_markup_stays_text(house: House, ana: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = house.hub.now()
    first = found.accounts[0]
    votes = tuple(replace(one, symbol=SCRIPT, why_not=SCRIPT) for one in first.votes)
    fills = tuple(replace(one, symbol=SCRIPT) for one in first.recent_fills)
    planted = replace(first, reasons=(SCRIPT,), votes=votes, recent_fills=fills, account_id=SCRIPT)
    monkeypatch.setattr(house.hub, "now", lambda: replace(found, accounts=(planted,)))
    paths = ("overview", "accounts", "scan", "all/fills", "health", "metrics", f"accounts/{first.exchange}/{SCRIPT}")
    for path in (*paths[:-1], "all/votes?format=csv", f"accounts/nowhere/{SCRIPT.replace('/', '%2F')}"):
        answer = ana.get(f"{API}/{path}")
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in ("application/json", "text/csv", "text/plain"), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        if kind == "application/json":
            json.loads(answer.text)
    assert ana.get(f"{API}/scan").json()[0]["instrument"]["symbol"] == SCRIPT


def test_votes_have_the_forecast_and_the_weight_of_each_strategy(house: House, ana: Visitor) -> None:
    for account in house.hub.now().accounts:
        rows = ana.get(f"{API}/accounts/{account.exchange}/{account.account_id}/votes").json()
        assert [row["symbol"] for row in rows] == [one.symbol for one in account.votes]
        for row, one in zip(rows, account.votes, strict=True):
            assert row["forecasts"] == one.forecasts
            assert row["weights"] == one.weights
            assert set(row["forecasts"]) == set(STRATEGIES)
            assert sum(row["weights"].values()) == pytest.approx(1.0)


def test_a_planted_name_is_no_name(house: House) -> None:
    admin = house.browser(Role.ADMIN, stepped_up=True)
    answer = admin.post(
        f"{API}/people", json={"name": SCRIPT, "role": "viewer"}, headers={"idempotency-key": "planted 1"}
    )
    assert answer.status_code == 409
    reason = {"all": True, "reason": SCRIPT}
    admin.post(f"{API}/control/pause", json=reason, headers={"idempotency-key": "planted 1"})
    assert admin.get(f"{API}/audit").json()[0]["arguments"]["reason"] == SCRIPT
    for page in ("/login", "/welcome", "/account", "/confirm"):
        assert SCRIPT not in admin.get(page).text


def test_our_own_errors_leave_no_trace(house: House, ana: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(house.hub, "now", fails)
    lines = io.StringIO()
    logs = Logs(None, console=lines)
    answer = ana.get(f"{API}/overview")
    logs.close()
    assert "the secret of the house" in lines.getvalue()
    assert answer.status_code == 500
    assert answer.json() == {"error": "bug", "text": "an error of our own; the log has it"}
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", f"{API}/nothing", f"{API}/accounts/", "/nothing", "/docs"]
)
def test_what_is_not_there_is_told_in_json(ana: Visitor, path: str) -> None:
    answer = ana.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert "<" not in answer.text


def test_half_a_character_breaks_nothing(ana: Visitor) -> None:
    body = b'{"all": true, "reason": "\\ud800"}'
    headers = {"idempotency-key": "half 00001", "content-type": "application/json"}
    answer = ana.post(f"{API}/control/pause", content=body, headers=headers)
    assert answer.status_code in (409, 422)
    assert answer.json()["refused"]
    asked = Request({"type": "http", "path": API, "headers": []})
    assert json.loads(bytes(told(asked, 409, "x", "\ud800").body))["text"] == "?"


def test_a_body_has_an_end(house: House, ana: Visitor) -> None:
    body = b'{"all": true, "reason": "' + b"x" * (1 << 20) + b'"}'
    headers = {"idempotency-key": "large 0001", "content-type": "application/json"}
    for content in (body, (body[at : at + 65536] for at in range(0, len(body), 65536))):
        answer = ana.post(f"{API}/control/pause", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
    assert house.audit(action="pause", outcome="done") == []


def test_head_is_get_without_a_body_and_no_other_site_is_let_in(ana: Visitor) -> None:
    for path in (f"{API}/accounts", "/login", "/static/page.js", "/livez"):
        full, head = ana.get(path), ana.ask("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(full.content))
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = ana.ask("OPTIONS", f"{API}/control/kill", headers=asked)
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "login.html", "__init__.py", "page.css/", "%00.css"]
)
def test_static_files_are_those_of_our_pages_alone(house: House, name: str) -> None:
    answer = house.nobody().get(f"/static/{name}")
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_pages_are_there_for_who_has_none_yet(house: House, ana: Visitor) -> None:
    stranger = house.nobody()
    for page in ("/login", "/welcome", "/static/page.css", "/static/page.js", "/static/mark.svg"):
        assert stranger.get(page).status_code == 200
    assert 'value="' not in stranger.get("/login").text, "no name is filled in"
    moved = {"/": "/login", "/account": "/login?next=/account", "/apps": "/apps/overview", "/apps/": "/apps/overview"}
    wanted = "/apps/desk/%3Faccount_id%3Dmain%23hold-flatten"
    moved |= {f"/confirm?next={wanted}": f"/login?next={wanted}", "/confirm": "/login?next="}
    for path, target in moved.items():
        assert stranger.get(path).headers["location"] == target
    assert stranger.get("/favicon.ico").headers["location"] == "/static/mark.svg"
    assert ana.get("/").headers["location"] == "/apps/overview"
    for path in ("/account", "/confirm"):
        assert ana.get(path).status_code == 200


def gauges(found: Overview) -> dict[str, float]:
    lines = exposition(found).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_metrics_leave_out_what_is_not_known(house: House, ana: Visitor) -> None:
    beat(house.home)
    found = house.hub.now()
    told = gauges(found)
    account = found.account("kraken", "main")
    label = '{account_id="main",exchange="kraken"}'
    equity = next(
        value
        for name, value in told.items()
        if name.startswith("novapulse_account_equity") and '"kraken"' in name and '"main"' in name
    )
    assert equity == float(account.equity or 0)
    assert told["novapulse_ledger_head"] == found.head_seq
    bare = replace(account, equity=None, mode=None, last_bar_age_s=None)
    without = gauges(replace(found, accounts=(bare,), trader=replace(found.trader, heartbeat_age_s=None)))
    gone = {name.partition("{")[0] for name in told} - {name.partition("{")[0] for name in without}
    assert gone == {
        "novapulse_heartbeat_age_seconds",
        *(f"novapulse_account_{name}" for name in ("equity", "mode", "last_bar_age_seconds")),
    }
    assert label
    assert ana.get(f"{API}/metrics").text.count("novapulse_account_healthy{") == 3


def test_health_names_every_account_and_is_no_yes_while_one_is_not_well(house: House, ana: Visitor) -> None:
    stopped = ana.get(f"{API}/health")
    assert (stopped.status_code, stopped.json()["healthy"]) == (503, False)
    beat(house.home)
    house.hub._looked_s = 0.0
    well = ana.get(f"{API}/health")
    assert (well.status_code, well.json()["healthy"]) == (200, True), well.text
    assert [(one["exchange"], one["account_id"]) for one in well.json()["accounts"]] == [
        (key.exchange, key.account_id) for key in KEYS
    ]


def test_a_decision_is_made_again_from_the_bars_that_it_saw(house: House, ana: Visitor) -> None:
    decision = bodies(house.home, KEYS[1], "decision_taken")[-1]["decision_id"]
    answer = ana.get(f"{API}/accounts/kraken/main/decision/{decision}")
    assert answer.status_code == 200
    assert answer.json()["same"] is True, answer.json()["checks"]
    # The trader ran on generated bars where the lake has none of what it trades.
    (house.home / "lake").rename(house.home / "sample-lake")
    again = ana.get(f"{API}/accounts/kraken/main/decision/{decision}")
    assert again.json() == answer.json()


def test_chart_and_backtest_are_those_of_one_account(house: House, ana: Visitor) -> None:
    bars = {}
    for key in KEYS[:2]:
        path = f"{API}/accounts/{key.exchange}/{key.account_id}/chart"
        bars[key] = ana.get(f"{path}/bars", params={"symbol": "btc-usd", "last": 300}).json()
        assert len(bars[key]["close"]) == len(bars[key]["ts_close_ns"]) == 300
        ran = ana.get(f"{path}/backtest", params={"last": 1000}).json()
        assert ran["settings_hash"] == house.hub.now().account(key.exchange, key.account_id).settings_hash
    lacking = ana.get(f"{API}/accounts/coinbase/main/chart/bars", params={"symbol": "ETH/USD"})
    assert (lacking.status_code, lacking.json()["error"]) == (404, "not_found")
    assert "it trades BTC/USD" in lacking.json()["text"]


def test_every_list_is_told_for_one_account_and_for_all(ana: Visitor) -> None:
    for name in accounts._LISTS:
        every = ana.get(f"{API}/all/{name}", params={"limit": 1000}).json()
        for key in KEYS:
            mine = ana.get(f"{API}/accounts/{key.exchange}/{key.account_id}/{name}").json()
            assert mine == [
                {field: value for field, value in row.items() if field not in ("exchange", "account_id")}
                for row in every
                if (row["exchange"], row["account_id"]) == (key.exchange, key.account_id)
            ], name


# ---- Before the apps ----


async def app_page(request: Request) -> Response:
    return HTMLResponse('<script data-marimo="true">a()</script>' * 200, headers={"access-control-allow-origin": "*"})


async def app_asset(request: Request) -> Response:
    if request.path_params["name"] == "gone.js":
        return Response("no", 404, media_type="text/javascript")
    return Response("x" * 5000, media_type="text/javascript")


@pytest.fixture
def with_apps(home: Path) -> Any:
    routes = [Route("/overview", app_page), Route("/overview/assets/{name}", app_asset)]
    made = House(home, Starlette(routes=routes))
    with made.client:
        yield made


def test_assets_of_apps_are_kept_and_nothing_else_is(with_apps: House) -> None:
    ana = with_apps.browser(Role.VIEWER)
    packed = {"accept-encoding": "gzip"}
    asset = ana.get("/apps/overview/assets/x-1a2b.js", headers=packed)
    assert len(asset.content) == 5000
    assert "immutable" in asset.headers["cache-control"]
    page = ana.get("/apps/overview", headers={**packed, "accept": "text/html"})
    assert "content-encoding" not in page.headers
    assert "access-control-allow-origin" not in page.headers
    for missing in (
        ana.get("/apps/overview/assets/gone.js"),
        with_apps.nobody().get("/apps/overview/assets/x-1a2b.js"),
    ):
        assert missing.status_code in (401, 404)
        assert missing.headers["cache-control"] == "no-store"
