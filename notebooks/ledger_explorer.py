# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Ledger explorer: entries and their legs, balances, lots, orders as facts, and the proof of it all."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse ledger", css_file="../novapulse/ui/desk.css")

with app.setup:
    import marimo as mo

    from novapulse.ui.notebooks import explorer as page
    from novapulse.ui.notebooks import explorer_view as show
    from novapulse.ui.notebooks.work import Came


@app.cell
def opening():
    desk = page.open_desk()
    mo.stop(desk.problem is not None, show.cannot_open(desk))
    return (desk,)


@app.cell
def states():
    get_looks, set_looks = mo.state(0, allow_self_loops=True)
    get_proof, set_proof = mo.state(Came())
    return get_looks, get_proof, set_looks, set_proof


@app.cell
def looking(desk, get_looks, set_looks):
    refresh = page.refresh_button(get_looks(), set_looks)
    head = page.head_of(desk)
    return head, refresh


@app.cell
def choose_account(head):
    account = page.account_choice(head)
    until = page.until_choice(head)
    return account, until


@app.cell
def choose(desk):
    kinds = page.kind_choice(desk)
    chosen = page.section_choice(desk)
    button = page.prove_button(desk)
    noted = page.noted_head(desk)
    return button, chosen, kinds, noted


@app.cell
def header(desk, head):
    show.header(desk, head)
    return


@app.cell
def settings(account, kinds, refresh, until):
    show.settings_panel(account, kinds, until, refresh)
    return


@app.cell
def running(button, desk, noted, set_proof):
    page.prove(desk, button.value, noted.value, set_proof)
    return


@app.cell
def proving(desk, get_proof):
    proof = page.came_of(desk, get_proof())
    return (proof,)


@app.cell
def figures(head, proof):
    show.figures(head, proof)
    return


@app.cell
def sections(chosen):
    chosen
    return


@app.cell
def entries_listed(account, desk, kinds, until):
    found = page.entries_of(desk, account.value, kinds.value, until.value)
    entries = page.entries_table(found)
    return entries, found


@app.cell
def orders_listed(account, desk, head):
    orders = page.orders_table(desk, account.value, head)
    return (orders,)


@app.cell
def section(account, button, chosen, desk, entries, found, noted, orders, proof):
    show.section(desk, chosen.value, account.value, entries, found, orders, button, noted, proof)
    return


if __name__ == "__main__":
    app.run()
