"""What all widgets promise on a page: they fit, they say when they are old, and a text stays a text."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from novapulse.ui.widgets import (
    Candles,
    Equity,
    Hold,
    Ladder,
    Live,
    Meters,
    Orders,
    Positions,
    Press,
    Rows,
    StatusStrip,
    Tiles,
)
from tests.ui.widgets import samples
from tests.ui.widgets.page import ORIGIN, WidgetPage

MINUS = "\N{MINUS SIGN}"
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def candles() -> Candles:
    bars = samples.bars()
    made = Candles(label="BTC-USD", stale_s=0.0)
    made.show_bars(bars, {"keltner": np.linspace(-20, 20, 400), "macd": np.full(400, np.nan)})
    made.show_fills([{"ts_ns": int(bars.ts_close_ns[380]), "side": "BUY", "qty": "0.1873", "price": "64250.1"}])
    made.show_lines([{"price": "64010.5", "kind": "stop", "text": "stop"}])
    made.show_regimes([{"name": "trend up", "from_ns": int(bars.ts_close_ns[0]), "to_ns": None}])
    return made


def orders() -> Orders:
    made = Orders(label="Working orders")
    made.show(samples.ORDERS)
    return made


def with_state(widget: Live, state: dict[str, Any]) -> Live:
    widget.show_state(state)
    return widget


ALL: dict[str, Callable[[], Live]] = {
    "strip": lambda: with_state(StatusStrip(), samples.STRIP),
    "tiles": lambda: with_state(Tiles(), samples.TILES),
    "candles": candles,
    "equity": lambda: Equity(samples.equity(), label="Equity", quote="USD"),
    "ladder": lambda: with_state(Ladder(label="Order book"), samples.BOOK),
    "positions": lambda: with_state(Positions(label="Positions"), samples.POSITIONS),
    "orders": orders,
    "meters": lambda: with_state(Meters(label="Limits"), samples.METERS),
    "press": lambda: with_state(Press(lambda: None), {"text": "Stop explaining"}),
    "hold": lambda: Hold(label="Hold to halt", url="/halt"),
}


def add_all(page: WidgetPage, **traits: Any) -> None:
    for name, make in ALL.items():
        widget = make()
        page.add(name, widget, **traits)
        if widget.state:
            page.tell(name, widget.state)


def test_every_widget_fits_a_desk_and_a_phone_in_light_and_in_dark(page: WidgetPage):
    add_all(page, stale_s=0)
    for size, (width, height) in SIZES.items():
        for mode in ("light", "dark"):
            page.look(width, height, mode)
            page.page.wait_for_timeout(50)
            assert page.overflow() <= 0, (size, mode)
            clipped = page.page.evaluate(
                "() => Object.keys(models).filter((name) => {"
                " const box = document.getElementById(name).shadowRoot.querySelector('.npw').getBoundingClientRect();"
                " return box.height < 20 || box.left < 0 || box.right > innerWidth; })"
            )
            assert clipped == [], (size, mode)


def test_a_press_is_there_while_it_stands_for_something_and_is_heard(page: WidgetPage):
    page.add("press", Press(lambda: None))
    button = page.page.locator("#press button")
    assert not button.is_visible()
    page.tell("press", {"text": "Stop proving"})
    button.click()
    assert page.page.evaluate("() => models.press.said.filter((one) => one.type === 'pressed').length") == 1
    page.tell("press", {"text": ""})
    assert not button.is_visible()


def test_figures_with_entries_of_their_own_lead_to_them_and_keep_the_focus(page: WidgetPage):
    row = {"key": "a", "exchange": "kraken", "equity": "10.5", "href": "/apps/journal/?figure=account"}
    state = {
        "columns": [{"key": "exchange", "label": "exchange"}, {"key": "equity", "label": "equity", "kind": "figure"}],
        "rows": [{**row, "hrefs": {"equity": "/apps/journal/?figure=equity"}}],
    }
    page.add("rows", Rows(label="Accounts"))
    page.tell("rows", state)
    link = page.page.locator("#rows td:nth-child(2) a")
    assert (link.inner_text(), link.get_attribute("href")) == ("10.5", f"{ORIGIN}/apps/journal/?figure=equity")
    link.focus()
    page.tell("rows", {**state, "rows": [{**state["rows"][0], "equity": "11.5"}]})
    assert link.inner_text() == "11.5"
    assert page.page.evaluate("() => document.getElementById('rows').shadowRoot.activeElement?.textContent") == "11.5"
    page.tell("rows", {**state, "rows": [row]})
    assert link.count() == 0
    curve = Equity(samples.equity(), label="Equity", quote="USD", equity_href="/e", drawdown_href="javascript:x")
    page.add("equity", curve)
    assert page.page.locator("#equity .facts a").evaluate_all("all => all.map((one) => one.pathname)") == ["/e", "/e"]


def test_a_figure_stands_with_what_it_is_counted_in(page: WidgetPage):
    """A bug: quantities were of no asset, worths in no currency."""
    column = {"key": "qty", "label": "qty", "kind": "figure", "unit": "base"}
    rows = [
        {"key": str(at), "qty": qty, "base": base}
        for at, (qty, base) in enumerate([("9", "BTC"), ("10", "ETH"), ("", "ETH"), (None, "ETH"), ("1", "")])
    ]
    page.add("rows", Rows(label="held"))
    page.tell("rows", {"columns": [column], "rows": rows})
    cells = page.page.locator("#rows td")
    assert cells.all_inner_texts() == ["9\xa0BTC", "10\xa0ETH", "—", "unknown", "1"]
    page.page.locator("#rows th button").click()
    page.page.locator("#rows th button").click()
    assert cells.first.inner_text() == "1", "sorted as numbers, not as words"
    page.add("positions", Positions(label="Positions"))
    held = {**samples.POSITIONS["positions"][0], "base": "BTC", "quote": "USD"}
    page.tell("positions", {"positions": [held]})
    told = page.page.locator("#positions .held span")
    assert told.first.inner_text() == "0.1873\xa0BTC at 64,250.1\xa0USD"
    page.page.locator("#all").evaluate("(all) => { all.style.width = '936px'; }")
    assert all(box["height"] < 22 for box in (one.bounding_box() for one in told.all())), "each on one line of a desk"
    page.page.locator("#all").evaluate("(all) => { all.style.width = ''; }")
    page.add("ladder", Ladder())
    page.tell("ladder", {"base": "BTC", "quote": "USD", "asks": [["101", "1"]], "bids": [["99", "9"]]})
    assert page.page.locator("#ladder th[scope=col]").all_inner_texts() == [
        "side",
        "price, USD",
        "qty, BTC",
        "sum, BTC",
    ]


def test_nothing_is_on_the_page_but_words(page: WidgetPage):
    """HS-014: names of instruments, reasons of venues and every other text may be hostile."""
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {key: poisoned(one, key) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [poisoned(one) for one in value]
        if key in {"key", "kind", "level", "key_field"} or not isinstance(value, str) or value[:1] in "-0123456789":
            return value
        return f"javascript:{hostile}" if key == "href" else f"{hostile}{value}"

    for name, make in ALL.items():
        widget = make()
        page.add(name, widget, label=hostile, **({"lanes": [hostile, "macd"]} if name == "candles" else {}))
        if widget.state:
            page.tell(name, poisoned(dict(widget.state)))
    found = page.page.evaluate(
        "() => Object.keys(models).map((name) => document.getElementById(name).shadowRoot)"
        ".flatMap((root) => [...root.querySelectorAll('script, img, iframe, object, a:not(#tv-attr-logo)')])"
        ".map((element) => element.outerHTML)"
    )
    assert found == []
    assert page.page.evaluate("() => window.hacked") is None
    assert "<script>" in page.page.locator("#orders td").first.inner_text()


@pytest.mark.parametrize(
    "href", ["https://elsewhere.test/x", "//elsewhere.test", "javascript:alert(1)", "data:text/html,x"]
)
def test_a_link_leads_to_this_site_alone(page: WidgetPage, href: str):
    page.add("tiles", Tiles())
    page.tell(
        "tiles", {"tiles": [{"label": "a", "value": "1", "href": href}, {"label": "b", "value": "1", "href": "/b"}]}
    )
    links = page.page.locator("#tiles a")
    assert [links.nth(n).get_attribute("href") for n in range(links.count())] == [f"{ORIGIN}/b"]


@pytest.mark.parametrize("name", ALL)
def test_a_widget_asks_when_it_is_drawn_and_forgets_when_it_is_closed(page: WidgetPage, name: str):
    page.add(name, ALL[name]())
    assert page.page.evaluate("(name) => models[name].said", name) == [{"type": "ready"}]
    page.page.evaluate("(name) => { models[name].close(); models[name].close = null; }", name)
    assert page.page.evaluate("(name) => models[name].listeners()", name) == 0
    assert page.page.evaluate("(name) => document.getElementById(name).shadowRoot.querySelector('.npw')", name) is None


def test_silence_greys_and_is_said_in_words_until_somebody_speaks(page: WidgetPage):
    page.add("tiles", Tiles(), stale_s=0.6)
    page.tell("tiles", samples.TILES)
    silent = page.page.locator("#tiles .npw.silent")
    assert silent.count() == 0
    silent.wait_for(state="attached")
    assert "these figures are old" in page.page.locator("#tiles .silence").inner_text()
    assert "these figures are old" in page.page.locator("#tiles [aria-live=polite]").inner_text()
    page.send("tiles", {"type": "word", "seq": 1})
    assert silent.count() == 0


def test_an_old_state_is_old_however_fresh_its_message(page: WidgetPage):
    page.add("tiles", Tiles(), stale_s=5)
    page.tell("tiles", samples.TILES, age_ms=9_000)
    assert page.page.locator("#tiles .silence").inner_text().startswith("no word: these")
    page.add("meters", Meters(), stale_s=0)
    page.tell("meters", samples.METERS, age_ms=9_000)
    assert page.page.locator("#meters .npw.silent").count() == 0


def test_an_overtaken_state_is_not_shown(page: WidgetPage):
    page.add("tiles", Tiles())
    page.tell("tiles", {"tiles": [{"label": "a", "value": "2"}]}, seq=2)
    page.tell("tiles", {"tiles": [{"label": "a", "value": "1"}]}, seq=1)
    assert page.page.locator("#tiles .value").inner_text() == "2"


@pytest.mark.parametrize(
    ("tile", "shown"),
    [
        ({"value": "12345678901234567890.125", "digits": 2}, "12,345,678,901,234,567,890.13"),
        ({"value": "-0.004", "digits": 2, "signed": True}, "0.00"),
        ({"value": "1E-7"}, "0.0000001"),
        ({"value": "999.995", "digits": 2, "signed": True}, "+1,000.00"),
        ({"value": "-1234.5", "digits": 1, "signed": True}, f"{MINUS}1,234.5"),
        ({"value": 0}, "0"),
        ({"value": None}, "not known"),
        ({"value": "stopped"}, "stopped"),
    ],
)
def test_amounts_are_rounded_as_texts_and_unknown_is_never_zero(page: WidgetPage, tile: dict[str, Any], shown: str):
    page.add("tiles", Tiles())
    page.tell("tiles", {"tiles": [{"label": "a", **tile}]})
    assert page.page.locator("#tiles .value").inner_text() == shown


def test_no_line_parts_a_figure_from_its_unit(page: WidgetPage):
    """A bug: on a narrow tile a line began with the sign of percent."""
    page.add("tiles", Tiles(label="figures"))
    note = " ".join(f"{number}1.5 %, {number} R or {number}0 USD" for number in range(1, 9))
    page.tell("tiles", {"tiles": [{"label": "a", "value": 1, "note": note}]})
    told = page.page.locator("#tiles .note").evaluate("note => note.textContent")
    assert told == re.sub(r" (?=%|R|USD)", "\xa0", note)


def test_a_limit_that_is_not_known_is_not_shown_as_unused(page: WidgetPage):
    page.add("meters", Meters())
    page.tell("meters", {"meters": [{"name": "loss", "used": None, "limit": "2", "unit": "%", "level": "ok"}]})
    assert page.page.locator("#meters .amount").inner_text() == "not known / 2 %"
    assert "unknown" in (page.page.locator("#meters [role=meter]").get_attribute("aria-valuetext") or "")


def test_a_position_without_a_stop_says_so_and_why(page: WidgetPage):
    page.add("positions", Positions())
    page.tell("positions", samples.POSITIONS)
    levels = page.page.locator("#positions .levels")
    assert levels.nth(0).inner_text().splitlines()[0].startswith("stop 63,010.0, 3.24 % away")
    assert "no stop: the venue refused the stop" in levels.nth(1).inner_text()
    assert page.page.locator("#positions .pnl").all_inner_texts() == ["+162.93", f"{MINUS}75.20", "not known"]


def test_a_long_label_of_a_narrow_table_breaks_and_its_figure_stands_whole(page: WidgetPage):
    """A bug: "silence of the feed, heartbe" stood there, and no figure."""
    page.look(390, 844, "light")
    page.add("rows", Rows(label="Measured"))
    columns = [
        {"key": "account", "label": "account"},
        {"key": "silence", "label": "silence of the feed, heartbeats", "kind": "figure", "digits": 1},
        {"key": "skew", "label": "skew", "kind": "figure", "digits": 1},
    ]
    page.tell("rows", {"columns": columns, "rows": [{"key": "a", "account": "main", "silence": 12345.5, "skew": 0.5}]})
    cell = page.page.locator("#rows td[data-label^=silence]")
    assert cell.inner_text() == "12,345.5"
    fits = """(cell) => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      const [figure, own] = [text.getBoundingClientRect(), cell.getBoundingClientRect()];
      return figure.right <= own.right + 0.5 && figure.height < 30 && cell.scrollWidth <= cell.clientWidth;
    }"""
    assert cell.evaluate(fits)


def test_the_strip_names_an_account_by_two_fields_and_its_reasons(page: WidgetPage):
    page.add("strip", StatusStrip())
    page.tell("strip", samples.STRIP)
    chips = page.page.locator("#strip ul.all > li").all_inner_texts()
    assert "recorded bars" in chips[0]
    assert "kraken · main" in chips[2]
    assert "not healthy" in chips[2]
    assert "health not known" in chips[3]
    assert page.page.locator("#strip .reasons").inner_text() == "kraken · main: the venue has not answered for 42 s"


def test_the_ladder_tells_spread_and_weight_and_a_crossed_book(page: WidgetPage):
    page.add("ladder", Ladder())
    page.tell("ladder", {"asks": [["101", "1"], ["102", "2"]], "bids": [["99", "9"]], "imbalance": -1.0})
    assert page.page.locator("#ladder .middle").inner_text().split("\n") == ["100.0", "spread 2, 200.00 bps"]
    assert page.page.locator("#ladder .lean").inner_text().split() == ["▲", "bid", "75", "%", "25", "%", "ask", "▼"]
    assert page.page.locator("#ladder .ask .price").all_inner_texts() == ["102", "101"]
    page.tell("ladder", {"asks": [["99", "1"]], "bids": [["99", "9"]]}, seq=2)
    assert "crossed" in page.page.locator("#ladder .middle").inner_text()
    page.tell("ladder", {"asks": [], "bids": []}, seq=3)
    assert page.page.locator("#ladder .none").is_visible()


def test_the_ladder_says_of_every_level_whose_it_is(page: WidgetPage):
    """A bug: bids and asks were told apart by place and colour alone."""
    page.add("ladder", Ladder())
    page.tell("ladder", {"symbol": "BTC-USD", "asks": [["101", "1"], ["102", "2"]], "bids": [["99", "9"]]})
    assert page.page.locator("#ladder").aria_snapshot() == (
        """\
- region "ladder":
  - text: BTC-USD
  - table "Order book of BTC-USD, asks down to the best one, then bids from the best one down":
    - caption: Order book of BTC-USD, asks down to the best one, then bids from the best one down
    - rowgroup:
      - row "side price qty sum":
        - columnheader "side"
        - columnheader "price"
        - columnheader "qty"
        - columnheader "sum"
    - rowgroup:
      - row "ask 102 2 3":
        - rowheader "ask"
        - cell "102"
        - cell "2"
        - cell "3"
      - row "ask 101 1 1":
        - rowheader "ask"
        - cell "101"
        - cell "1"
        - cell "1"
    - rowgroup:
      - row "100.0 spread 2, 200.00 bps":
        - cell "100.0 spread 2, 200.00 bps"
    - rowgroup:
      - row "bid 99 9 9":
        - rowheader "bid"
        - cell "99"
        - cell "9"
        - cell "9"
  - text: ▲ bid 75 % 25 % ask ▼"""
    )
    assert page.page.locator("#ladder .side").all_inner_texts() == ["ask", "ask", "bid"]


CLASSES = "(cells) => cells.map((cell) => cell.className)"


class TestRows:
    COLUMNS = ({"key": "name", "label": "name"}, {"key": "qty", "label": "qty", "kind": "figure"})

    def add(self, page: WidgetPage, rows: list[dict[str, Any]], **traits: Any) -> None:
        page.add("rows", Rows(label="things", **traits))
        page.tell("rows", {"columns": self.COLUMNS, "rows": rows})

    def test_two_hundred_are_drawn_and_a_filter_finds_the_rest(self, page: WidgetPage):
        self.add(page, [{"key": str(n), "name": f"thing {n}", "qty": str(n)} for n in range(1000)])
        rows = page.page.get_by_role("table", name="things").locator("tbody tr")
        assert rows.count() == 200
        assert page.page.locator("#rows .more").inner_text().startswith("The first 200 of 1000 rows")
        page.page.locator("#rows input").fill("thing 97")
        assert rows.count() == 20, "97, 197, ... 997 and 970 to 979"
        page.page.locator("#rows input").fill("nothing such")
        assert page.page.locator("#rows .none").inner_text() == "No row holds these words."

    def test_what_is_rounded_to_nothing_has_no_sign_and_no_colour(self, page: WidgetPage):
        """A bug: 0.0 stood in blue and in orange, and the colour alone said which way it leaned."""
        page.add("rows", Rows())
        column = {"key": "vote", "label": "vote", "kind": "signed", "digits": 1}
        rows = [{"key": str(vote), "vote": vote} for vote in (0.04, -0.04, 0.05)]
        page.tell("rows", {"columns": [column], "rows": rows})
        cells = page.page.locator("#rows tbody td")
        assert cells.all_inner_texts() == ["0.0", "0.0", "+0.1"]
        assert [("gain" in name or "loss" in name) for name in cells.evaluate_all(CLASSES)] == [False, False, True]

    def test_a_long_label_on_a_phone_breaks_before_a_word_of_its_value_does(self, page: WidgetPage):
        """A bug: "stands" was broken into "stan" and "ds" beside "stream of the venue"."""
        page.look(330, 700, "light")
        page.add("rows", Rows())
        columns = [
            {"key": "name", "label": "name"},
            {"key": "stream", "label": "stream of the venue"},
            {"key": "market", "label": "market"},
        ]
        page.tell(
            "rows", {"columns": columns, "rows": [{"key": "a", "name": "a", "stream": "stands", "market": "24/7"}]}
        )
        cell = page.page.locator("#rows tbody td").nth(1)
        whole = """(cell) => { const range = document.createRange(); range.selectNodeContents(cell);
          return range.getClientRects().length; }"""
        assert cell.evaluate(whole) == 1

    def test_sorting_goes_by_number_and_leaves_the_unknown_last(self, page: WidgetPage):
        self.add(
            page, [{"key": k, "name": k, "qty": q} for k, q in (("a", "10"), ("b", None), ("c", "9"), ("d", "100"))]
        )
        names = page.page.locator("#rows tbody td:first-child")
        head = page.page.locator("#rows th button").nth(1)
        head.click()
        assert names.all_inner_texts() == ["d", "a", "c", "b"]
        head.click()
        assert names.all_inner_texts() == ["c", "a", "d", "b"]
        head.click()
        assert names.all_inner_texts() == ["a", "b", "c", "d"]

    def test_a_row_that_leads_on_keeps_the_focus_when_new_figures_come(self, page: WidgetPage):
        self.add(page, [{"key": key, "name": key, "qty": "1", "href": f"/{key}"} for key in ("x", "y")])
        page.page.get_by_role("link", name="y").focus()
        rows = [{"key": "y", "name": "y", "qty": "3", "href": "/y"}]
        page.tell("rows", {"columns": self.COLUMNS, "rows": rows}, seq=2)
        assert page.page.locator("#rows tbody tr").inner_text().split() == ["y", "3"]
        focused = "() => document.getElementById('rows').shadowRoot.activeElement?.textContent"
        assert page.page.evaluate(focused) == "y"
