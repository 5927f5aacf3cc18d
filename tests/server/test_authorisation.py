"""Every route, asked by everybody there is, of every account: one table says what comes of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.routing import APIRoute

from novapulse.control.inbox import VERBS
from novapulse.control.roles import Role, Scope
from novapulse.server import live, pages
from novapulse.server.access import Needs, NeedsItsVerb
from novapulse.server.app import REST
from novapulse.server.parts import API
from tests.server.conftest import ACCOUNTS as KEYS
from tests.server.conftest import SHELL, House, Visitor, bodies

OPEN = {
    "POST /session": "who signs in is nobody yet",
    "POST /session/code": "who gives the code after the password is nobody yet",
    "POST /session/welcome": "who has a one-time link is nobody yet",
    "GET /livez": "whether the process answers",
    "GET /": "leads to the sign-in",
    "GET /apps": "leads to the gate",
    "GET /apps/": "leads to the gate",
    "GET /favicon.ico": "a picture",
    "GET /login": "the sign-in",
    "GET /welcome": "where one-time links lead",
    "GET /account": "leads to the sign-in; what it shows comes by the REST",
    "GET /confirm": "leads to the sign-in; it is empty but for a field",
    "GET /static/{name}": "what pages are made of",
}
"""Routes that say nothing of accounts and people, and why they are open. `/live` has a test of its own."""

# Who gets which status: nobody, viewer, operator, admin, key that may read. Who has just given the password once more
# gets the same, but for what is in `WITH_PASSWORD`.
LOOK = (401, 200, 200, 200, 200)
ADMIN = (401, 403, 403, 200, 403)
ADMIN_AGAIN = (401, 403, 403, 403, 403)  # the password is wanted once more, also of an admin
OTHERS = (401, 403, 403, 409, 403)  # what is not one's own is for an admin, and there is nothing of that name
FLAT = (401, 404, 404, 404, 404)

TABLE = {
    "GET /session": LOOK,
    "DELETE /session": (401, 200, 200, 200, 403),
    "POST /session/step-up": (401, 401, 401, 401, 403),
    "POST /session/password": (401, 401, 401, 401, 403),
    "GET /session/second-factor": LOOK,
    "POST /session/second-factor": ADMIN_AGAIN,
    "POST /session/second-factor/proof": (401, 409, 409, 409, 403),
    "DELETE /session/second-factor": ADMIN_AGAIN,
    "GET /sessions": LOOK,
    "DELETE /sessions/{handle}": OTHERS,
    "GET /health": (401, 503, 503, 503, 503),
    "GET /metrics": LOOK,
    "GET /control/commands/{command_id}": FLAT,
    "GET /control/commands/{command_id}/proof": FLAT,
    "GET /ledger": LOOK,
    "GET /ledger/entries": LOOK,
    "GET /ledger/entries/{seq}": LOOK,
    "GET /ledger/proof": LOOK,
    "GET /people": ADMIN,
    "POST /people": ADMIN_AGAIN,
    "POST /people/{name}/link": ADMIN_AGAIN,
    "PUT /people/{name}/role": ADMIN_AGAIN,
    "DELETE /people/{name}/second-factor": ADMIN_AGAIN,
    "POST /people/{name}/disable": OTHERS,
    "POST /people/{name}/enable": ADMIN_AGAIN,
    "GET /keys": LOOK,
    "POST /keys": ADMIN_AGAIN,
    "DELETE /keys/{prefix}": OTHERS,
    "GET /audit": ADMIN,
    "GET /audit/proof": ADMIN,
    "GET /overview": LOOK,
    "GET /accounts": LOOK,
    "GET /statistics": LOOK,
    "GET /results": LOOK,
    "GET /strategies": LOOK,
    "GET /strategies/{strategy}": LOOK,
    "GET /sysinfo": LOOK,
    "GET /logs": ADMIN,
    "GET /scan": LOOK,
    **{
        f"GET /all/{what}": LOOK
        for what in (
            *("positions", "orders", "fills", "decisions", "round-trips", "alerts", "breakers", "breaks"),
            *("limits", "limit-changes", "locks", "votes"),
        )
    },
    **{
        f"GET /accounts/{{exchange}}/{{account_id}}{what}": LOOK
        for what in (
            "",
            *("/positions", "/orders", "/fills", "/decisions", "/round-trips", "/alerts", "/breakers", "/breaks"),
            *("/limits", "/limit-changes", "/votes", "/equity", "/statistics", "/decision/{decision_id}"),
            *("/locks", "/results", "/round-trips/{number}"),
            *("/days", "/ended-orders", "/holds", "/balances", "/settings", "/chart/bars", "/chart/backtest"),
        )
    },
    # 403 of an operator or admin: resume, flatten and what is like them want the password once more.
    "POST /control/{verb}": (),
}
WITH_PASSWORD = {
    **dict.fromkeys(("POST /people",), (403, 403, 201)),
    # There is nobody of that name.
    **dict.fromkeys(
        (
            *("POST /people/{name}/link", "PUT /people/{name}/role", "POST /people/{name}/enable"),
            "DELETE /people/{name}/second-factor",
        ),
        (403, 403, 409),
    ),
    "POST /session/second-factor": (201, 201, 201),
    # They have none.
    "DELETE /session/second-factor": (409, 409, 409),
    "POST /keys": (201, 201, 201),
}
"""What viewer, operator and admin get who have just given the password once more: all that wants it."""

TIGHTEN, LOOSEN, SELL = (401, 403, 202, 202, 403), (401, 403, 403, 403, 403), (401, 403, 202, 202, 403)
VERBS_TABLE = {
    **dict.fromkeys(("pause", "reduce_only", "halt", "cancel", "close", "reconcile", "acknowledge"), TIGHTEN),
    **dict.fromkeys(("resume", "resume_from_halt", "adopt", "ignore", "settle", "limits", "flatten"), LOOSEN),
    "kill": SELL,
}
LOOSEN_WITH_PASSWORD = (403, 202, 202)
WHO = ("nobody", "viewer", "operator", "admin", "key")
SURE = ("sure viewer", "sure operator", "sure admin")
"""Those who have just given the password once more."""


def everybody(statuses: tuple[int, ...], sure: tuple[int, ...] = ()) -> list[tuple[str, int]]:
    """Who gets which status: those of the table, and those who have just given the password."""
    return [*zip(WHO, statuses, strict=True), *zip(SURE, sure or statuses[1:4], strict=True)]


def why(who: str, status: int, statuses: tuple[int, ...], sure: tuple[int, ...]) -> str | None:
    """What a refusal has to be called: a missing role is not a password that was not given again."""
    lacks_password = status == 403 and who in WHO[1:4] and bool(sure) and sure[WHO.index(who) - 1] != 403
    return {401: None, 403: "step_up_needed" if lacks_password else "denied"}.get(status)


def spelled(route: APIRoute) -> str:
    (method,) = route.methods or {""}
    return f"{method} {route.path}"


def routes() -> list[APIRoute]:
    found = [route for router in REST for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in found)
    return [route for route in found if isinstance(route, APIRoute)]


def test_every_route_declares_what_it_needs_or_is_named_as_open() -> None:
    """V-13: an endpoint of control without authorisation may not return."""
    undeclared = [
        spelled(route)
        for route in [*routes(), *(one for one in pages.router.routes if isinstance(one, APIRoute))]
        if not any(isinstance(one.call, Needs | NeedsItsVerb) for one in route.dependant.dependencies)
    ]
    assert sorted(undeclared) == sorted(OPEN)
    assert {spelled(route) for route in routes()} - set(OPEN) == set(TABLE)
    assert [route.path for route in live.router.routes if hasattr(route, "path")] == ["/live"]
    assert set(VERBS_TABLE) == set(VERBS)


def test_what_the_server_answers_to_is_what_the_table_walks(house: House) -> None:
    document = house.nobody().get("/api/openapi.json").json()
    told = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert told == {spelled(route) for route in routes()}


@dataclass
class Walk:
    """Who asks what, and what came of it where that is not as it should be."""

    house: House
    people: dict[str, Visitor]
    decision: str
    wrong: list[str] = field(default_factory=list)

    def ask(self, who: str, route: str, status: int, error: str | None = None, **named: str) -> Any:
        method, _, path = route.partition(" ")
        path = re.sub(r"{(\w+)}", lambda found: named.get(found[1], "nothing"), path)
        more = MORE.get(route, {}) | ({} if method == "GET" else {"headers": {"idempotency-key": f"{who} {route}"}})
        answer = self.people[who].ask(method, API + path, **more)
        if answer.status_code != status or (error and answer.json()["error"] != error):
            told = f"{who}: {method} {path}: {answer.status_code}, not {status} {error}: {answer.text[:200]}"
            self.wrong.append(told)
        return answer


MORE: dict[str, dict[str, Any]] = {
    "POST /session/step-up": {"json": {"password": "wrong"}},
    "POST /session/second-factor/proof": {"json": {"code": "000000"}},
    "POST /session/password": {"json": {"old": "wrong", "new": "a new one that is long"}},
    "POST /people": {"json": {"name": "eve", "role": "viewer"}},
    "PUT /people/{name}/role": {"json": {"role": "viewer"}},
    "POST /keys": {"json": {"label": "x", "scopes": ["read"]}},
    "GET /accounts/{exchange}/{account_id}/chart/bars": {"params": {"symbol": "BTC/USD", "last": 5}},
    "GET /accounts/{exchange}/{account_id}/chart/backtest": {"params": {"last": 1000}},
}
NAMED = {"seq": "1", "number": "1", "strategy": "trend"}
"""What paths name beside an account, and is there in every one."""
LAST = ("POST /session/second-factor/proof", "POST /session/step-up", "DELETE /session", "POST /session/password")
"""What ends a session, or uses up what may be tried, comes last, in this order: passwords may be wrong five times."""


@pytest.fixture
def walk(house: House, of_all: Callable[[], dict[str, Visitor]]) -> Walk:
    decisions = bodies(house.home, KEYS[1], "decision_taken")
    (house.home / "logs").mkdir(exist_ok=True)
    (house.home / "logs" / "trader.log").write_text("{}\n")
    return Walk(house, of_all(), decisions[-1]["decision_id"])


def test_everybody_gets_what_the_table_says_and_nothing_else(walk: Walk) -> None:
    named = {"exchange": KEYS[1].exchange, "account_id": KEYS[1].account_id, **NAMED, "decision_id": walk.decision}
    for route in sorted(
        set(TABLE) - {"POST /control/{verb}"}, key=lambda route: (LAST.index(route) if route in LAST else -1, route)
    ):
        sure = WITH_PASSWORD.get(route, ())
        for who, status in everybody(TABLE[route], sure):
            if route in LAST[:2]:
                # The next wrong code or password is looked at.
                walk.house.clock.wait(180)
            walk.ask(who, route, status, why(who, status, TABLE[route], sure), **named)
        for who in ("expired key", "foreign key"):
            walk.ask(who, route, 401, **named)
    assert walk.wrong == []


def test_an_account_is_itself_another_is_another_and_an_unknown_one_is_an_error(walk: Walk) -> None:
    """HS-015: chart and backtest are those of the account that was asked for; an unknown one is never another's."""
    by_account = [route for route in TABLE if "{account_id}" in route]
    assert len(by_account) == 25
    for route in by_account:
        for key in KEYS[:2]:
            # A decision belongs to one account, and is not there in another one.
            is_there = key == KEYS[1] or "{decision_id}" not in route
            named = {"exchange": key.exchange, "account_id": key.account_id, **NAMED, "decision_id": walk.decision}
            for who in (*WHO[1:], *SURE):
                answer = walk.ask(who, route, 200 if is_there else 404, **named)
                told = answer.json() if is_there else {}
                if isinstance(told, dict) and is_there:
                    assert (told["exchange"], told["account_id"]) == (key.exchange, key.account_id), route
            walk.ask("nobody", route, 401, **named)
        for named in (
            {"exchange": "kraken", "account_id": "nobody"},
            {"exchange": "coinbase", "account_id": "second"},
            {"exchange": "main", "account_id": "kraken"},
        ):
            for who in WHO[1:]:
                answer = walk.ask(who, route, 404, **named, **NAMED, decision_id=walk.decision)
                assert answer.json()["error"] == "unknown_account", route
                for key in KEYS:
                    assert f"{key.account_id} at {key.exchange}" in answer.json()["text"], route
            assert walk.ask("nobody", route, 401, **named).json()["error"] == "not_signed_in"
    assert walk.wrong == []


TARGETS: tuple[dict[str, Any], ...] = (
    *({"exchange": key.exchange, "account_id": key.account_id} for key in KEYS[:2]),
    {"all": True},
)
ABOUT: dict[str, dict[str, Any]] = {
    "close": {"symbol": "BTC/USD"},
    "acknowledge": {"alert": "all"},
    "limits": {"set": {"positions_max": None}},
    "adopt": {"order": "x"},
    "ignore": {"order": "x"},
    "settle": {"order": "x"},
}


@pytest.mark.parametrize("verb", VERBS)
def test_commands_are_for_those_whose_role_or_key_has_them(walk: Walk, verb: str) -> None:
    statuses = VERBS_TABLE[verb]
    sure = LOOSEN_WITH_PASSWORD if statuses == LOOSEN else ()
    for number, target in enumerate(TARGETS):
        for who, status in everybody(statuses, sure):
            headers = {"idempotency-key": f"{who} {verb} {number}"}
            answer = walk.people[who].post(f"{API}/control/{verb}", json=target | ABOUT.get(verb, {}), headers=headers)
            assert answer.status_code == status, (who, target, answer.text)
            assert (error := why(who, status, statuses, sure)) is None or answer.json()["error"] == error, (who, target)
        for who in ("expired key", "foreign key"):
            answer = walk.people[who].post(f"{API}/control/{verb}", json=target)
            assert answer.status_code == 401
    done = {(row["actor"], row["exchange"]) for row in walk.house.audit(action=verb, outcome="done")}
    may = {who.replace("sure ", "sure-") for who, status in everybody(statuses, sure) if status == 202}
    assert done == {(f"web:{who}", target.get("exchange")) for who in may for target in TARGETS}


def test_a_key_does_what_its_scopes_say_and_never_looks_after_people(house: House) -> None:
    may = {
        Scope.CONTROL: {"pause", "reduce_only", "halt", "cancel", "close", "reconcile", "acknowledge"},
        Scope.LOOSEN: {"resume", "resume_from_halt", "adopt", "ignore", "settle", "limits"},
        Scope.FLATTEN: {"flatten", "kill"},
        Scope.READ: set(),
    }
    for scope, verbs in may.items():
        script = house.script(scope)
        done = set()
        for verb in VERBS:
            body: dict[str, Any] = {"exchange": "kraken", "account_id": "main"}
            body |= {"symbol": "BTC/USD", "order": "x", "alert": "all", "set": {"positions_max": 3}}
            answer = script.post(f"{API}/control/{verb}", json=body, headers={"idempotency-key": f"{scope} {verb} 1"})
            assert answer.status_code in (202, 403, 409), answer.text
            if answer.status_code != 403:
                done.add(verb)
        assert done == verbs
    assert house.script().get(f"{API}/people").status_code == 403


def test_whoever_loses_a_role_loses_it_at_that_moment(house: House) -> None:
    ana = house.browser(Role.OPERATOR, "ana")
    assert ana.get(f"{API}/accounts").status_code == 200
    house.plane.people.disable(SHELL, "ana")
    assert ana.get(f"{API}/accounts").status_code == 401
    assert ana.post(f"{API}/control/pause", json={"all": True}).status_code == 401
