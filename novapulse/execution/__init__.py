"""How orders meet the market: the compiled fill model and the tactics of an order that is not filled at once."""
