"""The dashboard apps: what each of them shows, apart from the cells that show it.

Invariants:
- a page is drawn once; from then on widgets get readings, and no cell runs again for one;
- nothing is computed here that the monitor or the ledger knows;
- what a page offers to do is decided by the server again when it is asked for.
"""
