# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Parity: a recorded session against its replay and its own backtest, and the cause of every difference."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse parity", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui import backtest_view
    from novapulse.ui.notebooks import parity as page
    from novapulse.ui.notebooks.work import Came


@app.cell
def opening():
    desk = page.open_desk()
    mo.stop(desk.problem is not None, page.cannot_open(desk))
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
    session = page.session_choice(desk)
    button = page.compare_button(desk)
    return button, session


@app.cell
def running(button, desk, session, set_came):
    page.start(desk, button.value, session.value, set_came)
    return


@app.cell
def came_of_it(desk, get_came):
    came = page.came_of(desk, get_came())
    return (came,)


@app.cell
def header(came, desk, session):
    page.header(desk, session.value, came)
    return


@app.cell
def settings(button, session):
    page.settings_panel(session, button)
    return


@app.cell
def figures(came, session):
    page.figures(session.value, came)
    return


@app.cell
def ladder(came):
    page.ladder(came)
    return


@app.cell
def differences(came):
    page.differences(came)
    return


@app.cell
def mode_told(watch):
    mode = backtest_view.mode_of(watch)
    mo.stop(mode is None)
    return (mode,)


@app.cell
def equity(came, mode):
    page.equity(came, mode)
    return


@app.cell
def described(came):
    page.described(came)
    return


if __name__ == "__main__":
    app.run()
