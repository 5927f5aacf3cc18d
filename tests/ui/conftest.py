"""The command line's home, lake and generated market, for the pages that show the same figures."""

from tests.cli.conftest import cli, home, lake, stocked

__all__ = ["cli", "home", "lake", "stocked"]
