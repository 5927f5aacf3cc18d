"""Kinds of events that the ledger itself looks at."""

INTENDED, FILLED = "order_intended", "fill_booked"
CLOSES = {"order_closed": 1, "order_reopened": -1}
"""Kind -> how it ends an order, or takes its end back; every other kind does neither."""
