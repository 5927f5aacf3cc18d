"""One name and one mark for pages, apps and reports: whoever renames the house changes one file."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from novapulse import brand

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("novapulse/server", "novapulse/ui", "novapulse/research/tearsheet")
SPELLED = re.compile(r"Nova(</?b>)?Pulse")


@pytest.mark.parametrize("folder", SHOWN)
def test_no_page_spells_the_name_by_itself(folder: str) -> None:
    pages = [one for kind in ("html", "jinja", "js") for one in (ROOT / folder).rglob(f"*.{kind}")]
    code = [one for one in (ROOT / folder).rglob("*.py") if "<h1>" in one.read_text()]
    ours = [one for one in (*pages, *code) if "assets" not in one.parts and "node_modules" not in one.parts]
    assert ours
    assert [str(one.relative_to(ROOT)) for one in ours if SPELLED.search(one.read_text())] == []


def test_apps_are_called_as_the_house_is() -> None:
    # marimo reads a title from the file itself: it cannot be computed there.
    titles = {one.name: re.search(r'app_title="([^"]+)"', one.read_text()) for one in (ROOT / "apps").glob("*.py")}
    assert titles
    assert all(found and found[1].startswith(f"{brand.NAME} ") for found in titles.values()), titles


def test_name_and_mark_are_what_they_say() -> None:
    assert re.sub("</?b>", "", brand.WORDMARK) == brand.NAME
    assert brand.NAME in brand.WATERMARK
    assert ElementTree.fromstring(brand.MARK).tag.endswith("svg")
