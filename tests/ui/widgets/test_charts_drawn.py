"""The charts on a page: rows arrive, are missed and asked for again, and a click names its bar."""

import re
from dataclasses import replace

import numpy as np
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.ui.widgets import Candles, Equity, Trips
from tests.ui.widgets import samples
from tests.ui.widgets.page import ORIGIN, WidgetPage

MINUS = "\N{MINUS SIGN}"
LAST_S = samples.NOW_NS / 1e9


def legend(page: WidgetPage) -> str:
    return " ".join(page.page.locator("#candles .legend").inner_text().split())


def row(minutes: int, close: float) -> list[float]:
    return [LAST_S + 60 * minutes, close, close + 1, close - 1, close, 2.0]


@pytest.fixture
def candles(page: WidgetPage) -> WidgetPage:
    page.add("candles", Candles(samples.bars(), label="BTC-USD"))
    page.send("candles", {"type": "rows", "count": 0, "rows": []})
    return page


def test_a_bar_that_follows_is_drawn_and_one_of_the_same_time_replaces_it(candles: WidgetPage):
    candles.send("candles", {"type": "row", "count": 1, "row": row(1, 70_000.5)})
    assert "12:11 UTC" in legend(candles)
    assert "C 70,000.5" in legend(candles)
    candles.send("candles", {"type": "row", "count": 2, "row": row(1, 70_001.5)})
    assert "C 70,001.5" in legend(candles)


def test_a_missed_bar_is_asked_for_and_put_where_it_belongs(candles: WidgetPage):
    candles.send("candles", {"type": "row", "count": 1, "row": row(1, 70_001.0)})
    candles.send("candles", {"type": "row", "count": 3, "row": row(3, 70_003.0)})
    assert candles.page.evaluate("() => models.candles.said.length") == 2, "asks when drawn, and for what it missed"
    rows = [row(n, 70_000.0 + n) for n in (1, 2, 3)]
    candles.send("candles", {"type": "rows", "count": 3, "rows": rows})
    candles.page.locator("#candles .box").focus()
    candles.page.keyboard.press("ArrowLeft")
    candles.page.keyboard.press("ArrowLeft")
    assert "C 70,002.0" in legend(candles)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_moment_stands_in_the_middle_of_its_chart_however_narrow(candles: WidgetPage, width: int):
    """A bug: on a phone the chart of a decision showed two hours that came after it."""
    candles.page.set_viewport_size({"width": width, "height": 844})
    candles.clear()
    made = Candles(samples.bars(), label="BTC/USD")
    made.show_moment(samples.NOW_NS - 200 * 60 * 1_000_000_000, "decided here")
    candles.add("candles", made)
    candles.send("candles", {"type": "rows", "count": 0, "rows": []})
    candles.tell("candles", made.state)
    assert "08:50 UTC" in legend(candles), "what is read without a pointer is the bar of the moment"
    assert legend(candles).endswith("decided here")
    box = candles.page.locator("#candles .box").bounding_box()
    scale_px = 60
    candles.page.mouse.move(box["x"] + (box["width"] - scale_px) / 2, box["y"] + 120)
    candles.page.wait_for_timeout(200)
    hour, minute = map(int, legend(candles).split()[1].split(":"))
    assert abs(hour * 60 + minute - (8 * 60 + 50)) <= 4
    candles.page.mouse.move(0, 0)
    candles.page.set_viewport_size({"width": 1440, "height": 900})


def seen_at(page: WidgetPage, part: float) -> int:
    """The minute of the bar at a part of the chart's width."""
    box = page.page.locator("#candles .box").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * part, box["y"] + 120)
    page.page.wait_for_timeout(200)
    hour, minute = map(int, legend(page).split()[1].split(":"))
    page.page.mouse.move(0, 0)
    return hour * 60 + minute


def later(minutes: int) -> Candles:
    """The same chart some bars later, begun anew: the oldest have left it."""
    bars = samples.bars()
    more = np.arange(1, minutes + 1)
    last = np.full(minutes, bars.close[-1])
    closes = bars.ts_close_ns[-1] + more * MINUTE_NS
    columns = ((bars.open, last), (bars.high, last + 1), (bars.low, last - 1), (bars.close, last), (bars.volume, last))
    grown = [np.append(old, new)[minutes:] for old, new in columns]
    stamps = np.append(bars.ts_close_ns, closes)[minutes:]
    flags = np.zeros(len(stamps), np.bool_)
    return Candles(BarColumns(stamps, *grown, np.arange(len(stamps)), flags, MINUTE_NS), label="BTC-USD")


def zoom(page: WidgetPage, part: float) -> None:
    box = page.page.locator("#candles .box").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * part, box["y"] + 120)
    page.page.mouse.wheel(0, -400)
    page.page.wait_for_timeout(200)


def test_who_has_scrolled_keeps_what_is_seen_while_bars_begin_anew(candles: WidgetPage):
    """A bug: above some bars a second every reading took the chart back to where it began."""
    box = candles.page.locator("#candles .box").bounding_box()
    zoom(candles, 0.5)
    candles.page.mouse.down()
    candles.page.mouse.move(box["x"] + box["width"] * 0.5 + 300, box["y"] + 120, steps=5)
    candles.page.mouse.up()
    candles.page.wait_for_timeout(300)
    before = [seen_at(candles, part) for part in (0.1, 0.8)]
    assert before[1] < 12 * 60
    candles.change("candles", "rows", later(10).rows)
    candles.send("candles", {"type": "rows", "count": 0, "rows": []})
    assert [seen_at(candles, part) for part in (0.1, 0.8)] == before


def test_who_is_at_the_newest_bar_follows_it_as_near_as_before(candles: WidgetPage):
    zoom(candles, 0.9)
    before = [seen_at(candles, part) for part in (0.1, 0.8)]
    candles.change("candles", "rows", later(10).rows)
    assert [seen_at(candles, part) for part in (0.1, 0.8)] == [minute + 10 for minute in before]
    lost = [[*row(10 + n, 70_000.0)] for n in range(1, 8)]
    candles.send("candles", {"type": "rows", "count": 7, "rows": lost})
    assert [seen_at(candles, part) for part in (0.1, 0.8)] == [minute + 17 for minute in before]


def test_the_bar_that_keys_point_at_stays_the_same_one(candles: WidgetPage):
    candles.page.locator("#candles .box").focus()
    candles.page.keyboard.press("ArrowLeft")
    candles.page.keyboard.press("ArrowLeft")
    assert "12:09 UTC" in legend(candles)
    candles.change("candles", "rows", later(10).rows)
    candles.page.wait_for_timeout(200)
    assert "12:09 UTC" in legend(candles)


def test_bars_of_another_time_are_seen_from_their_end(candles: WidgetPage):
    zoom(candles, 0.9)
    other = samples.bars()
    moved = replace(other, ts_close_ns=other.ts_close_ns + 400 * DAY_NS)
    candles.change("candles", "rows", Candles(moved).rows)
    assert seen_at(candles, 0.1) != seen_at(candles, 0.8)


def test_broken_rows_are_passed_over(candles: WidgetPage):
    before = legend(candles)
    for broken in (None, [], [1.0], ["x"] * 6, {"time": 1}):
        candles.send("candles", {"type": "row", "count": 1, "row": broken})
    assert legend(candles) == before


def test_a_click_and_a_key_name_the_bar(candles: WidgetPage):
    box = candles.page.locator("#candles .box").bounding_box()
    candles.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 120)
    clicked = candles.page.evaluate("() => models.candles.written.clicked.time")
    assert clicked < LAST_S
    assert (LAST_S - clicked) % 60 == 0
    candles.page.mouse.move(0, 0)
    candles.page.locator("#candles .box").focus()
    candles.page.keyboard.press("ArrowLeft")
    candles.page.keyboard.press("Enter")
    assert candles.page.evaluate("() => models.candles.written.clicked.time") == LAST_S
    assert "12:10 UTC" in candles.page.locator("#candles .body .said[aria-live]").inner_text()


@pytest.fixture
def told(page: WidgetPage) -> WidgetPage:
    """A chart with all that can happen on it: votes, a regime that ends, a fill, and levels."""
    bars = samples.bars()
    made = Candles(label="BTC-USD")
    count = len(bars.ts_close_ns)
    consensus, keltner = np.full(count, 4.25), np.full(count, np.nan)
    consensus[-1], keltner[-2] = -12.0, 0.0
    made.show_bars(bars, {"consensus": consensus, "keltner": keltner})
    closes = [int(stamp) for stamp in bars.ts_close_ns]
    sold = {"side": "SELL", "qty": "0.10", "price": "64000.5", "base": "BTC", "quote": "USD"}
    made.show_fills([{"ts_ns": closes[-1] - 5_000_000_000, **sold}])
    made.show_regimes(
        [
            {"name": "range-low", "from_ns": closes[0], "to_ns": closes[-2]},
            {"name": "trend-high", "from_ns": closes[-1], "to_ns": None},
        ]
    )
    made.show_lines(
        [
            {"kind": "entry", "price": "64250.1", "text": "entry"},
            {"kind": "absent", "price": "63010", "text": "stop NOT at the venue"},
            {"kind": "target", "price": "67400"},
        ]
    )
    page.add("candles", made)
    page.tell("candles", made.state)
    page.page.locator("#candles .box").focus()
    return page


def heard(page: WidgetPage, key: str) -> str:
    """What the live region says after a key."""
    page.page.keyboard.press(key)
    return str(page.page.locator("#candles .body .said[aria-live=polite]").inner_text())


def test_fills_regimes_and_votes_are_read_with_their_bar(told: WidgetPage):
    assert legend(told).endswith("trend-high ▼ sold 0.10 BTC at 64,000.5 USD")
    last = heard(told, "ArrowLeft")
    assert "12:10 UTC, O " in last
    assert last.endswith(f"trend-high, ▼ sold 0.10\xa0BTC at 64,000.5\xa0USD, consensus {MINUS}12.0, keltner no vote")
    before = heard(told, "ArrowLeft")
    assert "12:09 UTC" in before
    assert before.endswith("range-low, consensus +4.3, keltner 0.0")
    assert legend(told).endswith("range-low")


def test_the_levels_are_said_with_their_prices_when_they_are_asked_for(told: WidgetPage):
    """A bug: entry, stop and target were drawn, and nothing spoke of them."""
    assert "S says the levels" in (told.page.locator("#candles .box").get_attribute("aria-label") or "")
    assert heard(told, "s") == "entry at 64,250.1, stop NOT at the venue at 63,010.0, target at 67,400.0"
    assert "consensus" in heard(told, "ArrowLeft")
    told.tell("candles", {"lines": []}, seq=2)
    assert heard(told, "s") == "No level is drawn."


def test_a_bar_of_another_year_says_which(page: WidgetPage):
    """A bug: fills of three years ago stood at "03-17 07:35"."""
    bars = samples.bars()
    page.add("candles", Candles(replace(bars, ts_close_ns=bars.ts_close_ns - 1096 * DAY_NS)))
    assert legend(page).startswith("2023-03-23 12:10 UTC")


def test_a_level_that_the_prices_shown_do_not_reach_is_told_at_their_edge(page: WidgetPage):
    """A bug: a target, or a stop, beyond the range of the bars was nowhere."""
    bars = samples.bars()
    shown = slice(-160, None)
    low, high = float(bars.low[shown].min()), float(bars.high[shown].max())
    page.add("candles", Candles(bars))
    lines = [
        {"kind": "stop", "text": "stop", "price": str(low - 3 * (high - low))},
        {"kind": "target", "price": str(high + 0.4 * (high - low))},
        {"kind": "target", "text": "far target", "price": str(high + 2 * (high - low))},
    ]
    page.tell("candles", {"lines": lines})
    under, over = page.page.locator("#candles .beyond.under"), page.page.locator("#candles .beyond.over")
    under.get_by_text("stop").wait_for()
    assert under.inner_text() == f"↓ stop {low - 3 * (high - low):,.1f}"
    assert over.inner_text() == f"↑ far target {high + 2 * (high - low):,.1f}", "one that is near is on the scale"
    page.tell("candles", {"lines": []}, seq=2)
    under.get_by_text("stop").wait_for(state="detached")
    assert over.inner_text() == ""


ON_LOSS = """() => {
  const number = (color) => { const at = parseInt(color.slice(1), 16); return [at >> 16, at >> 8 & 255, at & 255]; };
  const style = getComputedStyle(document.querySelector("#candles").shadowRoot.querySelector(".npw"));
  const loss = number(style.getPropertyValue("--loss").trim());
  const dark = number(style.getPropertyValue("--on-accent").trim());
  const count = { white: 0, words: 0 };
  for (const one of document.querySelector("#candles").shadowRoot.querySelectorAll("canvas")) {
    const [wide, pixels] = [one.width, one.getContext("2d").getImageData(0, 0, one.width, one.height).data];
    const is = (at, color) => color.every((part, to) => pixels[4 * at + to] === part);
    for (let at = 4; at < pixels.length / 4 - 4; at++) {
      // Between two columns of the label's ground, a few px apart: what stands there are its words.
      if (!is(at - 4, loss) && !is(at - 3, loss) || !is(at + 3, loss) && !is(at + 4, loss)) continue;
      if (is(at, [255, 255, 255])) count.white++;
      if (is(at, dark)) count.words++;
    }
  }
  return count;
}"""


def test_the_words_of_a_stop_stand_out_from_its_label_where_light_stands_on_dark(page: WidgetPage):
    """A bug: its price stood there in white on orange, with a contrast of 2.3."""
    page.look(1440, 900, "dark")
    made = Candles(samples.bars(), label="BTC/USD", stale_s=0.0)
    made.show_lines([{"kind": "stop", "price": float(samples.bars().close[-1]), "text": "stop"}])
    page.add("candles", made)
    page.tell("candles", made.state)
    page.page.wait_for_timeout(400)
    found = page.page.evaluate(ON_LOSS)
    assert found["words"] > 0
    assert found["white"] == 0


def test_lanes_are_folded_into_the_first_until_somebody_asks(page: WidgetPage):
    """A bug: nine lanes of votes pushed the price under the fold."""
    bars = samples.bars()
    made = Candles(folded=True)
    made.show_bars(bars, {name: np.full(len(bars), 20.0) for name in ("consensus", "trend", "keltner")})
    page.add("candles", made)
    box, fold = page.page.locator("#candles .box"), page.page.get_by_role("button", name="more lanes")
    folded = box.bounding_box()["height"]
    assert (fold.get_attribute("aria-label"), fold.get_attribute("aria-expanded")) == ("show 2 more lanes", "false")
    fold.press("Enter")
    assert (fold.get_attribute("aria-label"), fold.get_attribute("aria-expanded")) == ("hide 2 more lanes", "true")
    assert box.bounding_box()["height"] == folded + 40
    fold.press("Enter")
    assert box.bounding_box()["height"] == folded
    box.focus()
    assert heard(page, "End").endswith("consensus +20.0, trend +20.0, keltner +20.0"), "all of them are said"


LANES_DRAWN = """() => {
  const within = (root) => [...root.querySelectorAll("*")].flatMap(
    (one) => [one, ...(one.shadowRoot ? within(one.shadowRoot) : [])]);
  const canvas = within(document).find((one) => one.localName === "canvas" && one.clientHeight > 100);
  const [wide, high] = [canvas.width, canvas.height];
  const data = canvas.getContext("2d").getImageData(0, 0, wide, high).data;
  // Blue as strong as what is gained, and nothing that lies over it.
  const isGain = (x, y) => { const at = 4 * (y * wide + x);
    return data[at] < 60 && data[at + 2] > 200 && data[at + 3] > 250; };
  const runs = (x) => { let [found, before] = [0, false];
    for (let y = 0; y < high; y++) { const now = isGain(x, y); found += now && !before; before = now; }
    return found; };
  return { high: canvas.clientHeight, columns: Array.from({ length: 120 }, (_, x) => runs(x + 1)) };
}"""


@pytest.mark.parametrize("width", [390, 1440])
def test_names_of_lanes_lie_over_no_vote_and_lanes_are_as_tall_as_they_need(page: WidgetPage, width: int):
    """A bug: the votes on the first bars lay under the names, and a phone left as much room empty under the lanes."""
    page.page.set_viewport_size({"width": width, "height": 844})
    bars = samples.bars()
    strategies = [f"A strategy of a long name {number}" for number in range(9)]
    made = Candles(label="BTC/USD")
    made.show_bars(bars, {name: np.full(len(bars), 20.0) for name in strategies})
    page.add("candles", made)
    page.send("candles", {"type": "rows", "count": 0, "rows": []})
    page.page.wait_for_timeout(400)
    drawn = page.page.evaluate(LANES_DRAWN)
    voted = [runs for runs in drawn["columns"] if runs >= len(strategies)]
    assert len(voted) > 60, drawn["columns"]
    assert drawn["high"] == pytest.approx(len(strategies) * 20 + 10, abs=2)
    page.page.set_viewport_size({"width": 1440, "height": 900})


def test_what_is_said_of_a_chosen_bar_is_heard_once_and_leads_on(told: WidgetPage):
    answers = told.page.locator("#candles .answers")
    assert answers.get_attribute("aria-live") == "polite"
    assert answers.bounding_box()["height"] == 0
    said = [{"text": "12:10 UTC: enter buy", "href": "/apps/decisions/?decision=7"}, {"text": "<b>text</b>"}]
    told.tell("candles", {"answers": said}, seq=2)
    assert answers.get_by_role("link", name="enter buy").get_attribute("href") == f"{ORIGIN}/apps/decisions/?decision=7"
    assert answers.locator("p").nth(1).inner_text() == "<b>text</b>"
    link = answers.get_by_role("link").element_handle()
    told.tell("candles", {"answers": said, "fills": []}, seq=3)
    assert link.evaluate("(one) => one.isConnected"), "what stands there is not said again"


def test_twenty_thousand_bars_are_drawn_and_no_more(page: WidgetPage):
    page.add("candles", Candles(samples.bars(20_000)))
    rows = [row(n, 70_000.5 + n) for n in range(1, 1200)]
    page.send("candles", {"type": "rows", "count": 1199, "rows": rows})
    assert "C 71,199.5" in legend(page)
    page.page.locator("#candles .box").focus()
    times = []
    for key in ("Home", "End"):
        page.page.keyboard.press(key)
        page.page.keyboard.press("Enter")
        times.append(page.page.evaluate("() => models.candles.written.clicked.time"))
    oldest, newest = times
    assert newest == LAST_S + 60 * 1199
    assert 19_000 < (newest - oldest) / 60 + 1 <= 20_000


def test_the_cursor_of_the_keys_stays_where_they_put_it_until_the_mouse_moves(page: WidgetPage):
    """A bug: the chart told of its own crosshair later, when it had scrolled away, and enter chose another bar."""
    page.add("candles", Candles(samples.bars(2_000)))
    box = page.page.locator("#candles .box")
    box.focus()
    chosen = "() => models.candles.written.clicked.time"
    for key, time in (("Home", LAST_S - 60 * 1999), ("End", LAST_S), ("PageUp", LAST_S - 60 * 20)):
        page.page.keyboard.press(key)
        for _ in range(3):
            page.page.evaluate("() => new Promise(requestAnimationFrame)")
        page.page.keyboard.press("Enter")
        assert page.page.evaluate(chosen) == time
    box.hover()
    page.page.keyboard.press("Enter")
    assert page.page.evaluate(chosen) not in (LAST_S, LAST_S - 60 * 20)
    page.page.mouse.move(0, 0)


def trips(*rows: list[float]) -> Trips:
    return Trips(np.array(rows).reshape(-1, len(Trips.COLUMNS)), ("<i>keltner</i>",), ("the stop was hit",))


def trip(number: int, minutes: tuple[int, int], direction: int, r: float) -> list[float]:
    from_s, to_s = (LAST_S + 60 * at for at in minutes)
    return [number, from_s, to_s, 64_000.0, 64_010.0, direction, r, 12.5, 63_900.0, float("nan"), 0, 0]


DRAWN = "of => document.querySelector('#candles').shadowRoot.querySelector('.npw-candles').dataset.drawn === of"


def test_round_trips_are_told_where_they_were_held_and_drawn_anew_without_the_bars(page: WidgetPage):
    made = Candles(samples.bars(), label="BTC/USD", whole=True, stale_s=0.0)
    made.show_trips(trips(trip(1, (-60, -20), 1, 1.25), trip(2, (-10, -5), -1, float("nan"))), "one run", 1, "USD")
    page.add("candles", made)
    page.page.wait_for_function(DRAWN, arg="one run")
    box, held = page.page.locator("#candles .box"), page.page.locator("#candles .held")
    assert held.inner_text() == "no position"
    box.focus()
    for key in ("End", "PageUp", "PageUp"):
        page.page.keyboard.press(key)
    assert held.inner_text() == (
        "▲ long, <i>keltner</i>: +1.25 R (+12.50\xa0USD), "
        "03-23 11:10 at 64,000 to 03-23 11:50 at 64,010, the stop was hit"
    )
    assert held.inner_text() in page.page.locator("#candles .body > .said").text_content()
    page.page.keyboard.press("s")
    assert page.page.locator("#candles .body > .said").text_content() == (
        "entry at 64,000.0, stop at 63,900.0, exit at 64,010.0"
    )
    bars = page.page.evaluate("() => models.candles.said.length")
    made.show_trips(trips(trip(1, (-60, -50), -1, -0.5)), "another run")
    page.change("candles", "trips", made.trips)
    page.page.wait_for_function(DRAWN, arg="another run")
    assert held.inner_text() == "no position"
    page.page.keyboard.press("s")
    assert page.page.locator("#candles .body > .said").text_content() == "No level is drawn."
    assert page.page.evaluate("() => models.candles.said.length") == bars, "it asks for no bars"


def test_a_whole_chart_is_whole_however_narrow_and_a_bar_can_be_chosen_twice(page: WidgetPage):
    for width in (390, 1440):
        page.page.set_viewport_size({"width": width, "height": 844})
        page.clear()
        page.add("candles", Candles(samples.bars(300), whole=True))
        box = page.page.locator("#candles .box")
        place = box.bounding_box()
        assert place is not None
        box.hover(position={"x": 1, "y": 100})
        assert re.search("07:1[12] UTC", legend(page)), "the oldest bar"
        box.click(position={"x": place["width"] - 75, "y": 100})
        first = page.page.evaluate("() => models.candles.written.clicked")
        assert LAST_S - 60 * 15 <= first["time"] <= LAST_S
        box.press("Enter")
        again = page.page.evaluate("() => models.candles.written.clicked")
        assert (again["time"], again["count"]) == (first["time"], first["count"] + 1)


def test_other_votes_are_drawn_over_the_same_bars(page: WidgetPage):
    bars = samples.bars()
    made = Candles(label="BTC/USD")
    made.show_votes(bars, {"forecast": np.full(len(bars), 7.5)}, of="slow")
    page.add("candles", made)
    page.page.wait_for_function(DRAWN, arg="slow")
    rows, lanes = made.rows, made.lanes
    made.show_votes(bars, {"forecast": np.full(len(bars), -3.5)}, of="fast")
    assert made.rows is rows
    assert made.lanes == lanes
    page.change("candles", "votes", made.votes)
    page.page.wait_for_function(DRAWN, arg="fast")
    page.page.locator("#candles .box").press("End")
    assert f"forecast {MINUS}3.5" in page.page.locator("#candles .body > .said").text_content()


def test_equity_tells_its_change_and_its_depth(page: WidgetPage):
    start = samples.NOW_NS
    points = [(start + n * 60_000_000_000, value) for n, value in enumerate(("100", "120", "90", "108"))]
    page.add("equity", Equity(points, quote="USD"))
    facts = " ".join(page.page.locator("#equity .facts").inner_text().split())
    assert "equity 108.00 USD since 2026-03-23, the oldest shown, +8.00 (+8.00 %)" in facts
    assert "under the peak shown 10.00 % deepest shown 25.00 %" in facts
    page.page.locator("#equity canvas").focus()
    for _ in range(2):
        page.page.keyboard.press("ArrowLeft")
    heard = page.page.locator("#equity [aria-live]").first.inner_text()
    assert "; equity 90.00 USD; since 2026-03-23, the oldest shown, -10.00 (-10.00 %); under" in heard.replace(
        MINUS, "-"
    )
    assert "UTC; equity 90.00" in page.page.get_by_role("img", name="equity curve").get_attribute("aria-label")


def test_equity_that_is_not_known_says_so(page: WidgetPage):
    page.add("equity", Equity())
    assert page.page.locator("#equity .none").inner_text() == "No equity is known yet."
