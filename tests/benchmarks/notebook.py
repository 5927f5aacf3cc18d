"""How long the backtest notebook takes to appear and to follow a slider, in Chromium on a month of recorded minutes.

Run as `python -m tests.benchmarks.notebook`. First paint is the first figure, complete is the last chart; a slider step
lasts from the key to the figures and the price chart of the new setting, and to the last chart that follows them. Last
come sliders that compute for some 20 ms.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.market.importer import import_file
from novapulse.market.lake import Lake
from tests.benchmarks import sliders
from tests.browser import opened_chromium
from tests.conftest import SHARED_DATA
from tests.notebooks.served import opened, served

RECORDED = "binance_BTC-USDT_1m.parquet"
CHARTS = ("equity", "heat", "section")

_MARKS = """name => {
  const inside = root => root.querySelector(".marks")
    ?? [...root.querySelectorAll("*")].map(one => one.shadowRoot && inside(one.shadowRoot)).find(Boolean);
  const cell = document.querySelector(`[data-cell-name="${name}"]`);
  return (cell && inside(cell)) ?? null;
}"""
_DRAWN = """() => {
  const inside = root => root.querySelector(".npw-candles[data-drawn]")
    ?? [...root.querySelectorAll("*")].map(one => one.shadowRoot && inside(one.shadowRoot)).find(Boolean);
  return inside(document) ?? null;
}"""
_SPECS = """
() => [...document.querySelectorAll("marimo-vega, marimo-mime-renderer")].map(
  chart => chart.getAttribute("data-spec") ?? chart.getAttribute("data-data"))
"""


def main() -> int:
    """Measure and print."""
    recorded = SHARED_DATA / RECORDED
    if not recorded.is_file():
        print(f"skipped: there is no recorded {RECORDED} in {SHARED_DATA}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        done = import_file(Lake(home / "lake"), recorded, "binance", "BTC/USDT", "1m", "open")
        print(f"{done.added:,} bars of {recorded.stem}")
        with opened_chromium() as browser, served(home, home / "server.log") as url:
            print(
                "cold (server just started)  {:.2f} s to the first figure, {:.2f} s complete".format(
                    *load(browser, url)
                )
            )
            loads = np.array([load(browser, url) for _ in range(5)])
            print(
                "warm (median of 5)          {:.2f} s to the first figure, {:.2f} s complete".format(
                    *np.median(loads, 0)
                )
            )
            with opened(browser, url) as page:
                complete(page)
                points = [drawn(text) for text in page.evaluate(_SPECS)]
                print(f"points beside the price     {sum(points):,} in {len(points)}, at most {max(points):,} in one")
                for group, what in (("Stops and targets", "stop distance"), ("Strategies and weights", "a weight")):
                    slider = sliders.slider_of(page, group)
                    print(sliders.line(what, sliders.steps(page, slider, sliders.BACKTEST_CHARTS)))
            for told in sliders.report(browser, recorded, home / "sized"):
                print(told)
    return 0


def load(browser: Any, url: str) -> tuple[float, float]:
    """Return the seconds to the first figure and to the last chart of a page without anything in its cache."""
    began = time.perf_counter()
    with opened(browser, url) as page:
        page.locator(".np-tile .np-value").first.wait_for()
        first = time.perf_counter() - began
        complete(page)
        return first, time.perf_counter() - began


def drawn(text: str) -> int:
    """Return how many rows of data a chart was handed; its tables are CSV with a header each."""
    spec = json.loads(text)
    spec = json.loads(spec) if isinstance(spec, str) else spec
    return sum(len(table.splitlines()) - 1 for table in spec["datasets"].values())


def complete(page: Any) -> None:
    """Wait until every chart is drawn."""
    page.wait_for_function(_DRAWN)
    for name in CHARTS:
        page.wait_for_function(_MARKS, arg=name)


if __name__ == "__main__":
    sys.exit(main())
