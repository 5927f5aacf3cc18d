"""How long a slider takes where it computes for about 20 ms: the computation alone, and from the key to the redraws.

Two notebooks: the backtest (a stop, signals kept) and the strategy lab (a parameter, votes made anew), each on as many
bars as make it compute that long. A decision of the replay takes far less, whatever its slider says.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from novapulse.config import load
from novapulse.market.importer import import_file
from novapulse.market.lake import Lake
from novapulse.ui import backtest_page
from novapulse.ui.jobs import Reporter
from novapulse.ui.notebooks import lab
from novapulse.ui.workbench import Request
from tests.notebooks.served import NOTEBOOK, opened, served

WANTED_MS = 20.0
STEPS = 40
PAUSE_MS = 500
"""Between two steps: what the one before set going has come to rest."""
TILES = ".np-tiles"
BACKTEST_CHARTS = ("equity", "section")
LAB_CHARTS = ("sums", "alone")
"""Cells whose charts follow the figures and the price; what the strategies thought is the same at another stop."""

_BARS_MIN = 2_000
_TIMES = 9

FIGURES, LAST = "figures and price", "the last chart"

REDRAWN = """([figures, charts]) => new Promise(done => {
  const inside = (root, what) => root?.querySelector(what)
    ?? [...root?.querySelectorAll("*") ?? []].map(one => one.shadowRoot && inside(one.shadowRoot, what)).find(Boolean);
  const cell = name => document.querySelector(`[data-cell-name="${name}"]`);
  const told = () => document.querySelector(figures)?.innerText;
  const price = () => inside(document, ".npw-candles")?.dataset.drawn;
  const drawn = () => charts.map(name => inside(cell(name), ".marks"));
  const before = [told(), price(), drawn()], found = {}, taken = {};
  const isShown = () => told() !== before[0] && price() !== before[1];
  const isLast = () => drawn().every((chart, at) => chart && chart !== before[2][at]);
  addEventListener("keydown", key => {
    const look = () => {
      const now = performance.now() - key.timeStamp;
      if (found.shown) taken.shown ??= now;
      if (found.last) taken.last ??= now;
      found.shown ||= isShown();
      found.last ||= found.shown && isLast();
      if (taken.last || now > 5000) done([taken.shown ?? null, taken.last ?? null]);
      else requestAnimationFrame(look);
    };
    look();
  }, { once: true, capture: true });
})"""
"""Promises after how many ms figures and price show another setting, and after how many every chart that follows does.

The price chart names of what the round trips or votes are that it painted last, from within its painting; another chart
is another element. What is found before a frame counts from the next one on, when it has been painted.
"""

Taken = list[tuple[float, float]]


def report(browser: Any, recorded: Path, folder: Path) -> Iterator[str]:
    """Yield a line for each notebook.

    Args:
        browser: Chromium.
        recorded: A month of recorded minutes.
        folder: For home folders.
    """
    for name, group, measure, notebook, charts in (
        ("stop, backtest", "Stops and targets", backtested_ms, "backtest.py", BACKTEST_CHARTS),
        ("parameter, lab", "Parameters", voted_ms, "strategy_lab.py", LAB_CHARTS),
    ):
        home, took_ms = sized(recorded, folder / notebook, measure)
        with (
            served(home, home / "server.log", notebook=NOTEBOOK.parent / notebook) as url,
            opened(browser, url) as page,
        ):
            yield f"{line(name, steps(page, slider_of(page, group), charts))}, computed in {took_ms:.0f} ms"


def line(name: str, taken: Taken) -> str:
    """Return what was measured, as a line."""
    if not taken:
        return f"slider of {name}: no step changed what is shown"
    (shown, last), (shown_95, last_95) = np.percentile(np.array(taken), [50, 95], axis=0)
    return (
        f"slider of {name:<18}  p50 {shown:.0f} ms, p95 {shown_95:.0f} ms to {FIGURES};"
        f" p50 {last:.0f} ms, p95 {last_95:.0f} ms to {LAST} ({len(taken)} steps)"
    )


def sized(recorded: Path, folder: Path, measure: Callable[[], float]) -> tuple[Path, float]:
    """Return a home with so many recorded bars that a computation takes about as long as wanted, and how long."""
    table = pl.read_parquet(recorded)
    bars, took_ms, home = len(table), 0.0, folder
    for attempt in range(3):
        home = folder / f"home {attempt}"
        home.mkdir(parents=True)
        table.head(bars).write_parquet(home / recorded.name)
        import_file(Lake(home / "lake"), home / recorded.name, "binance", "BTC/USDT", "1m", "open")
        with at_home(home):
            took_ms = measure()
        bars = int(min(len(table), max(_BARS_MIN, bars * WANTED_MS / took_ms)))
    return home, took_ms


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    """Compute in this process over a home folder."""
    before = os.environ.get("NOVAPULSE_HOME")
    os.environ["NOVAPULSE_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("NOVAPULSE_HOME")
        if before is not None:
            os.environ["NOVAPULSE_HOME"] = before


def backtested_ms() -> float:
    """Return how long a backtest takes whose stop was moved, its signals kept, ms."""
    bench = backtest_page.open_desk().bench
    settings = load(os.environ).settings.backtest
    series = bench.series()[0]

    def run(step: int) -> None:
        stops = settings.risk.stops.model_copy(update={"stop_atr": settings.risk.stops.stop_atr + 0.05 * step})
        risk = settings.risk.model_copy(update={"stops": stops})
        moved = settings.model_copy(update={"risk": risk})
        bench.outcome(Request(series.exchange, series.timeframe, (series.symbol,), None, None, moved), Reporter())

    return median_ms(run)


def voted_ms() -> float:
    """Return how long the votes of the lab's first strategy take, ms."""
    desk = lab.open_desk()
    name = lab.strategy_choice(desk).value
    series = lab.series_choice(desk).value
    first = next(iter(desk.strategy(name).Params.model_fields))
    value = getattr(desk.strategy(name).Params(), first)
    return median_ms(lambda step: lab.voted(desk, lab.choose(desk, series, name, {first: value + step}, 15)))


def median_ms(run: Callable[[int], object]) -> float:
    """Return how long something takes in the middle of some times, each with another number, ms."""
    run(0)
    taken = []
    for step in range(1, _TIMES + 1):
        began_s = time.perf_counter()
        run(step)
        taken.append(1_000 * (time.perf_counter() - began_s))
    return float(np.median(taken))


def steps(page: Any, slider: Any, charts: Sequence[str]) -> Taken:
    """Return the milliseconds from a key on a slider to figures and price, and to the last chart, step by step.

    Args:
        page: With the slider.
        slider: What is moved, to and fro.
        charts: Cells whose charts follow.
    """
    page.wait_for_timeout(PAUSE_MS)
    slider.focus()
    taken = []
    for number in range(STEPS):
        waiting = page.evaluate_handle(f"told => {{ window.novapulseTaken = ({REDRAWN})(told); }}", [TILES, charts])
        slider.press("ArrowRight" if number % 8 < 4 else "ArrowLeft")
        shown, last = page.evaluate("() => window.novapulseTaken")
        waiting.dispose()
        if shown is not None and last is not None:
            taken.append((float(shown), float(last)))
        page.wait_for_timeout(PAUSE_MS)
    return taken


def slider_of(page: Any, group: str) -> Any:
    """Return the first slider of a group, which is opened."""
    box = page.locator(".np-group", has=page.get_by_text(group, exact=True))
    box.wait_for()
    if not box.get_by_role("slider").first.is_visible():
        box.locator("summary").click()
    return box.get_by_role("slider").first
