"""What the order book page shows: the ladder at a moment, features over time, next moves, and the books refused."""

from typing import Any

import altair as alt
import marimo as mo
import numpy as np

from novapulse.core.bars import Floats, Integers
from novapulse.market.book.columns import BookProblem
from novapulse.ui import panels, theme
from novapulse.ui.aggregate import extremes
from novapulse.ui.marks import UTC, Sheet, either, milliseconds, nothing, time_axis
from novapulse.ui.marks import spoken as moments
from novapulse.ui.notebooks import book, layout, vote_charts
from novapulse.ui.notebooks.book import Desk, Predicted, Watched
from novapulse.ui.notebooks.player import Player
from novapulse.ui.notebooks.work import Came
from novapulse.ui.session import scope
from novapulse.ui.widgets import Ladder, Tiles

Html = mo.Html

_COLUMNS = 700
_LABELS_PX = 48
"""Room for the labels beside each chart: charts of one tape stand under each other, moment under moment."""
_REFUSED_SHOWN = 30

MEANINGS = {
    "score": "all of it in one number, above 0 speaks for a rise",
    "imbalance": "more bid than offered, nearer levels weigh more",
    "pressure": "order flow of the last books, above 0 buys",
    "microprice_bps": "where the best levels' weight puts the price, off the mid",
    "depth_ratio": "share of the quantity in reach that is bid",
    "whale_balance": "which side the large levels stand on",
    "spoofing": "large levels that left untouched",
    "spread_bps": "between the best bid and ask",
    "bid_depth": "money bid within reach",
    "ask_depth": "money offered within reach",
    "buy_slippage_bps": "what buying the usual size costs against the mid",
    "sell_slippage_bps": "what selling it costs",
    "liquidity": "deep and narrow is 1",
}

_IN_MONEY = ("bid_depth", "ask_depth")

_SHORT = {
    "score": "above 0: a rise",
    "imbalance": "above 0: more bid",
    "pressure": "above 0: buys",
    "microprice_bps": "off the mid",
    "spread_bps": "best bid to ask",
    "liquidity": "of 1",
    "bid_depth": "money in reach",
    "ask_depth": "money in reach",
    "spoofing": "share that left",
    "whale_balance": "side of the large",
    "buy_slippage_bps": "usual size",
    "sell_slippage_bps": "usual size",
}

_WRONG = {
    BookProblem.EMPTY: "a side has no level",
    BookProblem.CROSSED: "the best bid is not below the best ask",
    BookProblem.UNORDERED: "levels do not lead away from the best one",
    BookProblem.INVALID: "a price or quantity is impossible",
    BookProblem.GAP: "updates are missing before it",
}


def cannot_open(desk: Desk) -> Html:
    """Return the page without a tape."""
    return Html(panels.head("Order book", []) + panels.remarks([desk.problem or ""], "np-warn"))


def header(desk: Desk, came: Came[Watched]) -> Html:
    """Return the top of the page."""
    assert desk.problem is None
    chips = [("recorded, not live", "np-warn")]
    if came.result is not None:
        bad = int((came.result.books.problem != 0).sum())
        count = f"{len(came.result.books):,} books of {came.result.tape.updates:,} updates"
        if came.result.is_generated:
            chips = [("generated, not recorded", "np-warn")]
        chips = [(came.result.symbol, ""), (count, ""), (f"{bad:,} refused", "np-warn" if bad else "np-real"), *chips]
    return Html(panels.head("Order book", chips) + panels.remarks([came.problem] if came.problem else [], "np-wrong"))


def settings_panel(tape: Any, every: Any, horizon: Any, feature: Any) -> Html:
    """Return the column of choices."""
    return layout.side(
        layout.group("Tape", [tape, every]), layout.group("What to look at", [feature, horizon]), name="Choose"
    )


def walk(came: Came[Watched]) -> Any:
    """Return the ladder with its slider and its figures; walking runs no cell again."""
    one = came.result
    if one is None:
        return Html(panels.TALL)
    ladder = scope().own(Ladder(label=f"{one.symbol}, as recorded", depth=book.DEPTH))
    tiles = scope().own(Tiles())
    ladder.stale_s = tiles.stale_s = 0.0
    player = scope().own(Player(name="Moment of the tape", count=len(one.books), per_second=1000.0 / one.every_ms))

    def show(at: int, one: Watched = one, ladder: Ladder = ladder, tiles: Tiles = tiles) -> str:
        ladder.show_state(ladder_state(one, at))
        tiles.show_state({"tiles": moment_tiles(one, at)})
        when = np.datetime_as_string(one.books.ts_ns[at].astype("datetime64[ns]"), unit="ms").replace("T", " ")
        return f"{when} UTC, book {at + 1:,} of {len(one.books):,}"

    player.on_move(show)
    shown = mo.ui.anywidget(player)
    return layout.stack(layout.card("Walk through the tape", shown), layout.grid(ladder, tiles))


def assets_of(symbol: str) -> tuple[str, str]:
    """Return what the quantities and the prices of a book are counted in."""
    base, _, rest = symbol.partition("/")
    return base, rest.partition(":")[0]


def ladder_state(one: Watched, at: int) -> dict[str, Any]:
    """Return a book for the ladder."""
    books, (base, quote) = one.books, assets_of(one.symbol)
    return {
        "symbol": one.symbol,
        "base": base,
        "quote": quote,
        "bids": book.level_pairs(books.bid_price[at], books.bid_qty[at]),
        "asks": book.level_pairs(books.ask_price[at], books.ask_qty[at]),
    }


def moment_tiles(one: Watched, at: int) -> list[dict[str, Any]]:
    """Return the features of a book as tiles; of a refused one, why."""
    problem = BookProblem(int(one.books.problem[at]))
    if problem != BookProblem.NONE:
        return [{"label": "refused", "value": problem.name.lower(), "note": _WRONG[problem], "level": "over"}]
    row, (_, quote) = one.features[at], assets_of(one.symbol)

    def tile(name: str, digits: int, unit: str = "", *, signed: bool = False) -> dict[str, Any]:
        value = float(row[name])
        shown = f"{value:.{digits}f}" if np.isfinite(value) else None
        label = name.removesuffix("_bps").replace("_", " ")
        return {
            "label": label,
            "value": shown,
            "unit": unit,
            "digits": digits,
            "signed": signed,
            "note": _SHORT[name],
        }

    return [
        tile("score", 3, signed=True),
        tile("imbalance", 3, signed=True),
        tile("pressure", 2, signed=True),
        tile("microprice_bps", 4, "bps", signed=True),
        tile("spread_bps", 4, "bps"),
        tile("liquidity", 2),
        tile("bid_depth", 0, quote),
        tile("ask_depth", 0, quote),
        tile("spoofing", 2),
        tile("whale_balance", 2, signed=True),
        tile("buy_slippage_bps", 3, "bps"),
        tile("sell_slippage_bps", 3, "bps"),
    ]


def over_time(came: Came[Watched], feature: str, mode: theme.Mode) -> Any:
    """Return mid price, score and a feature over the tape."""
    theme.set_mode(mode)
    one = came.result
    if one is None:
        return Html(panels.TALL)
    stamps, (base, quote) = one.books.ts_ns, assets_of(one.symbol)
    parts = [
        _named("Mid price", f"{quote} per {base}", _line(stamps, one.features["mid"], 150, is_signed=False)),
        _named("Score", MEANINGS["score"], _line(stamps, one.features["score"], 120, is_signed=True)),
        _named(
            feature.replace("_", " ").capitalize(),
            f"{MEANINGS[feature]}, {quote}" if feature in _IN_MONEY else MEANINGS[feature],
            _line(stamps, one.features[feature], 120, is_signed=_has_sign(one.features[feature])),
        ),
    ]
    return layout.card("Features over the tape", *parts)


def _has_sign(values: Floats) -> bool:
    return bool((values[np.isfinite(values)] < 0).any())


def _named(title: str, note: str, chart: Any) -> str:
    return f'<h4 class="np-over">{title} <small>{note}</small></h4>{layout.html(chart)}'


def _line(stamps: Integers, values: Floats, height: int, *, is_signed: bool) -> alt.LayerChart:
    known = np.isfinite(values)
    if not known.any():
        return nothing("Not known on any book", height)
    stamps, values = stamps[known], np.ascontiguousarray(values[known])
    chosen, colors = extremes(values, _COLUMNS), theme.palette()
    sheet = Sheet()
    drawn = sheet.chart(
        "line", t=milliseconds(stamps[chosen]), value=values[chosen], at=moments(stamps[chosen], 1_000_000_000)
    )
    x = alt.X("t:T", scale=UTC, axis=time_axis())
    y = alt.Y(
        "value:Q",
        axis=alt.Axis(title=None, tickCount=4, minExtent=_LABELS_PX),
        scale=alt.Scale(zero=is_signed, nice=False),
    )
    tooltip = [alt.Tooltip("at:N", title="at"), alt.Tooltip("value:Q", format=",.6~g")]
    if not is_signed:
        return sheet.drawn(
            drawn.mark_line(color=colors["accent"], strokeWidth=1.3).encode(x=x, y=y, tooltip=tooltip), height=height
        )
    bars = (
        drawn.transform_calculate(color=either("datum.value >= 0", colors["gain"], colors["loss"]))
        .mark_rule(strokeWidth=1.2, opacity=0.8)
        .encode(x=x, y=y, y2=alt.Y2Datum(0), color=alt.Color("color:N", scale=None), tooltip=tooltip)
    )
    return sheet.drawn(bars, height=height)


def next_moves(came: Came[Watched], told: Predicted | None, mode: theme.Mode) -> Any:
    """Return the score against the next moves, and every feature's correlation with them."""
    theme.set_mode(mode)
    if came.result is None or told is None:
        return Html("")
    chart = vote_charts.by_stretch(told.edges, told.after, told.error, "score", "bps after")
    rows = sorted(told.correlations.items(), key=lambda pair: -abs(pair[1]) if np.isfinite(pair[1]) else 1.0)
    table = panels.table(
        ("Feature", "Correlation", "What it is"),
        [[name.replace("_", " "), layout.number(value, "+.3f"), MEANINGS[name]] for name, value in rows],
    )
    return layout.grid(
        panels.card(f"What the mid did in the next {told.horizon_s} s", chart, "mean by score, one standard error"),
        layout.card(
            "Features against that move",
            layout.told(table),
            note=f"{told.known:,} books; one tape proves nothing yet",
        ),
    )


def refused(came: Came[Watched]) -> Html:
    """Return the books that were refused, by name."""
    if came.result is None:
        return Html("")
    found, books = book.refused(came.result.books), came.result.books
    counts = {
        problem.name.lower(): f"{int((books.problem == problem).sum()):,} of {len(books):,}: {said}"
        for problem, said in _WRONG.items()
    }
    rows = [
        [one.problem.name.lower(), *moments(np.array([one.first_ns, one.last_ns]), 1_000_000_000), f"{one.books:,}"]
        for one in found[:_REFUSED_SHOWN]
    ]
    table = layout.told(panels.table(("Why", "From", "To", "Books"), rows)) if rows else ""
    note = "none: every book of this tape is sound" if not found else f"{len(found):,} stretches"
    return layout.card("Refused books", layout.pairs(counts), table, note=note)


def predicted(came: Came[Watched], horizon_s: int) -> Predicted | None:
    """Return the features against the next moves; None while there is no tape."""
    return None if came.result is None else book.predicted(came.result, horizon_s)
