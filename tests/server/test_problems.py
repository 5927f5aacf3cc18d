"""What is not there, or cannot be answered: a page of ours for a person, JSON for a program, to both the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from novapulse.control.roles import Role
from novapulse.control.storage import UnusableError
from novapulse.server import pages
from novapulse.server.headers import app_policy, page_policy
from novapulse.server.parts import API
from novapulse.server.problems import told
from tests.server.conftest import House, house_of_app

PERSON = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROGRAMS = ({"accept": "application/json"}, {"accept": "*/*"})
NOT_THERE = ("/nothere", "/nothere/deeper", "/static/nothere.css", "/apps/nothere/", "/apps/x/nothere.txt")
APP = "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n    return\n"


@pytest.fixture
def with_app(home: Path, tmp_path: Path) -> Iterator[House]:
    with house_of_app(home, tmp_path / "apps", APP) as made:
        yield made


def is_ours(answer: Any, status: int) -> str:
    """The text of a page of ours; its style runs by the nonce of its own answer, and nothing else does."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', answer.text))
    assert answer.headers["content-security-policy"] == page_policy(nonce)
    assert answer.headers["cache-control"] == "no-store"
    assert "{{" not in answer.text
    assert not re.search(r"<script| style=", answer.text)
    assert '<a href="/">' in answer.text
    return str(answer.text).replace(nonce, "")


@pytest.mark.parametrize("path", NOT_THERE)
def test_a_person_is_shown_a_page_of_ours_and_a_program_json(with_app: House, path: str) -> None:
    """A bug: a browser was shown two words of marimo's, or raw JSON."""
    ana = with_app.browser(Role.VIEWER)
    assert "There is no such page" in is_ours(ana.get(path, headers=PERSON), 404)
    for program in () if path.endswith(".txt") else PROGRAMS:
        answer = ana.get(path, headers=program)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_an_app_that_is_there_is_answered_by_marimo_under_its_own_policy(with_app: House) -> None:
    answer = with_app.browser(Role.VIEWER).get("/apps/x/", headers=PERSON)
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', answer.text))
    assert (answer.status_code, answer.headers["content-security-policy"]) == (200, app_policy(nonce))


def test_an_app_that_is_not_there_is_found_out_behind_the_redirect(with_app: House) -> None:
    ana = with_app.browser(Role.VIEWER)
    assert ana.get("/apps/nothere?of=1", headers=PERSON).headers["location"] == "/apps/nothere/?of=1"


def test_a_stranger_is_told_nothing_of_which_apps_there_are(with_app: House) -> None:
    nobody = with_app.nobody()
    for name in ("x", "nothere"):
        answer = nobody.get(f"/apps/{name}/", headers=PERSON)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=/apps/{name}/")
        assert nobody.get(f"/apps/{name}/").json()["error"] == "not_signed_in"
    mine = with_app.browser(Role.ADMIN).get("/nothere", headers=PERSON)
    assert is_ours(nobody.get("/nothere", headers=PERSON), 404) == is_ours(mine, 404)


def test_what_is_asked_of_the_rest_interface_is_json_for_everybody(with_app: House) -> None:
    for path in (f"{API}/nothing", "/api/nothing", "/api/"):
        assert with_app.browser(Role.VIEWER).get(path, headers=PERSON).json()["error"] == "not_found"


def test_what_is_closed_below_an_app_is_a_page_too(with_app: House) -> None:
    assert "Refused" in is_ours(with_app.browser(Role.VIEWER).get("/apps/x/api/status", headers=PERSON), 403)


def test_records_that_cannot_be_read_are_told_on_a_page(with_app: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable(*_: Any) -> None:
        raise UnusableError("a word of the database")

    monkeypatch.setattr(pages, "visitor_of", unusable)
    text = is_ours(with_app.nobody().get("/account", headers=PERSON), 503)
    assert "The server cannot use its own records now." in text
    assert "a word of the database" not in text


def test_what_somebody_sent_stays_text_on_the_page() -> None:
    asked = Request(
        {"type": "http", "path": "/x", "headers": [(b"accept", b"text/html")], "state": {"nonce": "secret"}}
    )
    body = bytes(told(asked, 409, "refused", "<script>{{ nonce }}</script> \ud800").body).decode()
    assert "&lt;script&gt;{{ nonce }}&lt;/script&gt; ?." in body
    assert "<script" not in body
