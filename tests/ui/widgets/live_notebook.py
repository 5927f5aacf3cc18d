"""A notebook for the tests: live widgets over a hub that counts."""

import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import marimo as mo
    import numpy as np
    import ticking

    from novapulse.core.bars import MINUTE_NS, BarColumns
    from novapulse.ui.session import scope
    from novapulse.ui.widgets import Candles, Tiles

    closes = np.arange(1, 101) * MINUTE_NS + 1_774_267_800_000_000_000
    prices = np.linspace(100, 120, 100)
    bars = BarColumns.checked(closes, prices, prices + 1, prices - 1, prices, prices, timeframe_ns=MINUTE_NS)
    tiles = scope().own(Tiles())
    chart = scope().own(Candles(bars, label="BTC-USD", height=200))
    tiles.observe(lambda change: ticking.note("tiles closed"), "comm")
    return chart, mo, scope, ticking, tiles


@app.cell
def _(chart, scope, ticking, tiles):
    def deliver(count, tiles=tiles, chart=chart):
        tiles.show_state({"tiles": [{"label": "count", "value": count}]})
        chart.word()

    _ = scope().pump(ticking.HUB, deliver)


@app.cell
def _(chart, mo, tiles):
    shown = mo.ui.anywidget(chart)
    mo.vstack([tiles, shown])
    return (shown,)


@app.cell
def _(mo, shown):
    mo.md(f"clicked: {shown.value['clicked'].get('time', 'nothing')}")


if __name__ == "__main__":
    app.run()
