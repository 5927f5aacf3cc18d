import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from novapulse.server import gate
from novapulse.server.gate import Gate, Kernels, Pages, Visitor
from novapulse.server.headers import SecurityHeaders

OURS = "http://testserver"
PEOPLE = {
    "a": Visitor("ana", "viewer", "c1", "s1", owes_second_factor=False),
    "b": Visitor("bob", "operator", "c2", "s2", owes_second_factor=False),
}
PAGE = {"accept": "text/html"}
SET = "/apps/x/api/kernel/set_ui_element_value"


def seen(request: Request) -> Response:
    headers = dict(request.headers)
    return JSONResponse({"user": request.user.display_name, "meta": request.scope["meta"], "headers": headers})


def refusing(request: Request) -> Response:
    return JSONResponse({}, 401)


async def socket(websocket: WebSocket) -> None:
    if "refuse" in websocket.query_params:
        await websocket.close()
        return
    await websocket.accept()
    await websocket.send_text(websocket.scope["user"].display_name)
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(f"heard {await websocket.receive_text()}")


class House:
    def __init__(self, origins: tuple[str, ...] = ()) -> None:
        self.people = dict(PEOPLE)
        self.refusals: list[str] = []
        paths = ("/x/", SET.removeprefix("/apps"), "/x/api/kernel/run", "/x/sse", "/x/manifest.json")
        routes: list[Any] = [Route(path, seen, methods=["GET", "POST"]) for path in paths]
        routes += [WebSocketRoute(path, socket) for path in ("/x/ws", "/x/ws_sync", "/x/terminal/ws")]
        apps = Gate(Starlette(routes=[*routes, Route("/x/refuses.txt", refusing)]), self, origins, {"mode": "paper"})
        server = SecurityHeaders(Starlette(routes=[Mount("/apps", apps)]), "/apps", "/apps/assets", https=False)
        self.client = TestClient(server)

    async def who_asks(self, connection: HTTPConnection) -> Visitor | None:
        return self.people.get(connection.cookies.get("session", ""))

    async def is_there(self, visitor: Visitor) -> bool:
        return any(one.session == visitor.session for one in self.people.values())

    async def refused(self, connection: HTTPConnection, why: str) -> None:
        self.refusals.append(f"{connection.scope['path']}: {why}")

    def get(self, path: str, who: str = "", **headers: str) -> Any:
        return self.client.get(path, headers=self.said(who, headers), follow_redirects=False)

    def post(self, path: str, who: str = "", **headers: str) -> Any:
        return self.client.post(path, headers=self.said(who, headers))

    @staticmethod
    def said(who: str, headers: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {**named, **({"cookie": f"session={who}"} if who else {})}


def test_a_stranger_gets_the_sign_in_page_and_nothing_else() -> None:
    house = House()
    answer = house.get("/apps/x", accept="text/html")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/apps/x")
    asked = house.get("/apps/x?exchange=kraken&account_id=a%26b", accept="text/html")
    assert asked.headers["location"] == "/login?next=/apps/x%3Fexchange%3Dkraken%26account_id%3Da%2526b"
    assert house.get("/apps/x/").status_code == 401
    assert house.post(SET, origin=OURS).status_code == 401
    assert house.get("/apps/x/manifest.json").json() == {}


def test_who_owes_a_second_factor_gets_the_account_and_nothing_else() -> None:
    house = House()
    house.people["o"] = Visitor("olga", "admin", "csrf-o", "handle-o", owes_second_factor=True)
    answer = house.get("/apps/x/?account_id=main", "o", accept="text/html")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?next=/apps/x/%3Faccount_id%3Dmain")
    assert house.get("/apps/x/", "o").status_code == 403
    assert house.post(SET, "o", origin=OURS).status_code == 403
    assert house.refusals == [f"{path}: set up a second factor first" for path in ("/apps/x/", SET)]


def test_the_kernel_is_told_who_is_there_and_never_sees_the_cookie() -> None:
    answer = House().get("/apps/x/", "b").json()
    assert answer["user"] == "bob"
    assert answer["meta"] == {"role": "operator", "csrf": "c2", "mode": "paper"}
    assert "cookie" not in answer["headers"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": OURS, "sec_fetch_site": "cross-site"},
        {"origin": OURS, "sec_fetch_site": "same-site"},
    ],
)
def test_what_changes_something_comes_from_our_own_pages_only(headers: dict[str, str]) -> None:
    assert House().post(SET, "b", **headers).status_code == 403


def test_origins_that_were_named_are_the_only_ones() -> None:
    house = House(("https://desk.example",))
    assert house.post(SET, "b", origin=OURS).status_code == 403
    assert house.post(SET, "b", origin="https://desk.example").status_code == 200


def test_nobody_acts_on_another_visitors_kernel() -> None:
    house = House()
    assert house.post(SET, "a", origin=OURS, marimo_session_id="s_1").status_code == 200
    assert house.post(SET, "b", origin=OURS, marimo_session_id="s_1").status_code == 403
    # An own id in the query does not hide another's in the header, nor the other way round.
    assert house.post(f"{SET}?session_id=s_2", "b", origin=OURS, marimo_session_id="s_1").status_code == 403
    assert house.post(f"{SET}?session_id=s_1", "b", origin=OURS, marimo_session_id="s_2").status_code == 403
    assert house.get("/apps/x/?session_id=s_1&session_id=s_2", "b").status_code == 403
    assert house.get("/apps/x/", "a", marimo_stable_session_id="s_1").status_code == 403
    with pytest.raises(WebSocketDisconnect):
        open_socket(house, "/apps/x/ws?session_id=s_1", "b")


def open_socket(house: House, path: str, who: str, origin: str = OURS) -> str:
    with house.client.websocket_connect(path, headers={"cookie": f"session={who}", "origin": origin}) as wire:
        return wire.receive_text()


def test_an_app_without_its_slash_keeps_the_account_that_was_asked_for() -> None:
    """HS-002: a redirect that loses the query would show another account."""
    house = House()
    answer = house.get("/apps/x?exchange=kraken&account_id=second", "a")
    assert (answer.status_code, answer.headers["location"]) == (307, "/apps/x/?exchange=kraken&account_id=second")
    assert house.get("/apps/x/?exchange=kraken", "a").status_code == 200


def test_what_no_page_of_an_app_asks_for_is_closed() -> None:
    house = House()
    asked = (
        *("api/kernel/run", "api/kernel/run/", "/api/kernel/run", "API/kernel/run", "api/nothing", "", "ws"),
        "api/kernel/set_ui_element_value/",
    )
    for path in asked:
        assert house.post(f"/apps/x/{path}", "b", origin=OURS).status_code == 403, path
    looked = (
        "api/kernel/set_ui_element_value",
        "api/status",
        "auth/login",
        "og/thumbnail",
        "public/x.csv",
        "ws",
        "sse",
    )
    for path in looked:
        assert house.get(f"/apps/x/{path}", "b").status_code == 403, path
    sockets = ("/apps/x/ws_sync", "/apps/x/terminal/ws", "/apps/x/ws/")
    for path in sockets:
        with pytest.raises(WebSocketDisconnect):
            open_socket(house, path, "a")
    assert len(house.refusals) == len(asked + looked + sockets)
    assert all(line.endswith(gate.CLOSED) for line in house.refusals)


def test_what_the_apps_refuse_is_reported_too() -> None:
    house = House()
    assert house.get("/apps/x/refuses.txt", "a").status_code == 401
    with pytest.raises(WebSocketDisconnect):
        open_socket(house, "/apps/x/ws?refuse", "a")
    assert house.refusals == [f"/apps/x/{name}: the app itself refused that" for name in ("refuses.txt", "ws")]


def test_sockets_need_our_origin_and_a_session() -> None:
    house = House()
    assert open_socket(house, "/apps/x/ws?session_id=s_5", "a") == "ana"
    for who, origin in (("", OURS), ("a", "http://evil.example")):
        with pytest.raises(WebSocketDisconnect):
            open_socket(house, "/apps/x/ws?session_id=s_6", who, origin)


def test_a_socket_ends_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CHECK_EVERY_S", 0.02)
    house = House()
    headers = {"cookie": "session=a", "origin": OURS}
    with house.client.websocket_connect("/apps/x/ws?session_id=s_7", headers=headers) as wire:
        assert wire.receive_text() == "ana"
        del house.people["a"]
        with pytest.raises(WebSocketDisconnect) as closed:
            wire.receive_text()
    assert closed.value.code == gate.CLOSED_BY_POLICY


def test_a_socket_goes_on_when_its_session_gets_a_new_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirming one's password renews the cookie; the cookie of the handshake is then nobody's."""
    monkeypatch.setattr(gate, "CHECK_EVERY_S", 0.02)
    house = House()
    headers = {"cookie": "session=a", "origin": OURS}
    with house.client.websocket_connect("/apps/x/ws?session_id=s_7", headers=headers) as wire:
        assert wire.receive_text() == "ana"
        house.people["a, confirmed"] = house.people.pop("a")
        time.sleep(0.2)
        wire.send_text("me")
        assert wire.receive_text() == "heard me"
        del house.people["a, confirmed"]
        with pytest.raises(WebSocketDisconnect) as closed:
            wire.receive_text()
    assert closed.value.code == gate.CLOSED_BY_POLICY


def test_every_refusal_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.post(SET, "a", origin=OURS, marimo_session_id="s_1")
    assert house.refusals == []
    asked = (
        lambda: house.post(SET, "b", origin=OURS, marimo_session_id="s_1"),
        lambda: house.post(SET, "b", origin="http://evil.example"),
        lambda: house.post(SET, origin=OURS),
        lambda: house.get("/apps/x/sse", "a"),
        lambda: open_socket(house, "/apps/x/ws?session_id=s_1", "b"),
        lambda: open_socket(house, "/apps/x/ws?session_id=s_2", "b", "http://evil.example"),
        lambda: open_socket(house, "/apps/x/ws?session_id=s_2", ""),
    )
    for ask in asked:
        with suppress(WebSocketDisconnect):
            ask()
    whose, page = "that is another visitor's page", gate.NOT_OUR_PAGE
    assert house.refusals == [
        *(f"{SET}: {whose}", f"{SET}: {page}", f"{SET}: sign in first"),
        f"/apps/x/sse: {gate.CLOSED}",
        *(f"/apps/x/ws: {whose}", f"/apps/x/ws: {page}", "/apps/x/ws: sign in first"),
    ]


def test_who_has_as_many_pages_as_may_gets_a_page_that_says_so() -> None:
    house = House()
    with ExitStack() as pages:
        for number in range(gate.PAGES_OF_ONE_MAX):
            headers = {"cookie": "session=a", "origin": OURS}
            wire = house.client.websocket_connect(f"/apps/x/ws?session_id=s_{number}", headers=headers)
            assert pages.enter_context(wire).receive_text() == "ana"
        answer = house.get("/apps/x/", "a", **PAGE)
        assert answer.status_code == 429
        assert "close one" in answer.text
        with pytest.raises(WebSocketDisconnect):
            open_socket(house, "/apps/x/ws?session_id=one_more", "a")
        assert len(house.refusals) == 2
        assert open_socket(house, "/apps/x/ws?session_id=s_0", "a") == "ana", "a page that comes back needs no room"
        assert house.get("/apps/x/", "b", **PAGE).status_code == 200
        assert open_socket(house, "/apps/x/ws?session_id=b_0", "b") == "bob"
        assert house.get("/apps/x/", "a", accept="application/json").status_code == 200, "what open pages ask for"


def test_a_page_counts_until_its_kernel_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    pages, now_s = Pages(pages_max=1, kernels_max=2, lingers_s=60), 100.0
    monkeypatch.setattr(gate.time, "monotonic", lambda: now_s)
    with pages.opened("ana", "k1"), pages.opened("ana", "k1"):
        now_s = 10_000.0
        assert not pages.has_room("ana", now_s, "k2")
        assert pages.has_room("ana", now_s, "k1")
        assert pages.has_room("bob", now_s, "k2")
    assert pages.has_room("ana", now_s, "k2"), "who goes from page to page leaves kernels behind"
    with pages.opened("ana", "k2"):
        pass
    assert not pages.has_room("ana", now_s + 59, "k3")
    assert pages.has_room("ana", now_s + 60, "k3")


def test_kernels_are_kept_in_bounded_space_and_only_old_ones_are_forgotten() -> None:
    kernels = Kernels(kernels_max=2, kept_s=100)
    assert kernels.claim("1", "ana", 0)
    assert kernels.claim("2", "ana", 1)
    assert not kernels.claim("3", "bob", 50)
    assert kernels.claim("1", "ana", 60)
    assert kernels.claim("3", "bob", 120)
    assert not kernels.claim("1", "bob", 130)
    assert kernels.claim("2", "bob", 300)
