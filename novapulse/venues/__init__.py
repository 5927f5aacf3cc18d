"""Adapters of the venues that accounts live at: each is a `core.ports.Venue`, and none knows another."""
