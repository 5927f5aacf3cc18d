# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Strategy lab: one strategy, its parameters, its votes over the chart, what it earns alone, and its proofs."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse strategy lab", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui import backtest_view
    from novapulse.ui.notebooks import lab as page
    from novapulse.ui.notebooks import lab_view as show
    from novapulse.ui.notebooks.work import Came


@app.cell
def states():
    get_reloads, set_reloads = mo.state(0, allow_self_loops=True)
    get_resets, set_resets = mo.state(0, allow_self_loops=True)
    get_said, set_said = mo.state(page.Said())
    get_wrong, set_wrong = mo.state(())
    get_traded, set_traded = mo.state(Came())
    get_proven, set_proven = mo.state(Came())
    return (
        get_proven,
        get_reloads,
        get_resets,
        get_said,
        get_traded,
        get_wrong,
        set_proven,
        set_reloads,
        set_resets,
        set_said,
        set_traded,
        set_wrong,
    )


@app.cell
def opening(get_reloads):
    desk = page.open_desk(get_reloads())
    mo.stop(desk.problem is not None, show.cannot_open(desk))
    return (desk,)


@app.cell
def mode_widget(desk):
    watch = backtest_view.mode_watch(desk)
    watch
    return (watch,)


@app.cell
def choose(desk, get_reloads, set_reloads):
    series = page.series_choice(desk)
    strategy = page.strategy_choice(desk)
    horizon = page.horizon_choice(desk)
    choices = show.choices_of(series, strategy, horizon)
    reload = page.reload_button(get_reloads(), set_reloads)
    return choices, horizon, reload, series, strategy


@app.cell
def choose_parameters(desk, get_resets, set_resets, strategy):
    form = page.parameter_form(desk, strategy.value)
    reset = show.reset_button(get_resets(), set_resets)
    fields = show.fields_of(form, reset)
    return fields, form, reset


@app.cell
def choosing(desk, form, horizon, series, strategy):
    chosen = page.choose(desk, series.value, strategy.value, form.value, horizon.value)
    return (chosen,)


@app.cell
def voting(chosen, desk):
    votes = page.voted(desk, chosen)
    return (votes,)


@app.cell
def figures(votes):
    show.figures(votes)
    return


@app.cell
def chart_made(desk, series):
    candles = show.candles_of(desk, series.value)
    return (candles,)


@app.cell
def votes_drawn(candles, votes):
    show.show_votes(candles, votes)
    show.answer_bars(candles, votes)
    return


@app.cell
def saying(chosen, desk, set_wrong):
    page.say_wrong(desk, chosen, set_wrong)
    return


@app.cell
def resting(chosen, desk, set_said, votes):
    page.rest(desk, chosen, votes, set_said)
    return


@app.cell
def rested(get_said):
    said = get_said()
    mo.stop(said.chosen is None)
    return (said,)


@app.cell
def running(desk, said, set_traded):
    page.trade_alone(desk, said.chosen, set_traded)
    return


@app.cell
def traded_alone(desk, get_traded):
    traded = page.came_of(desk, get_traded())
    return (traded,)


@app.cell
def trades_drawn(candles, said, traded):
    show.show_trades(candles, said.votes, traded)
    return


@app.cell
def header(desk, said, traded):
    show.header(desk, said, traded)
    return


@app.cell
def settings(choices, desk, fields, get_wrong, reload):
    show.settings_panel(desk, get_wrong(), choices, fields, reload)
    return


@app.cell
def candlesticks(candles):
    candles
    return


@app.cell
def mode_told(watch):
    _told = backtest_view.mode_of(watch)
    mo.stop(_told is None)
    mode = _told
    return (mode,)


@app.cell
def sums(mode, said):
    show.sums(said.votes, mode)
    return


@app.cell
def alone(mode, traded):
    show.alone(traded, mode)
    return


@app.cell
def prove_asked(desk):
    button = page.prove_button(desk)
    return (button,)


@app.cell
def proving(button, desk, said, set_proven):
    page.prove(desk, button.value, said.chosen, set_proven)
    return


@app.cell
def proofs(button, desk, get_proven, said):
    show.proofs(button, page.came_of(desk, get_proven()), said.chosen)
    return


if __name__ == "__main__":
    app.run()
