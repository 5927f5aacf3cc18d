"""The trader: one account's decisions, orders and books as a function of events, and what runs it."""
