"""Double entry: the books of an account and the legs of everything that moves money.

Invariants:
- amounts are integers in units of the asset's ledger scale; the legs of one record sum to 0 per asset;
- a hold moves cash between two books of the same account: what the venue shows as total never changes by it;
- a difference that nobody can explain lies in SUSPENSE, where it can be seen, never in a plug.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


class Book(enum.StrEnum):
    """Where an amount lies."""

    CASH = "cash"  # quote asset, free
    HOLD = "hold"  # quote asset, reserved by open entry orders
    INVENTORY = "inventory"  # base asset held; negative when short
    TRADING = "trading"  # the other side of every trade
    FEES = "fees"  # paid to the venue; rebates negative
    CAPITAL = "capital"  # what was brought in or taken out
    INCOME = "income"  # interest, staking, dividends
    SUSPENSE = "suspense"  # breaks that are not explained
    DUST = "dust"  # what is too small to trade


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg.

    Attributes:
        book: Where.
        asset: Of what.
        amount: Signed, units of 10^-scale of the asset, not 0.
    """

    book: Book
    asset: str
    amount: int


def imbalance(postings: Iterable[Posting]) -> dict[str, int]:
    """Return what the legs of one record miss of summing to 0, by asset; empty when they balance."""
    sums: defaultdict[str, int] = defaultdict(int)
    for posting in postings:
        sums[posting.asset] += posting.amount
    return {asset: amount for asset, amount in sums.items() if amount != 0}


def move(asset: str, amount: int, source: Book, target: Book) -> tuple[Posting, ...]:
    """Return the legs that move an amount from one book to another; none for an amount of 0."""
    return (Posting(source, asset, -amount), Posting(target, asset, amount)) if amount else ()


def trade(base: str, quote: str, side: int, base_units: int, cash_units: int, fee_units: int) -> tuple[Posting, ...]:
    """Return the legs of one execution.

    Args:
        base: Asset traded.
        quote: Asset paid in.
        side: +1 bought, -1 sold.
        base_units: Quantity, > 0, in the base asset's ledger scale.
        cash_units: Notional, >= 0, in the quote asset's ledger scale.
        fee_units: Fee in the quote asset; negative is a rebate.
    """
    return (
        *move(base, side * base_units, Book.TRADING, Book.INVENTORY),
        *move(quote, side * cash_units, Book.CASH, Book.TRADING),
        *move(quote, fee_units, Book.CASH, Book.FEES),
    )
