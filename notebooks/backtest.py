# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Backtest: choose bars and settings, and see at once what they would have done, and why."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse backtest", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui import backtest_page as page
    from novapulse.ui import backtest_view as show
    from novapulse.ui import saved_panel as saved
    from novapulse.ui import sections as parts


@app.cell
def opening():
    desk = page.open_desk()
    mo.stop(desk.problem is not None, show.cannot_open(desk))
    return (desk,)


@app.cell
def states():
    get_view, set_view = mo.state(page.View())
    get_resets, set_resets = mo.state(0, allow_self_loops=True)
    get_bar, set_bar = mo.state(None, allow_self_loops=True)
    get_focus, set_focus = mo.state(show.Focus())
    get_shelf, set_shelf = mo.state(saved.Shelf())
    get_loaded, set_loaded = mo.state(None)
    get_pressed, set_pressed = mo.state(None, allow_self_loops=True)
    return (
        get_bar,
        get_focus,
        get_loaded,
        get_pressed,
        get_resets,
        get_shelf,
        get_view,
        set_bar,
        set_focus,
        set_loaded,
        set_pressed,
        set_resets,
        set_shelf,
        set_view,
    )


@app.cell
def mode_widget(desk):
    watch = show.mode_watch(desk)
    watch
    return (watch,)


@app.cell
def choose_series(desk):
    series = page.series_choice(desk)
    return (series,)


@app.cell
def choose_data(desk, series):
    data = page.data_form(desk, series.value)
    return (data,)


@app.cell
def base_chosen(desk, get_loaded):
    base = page.base_of(desk, get_loaded())
    return (base,)


@app.cell
def choose_settings(base, desk, get_resets, set_loaded, set_resets):
    form = page.settings_form(desk, base)
    reset = page.reset_button(get_resets(), set_resets, set_loaded)
    return form, reset


@app.cell
def asking(base, data, desk, form, series):
    asked = page.ask(desk, base, series.value, data.value, form.value)
    return (asked,)


@app.cell
def running(asked, desk, get_pressed, set_pressed, set_view):
    page.start(desk, asked, set_view, get_pressed(), set_pressed)
    return


@app.cell
def viewing(desk, get_view):
    view = page.view_of(desk, get_view())
    return (view,)


@app.cell
def header(asked, desk, view):
    show.header(desk, view, asked)
    return


@app.cell
def settings(asked, data, desk, form, get_view, reset, series):
    page.settings_panel(desk, asked, get_view(), series, data, form, reset)
    return


@app.cell
def verdict(view):
    show.verdict(view)
    return


@app.cell
def mode_told(watch):
    mode = show.mode_of(watch)
    mo.stop(mode is None)
    return (mode,)


@app.cell
def choose_instrument(view):
    instrument = show.instrument_choice(view)
    return (instrument,)


@app.cell
def price_drawn(get_focus, instrument, mode, view):
    price = show.price_chart(view, instrument.value, get_focus(), mode)
    return (price,)


@app.cell
def price(instrument, price, view):
    show.price_card(view, instrument, price)
    return


@app.cell
def picking(price, set_bar):
    show.note_bar(price, set_bar)
    return


@app.cell
def explain(desk, get_bar, get_focus, instrument, set_bar, set_focus, view):
    bar = show.bar_of(view, instrument.value, get_bar())
    buttons = show.moves(view, instrument.value, bar, set_bar, get_focus(), set_focus)
    show.explanation(desk, view, instrument.value, bar, buttons)
    return


@app.cell
def equity(choice, mode, view):
    show.equity_chart(view, choice.value, mode)
    return


@app.cell
def heat(desk, instrument, mode, view):
    show.heat_chart(desk, view, instrument.value, mode)
    return


@app.cell
def trips_listed(set_bar, set_focus, view):
    trips = show.trips_table(view, set_focus, set_bar)
    return (trips,)


@app.cell
def sections(desk):
    chosen = parts.section_choice(desk)
    chosen
    return (chosen,)


@app.cell
def saved_read(get_shelf):
    shelf = get_shelf()
    there = saved.on_disk(shelf)
    choice = saved.run_choice(there, shelf)
    return choice, shelf, there


@app.cell
def saved_name(view):
    name = saved.name_input(view)
    return (name,)


@app.cell
def saved_buttons(choice, name, set_loaded, set_shelf, shelf, view):
    load = saved.load_button(choice.value, shelf, set_shelf, set_loaded)
    keep = saved.save_button(view, name.value, choice.value, shelf, set_shelf)
    remove = saved.delete_button(choice.value, shelf, set_shelf)
    return keep, load, remove


@app.cell
def saved_shown(choice, keep, load, name, remove, shelf, there, view):
    saved_runs = saved.panel(view, shelf, there, name, choice, keep, load, remove)
    return (saved_runs,)


@app.cell
def section(chosen, mode, saved_runs, trips, view):
    parts.section(chosen.value, view, trips, saved_runs, mode)
    return


if __name__ == "__main__":
    app.run()
