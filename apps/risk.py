# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Risk: limits and how near."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse risk", css_file="../novapulse/ui/desk.css")

with app.setup:
    from novapulse.ui.apps import risk as view


@app.cell
def page():
    view.page()
    return


if __name__ == "__main__":
    app.run()
