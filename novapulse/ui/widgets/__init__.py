"""Widgets of the dashboards: pictures of the latest state that keep themselves current and say when they cannot.

Each is one class over one script and one style sheet, built from src/ into assets/ by `just assets`. None asks the net
for anything, and none trusts what a page writes back.
"""

from novapulse.ui.widgets.boards import Meters, Orders, Positions, Rows, StatusStrip, Tiles
from novapulse.ui.widgets.hold import Hold
from novapulse.ui.widgets.live import Live

__all__ = ["Hold", "Live", "Meters", "Orders", "Positions", "Rows", "StatusStrip", "Tiles"]
