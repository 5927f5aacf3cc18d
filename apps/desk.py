# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Desk: one account."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse desk", css_file="../novapulse/ui/desk.css")

with app.setup:
    from novapulse.ui.apps import desk as view


@app.cell
def page():
    view.page()
    return


if __name__ == "__main__":
    app.run()
