"""The OpenAPI document, taken at its word: whatever is asked is answered as it says, and nothing is a fault of ours."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CheckFunction

from novapulse.control import entrance, second_factor
from novapulse.control.limits import Limit
from novapulse.control.roles import Role, Scope
from novapulse.server import access
from novapulse.server.parts import API
from novapulse.server.routes import control
from tests.server.conftest import ACCOUNTS, PASSWORD, SHELL, App, House, Visitor, bodies, copied

MANY = Limit("reads of a test", 10**9, 10**9)


@pytest.fixture(scope="module")
def fuzzed(left_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Visitor]]:
    """A server that nobody asks too often, and a key that may do everything a key can."""
    home = copied(left_home, tmp_path_factory.mktemp("fuzzed") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOVAPULSE_HOME", str(home))
        for module, name in (
            *((access, "READS"), (control, "COMMANDS_LIMIT"), (control, "_STOPS_LIMIT")),
            *((entrance, "SIGN_IN_BY_NAME"), (entrance, "SIGN_IN_BY_ADDRESS")),
            (second_factor, "SECOND_FACTORS_BEGUN"),
        ):
            patch.setattr(module, name, MANY)
        house = House(home, config=home / "config.yaml")
        with house.client:
            yield house, house.script()


# No answer says 500, so that one that does is not as the document says.
CHECKS: list[CheckFunction] = [
    schemathesis.checks.response_schema_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.status_code_conformance,
]


LONG = ("/chart/backtest", "/ledger/proof")
"""What takes long is asked elsewhere, once."""
calm = hypothesis.settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def operations_of(house: House) -> list[Any]:
    document: Any = schemathesis.openapi.from_asgi("/api/openapi.json", house.app)
    return [one.ok() for one in document.get_all_operations()]


def test_every_answer_is_as_the_document_says(fuzzed: tuple[House, Visitor]) -> None:
    house, script = fuzzed
    seen: Counter[int] = Counter()

    def ask(case: Any) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        answer = case.call(headers=script.headers)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS, headers=script.headers)

    operations = operations_of(house)
    for operation in operations:
        if not operation.path.endswith(LONG):
            calm(hypothesis.given(case=operation.as_strategy())(ask))()
    assert len(operations) > 50
    assert {200, 403, 404, 422} <= set(seen), seen


WITHOUT_KEY = {
    *("POST /session", "DELETE /session", "POST /session/welcome", "POST /session/step-up", "POST /session/password"),
    "POST /session/code",
}
"""What is never the same again, so that no key names it; each begins, renews or ends the session it comes with."""


@dataclass
class Admin:
    """An admin who has just given the password, and names every wish; what was done is kept by route."""

    house: House
    who: Visitor
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def call(self, case: Any) -> Any:
        """Send what was made up, and hold the answer against the document."""
        route = spelled(case.operation)
        number = sum(self.statuses[route].values())
        headers = {**self.who.headers, "x-csrf": self.who.csrf, "idempotency-key": f"{route} {number}"}
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        case.headers = {}
        answer = case.call(headers=headers)
        self.statuses[route][answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS, headers=headers)
        assert answer.status_code < 500, (route, answer.text)
        if "set-cookie" in answer.headers:
            self.who.headers["cookie"] = answer.headers["set-cookie"][0].partition(";")[0]
            self.who.csrf = answer.json().get("csrf", "")
        return answer


def spelled(operation: Any) -> str:
    return f"{operation.method.upper()} {operation.path.removeprefix(API)}"


def right(house: House, admin: "Admin") -> dict[str, tuple[dict[str, str], Any]]:
    """Of every route that changes something what its path and body have to be, so that it does.

    A body that is not known before the routes above it were asked is a function.
    """
    plane = house.plane
    other = house.browser(Role.VIEWER, "other")
    (handle,) = (one.handle for one in plane.sessions.of("other"))
    key = str(plane.keys.make(SHELL, "to be revoked", [Scope.READ], person="other").result)
    eve, name = {"name": "eve"}, {"name": "other"}
    assert other.get(f"{API}/session").status_code == 200
    app, blue = App(house), "a blue kettle in december"

    def proof() -> dict[str, str]:
        app.begin(admin.who)
        return {"code": app.code()}

    def has_one_still() -> None:
        if plane.second_factors.of("admin") is None:
            app.enrol(admin.who)

    def lost() -> None:
        app.enrol(house.browser(Role.VIEWER, "carl", stepped_up=True))

    def waits() -> dict[str, str]:
        bob = house.browser(Role.VIEWER, "bob", stepped_up=True)
        app.enrol(bob)
        asked = plane.entrance.sign_in("bob", PASSWORD, address="192.0.2.7")
        admin.who.headers["cookie"] = f"{house.parts.challenge_cookie}={asked.token}"
        return {"code": app.code()}

    return {
        "POST /session/second-factor": ({}, None),
        "POST /session/second-factor/proof": ({}, proof),
        "DELETE /session/second-factor": ({}, has_one_still),
        "DELETE /people/{name}/second-factor": ({"name": "carl"}, lost),
        "POST /people": ({}, {"name": "eve", "role": "viewer"}),
        "POST /people/{name}/link": (eve, None),
        "PUT /people/{name}/role": (eve, {"role": "operator"}),
        "POST /people/{name}/disable": (eve, None),
        "POST /people/{name}/enable": (eve, None),
        "POST /keys": ({}, {"label": "x", "scopes": ["read"], "days": 1}),
        "DELETE /keys/{prefix}": ({"prefix": key.split("_")[1]}, None),
        "DELETE /sessions/{handle}": ({"handle": handle}, None),
        "POST /control/{verb}": ({"verb": "kill"}, {"all": True}),
        "POST /session/step-up": ({}, {"password": PASSWORD}),
        "POST /session/password": ({}, {"old": PASSWORD, "new": "a green kettle in november"}),
        "DELETE /session": ({}, None),
        "POST /session": ({}, {"name": name["name"], "password": PASSWORD}),
        "POST /session/welcome": ({}, {"token": str(plane.people.make_link(SHELL, "other").result), "password": blue}),
        "POST /session/code": ({}, waits),
    }


def test_whatever_changes_something_does_it_as_the_document_says(fuzzed: tuple[House, Visitor]) -> None:
    house, _ = fuzzed
    admin = Admin(house, house.browser(Role.ADMIN, stepped_up=True))
    acting = {spelled(one): one for one in operations_of(house) if one.method.upper() != "GET"}
    asked = right(house, admin)
    assert set(asked) == set(acting)

    def ask(case: Any) -> None:
        admin.call(case)

    for route, (path, body) in asked.items():
        operation = acting[route]
        if route not in WITHOUT_KEY:
            calm(hypothesis.given(case=operation.as_strategy())(ask))()
        body = body() if callable(body) else body
        more = {} if body is None else {"body": body, "media_type": "application/json"}
        answer = admin.call(operation.Case(path_parameters=path, **more))
        assert 200 <= answer.status_code < 300, (route, answer.text)
    reached = {route for route, statuses in admin.statuses.items() if any(200 <= status < 300 for status in statuses)}
    assert reached == set(acting)


def test_what_there_is_of_an_account_is_as_the_document_says(fuzzed: tuple[House, Visitor]) -> None:
    house, script = fuzzed
    decision = bodies(house.home, ACCOUNTS[1], "decision_taken")[-1]["decision_id"]
    named = {"exchange": "kraken", "account_id": "main", "decision_id": decision, "seq": 1}
    named |= {"number": 1, "strategy": "trend"}
    told = 0
    for operation in operations_of(house):
        names = set(re.findall(r"{(\w+)}", operation.path))
        if operation.method.upper() == "GET" and names <= set(named):
            query = {"symbol": "BTC/USD"} if operation.path.endswith("/bars") else {}
            case = operation.Case(path_parameters={name: named[name] for name in names}, query=query)
            answer = case.call(headers=script.headers)
            case.validate_response(answer, checks=CHECKS, headers=script.headers)
            told += answer.status_code == 200
    assert told >= 35


def test_it_describes_every_answer(fuzzed: tuple[House, Visitor]) -> None:
    document = fuzzed[0].nobody().get("/api/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            assert told["summary"], path
            assert {"401", "403", "422", "429", "503"} <= set(told["responses"]), (method, path)
            for status, answer in told["responses"].items():
                if status.startswith("2") and status != "204":
                    for kind, content in answer["content"].items():
                        assert content["schema"], (path, kind)
    fill = document["components"]["schemas"]["FillState"]
    assert {"seq", "price", "fee"} <= set(fill["properties"])
    assert len(json.dumps(document)) < 400_000
    assert f"{API}/accounts/{{exchange}}/{{account_id}}/fills" in document["paths"]


def test_everything_that_changes_something_has_to_be_named(fuzzed: tuple[House, Visitor]) -> None:
    document = fuzzed[0].nobody().get("/api/openapi.json").json()
    named, unnamed = set(), set()
    for path, methods in document["paths"].items():
        for method in set(methods) - {"get"}:
            headers = {one["name"]: one["required"] for one in methods[method].get("parameters", ())}
            found = named if headers.get("idempotency-key") else unnamed
            found.add(f"{method.upper()} {path.removeprefix(API)}")
    assert unnamed == WITHOUT_KEY
    assert len(named) == 13
