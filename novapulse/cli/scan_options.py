"""The words of `novapulse scan`."""

import argparse

ABOUT_SCAN = """\
Judge the last bar of every series of the lake with the strategies, the regime and the
decision that trade, each as the only instrument of an account that holds nothing, and
rank them. Which series is said under 'scan:' in the configuration, or here.

A series with too few bars is listed as not warm, with how many it has and needs;
--own-timeframe needs the fewest. Exit 1 when a series cannot be read.
"""

ORDERS = ("strength", "score", "change", "turnover", "age", "symbol")


def add_scan_options(parser: argparse.ArgumentParser) -> None:
    """Add which series are looked at, which are shown, and how."""
    parser.add_argument("--exchange", metavar="E", help="only this one, such as us")
    parser.add_argument(
        "--symbol", metavar="S", nargs="+", action="extend", help="only these: symbols or patterns, SPY or 'BTC-*'"
    )
    parser.add_argument("--timeframe", metavar="T", help="only bars of this width, such as 1d")
    parser.add_argument(
        "--own-timeframe",
        action="store_true",
        default=None,
        help="vote on the bars themselves alone, without slower timeframes",
    )
    parser.add_argument("--direction", choices=("long", "short"), help="only where the consensus points this way")
    parser.add_argument("--regime", metavar="R", help="only where the market is so, such as trend-high")
    parser.add_argument(
        "--score-min", metavar="N", type=_score, default=0.0, help="least size of the consensus, 0 to 20"
    )
    parser.add_argument(
        "--turnover-min", metavar="N", type=_amount, default=0.0, help="least that is traded on a day, quote currency"
    )
    parser.add_argument(
        "--sort",
        choices=ORDERS,
        default="strength",
        help="what comes first (strength: the strongest consensus either way)",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    shown.add_argument("--csv", action="store_true", help="print CSV instead of tables")


def number_in(text: str, most: float, wanted: str) -> float:
    """Return a number from 0 to `most`.

    Raises:
        argparse.ArgumentTypeError: It is none; the message says what was wanted.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {wanted}")
    return value


def _score(text: str) -> float:
    return number_in(text, 20.0, "a size of the consensus, from 0 to 20")


def _amount(text: str) -> float:
    return number_in(text, 1e18, "an amount, from 0")
