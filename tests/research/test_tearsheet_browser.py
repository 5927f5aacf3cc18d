"""The tear sheet in a real browser: it fits, it asks for nothing, and it prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from novapulse.research.tearsheet import tear_sheet
from tests.browser import chromium
from tests.research.test_tearsheet import analysed, metrics_only, one_bar, sheet

__all__ = ["chromium"]

SCREENS = {"phone": (390, 844), "desktop": (1440, 900)}


@pytest.fixture
def page(chromium, screen: str, scheme: str) -> Iterator:
    width, height = SCREENS[screen]
    with chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        yield context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("made", [analysed, metrics_only, one_bar], ids=lambda made: made.__name__)
def test_page_fits_and_asks_for_nothing(page, tmp_path: Path, made, scheme: str):
    file = tmp_path / "sheet.html"
    file.write_text(tear_sheet(*made()), "utf-8")
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()]
    assert told == []
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in ground[4:-1].split(",")) < 384) == (scheme == "dark")


@pytest.mark.parametrize(("screen", "scheme"), [("desktop", "dark")])
def test_paper_is_light_and_no_table_is_cut_off(page, tmp_path: Path):
    file = tmp_path / "sheet.html"
    file.write_text(sheet(), "utf-8")
    page.goto(file.as_uri())
    page.set_viewport_size({"width": 703, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = "[...document.querySelectorAll('table')].filter(t => t.scrollWidth > t.parentElement.clientWidth + 1)"
    assert page.evaluate(f"{cut}.map(t => t.caption.textContent)") == []
    assert page.pdf(prefer_css_page_size=True)[:5] == b"%PDF-"
