"""The Python side of the widgets: what is sent, when, and what a page that comes late gets."""

from typing import Any

import numpy as np
import pytest

from novapulse.ui.widgets import Candles, Equity, Live, Orders, Tiles
from novapulse.ui.widgets.streamed import ROWS_MAX, Streamed
from tests.ui.widgets import samples

READY = {"type": "ready"}


def listened(widget: Live) -> list[dict[str, Any]]:
    """What the widget sends from now on."""
    sent: list[dict[str, Any]] = []
    widget.send = lambda content, buffers=None: sent.append(content)
    return sent


def comes(widget: Live, message: Any = READY) -> None:
    widget._handle_custom_msg(message, [])


def rows_of(widget: Streamed) -> np.ndarray[Any, Any]:
    packed = np.frombuffer(widget.rows, dtype="<f8")
    return packed[1:].reshape(-1, int(packed[0]))


def test_a_state_that_says_nothing_new_is_a_word():
    tiles = Tiles()
    sent = listened(tiles)
    for value in (1, 1, 2):
        tiles.show_state({"tiles": [{"label": "a", "value": value}]})
    assert [(message["type"], message["seq"]) for message in sent] == [("state", 1), ("word", 1), ("state", 2)]


def test_a_late_page_gets_the_latest_state_with_its_age():
    tiles = Tiles()
    sent = listened(tiles)
    comes(tiles)
    assert sent == []
    tiles.show_state({"tiles": []})
    tiles._as_of_ns -= 7_000_000_000
    comes(tiles)
    assert sent[-1]["type"] == "state"
    assert 7_000 <= sent[-1]["age_ms"] < 60_000
    assert sent[0]["age_ms"] < 60_000


def test_what_is_not_of_now_is_marked_in_every_message_until_it_is():
    tiles = Tiles()
    sent = listened(tiles)
    tiles.mark_old("as proven 12:03:07 UTC: the trader does not run")
    tiles.show_state({"tiles": []})
    tiles.word()
    comes(tiles)
    tiles.mark_old(tiles.old)
    tiles.mark_old("")
    assert [bool(message["old"]) for message in sent] == [True, True, True, True, False]


@pytest.mark.parametrize("message", [None, "ready", {"type": "resume"}, {}])
def test_other_words_of_a_page_are_passed_over(message: Any):
    tiles = Tiles()
    tiles.show_state({"tiles": []})
    sent = listened(tiles)
    comes(tiles, message)
    assert sent == []


def test_bars_go_as_bytes_the_latest_twenty_thousand_of_them():
    candles = Candles(samples.bars(ROWS_MAX + 50))
    rows = rows_of(candles)
    assert rows.shape == (ROWS_MAX, 6)
    assert rows[-1, 0] == samples.NOW_NS / 1e9


def test_a_page_that_missed_a_bar_gets_all_since_the_bytes():
    candles = Candles(samples.bars(10), label="x")
    candles.append((samples.NOW_NS + 60_000_000_000, 1, 2, 0.5, 1.5, 3))
    sent = listened(candles)
    candles.append((samples.NOW_NS + 120_000_000_000, 1, 2, 0.5, 1.6, 3))
    assert [(message["type"], message["count"]) for message in sent] == [("row", 2)]
    comes(candles)
    assert (sent[-1]["type"], sent[-1]["count"]) == ("rows", 2)
    assert [row[4] for row in sent[-1]["rows"]] == [1.5, 1.6]


def test_what_followed_for_long_is_folded_into_the_bytes():
    candles = Candles(samples.bars(10))
    for n in range(2_001):
        candles.append((samples.NOW_NS + (n // 2 + 1) * 60_000_000_000, 1, 2, 0.5, float(n + 1), 3))
    rows = rows_of(candles)
    assert len(rows) == 10 + 1_000, "two words about one bar are one bar"
    assert rows[-1, 4] == 2_000
    sent = listened(candles)
    comes(candles)
    assert [row[4] for row in sent[-1]["rows"]] == [2_001]


def test_votes_travel_with_their_bar_and_none_is_not_zero():
    bars = samples.bars(5)
    candles = Candles()
    candles.show_bars(bars, {"keltner": np.arange(5.0), "macd": np.full(5, np.nan)})
    sent = listened(candles)
    candles.append((samples.NOW_NS + 60_000_000_000, 1, 2, 0.5, 1.5, 3), {"keltner": -12.5})
    assert rows_of(candles)[:, 6].tolist() == [0, 1, 2, 3, 4]
    assert sent[-1]["row"][6:] == [-12.5, None]
    assert candles.lanes == ["keltner", "macd"]


def test_annotations_keep_each_other():
    candles = Candles(samples.bars(5))
    candles.show_lines([{"price": "1.5", "kind": "stop"}])
    candles.show_fills([{"ts_ns": 2_000_000_000, "side": "BUY", "qty": "1", "price": "2"}])
    assert candles.state == {
        "lines": [{"price": "1.5", "kind": "stop"}],
        "fills": [{"side": "BUY", "qty": "1", "price": "2", "time": 2.0}],
    }


def test_equity_sends_only_what_is_new():
    points = samples.equity(10)
    equity = Equity(points[:6])
    sent = listened(equity)
    equity.show(points[:6])
    equity.show(points[2:8])
    assert [message["type"] for message in sent] == ["word", "row", "row"]
    assert len(rows_of(equity)) == 6
    equity.show(points[8:])
    assert len(rows_of(equity)) == 2, "another curve"
    equity.show([])
    assert len(rows_of(equity)) == 0


def test_an_order_of_unknown_outcome_is_marked():
    orders = Orders()
    orders.show(samples.ORDERS)
    assert [row["level"] for row in orders.state["rows"]][:4] == ["", "", "over", ""]
    assert orders.state["rows"][0]["client_order_id"] == "np-0001"
