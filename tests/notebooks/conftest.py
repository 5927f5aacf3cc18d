"""The command line's home, lake and generated market, for the notebooks that stand on them."""

from tests.browser import chromium
from tests.cli.conftest import cli, home, lake, stocked

__all__ = ["chromium", "cli", "home", "lake", "stocked"]
