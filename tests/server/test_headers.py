import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from novapulse.control.roles import Role
from novapulse.server.headers import SecurityHeaders, nonce_of
from tests.server.conftest import House

SCRIPTS = '<script data-marimo="true">a()</script><script data-marimo="true">b()</script>'
MARIMO = f'<html><link href="./assets/a-1.css">{SCRIPTS}</html>'


def page(request: Request) -> Response:
    return HTMLResponse(MARIMO, headers={"etag": "x"})


def own(request: Request) -> Response:
    return JSONResponse({"nonce": nonce_of(request.scope)})


def asset(request: Request) -> Response:
    return Response("body", media_type="text/javascript")


def client(*, https: bool = False) -> TestClient:
    routes = [Route("/apps/one", page), Route("/own", own), Route("/apps/one/assets/x-1a2b.js", asset)]
    return TestClient(SecurityHeaders(Starlette(routes=routes), "/apps", "/apps/assets", https=https))


def test_every_script_of_a_marimo_page_gets_the_nonce_of_its_policy() -> None:
    answer = client().get("/apps/one")
    (nonce,) = set(re.findall(r'<script nonce="([^"]+)" data-marimo', answer.text))
    assert answer.text.count(nonce) == 2
    policy = answer.headers["content-security-policy"]
    assert f"script-src 'self' 'nonce-{nonce}';" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in re.sub(r"style-src[^;]*", "", policy)
    assert '<link href="/apps/assets/a-1.css">' in answer.text
    assert "etag" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert client().get("/apps/one").text != answer.text


def test_our_own_pages_allow_no_inline_style_and_nothing_by_default() -> None:
    answer = client().get("/own")
    policy = answer.headers["content-security-policy"]
    assert f"'nonce-{answer.json()['nonce']}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/login", "/welcome", "/account", "/confirm"])
def test_scripts_and_styles_of_our_own_pages_run_by_the_nonce_of_their_answer_alone(house: House, path: str) -> None:
    answers = [house.browser(Role.VIEWER, "ana").get(path) for _ in range(2)]
    nonces = set()
    for answer in answers:
        policy = dict(one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; "))
        (nonce,) = re.findall(r"'nonce-([^']{20,})'", policy["script-src"])
        assert policy["script-src"] == policy["style-src"] == f"'nonce-{nonce}'"
        loaded = re.findall(r"<(?:script|style|link rel=\"stylesheet\")[^>]*>", answer.text)
        assert len(loaded) == (3 if path == "/account" else 2)
        assert all(f'nonce="{nonce}"' in one for one in loaded)
        assert not re.search(r" style=| on[a-z]+=|javascript:|{{", answer.text)
        nonces.add(nonce)
    assert len(nonces) == 2


def test_only_named_assets_are_kept_by_a_browser() -> None:
    assert "immutable" in client().get("/apps/one/assets/x-1a2b.js").headers["cache-control"]
    for path in ("/own", "/apps/one", "/nothing"):
        answer = client().get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_browsers_are_told_to_keep_to_tls_only_where_there_is_tls() -> None:
    assert "strict-transport-security" not in client().get("/own").headers
    assert "strict-transport-security" in client(https=True).get("/own").headers
