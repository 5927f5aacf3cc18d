"""What single words of the command line may be."""

import argparse
from urllib.parse import unquote, urlsplit

from novapulse.cli.scan_options import number_in
from novapulse.ops.masking import SECRETS

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


def ledger_place(text: str) -> str:
    """Return a path or the address of a server; from now on the password in it is masked in all that is written.

    Raises:
        ArgumentTypeError: The password is too short to be found in a text without spoiling ordinary words.
    """
    try:
        password = urlsplit(text).password
    except ValueError:
        # What is no address at all is refused where it is used.
        return text
    if password:
        try:
            SECRETS.register(unquote(password))
        except ValueError as wrong:
            raise argparse.ArgumentTypeError(f"the password of the server: {wrong}") from wrong
    return text


def verb(text: str) -> str:
    """Return a verb as people spell it: the ledger and the interface for programs have underscores."""
    return text.replace("_", "-")
