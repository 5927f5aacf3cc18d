# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Journal: the entries behind every number."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="NovaPulse journal", css_file="../novapulse/ui/desk.css")

with app.setup:
    from novapulse.ui.apps import journal as view


@app.cell
def page():
    view.page()
    return


if __name__ == "__main__":
    app.run()
