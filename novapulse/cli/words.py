"""What single words of the command line may be."""

import argparse

from novapulse.cli.scan_options import number_in

ROWS_MAX = 100_000
SECONDS_MAX = 86_400


def rows(text: str) -> int:
    """Return how many rows are wanted.

    Raises:
        ArgumentTypeError: It is no whole number from 1 to `ROWS_MAX`.
    """
    if not text.isdecimal() or not 1 <= int(text) <= ROWS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to {ROWS_MAX:,}")
    return int(text)


def seconds(text: str) -> float:
    """Return a time to wait.

    Raises:
        ArgumentTypeError: It is no number from 0 to `SECONDS_MAX`.
    """
    return number_in(text, SECONDS_MAX, f"seconds, from 0 to {SECONDS_MAX}")


def verb(text: str) -> str:
    """Return a verb as people spell it: the ledger and the interface for programs have underscores."""
    return text.replace("_", "-")
