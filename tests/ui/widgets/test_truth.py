"""What looks alike and is not: a stop and one that is not there, old figures and new, being closed and being flat."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from novapulse.ui.widgets import Candles, Equity, Hold, Ladder, Meters, Positions, Rows, StatusStrip, Tiles
from tests.ui.widgets import samples
from tests.ui.widgets.page import ORIGIN, WidgetPage
from tests.ui.widgets.test_hold import Server, outcome, press

FLAT = {"exchange": "kraken", "account_id": "main", "flat": True, "reasons": []}
HELD = {**FLAT, "flat": False, "reasons": ["the ledger holds 0.5 BTC"]}
OBEYED = {
    "accepted": True,
    "done": True,
    "results_url": "/results/7",
    "accounts": [
        {"exchange": "kraken", "account_id": "main", "outcome": "done", "text": "1 positions are being closed"}
    ],
}


@pytest.mark.parametrize(
    ("status", "reason", "said", "is_bare"),
    [
        ("ACCEPTED", "", "stop 63,010.0, 3.24 % away", False),
        ("REPLACE_PENDING", "", "stop 63,010.0, 3.24 % away, being changed", False),
        ("SENDING", "it is on its way", "■ stop 63,010.0 NOT at the venue: it is on its way", True),
        ("INTENT", "it was not sent yet", "■ stop 63,010.0 NOT at the venue: it was not sent yet", True),
        ("UNKNOWN", "nobody knows", "■ stop 63,010.0 NOT known to be at the venue: nobody knows", True),
    ],
)
def test_a_stop_with_a_price_is_in_force_only_where_the_venue_has_it(
    page: WidgetPage, status: str, reason: str, said: str, is_bare: bool
):
    """A bug: the reason was looked at only where there was no price."""
    shown = {**samples.POSITIONS["positions"][0], "stop_status": status, "stop_missing_reason": reason}
    page.add("positions", Positions())
    page.tell("positions", {"positions": [shown]})
    stop = page.page.locator("#positions .levels > span").first
    assert stop.inner_text() == said
    assert (stop.get_attribute("class") == "bare") == is_bare
    assert (page.page.locator("#positions .tick.stop.absent").count() == 1) == is_bare


@pytest.mark.parametrize(
    ("entry", "shown"), [("249.6", "249.60"), ("249.6012345678", "249.6012"), ("0.0987", "0.0987"), (None, "—")]
)
def test_an_average_entry_has_the_digits_of_its_market(page: WidgetPage, entry: str | None, shown: str):
    page.add("positions", Positions())
    prices = {"mark_price": "250.29", "stop_price": "249.84", "target_price": None, "entry_price": entry}
    page.tell("positions", {"positions": [{**samples.POSITIONS["positions"][0], **prices}]})
    assert (
        page.page.locator("#positions .held > span")
        .first.inner_text()
        .endswith(f" at {shown}" if entry is None else f" at {shown}\xa0USD")
    )


def test_a_table_without_rows_says_so_without_the_names_of_columns(page: WidgetPage):
    page.add("rows", Rows(label="things"))
    columns = [{"key": "name", "label": "name"}]
    page.tell("rows", {"columns": columns, "rows": [], "none": "Nothing to worry about."})
    assert not page.page.locator("#rows th").is_visible()
    assert page.page.locator("#rows .none").inner_text() == "Nothing to worry about."
    page.tell("rows", {"columns": columns, "rows": [{"key": "a", "name": "a"}]}, seq=2)
    assert page.page.locator("#rows th").is_visible()


def test_what_is_ours_and_what_is_not_stand_beside_each_other(page: WidgetPage):
    """A bug: of two positions in one instrument one was not drawn."""
    ours = samples.POSITIONS["positions"][0]
    page.add("positions", Positions())
    page.tell("positions", {"positions": [{**ours, "is_ours": True}, {**ours, "is_ours": False, "qty": "7"}]})
    words = page.page.locator("#positions li.one").all_inner_texts()
    assert ["not ours" in one for one in words] == [False, True]
    page.tell("positions", {"positions": [ours, ours, ours]}, seq=2)
    assert page.page.locator("#positions li.one").count() == 3, "nothing is dropped, whatever its key"


def test_a_price_says_when_it_was_one(page: WidgetPage):
    page.add("positions", Positions())
    first = samples.POSITIONS["positions"][0]
    now = datetime.now(UTC)
    today = now.replace(hour=12, minute=10, second=0, microsecond=0)
    # Any other day of this year is named by day, of another year by year and day as well.
    other = today.replace(month=1 if now.month > 6 else 7, day=2)
    last_year = other.replace(year=now.year - 1)
    marks = [{**first, "mark_ns": int(at.timestamp()) * 10**9} for at in (today, other, last_year)]
    page.tell("positions", {"positions": [*marks, first]})
    held = page.page.locator("#positions .held .small")
    assert held.all_inner_texts() == [
        "last 65,120.0 at 12:10:00",
        f"last 65,120.0 at {other:%m-%d} 12:10",
        f"last 65,120.0 at {last_year:%Y-%m-%d} 12:10",
        "last 65,120.0 at an unknown time",
    ], "a bug: what happened three years ago had no year"


def test_two_currencies_have_tiles_of_their_own(page: WidgetPage):
    """A bug: tiles were kept by their label, and the last currency of the overview was the only one."""
    page.add("tiles", Tiles())
    tiles = [{"label": "equity", "value": value, "unit": unit} for value, unit in (("1", "USD"), ("2", "EUR"))]
    for seq, keyed in enumerate((tiles, [{**one, "key": f"equity {one['unit']}"} for one in tiles]), 1):
        page.tell("tiles", {"tiles": keyed}, seq=seq)
        assert page.page.locator("#tiles .value").all_inner_texts() == ["1USD", "2EUR"]


def test_an_identifier_is_no_number(page: WidgetPage):
    page.add("tiles", Tiles())
    page.tell("tiles", {"tiles": [{"label": "process", "value": "12345", "plain": True}]})
    assert page.page.locator("#tiles .value").inner_text() == "12345"


def test_what_is_not_of_now_says_so_until_it_is(page: WidgetPage):
    page.add("tiles", Tiles(), stale_s=60)
    why = "as proven 2026-03-23 12:03:07 UTC: the trader does not run"
    state = {"type": "state", "seq": 1, "age_ms": 0, "state": samples.TILES}
    page.send("tiles", {**state, "old": why})
    old = page.page.locator("#tiles .npw.old")
    assert old.count() == 1
    assert page.page.locator("#tiles .silence").inner_text() == why
    assert page.page.locator("#tiles [aria-live=polite]").inner_text() == why
    page.send("tiles", {"type": "row", "count": 1})
    assert old.count() == 1, "a message that says nothing of it changes nothing"
    page.send("tiles", {"type": "word", "seq": 1, "old": ""})
    assert old.count() == 0
    assert not page.page.locator("#tiles .silence").is_visible()


def test_a_row_says_how_it_is_without_its_colour(page: WidgetPage):
    page.add("rows", Rows(label="things"))
    rows = [{"key": n, "name": n, "level": level} for n, level in (("a", "over"), ("b", ""), ("c", "near"))]
    for seq, shown in enumerate((rows, [{**one, "href": "/x"} for one in rows]), 1):
        page.tell("rows", {"columns": [{"key": "name", "label": "name"}], "rows": shown}, seq=seq)
        assert page.page.locator("#rows td:first-child").all_text_contents() == ["■overa", "b", "▲nearc"]
    page.tell("rows", {"columns": [{"key": "name", "label": "name"}], "rows": [{"key": "a", "name": "a"}]}, seq=3)
    assert page.page.locator("#rows td:first-child").all_text_contents() == ["a"]


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_cell_that_is_not_known_says_so_on_every_screen(page: WidgetPage, size: tuple[int, int]):
    page.look(*size, "light")
    page.add("rows", Rows(label="things"))
    columns = [
        {"key": "name", "label": "name"},
        {"key": "worth", "label": "worth", "kind": "figure"},
        {"key": "limit", "label": "limit", "kind": "figure", "none": True},
    ]
    page.tell("rows", {"columns": columns, "rows": [{"key": "a", "name": "a", "worth": None, "limit": None}]})
    cells = page.page.locator("#rows tbody td")
    assert cells.nth(1).is_visible()
    assert cells.nth(1).inner_text() == "unknown"
    assert cells.nth(2).text_content() == "—"


def test_the_bar_of_an_account_without_a_word_is_not_called_none(page: WidgetPage):
    page.add("strip", StatusStrip())
    page.tell("strip", samples.STRIP)
    assert "bar age not known" in page.page.locator("#strip ul.all > li").nth(3).inner_text()


def test_a_limit_leads_to_what_stands_behind_it(page: WidgetPage):
    page.add("meters", Meters())
    page.tell("meters", {"meters": [{**samples.METERS["meters"][0], "href": "/apps/journal/?seqs=3,2"}]})
    link = page.page.locator("#meters .name a")
    assert link.evaluate("(one) => one.href") == f"{ORIGIN}/apps/journal/?seqs=3,2"
    assert link.inner_text() == "Gross exposure"


@pytest.mark.parametrize(("status", "is_out"), [(401, True), (200, False), (503, False)])
def test_a_strip_that_hears_nothing_asks_whether_one_is_still_signed_in(page: WidgetPage, status: int, is_out: bool):
    asked: list[Any] = []

    def answer(route: Any) -> None:
        asked.append(route.request)
        route.fulfill(status=status, body="{}", content_type="application/json")

    page.answers["/api/v1/session"] = answer
    page.add("strip", StatusStrip(session_url="/api/v1/session"), stale_s=0.5)
    page.tell("strip", samples.STRIP)
    page.page.locator("#strip .npw.silent").wait_for(state="attached")
    page.page.wait_for_function("() => performance.getEntriesByName(location.origin + '/api/v1/session').length > 0")
    words = page.page.locator("#strip .out")
    if is_out:
        words.wait_for()
        assert words.inner_text().startswith("You are signed out")
        assert words.locator("a").evaluate("(one) => one.href") == f"{ORIGIN}/login?next=%2F"
    assert words.is_visible() == is_out
    page.send("strip", {"type": "word", "seq": 1})
    assert not words.is_visible()
    assert asked[0].method == "GET"
    page.page.evaluate("() => performance.clearResourceTimings()")
    page.problems = [problem for problem in page.problems if "Failed to load resource" not in problem]


def test_a_strip_of_a_page_without_a_server_asks_nobody(page: WidgetPage):
    page.add("strip", StatusStrip(), stale_s=0.5)
    page.page.locator("#strip .npw.silent").wait_for(state="attached")
    page.page.wait_for_timeout(300)


def closing(page: WidgetPage, *proofs: Any, prove_s: float = 30.0, told: Any = OBEYED) -> Any:
    """A button that closes positions, and a server whose proofs come one by one."""
    page.add("hold", Hold(label="Hold to kill", url="/halt", csrf="t", hold_s=0.3, prove_s=prove_s))
    server = Server(page, told)
    proof = Server(page, *proofs)
    page.answers |= {"/halt": server._answer, "/results/7/proof": proof._answer}
    press(page, page.page.locator("#hold button"))
    return proof


def test_a_kill_is_done_when_it_is_proven(page: WidgetPage):
    """A bug: it read "Done" while positions were open."""
    proof = closing(page, {"flat": False, "accounts": [HELD]}, {"flat": True, "accounts": [FLAT]})
    said = outcome(page, "closing")
    assert said.startswith("Sent: being closed")
    assert page.page.locator("#hold button").get_attribute("aria-disabled") == "false", "it can be pressed again"
    assert outcome(page, "flat").startswith("Proven flat")
    assert len(proof.asked) == 2
    assert page.page.evaluate("() => models.hold.written.outcome.kind") == "flat"


def test_a_kill_that_is_refused_tells_what_is_held(page: WidgetPage):
    """A bug: it read "Refused", and whether anything was held, nobody asked."""
    said = {"exchange": "kraken", "account_id": "main", "outcome": "refused", "text": "it is being stopped"}
    proof = closing(page, {"flat": False, "accounts": [HELD]}, told={**OBEYED, "accounts": [said]})
    words = outcome(page, "open")
    assert words.startswith("NOT proven flat")
    assert "the account refused; the account is not proven flat" in words
    assert "the ledger holds 0.5 BTC" in words
    assert len(proof.asked) == 1, "nothing is being closed: nothing is waited for"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"flat": False, "accounts": [HELD]}, "the ledger holds 0.5 BTC"),
        ({"flat": True, "accounts": [HELD]}, "the ledger holds 0.5 BTC"),
        (lambda route: route.fulfill(status=503, body="{}"), "the proof could not be read (503)"),
        (lambda route: route.abort(), "the server could not be reached"),
    ],
)
def test_what_is_not_proven_is_not_called_flat(page: WidgetPage, answer: Any, reason: str):
    closing(page, answer, prove_s=1.5)
    said = outcome(page, "open")
    assert said.startswith("NOT proven flat")
    assert reason in said
    page.problems = [problem for problem in page.problems if "Failed to load resource" not in problem]


def test_the_curve_counts_from_the_accounts_own_start_and_peak(page: WidgetPage):
    """A bug: both were those of the last 500 points, and no word said so."""
    points = [(samples.NOW_NS + n * 60_000_000_000, equity) for n, equity in enumerate(("100", "120", "110"))]
    curve = Equity(points)
    page.add("equity", curve, stale_s=0)
    facts = page.page.locator("#equity .facts")
    facts.get_by_text("since 2026-03-23, the oldest shown, +10.00").wait_for()
    assert "under the peak shown 8.33 %" in facts.inner_text()
    curve.show(points, (1_000_000_000_000_000_000, "88"), "137.5")
    page.page.evaluate(
        "([start, peak]) => { models.equity.change('start', start); models.equity.change('peak', peak); }",
        [curve.start, curve.peak],
    )
    facts.get_by_text("since the start, 2001-09-09, +22.00 (+25.00 %)").wait_for()
    assert "under the peak 20.00 %" in facts.inner_text()
    assert "deepest shown 20.00 %" in facts.inner_text()


def test_a_price_has_the_digits_of_its_market_and_not_those_of_a_float(page: WidgetPage):
    """A bug: one close of 398.53000000000003 gave every price eight digits."""
    bars = samples.bars(3)
    noisy = replace(
        bars, close=np.array([398.5, 0.1 + 398.43, 398.53000000000003]), high=bars.high + 1e6, low=bars.low * 0
    )
    page.add("candles", Candles(noisy), stale_s=0)
    page.page.locator("#candles .legend b", has_text="398.53").wait_for()
    assert "398.530" not in page.page.locator("#candles .legend").inner_text()


def test_a_regime_has_one_colour_whatever_stands_beside_it(page: WidgetPage):
    """A bug: the colour was that of its place among the names shown, and six names shared five colours."""
    names = ["range-low", "range-normal", "range-high", "trend-low", "trend-normal", "trend-high"]
    bars = samples.bars(12)
    colors: dict[str, set[str]] = {}
    for number, shown in enumerate((names, names[3:], ["calm", "trend-high"])):
        chart = Candles(bars)
        ends = [int(bars.ts_close_ns[2 * n]) for n in range(len(shown))]
        chart.show_regimes({"name": one, "from_ns": end, "to_ns": end} for one, end in zip(shown, ends, strict=True))
        page.add(f"chart{number}", chart, stale_s=0)
        page.tell(f"chart{number}", chart.state)
        for key in page.page.locator(f"#chart{number} .keys span").all():
            color = key.locator("i").evaluate("(one) => one.style.background")
            colors.setdefault(key.inner_text(), set()).add(color)
    assert all(len(found) == 1 for found in colors.values()), colors
    assert len(set.union(*(colors[name] for name in names))) == len(names)


@pytest.mark.parametrize(
    ("ask", "said"), [("61824.01", "spread 0.01, 0.0016 bps"), ("61886", "spread 62.00, 10.02 bps")]
)
def test_a_tight_spread_is_not_none(page: WidgetPage, ask: str, said: str):
    page.add("ladder", Ladder())
    page.tell("ladder", {"asks": [[ask, "1"]], "bids": [["61824.00", "1"]], "price_digits": 2})
    words = page.page.locator("#ladder .middle").inner_text().split("\n")
    assert words[1] == said


PIECES = """(cell) => { const found = [];
  for (const node of cell.childNodes) { const range = document.createRange(); range.selectNodeContents(node);
    found.push(range.getClientRects().length); }
  return Math.max(...found); }"""


def test_a_figure_is_not_broken_however_long_its_label(page: WidgetPage):
    """A bug: on a phone 0.0 stood in three lines beside the name of a strategy."""
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.add("rows", Rows(label="Votes"), stale_s=0)
    columns = [
        {"key": "symbol", "label": "instrument"},
        {"key": "vote", "label": "averylongnameofastrategyofourown", "kind": "signed", "digits": 1},
        {"key": "qty", "label": "filled", "kind": "figure"},
    ]
    page.tell(
        "rows", {"columns": columns, "rows": [{"key": "1", "symbol": "BTC/USD", "vote": -12.5, "qty": "0.00000000"}]}
    )
    cells = page.page.locator("#rows tbody td")
    assert cells.all_inner_texts() == ["BTC/USD", "\N{MINUS SIGN}12.5", "0"]
    assert [cell.evaluate(PIECES) for cell in cells.all()] == [1, 1, 1]
    title, count = page.page.locator("#rows h2").bounding_box(), page.page.locator("#rows .tools").bounding_box()
    assert abs(title["y"] + title["height"] / 2 - count["y"] - count["height"] / 2) < 4, (
        "the count stands beside its title"
    )
    page.page.set_viewport_size({"width": 1440, "height": 900})
