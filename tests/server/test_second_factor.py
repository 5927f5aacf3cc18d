"""The second factor over the wire: asked for after the password, bound to the browser, and owed where it is wanted."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import Role
from novapulse.control.second_factor import STEP_S
from novapulse.server.parts import API
from tests.server.conftest import OURS, PASSWORD, SHELL, App, House, Visitor
from tests.server.test_authorisation import routes, spelled

FACTOR = f"{API}/session/second-factor"
FORM = {"origin": OURS}


@pytest.fixture
def app(house: House) -> App:
    return App(house)


def sign_in(house: House, name: str = "ana", password: str = PASSWORD) -> Any:
    house.client.cookies.clear()
    return house.client.post(f"{API}/session", json={"name": name, "password": password}, headers=FORM)


def give(house: House, code: str, **headers: str) -> Any:
    return house.client.post(f"{API}/session/code", json={"code": code}, headers=FORM | headers)


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_it_is_set_up_with_key_address_and_picture_and_counts_when_proven(house: House, app: App) -> None:
    ana = house.browser(Role.OPERATOR, "ana", stepped_up=True)
    assert ana.get(FACTOR).json() == {"since_ns": None, "recovery_codes_left": 0}
    begun = ana.post(FACTOR, headers=keyed("set up 1"))
    assert begun.status_code == 201
    told = begun.json()
    app.secret = told["secret"].replace(" ", "")
    assert [len(part) for part in told["secret"].split(" ")] == [4] * 8
    assert told["address"].startswith("otpauth://totp/NovaPulse:ana?")
    assert app.secret in told["address"]
    kind, _, drawn = told["picture"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    tags = {one.tag.rpartition("}")[2] for one in ElementTree.fromstring(base64.b64decode(drawn)).iter()}
    assert tags == {"svg", "path"}, "a picture that runs nothing"
    again = ana.post(FACTOR, headers=keyed("set up 1")).json()
    assert again == {"audit_id": told["audit_id"], "repeated": True, "secret": None, "address": None, "picture": None}
    assert not ana.get(f"{API}/session").json()["has_second_factor"]
    wrong = ana.post(f"{FACTOR}/proof", json={"code": "1"}, headers=keyed("proof 01"))
    assert (wrong.status_code, wrong.json()["error"]) == (409, "refused")
    proven = ana.post(f"{FACTOR}/proof", json={"code": app.code()}, headers=keyed("proof 02")).json()
    assert len(proven["recovery_codes"]) == 10
    assert ana.get(f"{API}/session").json()["has_second_factor"]
    assert ana.get(FACTOR).json()["recovery_codes_left"] == 10
    (row,) = house.audit(action="enrol_second_factor", outcome="done")
    assert row["audit_id"] == proven["audit_id"]
    assert ana.post(FACTOR, headers=keyed("set up 2")).status_code == 409


def test_signing_in_asks_for_the_code_and_nothing_is_open_before(house: House, app: App) -> None:
    app.enrol(house.browser(Role.ADMIN, "ana", stepped_up=True))
    answer = sign_in(house)
    assert (answer.status_code, answer.json()["code_wanted"]) == (202, True)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("np_challenge=")
    for part in ("httponly", "samesite=strict", "path=/", "max-age=300"):
        assert part in cookie
    assert house.client.get(f"{API}/session").status_code == 401
    token = house.client.cookies["np_challenge"]
    assert house.client.get(f"{API}/session", headers={"cookie": f"np_session={token}"}).status_code == 401
    wrong = give(house, "nonsense")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "not_let_in")
    let_in = give(house, app.code())
    assert let_in.status_code == 200
    assert (let_in.json()["name"], let_in.json()["has_second_factor"]) == ("ana", True)
    assert "np_challenge" not in house.client.cookies
    assert house.client.get(f"{API}/session").status_code == 200
    rows = house.audit(actor="web:ana")
    assert [(row["action"], row["outcome"]) for row in rows[:3]] == [
        ("sign_in", "done"),
        ("sign_in", "denied"),
        ("give_password", "done"),
    ]


def test_a_code_is_for_the_browser_that_gave_the_password_and_from_our_page(house: House, app: App) -> None:
    app.enrol(house.browser(Role.ADMIN, "ana", stepped_up=True))
    assert sign_in(house).status_code == 202
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert give(house, app.code(), **headers).status_code == 403
    challenge = house.client.cookies["np_challenge"]
    house.client.cookies.clear()
    other = give(house, app.code())
    assert (other.status_code, other.json()["text"]) == (401, "that took too long: begin again with name and password")
    assert give(house, app.code(), cookie=f"np_challenge={challenge}").status_code == 200
    assert give(house, app.code(), cookie=f"np_challenge={challenge}").status_code == 401


def test_nothing_tells_who_has_a_second_factor_before_the_password_is_right(house: House, app: App) -> None:
    app.enrol(house.browser(Role.ADMIN, "ana", stepped_up=True))
    house.person("bob", Role.ADMIN)
    answers = [sign_in(house, name, "a wrong one, long") for name in ("ana", "bob", "nobody")]
    assert len({(one.status_code, one.text, one.headers.get("set-cookie")) for one in answers}) == 1


def test_guesses_of_a_code_are_slowed_down_with_those_of_a_password(house: House, app: App) -> None:
    app.enrol(house.browser(Role.ADMIN, "ana", stepped_up=True))
    assert sign_in(house).status_code == 202
    for _ in range(5):
        assert give(house, "nonsense").status_code == 401
    answer = give(house, app.code())
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 180
    assert sign_in(house).status_code == 429
    house.clock.wait(180)
    assert sign_in(house).status_code == 202
    house.clock.wait(180)
    assert give(house, app.code()).status_code == 200


def test_behind_tls_the_challenge_never_travels_in_the_clear(home: Path) -> None:
    house = House(home, origins=frozenset({OURS}), https=True)
    with house.client:
        App(house).enrol(house.browser(Role.VIEWER, "ana", stepped_up=True))
        cookie = sign_in(house).headers["set-cookie"]
        assert cookie.startswith("__Host-np_challenge=")
        assert "secure" in cookie.lower()


def test_flattening_wants_the_code_too(house: House, app: App) -> None:
    ana = house.browser(Role.OPERATOR, "ana", stepped_up=True)
    codes = app.enrol(ana)
    house.clock.wait(300)
    resume = f"{API}/control/flatten"
    assert ana.post(resume, json={"all": True}, headers=keyed("flatten 1")).json()["error"] == "step_up_needed"
    for code in ("", "nonsense"):
        wrong = ana.post(f"{API}/session/step-up", json={"password": PASSWORD, "code": code})
        assert (wrong.status_code, wrong.json()["text"]) == (401, "password or code is wrong")
    sure = ana.post(f"{API}/session/step-up", json={"password": PASSWORD, "code": codes[0]})
    assert sure.status_code == 200
    ana = Visitor(house.client, {**ana.headers, "cookie": sure.headers["set-cookie"].partition(";")[0]}, ana.csrf)
    assert ana.post(resume, json={"all": True}, headers=keyed("flatten 2")).status_code == 202
    assert house.audit(action="use_recovery_code")[0]["text"] == "9 left"


def test_it_is_removed_by_oneself_and_reset_by_an_admin(house: House, app: App) -> None:
    ana = house.browser(Role.OPERATOR, "ana", stepped_up=True)
    app.enrol(ana)
    assert ana.ask("DELETE", FACTOR, headers=keyed("remove 1")).status_code == 200
    assert sign_in(house).status_code == 200
    app.enrol(ana)
    eve = house.browser(Role.ADMIN, "eve", stepped_up=True)
    assert [one["has_second_factor"] for one in eve.get(f"{API}/people").json()] == [True, False]
    assert eve.ask("DELETE", f"{API}/people/ana/second-factor", headers=keyed("reset 01")).status_code == 200
    assert ana.get(f"{API}/session").status_code == 401, "sessions end with it"
    assert sign_in(house).status_code == 200


@pytest.fixture
def strict(home: Path) -> Iterator[House]:
    """A server that wants a second factor of operators and admins, with an app behind its gate."""
    shown = PlainTextResponse("an app")
    made = House(home, apps=shown, second_factor_of=frozenset({Role.OPERATOR, Role.ADMIN}), config=home / "config.yaml")
    with made.client:
        yield made


MAY_WHILE_OWING = {
    *("GET /session", "DELETE /session", "POST /session/step-up", "POST /session/password"),
    *("GET /session/second-factor", "POST /session/second-factor", "POST /session/second-factor/proof"),
    *("POST /session", "POST /session/code", "POST /session/welcome"),
}


def test_who_owes_one_may_set_it_up_and_nothing_else(strict: House) -> None:
    ana = strict.browser(Role.ADMIN, "ana", stepped_up=True)
    asked = [spelled(route) for route in routes()]
    for route in sorted(set(asked) - MAY_WHILE_OWING):
        method, _, path = route.partition(" ")
        path = path.replace("{verb}", "kill").replace("{exchange}/{account_id}", "kraken/main")
        path = path.replace("{seq}", "1").replace("{number}", "1")
        body = {"json": {"all": True}} if "/control/" in path and method == "POST" else {}
        answer = ana.ask(method, API + path, headers=keyed(f"owing {route}"), **body)
        assert (answer.status_code, answer.json()["error"]) == (403, "second_factor_needed"), route
        assert answer.json()["href"] == "/account"
    assert set(asked) >= MAY_WHILE_OWING
    me = ana.get(f"{API}/session").json()
    assert (me["owes_second_factor"], me["has_second_factor"]) == (True, False)
    assert strict.audit(action="kill")[0]["outcome"] == "denied"
    app = App(strict)
    app.enrol(ana)
    assert ana.get(f"{API}/accounts").status_code == 200
    assert not ana.get(f"{API}/session").json()["owes_second_factor"]


def test_pages_lead_who_owes_one_to_the_account_and_live_is_closed(strict: House) -> None:
    ana, vic = strict.browser(Role.OPERATOR, "ana"), strict.browser(Role.VIEWER, "vic")
    page = {"accept": "text/html"}
    answer = ana.get("/apps/desk/?account_id=main", headers=page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?next=/apps/desk/%3Faccount_id%3Dmain")
    assert ana.get("/apps/desk/").status_code == 403
    assert ana.get("/account").status_code == 200
    assert vic.get("/apps/desk/", headers=page).text == "an app"
    for who, is_open in ((ana, False), (vic, True)):
        try:
            with strict.client.websocket_connect(f"{API}/live", headers=who.headers) as wire:
                assert is_open
                assert wire.receive_json()["type"] == "overview"
        except WebSocketDisconnect:
            assert not is_open


def test_who_takes_it_away_owes_another_and_open_pages_close(strict: House) -> None:
    ana = strict.browser(Role.OPERATOR, "ana", stepped_up=True)
    app = App(strict)
    app.enrol(ana)
    with strict.client.websocket_connect(f"{API}/live", headers=ana.headers) as wire:
        assert wire.receive_json()["type"] == "overview"
        assert ana.ask("DELETE", FACTOR, headers=keyed("remove 1")).status_code == 200
        with pytest.raises(WebSocketDisconnect):
            all(wire.receive_json() for _ in range(60))
    assert ana.get(f"{API}/accounts").json()["error"] == "second_factor_needed"


def test_keys_of_scripts_have_no_second_factor_to_give(strict: House) -> None:
    assert strict.script().get(f"{API}/accounts").status_code == 200


def test_a_link_of_who_has_one_leads_to_the_code(house: House, app: App) -> None:
    app.enrol(house.browser(Role.VIEWER, "ana", stepped_up=True))
    link = house.plane.people.make_link(SHELL, "ana").result
    said = {"token": link, "password": "quite another secret"}
    answer = house.client.post(f"{API}/session/welcome", json=said, headers=FORM)
    assert (answer.status_code, answer.json()["code_wanted"]) == (202, True)
    assert give(house, app.code()).status_code == 200
    house.clock.wait(STEP_S)
    assert sign_in(house).status_code == 401
    assert sign_in(house, password="quite another secret").status_code == 202
