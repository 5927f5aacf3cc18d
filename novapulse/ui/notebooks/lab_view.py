"""What the strategy lab shows: votes under the candles, their sum, what the strategy earns alone, and its proofs.

Invariant: figures of the backtest are those of its analysis; nothing is computed here.
"""

from collections.abc import Sequence
from typing import Any

import marimo as mo
import numpy as np

from novapulse.core.bars import BarColumns
from novapulse.research.bias import CLAIMS, Outcome, SubjectReport
from novapulse.research.tearsheet import words
from novapulse.strategies import STRATEGIES
from novapulse.ui import charts, controls, panels, theme
from novapulse.ui.marks import spoken as moments
from novapulse.ui.markup import escape
from novapulse.ui.notebooks import layout, vote_charts
from novapulse.ui.notebooks.lab import PROVEN_BARS, Chosen, Desk, Said, Voted
from novapulse.ui.notebooks.spoken_votes import moves
from novapulse.ui.notebooks.work import Came
from novapulse.ui.session import scope
from novapulse.ui.widgets import Candles
from novapulse.ui.workbench import Outcome as Traded

Html = mo.Html

DRAWN_BARS = 4_000
"""Newest bars that are drawn; of more, a slider would not be followed in time."""

_FILLS_MAX = 1_000


def cannot_open(desk: Desk) -> Html:
    """Return the page of a desk that could not be opened."""
    return Html(panels.head("Strategy lab", []) + panels.remarks([desk.problem or ""], "np-wrong"))


def header(desk: Desk, said: Said, traded: Came[Traded]) -> Html:
    """Return the top of the page."""
    chosen, votes = said.chosen, said.votes
    assert chosen is not None
    own = "" if chosen.name in STRATEGIES else ", your own"
    chips = [
        (f"{chosen.symbol} · {chosen.timeframe}", ""),
        (f"{controls.family_of(chosen.name)}{own}", ""),
    ]
    if votes.result is not None:
        chips.append((f"votes on the last {votes.result.spoken.bars:,} bars", ""))
    chips.append(("sample market", "np-warn") if desk.bench.is_sample else (chosen.exchange, "np-real"))
    wrong = [f"Not computed: {said}" for said in (votes.problem, traded.problem) if said]
    doc = (desk.strategy(chosen.name).__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    return Html(
        panels.head(f"Strategy lab · {controls.spoken(chosen.name)}", chips)
        + panels.remarks(dict.fromkeys(wrong), "np-wrong")
        + panels.remarks([doc] if doc else [], "np-quiet")
        + panels.remarks(desk.bench.remarks, "np-quiet")
    )


def choices_of(series: Any, strategy: Any, horizon: Any) -> Html:
    """Return what is looked at, as it is drawn: what shows it need not follow its values."""
    return Html(layout.group("Bars and strategy", [series, strategy, horizon]))


def fields_of(form: Any, reset: Any) -> Html:
    """Return the parameters, as they are drawn."""
    inside = list(form.elements.values())
    note = "" if inside else "It has none that can be set here."
    return Html(layout.group("Parameters", [*inside, reset], note=note))


def settings_panel(desk: Desk, wrong: Sequence[str], choices: Html, fields: Html, reload: Any) -> Html:
    """Return the column of choices and parameters."""
    folder = desk.bench.loaded.settings.data.strategies_folder
    note = (
        f"Your own come from {folder}."
        if folder
        else "Your own come from the folder that data.strategies_folder names."
    )
    own = layout.group("Your own strategies", [reload], is_open=bool(folder), note=note)
    return layout.side(choices.text, fields.text, own, wrong=wrong)


def reset_button(count: int, set_count: Any) -> Any:
    """Return the button that puts every parameter back to the configured one."""
    return mo.ui.button(on_click=lambda _: set_count(count + 1), label="As configured", full_width=True)


def figures(votes: Came[Voted]) -> Html:
    """Return the sum of the votes as tiles."""
    if votes.result is None:
        return Html(panels.skeleton())
    one = votes.result.spoken
    share = words.figure("share", one.spoke / one.bars if one.bars else None, words.SHARE_FINE).text
    long = f"{words.SHARE_ROUND.write(one.long / one.spoke)} long" if one.spoke else "never"
    return layout.tiles(
        [
            ("Has an opinion", share, f"of {one.bars:,} bars, {long}", ""),
            ("How strong", layout.number(one.strength, ".1f"), "mean size of the forecast, of 20", ""),
            ("Confidence", layout.number(one.confidence, ".2f"), "mean where it speaks, 0 to 1", ""),
            (
                "Information",
                layout.number(one.information, "+.3f"),
                f"correlation with {one.horizon} bars on; {one.turns_per_day:,.0f} turns a day",
                "gain" if one.information > 0 else "loss" if one.information < 0 else "",
            ),
        ]
    )


def candles_of(desk: Desk, series: tuple[str, str, str]) -> Candles:
    """Return the chart of a series, still empty."""
    assert desk.problem is None
    _, symbol, timeframe = series
    chart = scope().own(Candles(label=f"{symbol}, {timeframe}", height=430))
    chart.stale_s = 0.0
    return chart


def show_votes(chart: Candles, votes: Came[Voted]) -> None:
    """Draw the forecast over the newest bars, and what is left of it after its confidence."""
    if votes.result is not None:
        bars, said = votes.result.bars[-DRAWN_BARS:], votes.result.votes
        forecast, confidence = said.forecast[-DRAWN_BARS:], said.confidence[-DRAWN_BARS:]
        chart.show_votes(bars, {"forecast": forecast, "with confidence": forecast * confidence}, of=votes.result.of)


def answer_bars(chart: Candles, votes: Came[Voted]) -> None:
    """Say what was voted on a bar that is chosen; the one that is chosen already is answered with these votes."""

    def answer(ts_ns: int) -> None:
        chart.show_answer([{"text": said_of(votes, ts_ns)}])

    chart.on_choice(answer)
    if chart.chosen_ns is not None:
        answer(chart.chosen_ns)


def said_of(votes: Came[Voted], ts_close_ns: int) -> str:
    """Return what the strategy said of a bar and what the price did then, in a sentence.

    Args:
        votes: On its bars.
        ts_close_ns: Close of the bar, ns UTC.
    """
    at = moments(np.array([ts_close_ns], np.int64), 1_000_000_000)[0]
    if votes.result is None:
        return f"{at}: no votes were made"
    bars, said, horizon = votes.result.bars, votes.result.votes, votes.result.spoken.horizon
    row = int(np.searchsorted(bars.ts_close_ns, ts_close_ns))
    if row == len(bars) or bars.ts_close_ns[row] != ts_close_ns:
        return f"{at}: no such bar"
    forecast, confidence = float(said.forecast[row]), float(said.confidence[row])
    voted = f"{'long' if forecast > 0 else 'short'}, forecast {layout.number(forecast, '+.1f')} of 20"
    opinion = f"{voted}, confidence {confidence:.0%}" if forecast else "no opinion"
    moved = float(moves(bars[row : row + horizon + 1], horizon)[0])
    after = f"{layout.number(moved, '+,.1f')} bps" if np.isfinite(moved) else "not known"
    return f"{at}: {opinion}; the price {horizon} bars on: {after}"


def show_trades(chart: Candles, votes: Came[Voted], traded: Came[Traded]) -> None:
    """Mark what the strategy traded alone on the bars that are drawn."""
    if votes.result is None or traded.result is None:
        return
    first_ns = _first_drawn(votes.result.bars)
    fills = traded.result.result.fills
    shown = fills[fills["ts_ns"] >= first_ns][-_FILLS_MAX:]
    chart.show_fills(
        {
            "ts_ns": int(row["ts_ns"]),
            "side": "BUY" if row["side"] > 0 else "SELL",
            "qty": float(row["qty"]),
            "price": float(row["price"]),
        }
        for row in shown
    )


def _first_drawn(bars: BarColumns) -> int:
    return int(bars.ts_close_ns[-DRAWN_BARS:][0]) if len(bars) else 0


def sums(votes: Came[Voted], mode: theme.Mode) -> Any:
    """Return the distribution of the forecast, and what came after."""
    theme.set_mode(mode)
    if votes.result is None:
        return Html(panels.TALL)
    one = votes.result.spoken
    return layout.grid(
        panels.card("How often it forecast what", vote_charts.distribution(one), "bars, silent ones left out"),
        panels.card(
            "What the price did then", vote_charts.after(one), f"mean move over {one.horizon} bars, one standard error"
        ),
    )


_ALONE = (
    ("Return", "summary.total_return", words.RESULT),
    ("Sharpe ratio", "summary.sharpe", panels.RATIO),
    ("Max drawdown", "summary.max_drawdown", words.SHARE),
    ("Round trips", "summary.trades", words.COUNT),
    ("Won", "summary.win_rate", words.SHARE_ROUND),
    ("Per trip", "summary.expectancy_r", words.R_RESULT),
    ("Profit factor", "summary.profit_factor", words.NUMBER),
    ("Fees", "summary.fees", words.MONEY),
)


def alone(traded: Came[Traded], mode: theme.Mode) -> Any:
    """Return what the strategy would have earned with no other beside it."""
    theme.set_mode(mode)
    if traded.result is None:
        return Html(panels.TALL if traded.problem is None else "")
    data, result = traded.result.analysis.as_data(), traded.result.result
    unit = panels.currency(data)
    shown = [
        (f"{label}, {unit}" if unit and kind is words.MONEY else label, words.figure(path, panels.at(data, path), kind))
        for label, path, kind in _ALONE
    ]
    rows = "".join(
        f'<div class="np-size"><span>{escape(label)}</span><span class="{one.tone}">{escape(one.text)}</span></div>'
        for label, one in shown
    )
    told = panels.remarks(map(words.with_minuses, data["verdict"][:1]))
    chart = charts.equity_and_drawdown(result.equity_ts_ns, result.equity, result.settings.capital)
    return layout.grid(
        layout.card(
            "What it would have earned alone",
            chart,
            note=f"in {result.instruments[0].quote}; all bars, configured sizes and costs, all timeframes",
        ),
        layout.card("Alone, in figures", f'<div class="np-pairs">{rows}</div>', told),
        widths="np-two-one",
    )


def proofs(button: Any, report: Came[SubjectReport], chosen: Chosen) -> Html:
    """Return the proofs, or the button that begins them."""
    note = f"on the last {PROVEN_BARS:,} bars, with other parameters too"
    if report.result is None:
        told = panels.remarks([report.problem] if report.problem else [], "np-wrong")
        said = "<p class='np-small'>Every claim below is tried on cut, replaced and hidden bars, to the bit.</p>"
        claims = "".join(
            f'<div class="np-check"><span class="np-chip">? not yet</span><div>{escape(claim)}</div></div>'
            for claim in CLAIMS.values()
        )
        return layout.card("Bias proofs", told, said, f'<div class="np-checks">{claims}</div>', note=button)
    found = report.result
    verdict = f"{controls.spoken(found.name)} passed: no proof failed" if found.ok else found.complaint or ""
    lines = "".join(_finding(one.proof, one.outcome, one.cuts, one.felt, one.note) for one in found.findings)
    return layout.card(
        "Bias proofs",
        panels.remarks([verdict], "" if found.ok else "np-wrong"),
        f'<div class="np-checks">{lines}</div>',
        f'<p class="np-small">{escape(note)}; it spoke on {found.spoken_rows:,} of them.</p>',
        note=button,
    )


def _finding(proof: Any, outcome: Outcome, cuts: int, felt: int, note: str) -> str:
    tone, mark = {Outcome.PASSED: ("gain", "✓"), Outcome.FAILED: ("loss", "✗"), Outcome.NOT_SHOWN: ("", "?")}[outcome]
    claim = escape(CLAIMS[proof])
    counted = f"{cuts:,} comparisons, {felt:,} of them with rows that did change" if cuts else "nothing to compare"
    more = f"; {note}" if note else ""
    return (
        f'<div class="np-check"><span class="np-chip {tone}">{mark} {escape(outcome.value)}</span>'
        f"<div><b>{escape(str(proof.value))}</b> <span>{claim}. {counted}{escape(more)}</span></div></div>"
    )
