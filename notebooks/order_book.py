# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Order book: a recorded tape as a ladder to walk through, its features, and what the price did after."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse order book", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui import backtest_view
    from novapulse.ui.notebooks import book as page
    from novapulse.ui.notebooks import book_view as show
    from novapulse.ui.notebooks.work import Came


@app.cell
def opening():
    desk = page.open_desk()
    mo.stop(desk.problem is not None, show.cannot_open(desk))
    return (desk,)


@app.cell
def states():
    get_came, set_came = mo.state(Came())
    return get_came, set_came


@app.cell
def mode_widget(desk):
    watch = backtest_view.mode_watch(desk)
    watch
    return (watch,)


@app.cell
def choose(desk):
    tape = page.tape_choice(desk)
    every = page.every_choice(desk)
    horizon = page.horizon_choice(desk)
    feature = page.feature_choice(desk)
    return every, feature, horizon, tape


@app.cell
def running(desk, every, set_came, tape):
    page.start(desk, tape.value, every.value, set_came)
    return


@app.cell
def came_of_it(desk, get_came):
    came = page.came_of(desk, get_came())
    return (came,)


@app.cell
def header(came, desk):
    show.header(desk, came)
    return


@app.cell
def settings(every, feature, horizon, tape):
    show.settings_panel(tape, every, horizon, feature)
    return


@app.cell
def walk(came):
    show.walk(came)
    return


@app.cell
def mode_told(watch):
    mode = backtest_view.mode_of(watch)
    mo.stop(mode is None)
    return (mode,)


@app.cell
def over_time(came, feature, mode):
    show.over_time(came, feature.value, mode)
    return


@app.cell
def predicting(came, horizon):
    told = show.predicted(came, horizon.value)
    return (told,)


@app.cell
def next_moves(came, mode, told):
    show.next_moves(came, told, mode)
    return


@app.cell
def refused(came):
    show.refused(came)
    return


if __name__ == "__main__":
    app.run()
