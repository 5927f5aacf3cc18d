"""The dashboard apps: what each of them shows, apart from the cells that show it.

Invariants:
- a page is drawn once; from then on widgets get readings, and no cell runs again for one;
- nothing is computed here that the monitor or the ledger knows;
- what a page offers to do is decided by the server again when it is asked for.
"""

from importlib import import_module
from pkgutil import iter_modules


def load() -> None:
    """Import all that pages will: kernels that import the same modules at once keep each other from it for ever."""
    for name in ("IPython.display", *(f"{__name__}.{one.name}" for one in iter_modules(__path__))):
        import_module(name)
