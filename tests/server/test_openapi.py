"""The OpenAPI document, taken at its word: whatever is asked is answered as it says, and nothing is a fault of ours."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CheckFunction

from novapulse.control.limits import Limit
from novapulse.server import access
from novapulse.server.parts import API
from novapulse.server.routes import control
from tests.server.conftest import ACCOUNTS, House, Visitor, bodies, copied

MANY = Limit("reads of a test", 10**9, 10**9)


@pytest.fixture(scope="module")
def fuzzed(left_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Visitor]]:
    """A server that nobody asks too often, and a key that may do everything a key can."""
    home = copied(left_home, tmp_path_factory.mktemp("fuzzed") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOVAPULSE_HOME", str(home))
        for module, name in ((access, "READS"), (control, "COMMANDS_LIMIT"), (control, "_STOPS_LIMIT")):
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
CASES = 6


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

    calm = hypothesis.settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    operations = operations_of(house)
    for operation in operations:
        if not operation.path.endswith(LONG):
            calm(hypothesis.given(case=operation.as_strategy())(ask))()
    assert len(operations) > 50
    assert {200, 403, 404, 422} <= set(seen), seen


def test_what_there_is_of_an_account_is_as_the_document_says(fuzzed: tuple[House, Visitor]) -> None:
    house, script = fuzzed
    decision = bodies(house.home, ACCOUNTS[1], "decision_taken")[-1]["decision_id"]
    named = {"exchange": "kraken", "account_id": "main", "decision_id": decision, "seq": 1}
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
