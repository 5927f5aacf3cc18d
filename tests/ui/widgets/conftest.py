"""One browser page for a module's widgets, empty at the start of every test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import chromium
from tests.ui.widgets.page import WidgetPage

__all__ = ["chromium"]


@pytest.fixture(scope="module")
def opened(chromium: Any) -> WidgetPage:
    return WidgetPage(chromium)


@pytest.fixture
def page(opened: WidgetPage) -> Iterator[WidgetPage]:
    """The page, desk-sized and light; what went wrong on it is the test's failure."""
    opened.look(1440, 900, "light")
    yield opened
    problems, opened.problems[:] = list(opened.problems), []
    opened.clear()
    assert problems == []
