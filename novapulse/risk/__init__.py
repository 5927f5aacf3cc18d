"""Stops, sizing, limits and the decision that composes them, compiled. Knows no strategy."""
