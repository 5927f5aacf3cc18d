"""The parts of a backtest page that are words and figures, as HTML: every number is one of `Analysis.as_data()`.

Invariants:
- what comes from data or from people is escaped;
- a figure that is not known reads "unknown".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import marimo as mo

from novapulse.brand import WORDMARK
from novapulse.confluence.steps import FACTOR_DIGITS, FORECAST_DIGITS, signed, steps, vote_rows, weight_rows
from novapulse.parity.words import CAP_TEXT
from novapulse.research.saved_runs import SavedRun
from novapulse.research.tearsheet import words
from novapulse.research.tearsheet.words import Figure, Kind
from novapulse.strategies.votes import FORECAST_MAX
from novapulse.ui.controls import spoken
from novapulse.ui.jobs import Progress
from novapulse.ui.markup import escape

Data = Mapping[str, Any]

TALL = '<div class="np-card np-empty np-tall"></div>'
"""Where a chart will be."""

RATIO = Kind(words.NUMBER.write, is_result=True)
"""A ratio whose sign is a gain or a loss."""


class Tile(NamedTuple):
    """A figure of its own, with smaller ones below it.

    Attributes:
        label: Its name.
        path: Where it stands in the data.
        kind: How it is written.
        below: Smaller figures: words before, path, kind.
        is_money: Whether it is in the currency of the account.
    """

    label: str
    path: str
    kind: Kind
    below: tuple[tuple[str, str, Kind], ...]
    is_money: bool = False


TILES = (
    Tile("Return", "summary.total_return", words.RESULT, (("a year", "summary.cagr", words.RESULT),)),
    Tile(
        "Final equity", "summary.final_equity", words.MONEY, (("turned over", "summary.turnover", words.TURNS),), True
    ),
    Tile(
        "Max drawdown", "summary.max_drawdown", words.SHARE, (("under water", "summary.max_drawdown_bars", words.BARS),)
    ),
    Tile(
        "Sharpe ratio",
        "summary.sharpe",
        RATIO,
        (("95 % within", "statistics.sharpe_low", words.NUMBER), ("to", "statistics.sharpe_high", words.NUMBER)),
    ),
    Tile("Round trips", "summary.trades", words.COUNT, (("won", "summary.win_rate", words.SHARE_ROUND),)),
    Tile(
        "Per trip", "summary.expectancy_r", words.R_RESULT, (("profit factor", "summary.profit_factor", words.NUMBER),)
    ),
    Tile("Fees", "summary.fees", words.MONEY, (("slippage", "summary.slippage", words.MONEY),), True),
    Tile(
        "In the market",
        "summary.time_in_market",
        words.SHARE_FINE,
        (("maker fills", "summary.maker_share", words.SHARE_ROUND),),
    ),
)

COMPARED = (
    ("Return", "total_return", words.RESULT),
    ("Sharpe ratio", "sharpe", RATIO),
    ("Max drawdown", "max_drawdown", words.SHARE),
    ("Round trips", "trades", words.COUNT),
    ("Won", "win_rate", words.SHARE_ROUND),
    ("Per trip", "expectancy_r", words.R_RESULT),
    ("Profit factor", "profit_factor", words.NUMBER),
    ("Fees", "fees", words.MONEY),
    ("Final equity", "final_equity", words.MONEY),
)


def figures(data: Data) -> list[Figure]:
    """Return every figure of the tiles, in their order."""
    return [
        words.figure(path, at(data, path), kind)
        for tile in TILES
        for path, kind in [(tile.path, tile.kind), *((path, kind) for _, path, kind in tile.below)]
    ]


def at(data: Data, path: str) -> Any:
    """Return the value that a dotted path names; None where there is none."""
    value: Any = data
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def card(title: str, chart: Any, note: str = "") -> mo.Html:
    """Return a chart under its title."""
    drawn = mo.as_html(chart).text
    return mo.Html(
        f'<section class="np-card"><div class="np-card-head"><h2>{escape(title)}</h2>'
        f'<span class="np-small">{escape(note)}</span></div>{drawn}</section>'
    )


def head(title: str, chips: Sequence[tuple[str, str]]) -> str:
    """Return the line at the top: the name, and what the page is about as chips of (text, tone)."""
    shown = "".join(f'<span class="np-chip {escape(tone)}">{escape(text)}</span>' for text, tone in chips)
    name = f'<h1>{WORDMARK}</h1><span class="np-title">{escape(title)}</span>'
    return f'<header class="np-head">{name}{shown}</header>'


def remarks(sentences: Iterable[str], tone: str = "") -> str:
    """Return sentences in a box, nothing for none."""
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<div class="np-note {escape(tone)}" role="status">{told}</div>' if told else ""


def verdict(data: Data, tone: str) -> str:
    """Return the verdict: its headline, then what qualifies it."""
    first, *others = map(words.with_minuses, data["verdict"])
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in others)
    return (
        f'<section class="np-card np-verdict {escape(tone)}"><h2>{escape(first)}</h2>'
        f"{f'<ul>{told}</ul>' if told else ''}</section>"
    )


def currency(data: Data) -> str:
    """Return what the amounts of a run are in; empty where no instrument says so."""
    quotes = {str(one["symbol"]).partition("/")[2] for one in at(data, "data.instruments") or ()} - {""}
    return ", ".join(sorted(quotes))


def tiles(data: Data) -> str:
    """Return the tiles."""
    shown = []
    for tile in TILES:
        main = words.figure(tile.path, at(data, tile.path), tile.kind)
        unit = currency(data) if tile.is_money else ""
        below = " ".join(
            f"{escape(before)} {_text(words.figure(path, at(data, path), kind))}"
            for before, path, kind in tile.below
            if at(data, path) is not None
        )
        shown.append(
            f'<div class="np-tile"><span class="np-label">{escape(tile.label)}</span>'
            f'<span class="np-value {main.tone}" data-path="{escape(main.path)}">{escape(main.text)}</span>'
            f'<span class="np-below">{f"{escape(unit)}, " if unit else ""}{below}</span></div>'
        )
    return f'<section class="np-tiles">{"".join(shown)}</section>'


def waiting(progress: Progress, seconds: float, word: str = "Recomputing") -> str:
    """Return how far a job is; `word` says what it does."""
    share = progress.fraction
    width = "" if share is None else f' style="width:{100 * share:.1f}%"'
    percent = "" if share is None else f"{100 * share:.0f} %"
    return (
        f'<div class="np-progress" role="status" aria-live="polite"><div class="np-progress-text">'
        f"<span>{escape(word)}: {escape(progress.phase)}</span><span>{percent} {seconds:.0f} s</span></div>"
        f'<div class="np-bar {"np-busy" if share is None else ""}"><i{width}></i></div></div>'
    )


def skeleton() -> str:
    """Return the page's shape before there is anything to show."""
    empty = '<div class="np-tile np-empty"></div>' * len(TILES)
    return f'<section class="np-tiles">{empty}</section>'


def explanation(record: Data) -> str:
    """Return why a bar was traded, or why not.

    Args:
        record: What `Workbench.explained` returns.
    """
    decision = record["decision"]
    parts = [
        f'<div class="np-when">{escape(record["symbol"])}, bar closing {escape(record["ts_close"])}</div>',
        f'<h3 class="{_verb_tone(decision)}">{escape(decision["verb"].capitalize())}: {escape(decision["text"])}</h3>',
    ]
    if not record["warm"]:
        return "".join([*parts, *(f"<p>{escape(line)}</p>" for line in record["lines"][1:])])
    parts += [
        _gauge(record),
        _contributions(record),
        _steps(record),
        _conditions(record),
        _sizes(decision, record["symbol"].partition("/")[0]),
        f"<details><summary>Every number</summary><pre>{escape(chr(10).join(record['lines']))}</pre></details>",
    ]
    return "".join(parts)


def comparison(data: Data, saved: Sequence[SavedRun]) -> str:
    """Return a table of this run beside saved ones."""
    columns: list[tuple[str, str, Data]] = [("this page", data["settings_hash"], data["summary"])]
    columns += [(run.name, run.settings_hash, run.summary) for run in saved]
    same = {data["data"]["hash"], *(run.data_hash for run in saved)}
    header = "".join(f"<th>{escape(name)}<small>{escape(settings[:8])}</small></th>" for name, settings, _ in columns)
    unit = currency(data) if len(same) == 1 else ""
    body = "".join(
        f"<tr><th>{escape(label)}{f', {escape(unit)}' if unit and kind is words.MONEY else ''}</th>"
        + "".join(f"<td>{_text(words.figure(key, summary.get(key), kind))}</td>" for _, _, summary in columns)
        + "</tr>"
        for label, key, kind in COMPARED
    )
    note = "" if len(same) == 1 else remarks(["Not all of these ran on the same bars: their figures do not compare."])
    return (
        f'{note}<div class="np-scroll"><table class="np-table"><thead><tr><th></th>{header}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(data: Data) -> str:
    """Return which bars and settings a run is made of."""
    rows = [
        [
            f"{one['exchange']} {one['symbol']}",
            f"{one['bars']:,}",
            words.minute(one["start"]),
            words.minute(one["end"]),
            f"{one['gaps']:,}",
            f"{one['made']:,}",
            f"{one['maker_fee_bps']:g} / {one['taker_fee_bps']:g} bps, {one['fees_from']}",
            one["hash"][:12],
        ]
        for one in data["data"]["instruments"]
    ]
    header = ("Series", "Bars", "From", "To", "Gaps", "Quiet bars made", "Maker / taker fee", "Hash")
    return (
        table(header, rows)
        + f'<p class="np-small">settings {escape(data["settings_hash"])}, data {escape(data["data"]["hash"][:16])}</p>'
    )


def _is_words(column: Iterable[str]) -> bool:
    cells = list(column)
    return any(cell[:1].isalpha() for cell in cells) and not any(
        cell[:2].strip("+\N{MINUS SIGN}").isdecimal() for cell in cells
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts: a column of words begins at its left, one of figures ends at its right."""
    told = [list(row) for row in rows]
    marks = [' class="np-words"' if _is_words(column) else "" for column in zip(*told, strict=True)]
    marks = marks or [""] * len(header)
    names = "".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(header, marks, strict=True))
    cells = ([f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(row, marks, strict=True)] for row in told)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return (
        f'<div class="np-scroll"><table class="np-table"><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(figure: Figure) -> str:
    return f'<span class="{figure.tone}" data-path="{escape(figure.path)}">{escape(figure.text)}</span>'


def _verb_tone(decision: Data) -> str:
    return {"ENTER": "np-go", "EXIT": "np-leave"}.get(decision["verb"], "")


def _gauge(record: Data) -> str:
    consensus, needed = record["consensus"], record["entry"]["forecast_min"]
    left, right = sorted((50.0, 50.0 + 2.5 * consensus))
    tone = "gain" if consensus > 0 else "loss"
    marks = "".join(f'<b style="left:{50 + side * 2.5 * needed:.1f}%"></b>' for side in (-1, 1))
    is_enough, short_by = record["entry"]["reached"], record["entry"]["short_by"]
    reached = "strong enough for an entry" if is_enough else f"too weak for an entry by {short_by:.2f}"
    bar = f'<i class="{tone}" style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
    return (
        f'<div class="np-gauge"><div><strong class="{tone}">{words.plus(consensus, 2)}</strong> consensus of '
        f"{words.plus(-FORECAST_MAX, 0)} to {words.plus(FORECAST_MAX, 0)}, {reached}; "
        f"confidence {record['confidence']:.2f}; regime {escape(record['regime'])}</div>"
        f'<div class="np-track">{bar}{marks}</div></div>'
    )


def _contributions(record: Data) -> str:
    strategies = sorted(record["strategies"], key=lambda one: -abs(one["contribution"]))
    most = max((abs(one["contribution"]) for one in strategies), default=0.0) or 1.0
    lines = []
    for one in strategies:
        share = 50.0 * one["contribution"] / most
        left, width = (50.0 + min(share, 0.0), abs(share))
        tone = "gain" if share >= 0 else "loss"
        lines.append(
            f'<div class="np-vote"><span>{escape(spoken(one["name"]))}</span><span class="np-track">'
            f'<i class="{tone}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'
            f'<span class="np-num">{words.plus(one["contribution"], FORECAST_DIGITS)}</span></div>'
        )
    return f"<h4>What each strategy added <small>forecast &times; weight</small></h4>{''.join(lines)}"


def _steps(record: Data) -> str:
    """The way from the votes to the consensus: the steps in the open, the votes and weights they begin with below."""
    told = "".join(
        f'<div class="np-size np-step"><span>{escape(one.name)} <small>{escape(one.how)}</small></span>'
        f"<span>{escape(one.figure)}</span></div>"
        for one in steps(dict(record))
    )
    weights = [
        [
            spoken(row["name"]),
            signed(row["forecast"], FORECAST_DIGITS),
            f"{row['weight']:.{FACTOR_DIGITS}f}",
            f"{row['regime']:.2f}",
            f"{row['share']:.{FACTOR_DIGITS}f}",
            signed(row["adds"], FORECAST_DIGITS),
        ]
        for row in weight_rows(dict(record))
    ]
    votes = [
        [
            spoken(row["strategy"]),
            row["timeframe"],
            signed(row["said"], FORECAST_DIGITS),
            f"{row['confidence']:.{FORECAST_DIGITS}f}",
            f"{row['scalar']:.{FORECAST_DIGITS}f}",
            signed(row["scaled"], FORECAST_DIGITS),
            f"{row['share']:.{FACTOR_DIGITS}f}",
            signed(row["adds"], FORECAST_DIGITS),
        ]
        for row in vote_rows(dict(record))
    ]
    whole = table(("Strategy", "Forecast", "Weight", "Regime tilt", "Share of the weight", "Adds"), weights)
    each = table(("Strategy", "On", "Said", "Confidence", "Scalar", "Scaled", "Share", "Adds"), votes)
    return (
        f"<h4>From votes to consensus</h4>{told}"
        f"<details><summary>Each vote and its weight</summary>{whole}{each}</details>"
    )


def _conditions(record: Data) -> str:
    frames = " ".join(
        f'<span class="np-chip {"gain" if frame["agrees"] else ""}">{escape(frame["timeframe"])} '
        f"{words.plus(frame['opinion'], 1)}{' agrees' if frame['agrees'] else ''}</span>"
        for frame in record["timeframes"]
    )
    label = "sure-fire" if record["sure_fire"]["label"] else "not sure-fire"
    return f'<h4>Timeframes</h4><div class="np-chips">{frames}<span class="np-chip">{label}</span></div>'


def _sizes(decision: Data, base: str) -> str:
    if not decision["sizes"]:
        return ""
    lines = "".join(
        f'<div class="np-size {"np-binds" if cap == decision["binding"] else ""}"><span>{escape(CAP_TEXT[cap])}</span>'
        f"<span>{'no limit' if size is None else format(size, '.6g')}</span></div>"
        for cap, size in decision["sizes"].items()
    )
    return f"<h4>Size that each limit allows <small>in {escape(base)}, the smallest binds</small></h4>{lines}"
