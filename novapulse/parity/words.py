"""What a decision saw, in words: its limits, and the caps of its size. And what differs of two round trips."""

LIMIT_TEXT = {
    "daily loss": "loss of the day",
    "drawdown": "drawdown, from the peak of the equity",
    "gross exposure": "all positions, entries at work included",
    "group exposure": "positions that move together with it, entries at work included",
    "positions": "number of positions and entries at work",
}
"""Limit as `Rederived.state` names it -> what is counted."""

CAP_TEXT = {
    "risk": "risk at the stop",
    "volatility": "how far its price moves",
    "kelly": "Kelly, by what was won so far",
    "position": "largest position",
    "gross": "room beside all positions",
    "group": "room beside positions that move together",
    "cash": "free cash",
}
"""Cap of a size as `core.records.CAPS` names it -> what it goes by."""

FIELD_TEXT = {
    "entry_ns": "when it was entered",
    "direction": "long or short",
    "qty_units": "quantity",
    "entry_price": "price of the entry",
    "exit_ns": "when it was left",
    "exit_reason": "why it was left",
    "exit_price": "price of the exit",
    "fee_units": "fees",
    "missing": "it is not there",
    "extra": "there is one more",
}
"""What differs of a round trip, as `trips.Difference.field` names it -> in words."""
