"""Who gets in, and how often: origins and tokens, throttled sign-ins, spent allowances, and sessions that end."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from novapulse.control.limits import Limit
from novapulse.control.people import LINK_PATH
from novapulse.control.roles import Role, Scope
from novapulse.server import access
from novapulse.server.gate import NOT_OUR_PAGE
from novapulse.server.layers import BODY_BYTES_MAX
from novapulse.server.parts import API
from tests.server.conftest import OURS, PASSWORD, SHELL, House, Visitor

PAUSE = f"{API}/control/pause"
ALL = {"all": True}


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


FORGED: dict[str, dict[str, str]] = {
    "no token": {"x-csrf": ""},
    "another's token": {"x-csrf": "A" * 43},
    "another site": {"origin": "http://evil.example"},
    "another port": {"origin": f"{OURS}:8701"},
    "a sandbox": {"origin": "null"},
    "a link from elsewhere": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site"},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
def test_nothing_changes_but_from_our_own_pages_with_their_token(house: House, headers: dict[str, str]) -> None:
    ana = house.browser(Role.OPERATOR, stepped_up=True)
    for path, body in ((PAUSE, ALL), (f"{API}/keys", {"label": "x", "scopes": ["read"]})):
        answer = ana.post(path, json=body, headers={**keyed("forged 1"), **headers})
        assert answer.status_code == 403, answer.text
        assert answer.json()["refused"]
    assert house.plane.keys.of("operator") == []
    assert house.audit(outcome="done", action="pause") == []
    assert ana.post(PAUSE, json=ALL, headers=keyed("honest 1")).status_code == 202


def test_a_request_without_an_origin_is_no_page_of_ours(house: House) -> None:
    ana = house.browser(Role.OPERATOR)
    del ana.headers["origin"]
    assert ana.post(PAUSE, json=ALL, headers=keyed("without 1")).status_code == 403
    said = {"name": "operator", "password": PASSWORD}
    assert house.client.post(f"{API}/session", json=said).status_code == 403
    foreign = {"origin": "http://evil.example"}
    link = {"token": "x", "name": "eve", "password": PASSWORD}
    assert house.client.post(f"{API}/session/welcome", json=link, headers=foreign).status_code == 403
    assert house.client.post(f"{API}/session", json=said, headers=foreign).status_code == 403
    told = [(row["action"], row["outcome"]) for row in house.audit() if row["text"] == NOT_OUR_PAGE]
    # Of three refusals in a row of one stranger the first and the second.
    assert sorted(told) == [("pause", "denied"), ("sign_in", "denied"), ("use_link", "denied")]


def test_origins_that_were_named_are_the_only_ones(home: Any) -> None:
    house = House(home, origins=frozenset({"https://desk.example"}), https=True)
    with house.client:
        ana = house.browser(Role.OPERATOR)
        assert ana.post(PAUSE, json=ALL, headers=keyed("origin 1")).status_code == 403
        named = {**keyed("origin 2"), "origin": "https://desk.example"}
        assert ana.post(PAUSE, json=ALL, headers=named).status_code == 202


def sign_in(house: House, name: str, password: str) -> Any:
    return house.client.post(f"{API}/session", json={"name": name, "password": password}, headers={"origin": OURS})


def test_a_session_begins_with_a_cookie_that_scripts_cannot_read(house: House) -> None:
    house.person("ana", Role.VIEWER)
    answer = sign_in(house, "ana", PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", "max-age="):
        assert part in cookie
    assert answer.json()["audit_id"] == house.audit(action="sign_in")[0]["audit_id"]
    assert answer.json()["csrf"] not in answer.headers["set-cookie"]


def test_behind_tls_the_cookie_never_travels_in_the_clear(home: Any) -> None:
    house = House(home, origins=frozenset({OURS}), https=True)
    with house.client:
        house.person("ana", Role.VIEWER)
        answer = sign_in(house, "ana", PASSWORD)
        assert answer.headers["set-cookie"].startswith("__Host-np_session=")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_guessing_is_slowed_down_and_tells_nothing(house: House) -> None:
    house.person("ana", Role.VIEWER)
    known, unknown = sign_in(house, "ana", "a wrong one, long"), sign_in(house, "nobody", "a wrong one, long")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json()) == (401, known.json())
    for _ in range(3):
        assert sign_in(house, "ana", "a wrong one, long").status_code == 401
    answer = sign_in(house, "ana", PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 180
    house.clock.wait(int(answer.headers["retry-after"]))
    assert sign_in(house, "ana", PASSWORD).status_code == 200


@pytest.fixture
def _patience_for_30(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "READS", Limit("reads", 30, 60 * 10**9))


@pytest.mark.usefixtures("_patience_for_30")
def test_who_asks_too_often_waits_and_nobody_else_does(house: House) -> None:
    script, other = house.script(Scope.READ), house.script(Scope.READ, name="other")
    path = f"{API}/session"
    asked = [script.get(path).status_code for _ in range(70)]
    assert 30 <= asked.count(200) < 60
    answer = script.get(path)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert other.get(path).status_code == 200
    told = [row for row in house.audit() if "too many requests" in row["text"]]
    assert 1 <= len(told) <= 6, "a flood of refusals is told in a few rows"


@pytest.mark.usefixtures("_patience_for_30")
def test_having_read_too_much_never_holds_up_a_command(house: House) -> None:
    script = house.script()
    while script.get(f"{API}/session").status_code == 200:
        continue
    assert script.post(f"{API}/control/kill", json=ALL, headers=keyed("urgent 1")).status_code == 202


def test_other_commands_never_use_up_the_allowance_of_kill(house: House) -> None:
    script = house.script()
    for verb, most in (("cancel", 60), ("pause", 120)):
        path = f"{API}/control/{verb}"
        answers = []
        # On a slow machine the allowance fills up a little meanwhile.
        while len(answers) < 3 * most and (not answers or answers[-1].status_code == 202):
            answers.append(script.post(path, json=ALL, headers=keyed(f"{verb} {len(answers):03}")))
        assert len(answers) > most
        assert answers[-1].status_code == 429
        assert answers[-1].json()["refused"]
    assert script.post(f"{API}/control/kill", json=ALL, headers=keyed("kill 001")).status_code == 202


def test_refusals_of_somebody_who_hammers_do_not_fill_the_audit(house: House) -> None:
    viewer = house.browser(Role.VIEWER)
    for number in range(40):
        answer = viewer.post(f"{API}/control/kill", json=ALL, headers=keyed(f"please {number:03}"))
        assert answer.status_code == 403
    rows = house.audit(action="kill", outcome="denied")
    assert [row["arguments"].get("refused_in_a_row") for row in reversed(rows)] == [None, *map(str, (2, 4, 8, 16, 32))]
    assert {row["actor"] for row in rows} == {"web:viewer"}


@dataclass(frozen=True)
class Refused:
    """A request that would change something, and what is told of it."""

    status: int
    row: tuple[str, str]
    path: str = PAUSE
    method: str = "POST"
    role: Role = Role.OPERATOR
    more: dict[str, Any] = field(default_factory=lambda: {"json": ALL})
    key: str = "refused 1"


OTHER_ACCOUNT = {"json": {"exchange": "kraken", "account_id": "nobody"}}
REFUSED = {
    "a command without a key": Refused(422, ("pause", "refused"), key=""),
    "a kill without a key": Refused(422, ("kill", "refused"), f"{API}/control/kill", key=""),
    "an unknown verb of a viewer": Refused(422, ("request", "refused"), f"{API}/control/explode", role=Role.VIEWER),
    "an unknown verb of an operator": Refused(422, ("request", "refused"), f"{API}/control/explode"),
    "an unknown account": Refused(404, ("pause", "refused"), more=OTHER_ACCOUNT),
    "a body that is too large": Refused(413, ("request", "refused"), more={"content": b" " * (BODY_BYTES_MAX + 1)}),
    "a body that goes on": Refused(413, ("pause", "refused"), more={"content": [b" " * BODY_BYTES_MAX, b"  "]}),
    "a body that is no JSON": Refused(422, ("pause", "refused"), more={"content": b"{"}),
    "a body of somebody else's": Refused(422, ("pause", "refused"), more={"json": {"sell": "all"}}),
    "another method": Refused(405, ("request", "refused"), method="PUT"),
    "a look at what acts": Refused(405, ("request", "refused"), method="GET", more={}),
    "what is not there": Refused(404, ("request", "refused"), f"{API}/control"),
    "a key without a name for the wish": Refused(
        422, ("make_key", "refused"), f"{API}/keys", more={"json": {"label": "x", "scopes": ["read"]}}, key=""
    ),
    "a person of no role": Refused(422, ("add_person", "refused"), f"{API}/people", role=Role.ADMIN),
    "people, of an operator": Refused(
        403, ("add_person", "denied"), f"{API}/people", more={"json": {"name": "eve", "role": "admin"}}
    ),
    "a role by another method": Refused(405, ("request", "refused"), f"{API}/people/ana/role", "DELETE", Role.ADMIN),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_whatever_is_refused_to_who_would_change_something_is_a_row(house: House, case: Refused) -> None:
    who = house.browser(case.role, stepped_up=True)
    before = len(house.audit())
    headers = keyed(case.key) if case.key else {}
    answer = who.ask(case.method, case.path, headers=headers, **case.more)
    assert answer.status_code == case.status, answer.text
    row, *older = house.audit()
    assert len(older) == before
    assert ((row["action"], row["outcome"]), row["actor"]) == (case.row, f"web:{case.role}")
    assert row["text"] == answer.json()["text"][: len(row["text"])]
    assert row["text"]


def test_a_flood_of_malformed_commands_leaves_a_few_rows_and_looking_amiss_none(house: House) -> None:
    who = house.browser(Role.OPERATOR)
    before = len(house.audit())
    assert who.get(f"{API}/all/fills?limit=0").status_code == 422
    assert who.get(f"{API}/nothing").status_code == 404
    assert len(house.audit()) == before
    for _ in range(40):
        assert who.post(PAUSE, json=ALL).status_code == 422
    assert len(house.audit(action="pause", outcome="refused")) == 6


ENDINGS = {
    "signed out": lambda house, visitor: visitor.ask("DELETE", f"{API}/session"),
    "revoked": lambda house, visitor: house.plane.sessions.end(SHELL, house.plane.sessions.of("ana")[0].handle),
    "another role": lambda house, visitor: house.plane.people.change_role(SHELL, "ana", Role.VIEWER),
    "disabled": lambda house, visitor: house.plane.people.disable(SHELL, "ana"),
    "idle": lambda house, visitor: house.clock.wait(31 * 60),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_session_is_over_the_moment_it_ends(house: House, end: Any) -> None:
    ana = house.browser(Role.OPERATOR, "ana")
    assert ana.get(f"{API}/overview").status_code == 200
    end(house, ana)
    answer = ana.get(f"{API}/overview")
    assert (answer.status_code, answer.json()["href"]) == (401, "/login")
    assert ana.post(PAUSE, json=ALL, headers=keyed("too late")).status_code == 401


def test_stepping_up_and_a_new_password_make_new_ids_and_old_ones_end(house: House) -> None:
    ana = house.browser(Role.OPERATOR, "ana")
    other = house.browser(Role.OPERATOR, "ana")
    answer = ana.post(f"{API}/session/step-up", json={"password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["step_up_until_ns"] > 0
    fresh = answer.headers["set-cookie"].partition(";")[0]
    assert ana.get(f"{API}/session").status_code == 401
    ana.headers["cookie"] = fresh
    assert ana.get(f"{API}/session").status_code == 200
    said = {"old": PASSWORD, "new": "a green kettle in november"}
    assert ana.post(f"{API}/session/password", json=said).status_code == 200
    assert [one.get(f"{API}/session").status_code for one in (ana, other)] == [401, 401]


def test_the_first_admin_comes_in_by_the_link_once(house: House) -> None:
    token = house.plane.people.first_link("shell", "here") or ""
    said = {"token": token, "name": "Root", "password": PASSWORD}
    first = house.client.post(f"{API}/session/welcome", json=said, headers={"origin": OURS})
    assert (first.status_code, first.json()["role"], first.json()["name"]) == (200, "admin", "root")
    again = house.client.post(f"{API}/session/welcome", json=said, headers={"origin": OURS})
    assert again.status_code == 409
    assert token
    assert token not in again.text
    assert LINK_PATH == "/welcome"


def test_keys_come_from_people_and_end_with_them(house: House) -> None:
    ana = house.browser(Role.OPERATOR, "ana", stepped_up=True)
    made = ana.post(f"{API}/keys", json={"label": "x", "scopes": ["read", "control"]}, headers=keyed("key 00001"))
    again = ana.post(f"{API}/keys", json={"label": "x", "scopes": ["read", "control"]}, headers=keyed("key 00001"))
    assert (made.status_code, again.json()["key"], again.json()["repeated"]) == (201, None, True)
    assert again.json()["audit_id"] == made.json()["audit_id"]
    script = Visitor(house.client, {"authorization": f"Bearer {made.json()['key']}"})
    assert script.get(f"{API}/session").json()["scopes"] == ["control", "read"]
    admins = ana.post(f"{API}/keys", json={"label": "x", "scopes": ["admin"]}, headers=keyed("key 00002"))
    assert admins.status_code == 409
    house.plane.people.disable(SHELL, "ana")
    assert script.get(f"{API}/session").status_code == 401


def test_a_key_of_another_network_is_refused_with_a_row(home: Any) -> None:
    house = House(home, proxies=frozenset({"testclient"}))
    with house.client:
        ana = house.browser(Role.OPERATOR, "ana", stepped_up=True)
        said = {"label": "x", "scopes": ["read", "flatten"], "networks": ["198.51.100.0/24"]}
        made = ana.post(f"{API}/keys", json=said, headers=keyed("key 00001"))
        assert ana.get(f"{API}/keys").json()[0]["networks"] == ["198.51.100.0/24"]
        script = Visitor(house.client, {"authorization": f"Bearer {made.json()['key']}"})
        kill = f"{API}/control/kill"
        there, elsewhere = {"x-forwarded-for": "198.51.100.9"}, {"x-forwarded-for": "203.0.113.9"}
        assert script.get(f"{API}/session", headers=there).status_code == 200
        assert script.post(kill, json=ALL, headers=there | keyed("kill 0001")).status_code == 202
        answer = script.post(kill, json=ALL, headers=elsewhere | keyed("kill 0002"))
        assert (answer.status_code, answer.json()["error"]) == (403, "denied")
        assert "198.51" not in answer.text, "whoever stole it is not told where it works"
        row = house.audit(action="kill")[0]
        assert (row["actor"], row["source"], row["outcome"]) == ("key:ana", "203.0.113.9", "denied")
        assert row["credential"] == house.plane.keys.of("ana")[0].prefix
        assert script.get(f"{API}/session", headers=elsewhere).status_code == 403


def test_no_key_is_made_and_nobody_added_without_a_name_for_the_wish(house: House) -> None:
    """A bug: `POST /keys` that came twice made two keys that both worked."""
    root = house.browser(Role.ADMIN, stepped_up=True)
    for path, body in (("keys", {"label": "x", "scopes": ["read"]}), ("people", {"name": "eve", "role": "viewer"})):
        for headers in ({}, keyed(""), keyed("short")):
            answer = root.post(f"{API}/{path}", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
            assert "idempotency-key" in answer.json()["text"]
    assert house.plane.keys.of() == []
    assert house.plane.people.get("eve") is None


def test_what_ends_a_session_is_told_with_its_row_and_acts_once_under_its_key(house: House) -> None:
    ana, other = house.browser(Role.VIEWER, "ana"), house.browser(Role.VIEWER, "ana")
    others = next(one["handle"] for one in ana.get(f"{API}/sessions").json() if not one["is_this"])
    ended, again = (ana.ask("DELETE", f"{API}/sessions/{others}", headers=keyed("the other 1")) for _ in range(2))
    assert ended.json() == {"audit_id": house.audit(action="end_session")[0]["audit_id"], "repeated": False}
    assert again.json() == {**ended.json(), "repeated": True}
    assert other.get(f"{API}/session").status_code == 401
    left = ana.ask("DELETE", f"{API}/session")
    assert left.json() == {"audit_id": house.audit(action="sign_out")[0]["audit_id"]}
    assert "np_session=" in left.headers["set-cookie"]
