"""Every app in Chromium, for both roles, on desk and phone, light and dark.

The test run takes a choice in which every two of these meet; `just pages` takes them all.
"""

import gzip
import itertools
import os
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest

from novapulse.monitor import read_home
from novapulse.server.frontend import frontend_of_marimo
from novapulse.ui.apps.frame import OF_ONE_ACCOUNT, PAGES
from tests.apps.conftest import Visited
from tests.apps.house import PASSWORD, signed_in
from tests.apps.page import KNOWN, looking

ROLES = ("viewer", "operator")
SIZES = ((1440, 900), (390, 844))
MODES = ("light", "dark")
APPS = tuple(name for name, _ in PAGES)
HOLDS = {"overview": 2, "desk": 9}
WIDGETS = {
    "overview": ("Accounts", "Open positions", "Alerts", "Equity · second on kraken"),
    "desk": ("Positions", "Working orders", "Fills", "Decisions", "Alerts", "Equity", "Books and venue"),
    "risk": ("Limits and how near", "Breakers", "Exposure by asset", "Day by day"),
    "orders": ("Working orders", "Ended orders", "Fills", "Round trips"),
    "decisions": ("Now", "Decisions", "Bars on which nothing was done"),
    "scanner": ("Instruments", "Votes of the strategies", "Strategies, round trips closed so far"),
    "journal": ("Entries",),
    "health": ("Accounts", "Breakers", "Alerts", "Differences between books and venue"),
}
SECOND = "exchange=kraken&account_id=second"

Way = tuple[str, str, tuple[int, int], str]


def chosen() -> list[Way]:
    """Two looks at every app, each the other's opposite: every two of app, role, size and mode meet."""
    ways: list[Way] = []
    for number, app in enumerate(APPS):
        role, size, mode = number & 1, number >> 1 & 1, number >> 2 & 1
        ways += [(app, ROLES[role ^ other], SIZES[size ^ other], MODES[mode ^ other]) for other in (0, 1)]
    return ways


def all_ways() -> list[Way]:
    return list(itertools.product(APPS, ROLES, SIZES, MODES))


def name_of(way: Way) -> str:
    app, role, size, mode = way
    return f"{app}-{role}-{'x'.join(map(str, size))}-{mode}"


WAYS = all_ways() if os.environ.get("PAGES") == "all" else chosen()


@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_it_is_drawn_for_the_account_that_was_asked_for_and_lets_only_operators_act(visited: Visited, way: Way) -> None:
    app, role, (width, height), mode = way
    house = visited.house
    with looking(visited.browsers[role], house.address, f"/apps/{app}/?{SECOND}", width, height, mode) as looked:
        looked.wait_drawn()
        for label in WIDGETS[app]:
            looked.widget(label).wait_for(state="visible")
        assert looked.is_dark() == (mode == "dark")
        assert looked.overflow() == 0
        about = "all accounts" if app == "overview" else "second on kraken"
        assert looked.page.locator(".np-title").inner_text().endswith(about)
        looked.widget("Trader and accounts").get_by_text("kraken · second", exact=True).wait_for()
        assert looked.holds().count() == (HOLDS.get(app, 0) if role == "operator" else 0)
        links = looked.page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link").all()
        assert len(links) == len(PAGES)
        for link in links:
            box = link.bounding_box()
            assert box["x"] >= 0, "a bug: on a phone three pages were out of sight, and nothing said so"
            assert box["x"] + box["width"] <= width
            assert box["height"] >= (36 if width == 390 else 28)
        if app in OF_ONE_ACCOUNT:
            switch = looked.page.get_by_role("navigation", name="Account", exact=True)
            assert switch.locator("[aria-current]").all_inner_texts() == ["kraken · second"]


FOCUSED = """() => {
  let one = document.activeElement;
  while (one?.shadowRoot) one = one.shadowRoot.activeElement;
  return one?.textContent;
}"""


def edges(of: Any) -> tuple[float, float]:
    """Where something begins and ends on the screen, px from its top."""
    box = of.bounding_box()
    return float(box["y"]), float(box["y"] + box["height"])


@pytest.mark.parametrize("app", ["desk", "journal"])
def test_on_a_phone_pause_and_kill_are_in_reach_wherever_an_operator_has_scrolled(visited: Visited, app: str) -> None:
    """A bug: they were 3,500 px down on the desk, and most pages had none."""
    address, path = visited.house.address, f"/apps/{app}/{f'?{SECOND}' if app == 'desk' else ''}"
    with looking(visited.browsers["operator"], address, path, 390, 844) as looked:
        looked.wait_drawn()
        bar = looked.reach()
        buttons = bar.get_by_role("button")
        whose = "" if app == "desk" else " all"
        buttons.nth(1).wait_for()
        assert [one.strip() for one in buttons.all_inner_texts()] == [f"Hold to pause{whose}", f"Hold to kill{whose}"]
        for scrolled in (0, 1_000_000):
            looked.page.evaluate(
                "(to) => document.querySelectorAll('html, body, #App').forEach((one) => one.scrollTo(0, to))", scrolled
            )
            looked.page.wait_for_timeout(300)
            assert edges(bar)[1] == pytest.approx(844, abs=1)
            for button in buttons.all():
                (left, top, wide, high) = (button.bounding_box()[name] for name in ("x", "y", "width", "height"))
                assert top > 740
                assert min(wide / 3, high) >= 44
                hit = looked.page.evaluate(
                    "([x, y]) => document.elementFromPoint(x, y).closest('.np-reach') !== null",
                    [left + wide / 2, top + high / 2],
                )
                assert hit, "nothing lies over it"
        assert edges(looked.page.locator(".np-app > :not(.np-reach)").last)[1] <= edges(bar)[0]
        assert looked.overflow() == 0
        buttons.first.focus()
        looked.page.keyboard.press("Tab")
        assert looked.page.evaluate(FOCUSED) == f"Hold to kill{whose}"
        if app == "desk":
            act = looked.page.get_by_role("region", name="kraken · second: act now")
            assert edges(act)[1] < min(edges(looked.widget("Fills"))[0], edges(looked.widget("Decisions"))[0])
        looked.page.set_viewport_size({"width": 1440, "height": 900})
        assert not bar.is_visible()
    with looking(visited.browsers["viewer"], address, path, 390, 844) as looked:
        looked.wait_drawn()
        assert looked.reach().count() == 0


@pytest.mark.parametrize("app", ["desk", "journal"])
def test_from_the_keyboard_what_acts_is_three_steps_away(visited: Visited, app: str) -> None:
    """A bug: "Hold to kill" of the desk was the 146th stop of the tab key."""
    address, path = visited.house.address, f"/apps/{app}/{f'?{SECOND}' if app == 'desk' else ''}"
    with looking(visited.browsers["operator"], address, path) as looked:
        looked.wait_drawn()
        skips = looked.widget("Skip").get_by_role("link")
        assert [one.inner_text() for one in skips.all()] == ["To the page", "To the commands"]
        assert edges(skips.first)[1] - edges(skips.first)[0] <= 1
        skips.first.focus()
        assert edges(skips.first)[1] - edges(skips.first)[0] > 30
        looked.page.keyboard.press("Tab")
        looked.page.keyboard.press("Enter")
        looked.page.keyboard.press("Tab")
        whose = "" if app == "desk" else " all"
        assert looked.page.evaluate(FOCUSED) == f"Hold to pause{whose}"
        top, bottom = edges(looked.page.locator("#np-commands" if app == "desk" else "#np-reach"))
        assert bottom - top > 40
        assert top < 900
        skips.first.focus()
        looked.page.keyboard.press("Enter")
        assert looked.page.evaluate("document.activeElement.id") == "np-page"
        assert looked.page.get_by_role("main").count() == 1


def test_a_bar_of_the_desk_that_is_clicked_is_answered(visited: Visited) -> None:
    with looking(visited.browsers["viewer"], visited.house.address, f"/apps/desk/?{SECOND}") as looked:
        looked.wait_drawn()
        chart = looked.page.locator(".npw-candles .box")
        box = chart.bounding_box()
        looked.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        answers = looked.page.locator(".npw-candles .answers p")
        answers.first.wait_for()
        clicked = answers.first.inner_text()
        assert " UTC: " in clicked
        chart.press("ArrowLeft")
        chart.press("Enter")
        answers.filter(has_not_text=clicked).first.wait_for()


def test_flattening_asks_for_the_password_first_and_comes_back_to_its_button(visited: Visited) -> None:
    """A bug: it was refused after it had been held, and the way to the password led through a page of API keys."""
    house = visited.house
    with looking(visited.browsers["operator"], house.address, f"/apps/desk/?{SECOND}", 390, 844) as looked:
        looked.wait_drawn()
        flatten = looked.page.locator(".npw-hold", has=looked.page.get_by_role("button", name="Hold to flatten"))
        flatten.get_by_role("link", name="give it now").click()
        looked.page.wait_for_url("**/confirm?next=*")
        looked.page.wait_for_function("() => document.activeElement.id === 'password'")
        looked.page.keyboard.type(PASSWORD)
        looked.page.keyboard.press("Enter")
        looked.page.wait_for_url(f"**/apps/desk/?{SECOND}#hold-flatten")
        looked.wait_drawn()
        button = flatten.get_by_role("button")
        looked.page.wait_for_function(f"({FOCUSED})() === 'Hold to flatten'")
        top, bottom = edges(button)
        assert 0 <= top < bottom <= edges(looked.reach())[0]
        assert flatten.get_by_role("link").count() == 0
        # Two pages were loaded in this one, and each may say once what is known.
        looked.complaints = [one for one in looked.complaints if not one.startswith(KNOWN)]


def test_the_choice_lets_every_two_meet() -> None:
    def pairs(ways: list[Way]) -> set[Any]:
        return {((a, way[a]), (b, way[b])) for way in ways for a, b in itertools.combinations(range(4), 2)}

    assert pairs(chosen()) == pairs(all_ways())
    assert len(chosen()) == 16


def test_the_figures_of_an_account_are_its_own(visited: Visited) -> None:
    house = visited.house
    accounts = read_home(house.home).accounts
    assert len({one.equity for one in accounts}) == len(accounts) == 3
    with looking(visited.browsers["viewer"], house.address, f"/apps/desk?{SECOND}") as looked:
        looked.wait_drawn()
        tiles = looked.page.locator(".npw-tiles").first
        tiles.get_by_text("equity", exact=True).wait_for()
        shown = [f"{one.account_id} on {one.exchange}" for one in accounts if _cents(one.equity) in tiles.inner_text()]
    assert shown == ["second on kraken"]


def test_a_page_whose_session_has_ended_leads_to_where_one_signs_in(chromium: Any, visited: Visited) -> None:
    """A bug: it turned grey and led nowhere."""
    address = visited.house.address
    context = signed_in(chromium, visited.house, "vera")
    with looking(context, address, f"/apps/desk/?{SECOND}") as looked:
        looked.wait_drawn()
        csrf = context.request.get(f"{address}/api/v1/session").json()["csrf"]
        ended = context.request.delete(
            f"{address}/api/v1/session", headers={"Origin": address, "X-CSRF": csrf, "Sec-Fetch-Site": "same-origin"}
        )
        assert ended.status == 200
        # What a browser says of a closed socket and of a 401, whenever it comes.
        looked.excuses = ("401", "Unauthorized", "WebSocket")
        link = looked.widget("Trader and accounts").get_by_role("link", name="Sign in again")
        link.wait_for()
        assert unquote(link.get_attribute("href") or "").endswith(f"/login?next=/apps/desk/?{SECOND}")
    context.close()


def test_an_account_that_is_not_there_is_an_error_that_names_those_that_are(visited: Visited) -> None:
    for app in ("desk", "overview"):
        path = f"/apps/{app}/?exchange=kraken&account_id=third"
        with looking(visited.browsers["operator"], visited.house.address, path) as looked:
            looked.wait_drawn()
            said = looked.page.get_by_role("alert").inner_text()
            assert all(known in said for known in ("kraken", "coinbase", "main", "second", "third"))
            assert looked.holds().count() == 0
            assert looked.page.locator(".npw-tiles").count() == 0


def _cents(amount: Decimal | None) -> str:
    assert amount is not None
    return f"{amount:,.2f}"


_LATER = """async ([folder, names]) => {
  const wrong = [];
  for (const name of names) {
    await import(`${folder}/${name}`).catch((why) => wrong.push(`${name}: ${why}`));
  }
  return wrong;
}"""


def test_a_page_is_one_script_and_what_marimo_loads_later_finds_its_names_in_it(visited: Visited) -> None:
    joined = frontend_of_marimo().joined
    assert joined is not None
    text = gzip.decompress(joined.packed).decode()
    later = set(re.findall(r"""\bimport\(["'`]\./([\w.-]+\.js)["'`]\)""", text))
    # What edits is never loaded here, and would look for its own page.
    later = {name for name in later if not name.startswith(("edit-page", "home-page", "gallery-page"))}
    assert len(later) > 100
    with looking(visited.browsers["viewer"], visited.house.address, "/apps/journal/") as looked:
        looked.wait_drawn()
        asked = looked.page.evaluate("() => performance.getEntriesByType('resource').map((one) => one.name)")
        scripts = {url.rpartition("/")[2] for url in asked if "/apps/assets/" in url and url.endswith(".js")}
        assert joined.script in scripts
        assert len(scripts) < 10, scripts
        wrong = looked.page.evaluate(_LATER, [f"{visited.house.address}/apps/assets", sorted(later)])
        # Our policy lets nothing be run that was text: what wants to is not for our pages, joined or not.
        assert [why for why in wrong if "Content Security Policy" not in why] == []
