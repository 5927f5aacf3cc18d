# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Health: trader, ledger, accounts."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse health", css_file="../novapulse/ui/desk.css")

with app.setup:
    from novapulse.ui.apps import health as view


@app.cell
def page():
    view.page()
    return


if __name__ == "__main__":
    app.run()
