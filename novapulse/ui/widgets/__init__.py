"""Widgets of the dashboards: pictures of the latest state that keep themselves current and say when they cannot.

Each is one class over one script and one style sheet, built from src/ into assets/ by `just assets`. None asks the net
for anything, and none trusts what a page writes back.
"""

from novapulse.ui.widgets.boards import Ladder, Meters, Orders, Positions, Rows, Skips, StatusStrip, Tiles
from novapulse.ui.widgets.candles import Candles, Trips
from novapulse.ui.widgets.equity import Equity
from novapulse.ui.widgets.hold import Hold
from novapulse.ui.widgets.live import Live
from novapulse.ui.widgets.press import Press

__all__ = [
    "Candles",
    "Equity",
    "Hold",
    "Ladder",
    "Live",
    "Meters",
    "Orders",
    "Positions",
    "Press",
    "Rows",
    "Skips",
    "StatusStrip",
    "Tiles",
    "Trips",
]
