"""What a backtest page shows of a view: words, tiles, charts, tables. Without a run yet, the shape of what will come.

Invariants:
- figures come from the view's analysis, curves and trips from its result; nothing is computed here;
- a chart is drawn in the mode of the page that asked for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import anywidget
import marimo as mo
import numpy as np
import polars as pl
import traitlets

from novapulse.backtest.columns import Records
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.saved_runs import SavedRun
from novapulse.research.tearsheet import words
from novapulse.signals.regimes import LABELS
from novapulse.ui import charts, panels, theme
from novapulse.ui.backtest_page import Desk, Set, View
from novapulse.ui.controls import spoken
from novapulse.ui.marks import spoken as moments
from novapulse.ui.price import Price
from novapulse.ui.workbench import Outcome

Html = mo.Html


@dataclass(frozen=True)
class Focus:
    """Where the price chart looks.

    Attributes:
        trip: `number` of the round trip that is pointed out; None for none.
        window: Closes (start, end], ns UTC; None for the whole period, or for the surroundings of the round trip.
    """

    trip: int | None = None
    window: tuple[int, int] | None = None


class HasProblem(Protocol):
    """A session that may not have been opened."""

    @property
    def problem(self) -> str | None:
        """Why not, in one sentence."""


class ModeWatch(anywidget.AnyWidget):
    """Tells whether the page is light or dark; shows nothing."""

    _esm = """
    export default { render({ model }) {
      const tell = () => {
        const mode = document.body.classList.contains("dark") ? "dark" : "light";
        if (model.get("mode") !== mode) { model.set("mode", mode); model.save_changes(); }
      };
      const watch = new MutationObserver(tell);
      watch.observe(document.body, { attributes: true, attributeFilter: ["class"] });
      tell();
      return () => watch.disconnect();
    } };
    """
    mode = traitlets.Unicode("").tag(sync=True)


def mode_watch(desk: HasProblem) -> Any:
    """Return the widget that tells the page's mode, where there is something to draw in it."""
    assert desk.problem is None
    theme.register()
    return mo.ui.anywidget(ModeWatch())


def mode_of(watch: Any) -> theme.Mode | None:
    """Return the page's mode, None as long as the browser has not said it."""
    told: theme.Mode | None = watch.value.get("mode") or None
    return told if told or mo.running_in_notebook() else "light"


def cannot_open(desk: Desk) -> Html:
    """Return the page of a desk that could not be opened."""
    return Html(panels.head("Backtest", []) + panels.remarks([desk.problem or ""], "np-wrong"))


def header(desk: Desk, view: View, wrong: Sequence[str]) -> Html:
    """Return the top of the page: what it is about, and what is worth knowing before one believes it."""
    chips: list[tuple[str, str]] = []
    if view.outcome is not None:
        request, data = view.outcome.request, view.outcome.analysis.data
        names = ", ".join(request.symbols)
        chips = [(f"{names} · {request.timeframe}", ""), (f"{data['bars']:,} bars", "")]
        chips += [("sample market", "np-warn") if desk.bench.is_sample else (request.exchange, "np-real")]
        chips += [(f"in {view.outcome.seconds * 1000:,.0f} ms", "")]
    return Html(
        panels.head("Backtest", chips)
        + panels.remarks([f"Not recomputed: {problem}" for problem in wrong], "np-wrong")
        + panels.remarks(desk.bench.remarks, "np-quiet" if not desk.bench.is_sample else "np-warn")
    )


def verdict(view: View) -> Html:
    """Return the verdict in words and the tiles."""
    if view.outcome is None:
        return Html(panels.skeleton())
    data = view.outcome.analysis.as_data()
    total = data["summary"]["total_return"]
    tone = "" if not data["summary"]["trades"] else "gain" if total > 0 else "loss"
    notes = panels.remarks(data["notes"], "np-warn")
    return Html(f'{notes}<div class="np-top">{panels.verdict(data, tone)}{panels.tiles(data)}</div>')


def instrument_choice(keys: Sequence[InstrumentKey]) -> Any:
    """Return the widget that chooses which instrument is drawn."""
    names = {key.symbol: key for key in keys}
    return mo.ui.dropdown(names, next(iter(names), None), label="Chart of", allow_select_none=not names)


def price_chart(desk: HasProblem, set_bar: Set) -> Price:
    """Return the chart of the price, still empty; a choice of a bar selects it."""
    assert desk.problem is None
    return Price(set_bar)


def show_price(price: Price, view: View, key: InstrumentKey | None, focus: Focus) -> None:
    """Show the price with the round trips of a view."""
    if view.outcome is None or key not in view.outcome.markets.bars:
        return
    result = view.outcome.result
    trips = trips_of(view.outcome, key)
    price.show(
        key,
        view.outcome.markets.bars[key],
        result.signals[key].regime,
        trips,
        [spoken(name) for name in result.strategies],
        of=result.settings.hash,
        window=focus.window,
        selected_trip=focus.trip,
    )


def price_card(price: Price, instrument: Any) -> Html:
    """Return the chart of the price, and over it the choice of instrument where there is one."""
    choice = mo.as_html(instrument).text if len(instrument.options) > 1 else ""
    return Html(f'<div class="np-stack">{choice}{mo.as_html(price.widget).text}</div>')


def trips_of(outcome: Outcome, key: InstrumentKey) -> Records:
    """Return the round trips of an instrument."""
    number = [fact.key for fact in outcome.result.instruments].index(key)
    trips: Records = outcome.result.round_trips[outcome.result.round_trips["instrument"] == number]
    return trips


def bar_of(view: View, key: InstrumentKey | None, bar_ns: int | None) -> int | None:
    """Return the close of the bar to explain: the one that was chosen, else that of the last entry or the last bar."""
    if view.outcome is None or key not in view.outcome.markets.bars:
        return None
    bars, result = view.outcome.markets.bars[key], view.outcome.result
    if bar_ns is not None:
        row = int(np.searchsorted(bars.ts_close_ns, bar_ns))
        if row < len(bars) and int(bars.ts_close_ns[row]) == bar_ns:
            return bar_ns
    trips = trips_of(view.outcome, key)
    if trips.size:
        return entry_bar(view.outcome, int(trips["number"][-1]))
    return int(bars.ts_close_ns[-1]) if result.equity.size else None


def entry_bar(outcome: Outcome, trip: int) -> int:
    """Return the close of the bar on which a round trip was decided."""
    fills = outcome.result.fills
    return int(fills["decision_ts_ns"][fills["round_trip"] == trip][0])


def moves(view: View, key: InstrumentKey | None, bar_ns: int | None, set_bar: Set, focus: Focus, set_focus: Set) -> Any:
    """Return the buttons beside an explanation: one bar back, one on, a closer look, the whole period."""

    def step(by: int) -> Callable[[Any], None]:
        def go(_: Any) -> None:
            if view.outcome is not None and key is not None and bar_ns is not None:
                stamps = view.outcome.markets.bars[key].ts_close_ns
                row = int(np.searchsorted(stamps, bar_ns)) + by
                set_bar(int(stamps[min(max(row, 0), stamps.size - 1)]))

        return go

    def closer(_: Any) -> None:
        if view.outcome is not None and key is not None and bar_ns is not None:
            half = 120 * view.outcome.markets.bars[key].timeframe_ns
            set_focus(Focus(focus.trip, (bar_ns - half, bar_ns + half)))

    def whole(_: Any) -> None:
        set_focus(Focus())

    return mo.ui.dictionary(
        {
            "back": mo.ui.button(on_click=step(-1), label="Previous", tooltip="One bar back"),
            "on": mo.ui.button(on_click=step(1), label="Next", tooltip="One bar on"),
            "closer": mo.ui.button(on_click=closer, label="Zoom in"),
            "whole": mo.ui.button(on_click=whole, label="Whole period"),
        }
    )


def explanation(
    desk: Desk, view: View, key: InstrumentKey | None, bar_ns: int | None, buttons: Any, price: Price
) -> Html:
    """Return why the chosen bar was traded or not, with the buttons; the chart points it out."""
    price.chart.show_chosen(bar_ns)
    if view.outcome is None or key is None or bar_ns is None:
        return Html(panels.TALL)
    try:
        told = panels.explanation(desk.bench.explained(view.outcome, key, bar_ns))
    except ValueError as wrong:
        told = panels.remarks([str(wrong)], "np-wrong")
    row = mo.hstack([buttons[name] for name in ("back", "on", "closer", "whole")], justify="start", gap=0.4)
    return Html(
        '<section class="np-card np-explain"><div class="np-card-head"><h2>Why this bar</h2>'
        '<span class="np-small">click any bar of the chart</span></div>'
        f"{mo.as_html(row).text}{told}</section>"
    )


def equity_chart(view: View, compared: Sequence[SavedRun], mode: theme.Mode) -> Any:
    """Return equity and drawdown, beside those of saved runs."""
    theme.set_mode(mode)
    if view.outcome is None:
        return Html(panels.TALL)
    result = view.outcome.result
    names = [run.name for run in compared]
    others = {
        run.name if names.count(run.name) == 1 else f"{run.name}, {run.file}": (
            np.array(run.day_ts_ns, np.int64),
            np.array(run.equity, np.float64),
        )
        for run in compared
    }
    chart = charts.equity_and_drawdown(result.equity_ts_ns, result.equity, result.settings.capital, compare=others)
    return panels.card("Equity and drawdown", chart, f"in {result.instruments[0].quote}")


def heat_chart(desk: Desk, view: View, key: InstrumentKey | None, mode: theme.Mode) -> Html:
    """Return what each strategy thought at each bar; as long as the votes are the same it is not drawn again."""
    outcome = view.outcome
    if outcome is None or key not in outcome.markets.bars:
        return Html(panels.TALL)

    def drawn() -> Html:
        theme.set_mode(mode)
        names, votes = desk.bench.forecasts(outcome, key)
        signals, stamps = outcome.result.signals[key], outcome.markets.bars[key].ts_close_ns
        chart = charts.forecast_heat(signals, votes, stamps, [spoken(name) for name in names])
        return panels.card(
            "What each strategy thought", chart, "forecasts from \N{MINUS SIGN}20 to +20, before weights"
        )

    return desk.drawn.get((desk.bench.signals_name(outcome), key, mode), drawn)


def trips_table(view: View, set_focus: Set, set_bar: Set) -> Any:
    """Return the table of round trips; a selected row is pointed out on the chart."""
    outcome = view.outcome
    if outcome is None or outcome.result.round_trips.size == 0:
        return mo.ui.table([], selection=None, label="")
    trips = outcome.result.round_trips[::-1]
    names = [fact.key.symbol for fact in outcome.result.instruments]
    profit = f"Profit, {outcome.result.instruments[0].quote}"

    def chosen(rows: Any) -> None:
        numbers = rows["#"].to_list() if isinstance(rows, pl.DataFrame) else [row["#"] for row in rows]
        if numbers:
            set_bar(entry_bar(outcome, numbers[0]))
        set_focus(Focus(numbers[0] if numbers else None))

    return mo.ui.table(
        pl.DataFrame(trip_columns(trips, names, outcome.result.strategies)).rename({"Profit": profit}),
        selection="single",
        on_change=chosen,
        page_size=8,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        freeze_columns_left=["#"],
        format_mapping={
            profit: _plus,
            "R": _plus,
            "Against, R": "{:.2f}".format,
            "Along, R": "{:.2f}".format,
            "Entry": "{:,.8g}".format,
            "Exit": "{:,.8g}".format,
        },
        style_cell=_toned,
    )


def _plus(value: float) -> str:
    return words.plus(value, 2)


def trip_columns(trips: Records, names: Sequence[str], strategies: Sequence[str]) -> dict[str, Any]:
    """Return round trips as columns for people.

    Args:
        trips: ROUND_TRIP[R].
        names: Of the instruments that trips name by number.
        strategies: Those that `lead` names by number.
    """
    return {
        "#": trips["number"].astype(np.int64),
        "Market": [names[number] for number in trips["instrument"]],
        "Side": ["long" if direction > 0 else "short" for direction in trips["direction"]],
        "Profit": trips["pnl"].astype(np.float64),
        "R": trips["r_multiple"].astype(np.float64),
        "Entered": moments(trips["entry_ts_ns"].astype(np.int64)),
        "Left": moments(trips["exit_ts_ns"].astype(np.int64)),
        "Bars": trips["bars_held"].astype(np.int64),
        "Because": [REASON_TEXT[Reason(int(code))] for code in trips["exit_reason"]],
        "Led by": [spoken(strategies[lead]) if lead >= 0 else "nobody" for lead in trips["lead"]],
        "Regime": [LABELS[code] for code in trips["regime"]],
        "Entry": trips["entry_price"].astype(np.float64),
        "Exit": trips["exit_price"].astype(np.float64),
        "Against, R": trips["mae_r"].astype(np.float64),
        "Along, R": trips["mfe_r"].astype(np.float64),
    }


def _toned(_row: str, column: str, value: Any) -> dict[str, Any]:
    if not (column == "R" or column.startswith("Profit")) or not isinstance(value, int | float) or value == 0:
        return {}
    return {"color": "var(--np-gain)" if value > 0 else "var(--np-loss)", "fontWeight": 600}
