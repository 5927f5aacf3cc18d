"""What the dashboards take, in Chromium on this machine, over a paper trader that sees ten bars a second.

Run as `python -m tests.benchmarks.dashboards`; `--write` keeps the table in docs/performance.md.

- An app's HTML is one request. Cold is the first page of a server that has just begun, in a browser that has nothing in
  its cache; warm are all apps after it in the same browser. An empty browser before a warm server lies between.
- From a commit to the screen: from the moment the ledger's file has an entry until the overview names it or a later
  one.
- From a commit to the socket: the same until marimo has sent it, to as many readers that draw nothing: what the server
  takes by itself. What a screen takes longer is Chromium, which has to share the machine with all its other pages.
- Processor time is that of the server and all it started, with pages that nobody touches: a server of its own for each
  pace of the trader.
- From a bar to the account: from the moment the trader has recorded a bar until it has recorded what the account was
  told of it, with no dashboard and with as many as were open. Looked at every 2 ms: less than that reads as 0.
"""

import argparse
import itertools
import re
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import TimeoutError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from novapulse.control.roles import Role
from novapulse.ui.apps.frame import PAGES
from tests.apps.house import House, pace, serving, signed_in, trader
from tests.apps.page import Looked
from tests.benchmarks.page import keep
from tests.benchmarks.server import cpu_s
from tests.browser import opened_chromium
from tests.killing import make_home, newest_session

Row = tuple[str, str]

SECTION = "dashboards"
COLUMNS = ("what", "figure:")
BARS_A_SECOND = 10.0
PACES = {"a bar in ten seconds": 0.1, "ten bars a second": BARS_A_SECOND}
IDLE_PAGES = (0, 1, 5)
_SETTLED_S = 5.0
_NUMBERS = itertools.count()
APPS = tuple(name for name, _ in PAGES)
PAGES_EACH = 5
AT_ONCE = 3
DRAWN_S = 240.0
"""Longer than any machine takes: what is measured is not whether pages are drawn."""
_LOOK_S = 0.002

_ENTRY = re.compile(r"entry (\d+) of ledger")
_ENTRIES = r"""() => {
  const within = (root) => [...root.querySelectorAll("*")].flatMap(
    (one) => [one, ...(one.shadowRoot ? within(one.shadowRoot) : [])]);
  const find = () => within(document).find(
    (one) => one.children.length === 0 && /^entry \d+ of ledger/.test(one.textContent));
  let place;
  window.npShown = [];
  const look = () => {
    if (!place?.isConnected) place = find();
    const entry = Number(/\d+/.exec(place?.textContent)?.[0]);
    if (entry && entry !== window.npShown.at(-1)?.[0]) window.npShown.push([entry, Date.now() / 1000]);
    requestAnimationFrame(look);
  };
  look();
}"""


_FIRST = """() => {
  const within = (root) => [...root.querySelectorAll("marimo-anywidget, .npw")].flatMap(
    (one) => [one, ...(one.shadowRoot ? within(one.shadowRoot) : [])]);
  return within(document).some((one) => one.classList.contains("npw") && one.getBoundingClientRect().height > 0);
}"""


class NotDrawnError(Exception):
    """A dashboard was not to be seen."""


class Watch:
    """Sees from outside what a trader does: new entries of its ledger, bars it records, and what an account heard.

    Attributes:
        entries: Number of an entry and when it was seen, s.
        answers: Seconds from a recorded bar to what the account heard of it.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ended = threading.Event()
        self.entries: list[tuple[int, float]] = []
        self.answers: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        folder = self._home / "sessions" / newest_session(self._home)
        bars, heard = folder / "kraken.bars", folder / "kraken-main.heard"
        sizes, since_s = (bars.stat().st_size, heard.stat().st_size), 0.0
        with closing(sqlite3.connect(f"file:{self._home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
            while not self._ended.wait(_LOOK_S):
                (head,) = ledger.execute("SELECT max(seq) FROM event").fetchone()
                now_s = time.time()
                if not self.entries or head != self.entries[-1][0]:
                    self.entries.append((head, now_s))
                found = (bars.stat().st_size, heard.stat().st_size)
                if found[0] != sizes[0] and not since_s:
                    since_s = now_s
                if found[1] != sizes[1] and since_s:
                    self.answers.append(now_s - since_s)
                    since_s = 0.0
                sizes = found


def delays(entries: list[tuple[int, float]], shown: list[tuple[int, float]]) -> list[float]:
    """Return, for each entry that was seen in the ledger, the seconds until the page named it or a later one."""
    found = []
    for entry, written_s in entries[1:]:
        later = next((shown_s for number, shown_s in shown if number >= entry), None)
        if later is not None:
            found.append(later - written_s)
    return found


def first_pages(browser: Any, house: House) -> list[Row]:
    """Return how long each app takes: the first page of all, then every one of a browser that has been here."""
    state = signed_in(browser, house, "otto").storage_state()
    with closing(browser.new_context(storage_state=state)) as here:
        cold = _first_page(here, house, "desk")
        warm = [_first_page(here, house, app) for app in APPS]
    empty = []
    for app in APPS:
        with closing(browser.new_context(storage_state=state)) as fresh:
            empty.append(_first_page(fresh, house, app))
    return [
        _row("HTML of an app", [cold[0]], [html for html, _ in warm], [html for html, _ in empty]),
        _row("first widget", [cold[1]], [first for _, first in warm], [first for _, first in empty]),
    ]


def _first_page(context: Any, house: House, app: str) -> tuple[float, float]:
    page, began_s = context.new_page(), time.perf_counter()
    page.goto(f"{house.address}/apps/{app}/", wait_until="commit")
    html_s = time.perf_counter() - began_s
    # Looked for with every picture: a locator looks again after half a second.
    page.wait_for_function(_FIRST, timeout=90_000)
    first_s = time.perf_counter() - began_s
    page.close()
    return html_s, first_s


def _row(what: str, cold: list[float], warm: list[float], empty: list[float]) -> Row:
    figures = (f"{one:.2f} s" for one in (*cold, median(warm), max(warm), median(empty)))
    return f"{what}: cold; warm, worst; empty browser", "; ".join(figures)


@contextmanager
def opened(browser: Any, house: House, count: int) -> Iterator[list[Any]]:
    """Open so many dashboards, the overview first, a few at a time; nobody has as many as one person may have."""
    people = _strangers(house, count)
    with ExitStack() as stack:
        contexts = [stack.enter_context(closing(signed_in(browser, house, name))) for name in people]
        pages: list[Any] = []
        while len(pages) < count:
            few = range(len(pages), min(count, len(pages) + AT_ONCE))
            begun = [_begun(contexts[number // PAGES_EACH], house, APPS[number % len(APPS)]) for number in few]
            for page in begun:
                _wait_drawn(page, house)
            pages += begun
        yield pages


def _strangers(house: House, pages: int) -> list[str]:
    people = [f"viewer-{next(_NUMBERS)}" for _ in range(-(-pages // PAGES_EACH))]
    house.add_people(dict.fromkeys(people, Role.VIEWER))
    return people


def _begun(context: Any, house: House, app: str) -> Any:
    page = context.new_page()
    page.set_default_timeout(DRAWN_S * 1000)
    answer = page.goto(f"{house.address}/apps/{app}/")
    if not answer.ok:
        said = " ".join(page.locator("body").inner_text().split())
        raise NotDrawnError(f"{page.url} was answered with {answer.status}: {said}")
    return page


def _wait_drawn(page: Any, house: House) -> None:
    try:
        Looked(page, house.address).wait_drawn()
    except TimeoutError as late:
        said = "; ".join(dict.fromkeys(house.refusals())) or "nothing was refused"
        raise NotDrawnError(f"{page.url} was not drawn within {DRAWN_S:g} s; the server says: {said}") from late


class Reader:
    """What marimo sends to an overview that nobody draws.

    Attributes:
        told: Number of an entry of the ledger, and when the message came that named it first, s.
    """

    def __init__(self, wire: ClientConnection) -> None:
        self.told: list[tuple[int, float]] = []
        self._wire = wire
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                found = _ENTRY.findall(str(self._wire.recv()))
                if found and (not self.told or int(found[-1]) != self.told[-1][0]):
                    self.told.append((int(found[-1]), time.time()))


@contextmanager
def listened(browser: Any, house: House, count: int) -> Iterator[list[Reader]]:
    """Open so many dashboards without a browser, the overview first."""
    people = _strangers(house, count)
    with ExitStack() as stack:
        cookies = []
        for name in people:
            with closing(signed_in(browser, house, name)) as context:
                cookies.append("; ".join(f"{one['name']}={one['value']}" for one in context.cookies()))
        readers = []
        for number in range(count):
            address = f"{house.address.replace('http', 'ws', 1)}/apps/{APPS[number % len(APPS)]}/ws"
            headers = {"cookie": cookies[number // PAGES_EACH], "origin": house.address}
            wire = connect(f"{address}?session_id=s_{count:02}{number:04}", additional_headers=headers, max_size=None)
            readers.append(Reader(stack.enter_context(wire)))
        yield readers


def processor_s(pid: int) -> float:
    """Return how long a process and all that it started have computed so far, s."""
    children = [
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    ]
    return cpu_s(pid) + sum(processor_s(one) for one in children)


def idle(browser: Any, house: House, seconds: float, paced: str) -> Iterator[Row]:
    """Yield what a server that has just begun computes for pages that nobody touches, as shares of one core."""
    with ExitStack() as stack:
        pages: list[Any] = []
        for count in IDLE_PAGES:
            # One more after the other: the kernel of a page that was closed would go on for a minute.
            pages += stack.enter_context(opened(browser, house, count - len(pages)))
            pause = pages[0].wait_for_timeout if pages else _sleep
            pause(_SETTLED_S * 1000)
            before_s, began_s = processor_s(house.process.pid), time.perf_counter()
            pause(seconds * 1000)
            share = (processor_s(house.process.pid) - before_s) / (time.perf_counter() - began_s)
            yield f"server's processor time, {paced}, dashboards: {count}", f"{share:.1%} of a core"


def _sleep(milliseconds: float) -> None:
    time.sleep(milliseconds / 1000)


def memory_mb(house: House) -> float:
    """Return what the server's process holds, MB."""
    lines = Path(f"/proc/{house.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def spelled(seconds: list[float], share: float) -> str:
    """Return the median and another quantile of some times."""
    if not seconds:
        return "nothing was seen"
    middle, high = np.percentile(seconds, [50, share]) * 1000
    return f"p50 {middle:.0f} ms, p{share:g} {high:.0f} ms ({len(seconds)} times)"


def measured(browser: Any, house: House, counts: list[int], seconds: float) -> Iterator[Row]:
    """Yield all figures as rows of the table."""
    with Watch(house.home) as alone:
        time.sleep(seconds)
    house.add_people()
    memory = f"{memory_mb(house):.0f} MB"
    yield from first_pages(browser, house)
    yield "bar to what the account heard, no dashboard", spelled(alone.answers, 99)
    yield "server's memory before its first page", memory
    for count in counts:
        with listened(browser, house, count) as readers:
            time.sleep(_SETTLED_S)
            with Watch(house.home) as watch:
                time.sleep(seconds)
        sent = delays(watch.entries, readers[0].told)
        yield f"commit to the socket, no browser, dashboards: {count}", spelled(sent, 95)
        with opened(browser, house, count) as pages:
            pages[0].bring_to_front()
            pages[0].evaluate(_ENTRIES)
            with Watch(house.home) as watch:
                pages[0].wait_for_timeout(seconds * 1000)
            shown = [(int(entry), float(at_s)) for entry, at_s in pages[0].evaluate("() => window.npShown")]
            yield f"server's memory, dashboards: {count}", f"{memory_mb(house):.0f} MB"
        yield f"commit to the screen, dashboards: {count}", spelled(delays(watch.entries, shown), 95)
        yield f"bar to what the account heard, dashboards: {count}", spelled(watch.answers, 99)


@contextmanager
def _house(home: Path, bars: int, bars_a_second: float) -> Iterator[House]:
    make_home(home, bars)
    pace(home, bars_a_second)
    with trader(home), serving(home) as house:
        yield house


def _told(rows: Iterable[Row]) -> list[Row]:
    told = []
    for what, figure in rows:
        print(f"{what:66} {figure}", flush=True)
        told.append((what, figure))
    return told


def main() -> int:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", default="1,5,20", help="how many dashboards are open, one number after the other")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to watch each time")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/performance.md")
    options = parser.parse_args()
    counts = [int(one) for one in options.sessions.split(",")]
    bars = round(BARS_A_SECOND * (options.seconds + 180) * (len(counts) + 4))
    with tempfile.TemporaryDirectory(prefix="novapulse-dashboards-") as folder, opened_chromium() as browser:
        try:
            rows = []
            for paced, bars_a_second in PACES.items():
                with _house(Path(folder) / f"idle {bars_a_second:g}", bars, bars_a_second) as house:
                    rows += _told(idle(browser, house, options.seconds, paced))
            with _house(Path(folder) / "home", bars, BARS_A_SECOND) as house:
                rows = [*_told(measured(browser, house, counts, options.seconds)), *rows]
        except NotDrawnError as wrong:
            print(wrong, file=sys.stderr)
            return 1
    if options.write:
        keep(SECTION, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
