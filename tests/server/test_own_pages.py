"""Our own pages in a real browser: where they lead, and what a key may be made for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from novapulse import brand
from novapulse.server import pages
from novapulse.server.headers import page_policy
from novapulse.server.problems import told
from tests.browser import chromium

__all__ = ["chromium"]

OURS = "https://desk.example"
NONCE = "n" * 22
FILES = Path(pages.__file__).parent / "page_files"
FACTOR = {"has_second_factor": False, "owes_second_factor": False, "since_ns": None, "recovery_codes_left": 0}
ME = {"name": "ana", "role": "operator", "csrf": "c", "scopes": ["read", "control"], "step_up_until_ns": 0, **FACTOR}
BEGUN = {"secret": "GEZD GNBV", "address": "otpauth://totp/x?secret=GEZDGNBV", "picture": "data:image/svg+xml,<svg/>"}
CODES = [f"AAAA-BBBB-CCCC-DDD{number}" for number in range(2, 8)]


def nothing_there() -> bytes:
    """What a person is told of an address at which nothing is."""
    accept = [(b"accept", b"text/html")]
    asked = Request({"type": "http", "path": "/nothere", "headers": accept, "state": {"nonce": NONCE}})
    return bytes(told(asked, 404, "not_found", "Not Found").body)


class Desk:
    """A server that is made of the files alone; everything else is answered as a page that says where one is."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context()
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.sent: list[tuple[str, str, Any]] = []
        self.names: list[tuple[str, str]] = []
        self.silent = False
        self.me: dict[str, Any] = dict(ME)
        self.answers: dict[str, dict[str, Any]] = {}
        self.complaints: list[str] = []

    def _answer(self, route: Any) -> None:
        path = route.request.url.partition("?")[0].removeprefix(OURS)
        if path == "/static/mark.svg":
            route.fulfill(body=brand.MARK, content_type="image/svg+xml")
        elif path.startswith("/static/"):
            route.fulfill(path=FILES / path.removeprefix("/static/"))
        elif path in ("/login", "/account", "/confirm", "/welcome"):
            headers = {"content-security-policy": page_policy(NONCE)}
            route.fulfill(body=pages.page_text(path[1:], NONCE), content_type="text/html", headers=headers)
        elif path == "/nothere":
            headers = {"content-security-policy": page_policy(NONCE)}
            route.fulfill(body=nothing_there(), content_type="text/html", headers=headers)
        elif path.startswith("/api/v1/"):
            said = route.request.post_data
            self.sent.append((route.request.method, path.removeprefix("/api/v1"), said and json.loads(said)))
            if name := route.request.headers.get("idempotency-key"):
                self.names.append((path.removeprefix("/api/v1"), name))
            if self.silent and route.request.method != "GET":
                route.abort()
                return
            lists = path.endswith(("/sessions", "/keys")) and route.request.method == "GET"
            told = self.answers.get(f"{route.request.method} {path.removeprefix('/api/v1')}", {})
            self.me |= {name: told[name] for name in told if name in self.me}
            route.fulfill(json=[] if lists else {**self.me, "key": "np_made", **told})
        else:
            route.fulfill(body=f"<title>{route.request.url}</title>", content_type="text/html")

    def signed_in(self, wanted: str) -> str:
        """Sign in with a wish where to go, and return where one gets."""
        self.page.goto(f"{OURS}/login?next={wanted}")
        self.page.fill("input[name=name]", "ana")
        self.page.fill("input[name=password]", "violet kettle seven")
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)
        return str(self.page.url)


@pytest.fixture
def desk(chromium: Any) -> Iterator[Desk]:
    found = Desk(chromium)
    yield found
    assert found.complaints == []
    found.context.close()


HOME = "/apps/overview"
WHERE = {
    "a page": ("/apps/desk/%3Fexchange%3Dkraken%26account_id%3Dmain", "/apps/desk/?exchange=kraken&account_id=main"),
    "the account": ("/account", "/account"),
    "a path that reads as another server": ("/.//evil.example/x", HOME),
    "the same behind a page": ("/apps/..//evil.example/x", HOME),
    "two strokes": ("//evil.example/x", HOME),
    "another server": ("https://evil.example/apps/x", HOME),
    "a script": ("javascript:alert(1)", HOME),
    "no address at all": ("http://", HOME),
    "what is no page": ("/api/v1/session", HOME),
    "nothing": ("", HOME),
}


@pytest.mark.parametrize(("wanted", "where"), WHERE.values(), ids=WHERE)
def test_signing_in_leads_to_a_page_of_ours_and_nowhere_else(desk: Desk, wanted: str, where: str) -> None:
    assert desk.signed_in(wanted) == OURS + where


CONFIRMED = {
    "the page, its question and the button": (
        "/apps/desk/%3Faccount_id%3Dmain%23hold-flatten",
        "/apps/desk/?account_id=main#hold-flatten",
    ),
    "a path that reads as another server": ("/.//evil.example/x%23hold-flatten", HOME),
    "another server": ("https://evil.example/apps/x", HOME),
    "nothing": ("", HOME),
}


@pytest.mark.parametrize(("wanted", "where"), CONFIRMED.values(), ids=CONFIRMED)
def test_the_small_page_asks_for_the_password_alone_and_goes_back_to_the_button(
    desk: Desk, wanted: str, where: str
) -> None:
    page = desk.page
    page.goto(f"{OURS}/confirm?next={wanted}")
    assert page.locator("input:visible").count() == 1
    assert page.evaluate("document.activeElement.id") == "password"
    page.keyboard.type("violet kettle seven")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/confirm" not in url)
    assert page.url == OURS + where
    assert ("POST", "/session/step-up", {"password": "violet kettle seven"}) in desk.sent


def test_the_code_is_asked_for_after_the_password_and_where_one_wanted_to_go_stays(desk: Desk) -> None:
    page = desk.page
    desk.answers["POST /session"] = {"code_wanted": True}
    page.goto(f"{OURS}/login?next=/account")
    assert page.locator("input:visible").count() == 2, "nothing tells before that there may be a code"
    page.fill("#name", "ana")
    page.fill("#password", "violet kettle seven")
    page.keyboard.press("Enter")
    page.wait_for_selector("#give-code:visible")
    assert page.locator("input:visible").count() == 1
    assert page.evaluate("document.activeElement.id") == "code"
    assert page.input_value("#password") == "", "the password does not stay on the page"
    page.keyboard.type("123456")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{OURS}/account")
    assert ("POST", "/session/code", {"code": "123456"}) in desk.sent


def test_a_recovery_code_is_typed_with_letters_and_one_may_begin_again(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{OURS}/login#code")
    page.click("[data-recovery]:visible")
    assert page.get_attribute("#code", "inputmode") == "text"
    page.fill("#code", CODES[0])
    page.click("#again")
    assert page.locator("input:visible").count() == 2
    assert page.evaluate("document.activeElement.id") == "name"


def test_a_link_of_somebody_with_a_second_factor_leads_to_the_code(desk: Desk) -> None:
    page = desk.page
    desk.answers["POST /session/welcome"] = {"code_wanted": True}
    page.goto(f"{OURS}/welcome#token")
    page.fill("#password", "violet kettle seven")
    page.fill("#again", "violet kettle seven")
    page.click("button[type=submit]")
    page.wait_for_selector("#give-code:visible")


def test_confirming_asks_for_the_code_of_who_has_a_second_factor(desk: Desk) -> None:
    page = desk.page
    desk.me["has_second_factor"] = True
    page.goto(f"{OURS}/confirm?next=/apps/desk/")
    page.wait_for_selector("#code:visible")
    page.fill("#password", "violet kettle seven")
    page.fill("#code", "123456")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{OURS}/apps/desk/")
    assert ("POST", "/session/step-up", {"password": "violet kettle seven", "code": "123456"}) in desk.sent


def test_who_is_faster_than_the_page_is_asked_for_the_code_before_anything_is_sent(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{OURS}/confirm?next=/apps/desk/")
    page.wait_for_function("performance.getEntriesByType('resource').some((one) => one.name.endsWith('/session'))")
    desk.me["has_second_factor"] = True
    page.fill("#password", "violet kettle seven")
    page.keyboard.press("Enter")
    page.wait_for_selector("#code:focus")
    assert not any(path == "/session/step-up" for _, path, _ in desk.sent)


def test_who_owes_a_second_factor_sets_it_up_keeps_the_codes_and_goes_on(desk: Desk) -> None:
    page = desk.page
    desk.me["owes_second_factor"] = True
    desk.answers["POST /session/second-factor"] = BEGUN
    desk.answers["POST /session/second-factor/proof"] = {
        **{"recovery_codes": CODES, "since_ns": 1, "recovery_codes_left": 10},
        **{"has_second_factor": True, "owes_second_factor": False},
    }
    page.goto(f"{OURS}/account?next=/apps/desk/")
    page.wait_for_selector("#begin-factor:visible")
    assert page.locator("section:visible").count() == 1, "nothing else can be done"
    assert not any(path in ("/sessions", "/keys") for _, path, _ in desk.sent)
    page.fill("#begin-password", "violet kettle seven")
    page.keyboard.press("Enter")
    page.wait_for_selector("#prove-factor:visible")
    assert page.inner_text("#factor-secret") == BEGUN["secret"]
    assert page.get_attribute("#factor-address", "href") == BEGUN["address"]
    assert page.get_attribute("#factor-picture", "src") == BEGUN["picture"]
    page.keyboard.type("123456")
    page.keyboard.press("Enter")
    page.wait_for_selector("#recovery:visible")
    assert page.locator("#recovery-codes li").all_inner_texts() == CODES
    assert page.inner_text("main").count(BEGUN["secret"]) == 0, "the secret is gone from the page"
    assert page.locator("section:visible").count() == 1
    wishes = [path for path, _ in desk.names]
    assert wishes == ["/session/second-factor", "/session/second-factor/proof"]
    page.click("#kept")
    page.wait_for_url(f"{OURS}/apps/desk/")


def test_the_account_says_how_many_recovery_codes_are_left_and_takes_the_factor_away(desk: Desk) -> None:
    page = desk.page
    desk.me |= {"has_second_factor": True, "since_ns": 1_700_000_000 * 10**9, "recovery_codes_left": 1}
    desk.answers["DELETE /session/second-factor"] = {"has_second_factor": False, "since_ns": None}
    page.goto(f"{OURS}/account")
    page.get_by_text("On since 2023-11-14 22:13 UTC; 1 recovery code is left.").wait_for()
    assert page.locator("[data-code]:visible").count() == 2
    page.click("#remove-factor button")
    page.wait_for_selector("#begin-factor:visible")
    assert page.locator("[data-code]:visible").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_of_it_is_wider_than_a_phone(desk: Desk, scheme: str) -> None:
    page = desk.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    desk.answers["POST /session/second-factor"] = {**BEGUN, "secret": " ".join(["WWWW"] * 8)}
    desk.answers["POST /session/second-factor/proof"] = {"recovery_codes": CODES}
    is_narrow = "document.documentElement.scrollWidth <= innerWidth"
    page.goto(f"{OURS}/login#code")
    assert page.evaluate(is_narrow)
    page.goto(f"{OURS}/account")
    page.wait_for_selector("#begin-factor:visible")
    page.fill("#begin-password", "violet kettle seven")
    page.click("#begin-factor button")
    page.wait_for_selector("#prove-factor:visible")
    assert page.evaluate(is_narrow)
    page.fill("#first-code", "123456")
    page.click("#prove-factor button")
    page.wait_for_selector("#recovery:visible")
    assert page.evaluate(is_narrow)


AGENTS = {
    "Chrome 126 on Linux": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
    ),
    "Edge 126 on Windows": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0"
    ),
    "Safari on iPhone": (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) "
        "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
    ),
    "a program of somebody's own, of which nobody has heard, version 7 of it": (
        "a program of somebody's own, of which nobody has heard, version 7 of it"
    ),
}


def test_a_browser_is_named_as_people_call_it_and_nothing_of_it_is_cut(desk: Desk) -> None:
    sessions = [
        {"agent": agent, "address": "::1", "created_ns": 0, "is_this": False, "handle": str(at)}
        for at, agent in enumerate(AGENTS.values())
    ]
    desk.context.route("**/api/v1/sessions", lambda route: route.fulfill(json=sessions))
    desk.page.goto(f"{OURS}/account")
    desk.page.wait_for_selector("#sessions tr")
    assert desk.page.locator("#sessions td:first-child").all_inner_texts() == list(AGENTS)


def test_having_confirmed_leads_back_to_where_one_came_from(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{OURS}/apps/desk/?account_id=main")
    page.evaluate("location.assign('/account')")
    page.wait_for_selector("#back[data-asked]")
    page.fill("#step-password", "violet kettle seven")
    page.click("#step-up button[type=submit]")
    page.wait_for_selector("#back:focus")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{OURS}/apps/desk/?account_id=main")


def test_nothing_from_elsewhere_becomes_the_way_back(desk: Desk) -> None:
    desk.page.goto(f"{OURS}/account?next=/.//evil.example/apps/x")
    desk.page.wait_for_selector("#who:not(:empty)")
    assert desk.page.get_attribute("#back", "href") == HOME


def test_a_key_is_made_for_what_was_ticked_of_what_one_may(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{OURS}/account")
    page.wait_for_selector("#who:not(:empty)")
    boxes = page.locator("#make-key input[name=scope]")
    visible = [boxes.nth(at).get_attribute("value") for at in range(boxes.count()) if boxes.nth(at).is_visible()]
    assert visible == ME["scopes"]
    page.fill("#key-label", "a script")
    page.fill("#key-days", "7")
    page.fill("#key-from", "192.0.2.0/24, 2001:db8::/32")
    page.check("#make-key input[value=control]")
    page.click("#make-key button")
    page.wait_for_selector("#new-key:not(:empty)")
    wish = {"label": "a script", "scopes": ["read", "control"], "days": 7}
    assert ("POST", "/keys", {**wish, "networks": ["192.0.2.0/24", "2001:db8::/32"]}) in desk.sent
    page.fill("#key-label", "another")
    desk.silent = True
    page.click("#make-key button")
    page.get_by_text("the server does not answer").wait_for()
    desk.silent = False
    page.click("#make-key button")
    page.wait_for_selector("#key-label:invalid")
    first, unheard, again = (name for path, name in desk.names if path == "/keys")
    assert first != unheard == again, "what was not answered is the same wish when it is sent again"
    desk.complaints = [one for one in desk.complaints if "net::ERR_FAILED" not in one]


def test_what_is_planted_in_a_page_of_ours_does_not_run(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{OURS}/login")
    assert page.evaluate("document.styleSheets[0].cssRules.length") > 5
    planted = "document.body.append(Object.assign(document.createElement('script'), {src: '/static/page.js?planted'}))"
    page.evaluate(planted)
    page.wait_for_timeout(200)
    assert len(desk.complaints) == 1
    assert "Content Security Policy" in desk.complaints.pop()


@pytest.mark.parametrize("form", ["login", "confirm"])
def test_a_password_that_is_sent_before_the_script_has_come_goes_nowhere(desk: Desk, form: str) -> None:
    """A bug: the browser sent the form by itself then, with the password in the address of the page."""
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(f"{request.url} {request.post_data or ''}"))
    desk.context.route("**/page.js", lambda route: None)
    desk.page.goto(f"{OURS}/{form}", wait_until="commit")
    if form == "login":
        desk.page.fill("input[name=name]", "ana")
    desk.page.fill("input[name=password]", "violet kettle seven")
    desk.page.keyboard.press("Enter")
    desk.page.wait_for_timeout(300)
    assert not [one for one in asked if "violet" in one]
    assert desk.page.url == f"{OURS}/{form}"
    desk.complaints = [one for one in desk.complaints if "form-action 'none'" not in one]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_what_is_not_there_is_told_in_the_look_of_the_house_and_fits_a_phone(desk: Desk, mode: str) -> None:
    page = desk.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=mode)
    page.goto(f"{OURS}/nothere")
    assert page.get_by_role("alert").inner_text().startswith("Nothing is at this address")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    lightness = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])")
    assert (lightness < 128) == (mode == "dark")
    page.get_by_role("link").click()
    page.wait_for_url(f"{OURS}/")
