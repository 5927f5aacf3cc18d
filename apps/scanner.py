# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Scanner: every instrument, and what strategies earned."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse scanner", css_file="../novapulse/ui/desk.css")

with app.setup:
    from novapulse.ui.apps import scanner as view


@app.cell
def page():
    view.page()
    return


if __name__ == "__main__":
    app.run()
