"""Traders, venues, ledger, network and time in one process: replay without faults, simulation with them."""
