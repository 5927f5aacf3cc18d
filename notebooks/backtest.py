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
    get_rested, set_rested = mo.state(page.View())
    get_heard, set_heard = mo.state(page.View())
    get_keys, set_keys = mo.state(())
    get_wrong, set_wrong = mo.state(())
    get_resets, set_resets = mo.state(0, allow_self_loops=True)
    get_bar, set_bar = mo.state(None, allow_self_loops=True)
    get_focus, set_focus = mo.state(show.Focus())
    get_shelf, set_shelf = mo.state(saved.Shelf())
    get_loaded, set_loaded = mo.state(None)
    get_pressed, set_pressed = mo.state(None, allow_self_loops=True)
    return (
        get_bar,
        get_focus,
        get_heard,
        get_keys,
        get_loaded,
        get_pressed,
        get_resets,
        get_rested,
        get_shelf,
        get_view,
        get_wrong,
        set_bar,
        set_focus,
        set_heard,
        set_keys,
        set_loaded,
        set_pressed,
        set_resets,
        set_rested,
        set_shelf,
        set_view,
        set_wrong,
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
    fields = page.fields_of(desk, form, reset)
    return fields, form, reset


@app.cell
def asking(base, data, desk, form, series):
    asked = page.ask(desk, base, series.value, data.value, form.value)
    return (asked,)


@app.cell
def running(asked, desk, get_pressed, set_pressed, set_view):
    page.start(desk, asked, set_view, get_pressed(), set_pressed)
    return


@app.cell
def viewing(desk, get_view, set_keys):
    view = page.view_of(desk, get_view(), set_keys)
    return (view,)


@app.cell
def verdict(view):
    show.verdict(view)
    return


@app.cell
def chart_made(desk, set_bar):
    price = show.price_chart(desk, set_bar)
    return (price,)


@app.cell
def choose_instrument(get_keys):
    instrument = show.instrument_choice(get_keys())
    return (instrument,)


@app.cell
def price_drawn(get_focus, instrument, price, view):
    show.show_price(price, view, instrument.value, get_focus())
    return


@app.cell
def price(instrument, price):
    show.price_card(price, instrument)
    return


@app.cell
def saying(asked, desk, set_wrong, view):
    page.say_wrong(desk, asked, view, set_wrong)
    return


@app.cell
def resting(desk, set_heard, set_rested, view):
    page.rest(desk, view, set_rested, set_heard)
    return


@app.cell
def rested_view(get_rested):
    rested = get_rested()
    return (rested,)


@app.cell
def header(desk, get_wrong, rested):
    show.header(desk, rested, get_wrong())
    return


@app.cell
def settings(data, fields, get_wrong, series):
    page.settings_panel(get_wrong(), series, data, fields)
    return


@app.cell
def mode_told(watch):
    _told = show.mode_of(watch)
    mo.stop(_told is None)
    mode = _told
    return (mode,)


@app.cell
def explain(desk, get_bar, get_focus, instrument, price, rested, set_bar, set_focus):
    bar = show.bar_of(rested, instrument.value, get_bar())
    buttons = show.moves(rested, instrument.value, bar, set_bar, get_focus(), set_focus)
    show.explanation(desk, rested, instrument.value, bar, buttons, price)
    return


@app.cell
def equity(choice, mode, rested):
    show.equity_chart(rested, choice.value, mode)
    return


@app.cell
def heat(desk, get_heard, instrument, mode):
    show.heat_chart(desk, get_heard(), instrument.value, mode)
    return


@app.cell
def trips_listed(rested, set_bar, set_focus):
    trips = show.trips_table(rested, set_focus, set_bar)
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
def saved_name(rested):
    name = saved.name_input(rested)
    return (name,)


@app.cell
def saved_buttons(choice, name, rested, set_loaded, set_shelf, shelf):
    load = saved.load_button(choice.value, shelf, set_shelf, set_loaded)
    keep = saved.save_button(rested, name.value, choice.value, shelf, set_shelf)
    remove = saved.delete_button(choice.value, shelf, set_shelf)
    return keep, load, remove


@app.cell
def saved_shown(choice, keep, load, name, remove, rested, shelf, there):
    saved_runs = saved.panel(rested, shelf, there, name, choice, keep, load, remove)
    return (saved_runs,)


@app.cell
def section(chosen, mode, rested, saved_runs, trips):
    parts.section(chosen.value, rested, trips, saved_runs, mode)
    return


if __name__ == "__main__":
    app.run()
