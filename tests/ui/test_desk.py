"""The style sheet speaks of the same colours as the charts, and asks for nothing from outside."""

import re
from pathlib import Path

import pytest

from novapulse.ui import theme

CSS = (Path(theme.__file__).parent / "desk.css").read_text("utf-8")
BASE = (Path(theme.__file__).parent / "widgets" / "src" / "base.css").read_text("utf-8")


def told(mode: theme.Mode) -> dict[str, str]:
    """The colours of a mode, as style sheets name them."""
    compared = {f"compared-{at}": color for at, color in enumerate(theme.COMPARED[mode], 1)}
    return {**theme.PALETTE[mode], **theme.REGIMES[mode], **compared}


@pytest.mark.parametrize(("mode", "selector"), [("light", ":root"), ("dark", r"\.dark")])
def test_panels_have_the_colours_of_the_charts(mode: theme.Mode, selector: str):
    block = re.search(rf"^{selector} \{{(.*?)^\}}", CSS, re.DOTALL | re.MULTILINE)
    assert block is not None
    colors = dict(re.findall(r"--np-([\w-]+): (#\w+);", block[1]))
    own = {"blank": "sunk", "on_color": "on-accent"}
    wanted = {own.get(name, name): color for name, color in told(mode).items() if color.startswith("#")}
    assert {name: colors[name] for name in wanted} == wanted


def test_a_widget_on_a_page_without_them_has_the_light_ones():
    fallbacks = dict(re.findall(r"--[\w-]+: var\(--np-([\w-]+), (#\w+)\)", BASE))
    wanted = {name: color for name, color in told("light").items() if name in fallbacks}
    assert {name: fallbacks[name] for name in wanted} == wanted
    assert {*theme.REGIMES["light"], "compared-1", "compared-4", "gain", "loss", "warn"} <= set(wanted)


def test_nothing_is_fetched():
    assert not re.search(r"url\(|@import|https?:", CSS)
