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


CONTRAST = """(element) => {
  // Paints what lies behind the words, from the page up, as the browser would; then the words themselves.
  const behind = [];
  for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) behind.unshift(one);
  const paper = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const brush = paper.getContext("2d", { willReadFrequently: true });
  const paint = (color) => { brush.fillStyle = color; brush.fillRect(0, 0, 1, 1); };
  const light = () => {
    const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((part) =>
      part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  paint("white");
  for (const one of behind) paint(getComputedStyle(one).backgroundColor);
  for (const one of element.querySelectorAll(":scope > i")) {
    if (one.getBoundingClientRect().width > 4) paint(getComputedStyle(one).backgroundColor);
  }
  const back = light();
  paint(getComputedStyle(element).color);
  const [less, more] = [back, light()].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}"""
"""How much the words of an element stand out from what lies behind them: 4.5 is enough for all who see at all well."""
