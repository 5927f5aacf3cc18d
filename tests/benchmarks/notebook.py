"""How long the backtest notebook takes to appear and to follow a slider, in Chromium on a month of recorded minutes.

Run as `python -m tests.benchmarks.notebook`. First paint is the first figure, complete is the last chart; a slider step
lasts from the key to the figures and the price chart of the new setting. Last come sliders that compute for some 20 ms.
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
CHARTS = ("price", "equity", "heat")

_MARKS = """name => {
  const inside = root => root.querySelector(".marks")
    ?? [...root.querySelectorAll("*")].map(one => one.shadowRoot && inside(one.shadowRoot)).find(Boolean);
  const cell = document.querySelector(`[data-cell-name="${name}"]`);
  return (cell && inside(cell)) ?? null;
}"""
_STEP = f"""
() => new Promise(done => {{
  const marks = {_MARKS}, figures = () => document.querySelector(".np-tiles").innerText;
  const before = [figures(), marks("price")], began = performance.now();
  const look = () => {{
    const chart = marks("price");
    if (figures() !== before[0] && chart && chart !== before[1]) done(performance.now() - began);
    else if (performance.now() - began > 5000) done(null);
    else requestAnimationFrame(look);
  }};
  look();
}})
"""
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
                print(f"points in the charts        {sum(points):,} in {len(points)}, at most {max(points):,} in one")
                for group, what in (("Stops and targets", "stop distance"), ("Strategies and weights", "a weight")):
                    print(described(what, sliders.steps(page, sliders.slider_of(page, group), _STEP)))
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
    for name in CHARTS:
        page.wait_for_function(_MARKS, arg=name)


def described(what: str, taken: list[float]) -> str:
    """Return a line about some steps."""
    if not taken:
        return f"slider of {what}: no step changed a figure"
    p50, p95 = np.percentile(taken, [50, 95])
    return f"slider of {what:<18}  p50 {p50:.0f} ms, p95 {p95:.0f} ms to figures and chart ({len(taken)} steps)"


if __name__ == "__main__":
    sys.exit(main())
