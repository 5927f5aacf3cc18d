"""The style sheet speaks of the same colours as the charts, and asks for nothing from outside."""

import re
from pathlib import Path

import pytest

from novapulse.ui import theme

CSS = (Path(theme.__file__).parent / "desk.css").read_text("utf-8")
SHARED = ("text", "muted", "grid", "panel", "accent", "gain", "loss", "neutral")


@pytest.mark.parametrize(("mode", "selector"), [("light", ":root"), ("dark", r"\.dark")])
def test_panels_have_the_colours_of_the_charts(mode: theme.Mode, selector: str):
    block = re.search(rf"^{selector} \{{(.*?)^\}}", CSS, re.DOTALL | re.MULTILINE)
    assert block is not None
    colors = dict(re.findall(r"--np-(\w+): (#\w+);", block[1]))
    assert {name: colors[name] for name in SHARED} == {name: theme.PALETTE[mode][name] for name in SHARED}


def test_nothing_is_fetched():
    assert not re.search(r"url\(|@import|https?:", CSS)
