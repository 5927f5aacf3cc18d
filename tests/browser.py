"""A real browser for tests of pages; where there is none, they are skipped and say so.

While a browser is open its event loop counts as running in this thread, so a test that starts a loop of its own must
not share a module with one.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--disable-default-apps --no-first-run"
).split()


@contextmanager
def opened_chromium() -> Iterator[Any]:
    """A Chromium that asks the net for nothing by itself."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium is installed here (looked for {', '.join(NAMES)})")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of one module's tests."""
    with opened_chromium() as browser:
        yield browser
