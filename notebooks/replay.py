# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Replay: travel to a recorded decision, see all that made it, change something, and decide again."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse replay", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui.notebooks import replay as page
    from novapulse.ui.notebooks import replay_view as show
    from novapulse.ui.notebooks.work import Came


@app.cell
def opening():
    desk = page.open_desk()
    mo.stop(desk.problem is not None, show.cannot_open(desk.problem))
    return (desk,)


@app.cell
def states():
    get_came, set_came = mo.state(Came())
    get_resets, set_resets = mo.state(0, allow_self_loops=True)
    get_asked, set_asked = mo.state(None)
    return get_asked, get_came, get_resets, set_asked, set_came, set_resets


@app.cell
def choose_account(desk):
    account = page.account_choice(desk)
    verb = page.verb_choice(desk)
    return account, verb


@app.cell
def list_decisions(account, desk, get_asked, verb):
    table = page.decisions_table(desk, account.value, verb.value, get_asked())
    return (table,)


@app.cell
def running(desk, set_came, table):
    page.start(desk, page.chosen(table), set_came)
    return


@app.cell
def came_of_it(desk, get_came):
    came = page.came_of(desk, get_came())
    return (came,)


@app.cell
def choose_change(came, get_resets, set_resets):
    form = page.what_if_form(came)
    reset = page.reset_button(get_resets(), set_resets)
    return form, reset


@app.cell
def changing(came, form):
    change, wrong = page.change_of(came, form.value)
    return change, wrong


@app.cell
def header(came, desk):
    show.header(desk, came)
    return


@app.cell
def settings(account, desk, form, reset, verb, wrong):
    page.settings_panel(desk, account, verb, form, reset, wrong)
    return


@app.cell
def decisions(table):
    show.decisions(table)
    return


@app.cell
def verdict(came):
    show.verdict(came)
    return


@app.cell
def price_drawn(came):
    candles = show.chart(came)
    return (candles,)


@app.cell
def price(candles):
    candles
    return


@app.cell
def travelling(came, candles, desk, set_asked, verb):
    page.travel_by_bar(desk, came, verb.value, candles, set_asked)
    return


@app.cell
def explain(came):
    show.explanation(came)
    return


@app.cell
def compared(came, change):
    show.compared(came, change)
    return


@app.cell
def state(came):
    show.state(came)
    return


@app.cell
def proof(came):
    show.proof(came)
    return


if __name__ == "__main__":
    app.run()
