"""Assets, accounts and instruments, and the one door from float to Decimal.

Invariants:
- an account is two fields, `exchange` and `account_id`; nothing joins them into one label;
- a symbol is canonical (`BTC/USD`); only paths and command lines write `BTC-USD`;
- steps, minimums and fees are exact decimals that come from the venue; an instrument whose steps were read off its own
  bars says so (`inferred`).
"""

import enum
import functools
import re
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Self

_SYMBOL = re.compile(r"^[A-Z0-9._]+(/[A-Z0-9._]+(:[A-Z0-9._]+)?)?$")
_EXCHANGE = re.compile(r"^[a-z][a-z0-9_]*$")


class Kind(enum.StrEnum):
    """What an instrument is."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    STOCK = "stock"


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """Where money lies: an exchange and an account there, always as two fields."""

    exchange: str
    account_id: str


@dataclass(frozen=True, slots=True, order=True)
class InstrumentKey:
    """What is traded, and where. Sorts by (exchange, symbol): the order in which a clock tick decides."""

    exchange: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.symbol} on {self.exchange}"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable market with the venue's own rules.

    Attributes:
        exchange: Lower-case id of the exchange, e.g. `kraken`.
        symbol: Canonical symbol, `BASE/QUOTE` for crypto, the plain code for stocks.
        base: Asset that is bought and sold.
        quote: Asset in which prices and cash are counted.
        kind: Spot, perpetual or stock.
        tick: Price step, quote per base, > 0.
        lot: Quantity step, base units, > 0.
        qty_min: Smallest order, base units, >= 0.
        notional_min: Smallest order, quote, >= 0.
        maker_fee_bps: Fee when the order added liquidity; negative is a rebate.
        taker_fee_bps: Fee when the order removed liquidity.
        cash_scale: Decimal digits to which every cash movement in `quote` is rounded, 0..8.
        calendar: `24/7` or the name of an exchange calendar, e.g. `XNYS`.
        shortable: Whether a negative position is allowed.
        group: Correlated group whose gross exposure is capped together; empty for none.
        inferred: True when tick and lot were read off the data and not given by the venue.
    """

    exchange: str
    symbol: str
    base: str
    quote: str
    kind: Kind = Kind.SPOT
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.00000001")
    qty_min: Decimal = Decimal(0)
    notional_min: Decimal = Decimal(0)
    maker_fee_bps: Decimal = Decimal(16)
    taker_fee_bps: Decimal = Decimal(26)
    cash_scale: int = 8
    calendar: str = "24/7"
    shortable: bool = False
    group: str = ""
    inferred: bool = False

    def __post_init__(self) -> None:
        if not _EXCHANGE.match(self.exchange):
            raise ValueError(f"exchange {self.exchange!r}: expected a lower-case id such as 'kraken'")
        if not _SYMBOL.match(self.symbol):
            raise ValueError(f"symbol {self.symbol!r} on {self.exchange}: expected a form such as 'BTC/USD' or 'AAPL'")
        for name in ("tick", "lot"):
            step: Decimal = getattr(self, name)
            if not step.is_finite() or step <= 0:
                raise ValueError(f"{self.symbol} on {self.exchange}: {name} must be above 0, got {step}")
        for name in ("qty_min", "notional_min"):
            minimum: Decimal = getattr(self, name)
            if not minimum.is_finite() or minimum < 0:
                raise ValueError(f"{self.symbol} on {self.exchange}: {name} must be 0 or more, got {minimum}")
        for name in ("maker_fee_bps", "taker_fee_bps"):
            fee: Decimal = getattr(self, name)
            if not fee.is_finite() or abs(fee) >= 10_000:
                raise ValueError(
                    f"{self.symbol} on {self.exchange}: {name} must be between -10000 and 10000, got {fee}"
                )
        if not 0 <= self.cash_scale <= 8:
            raise ValueError(f"{self.symbol} on {self.exchange}: cash_scale must be 0..8, got {self.cash_scale}")
        if self.price_scale + self.qty_scale > self.cash_scale + 9:
            raise ValueError(
                f"{self.symbol} on {self.exchange}: tick {self.tick} with lot {self.lot} is too fine for cash of "
                f"{self.cash_scale} digits"
            )

    @property
    def key(self) -> InstrumentKey:
        """Exchange and symbol."""
        return InstrumentKey(self.exchange, self.symbol)

    @property
    def price_scale(self) -> int:
        """Decimal digits of the price step."""
        return digits(self.tick)

    @property
    def qty_scale(self) -> int:
        """Decimal digits of the quantity step."""
        return digits(self.lot)

    def with_fees(self, maker_bps: Decimal, taker_bps: Decimal) -> Self:
        """Return the same market at another fee tier."""
        return replace(self, maker_fee_bps=maker_bps, taker_fee_bps=taker_bps)


@functools.lru_cache(maxsize=1024)
def digits(step: Decimal) -> int:
    """Return how many decimal digits are needed to write a step exactly, e.g. 2 for 0.05."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def canonical_symbol(text: str) -> str:
    """Return the canonical form of a symbol as people type it: `btc-usd` -> `BTC/USD`.

    Raises:
        ValueError: The text is not a symbol.
    """
    symbol = text.strip().upper().replace("-", "/", 1)
    if not _SYMBOL.match(symbol):
        raise ValueError(f"symbol {text!r}: expected a form such as BTC/USD, BTC-USD or AAPL")
    return symbol


def path_symbol(symbol: str) -> str:
    """Return a symbol as it is written in paths: `BTC/USD` -> `BTC-USD`."""
    return symbol.replace("/", "-").replace(":", "_")


_ROUNDING = {"down": ROUND_DOWN, "floor": ROUND_FLOOR, "ceiling": ROUND_CEILING, "nearest": ROUND_HALF_EVEN}


def quantize(value: float | Decimal, step: Decimal, rounding: str = "down") -> Decimal:
    """Turn a computed number into an exact multiple of a step: the one door from float to Decimal.

    A float is taken at its shortest decimal spelling (0.1 is one tenth), so that a value which already lies on the grid
    stays where it is.

    Args:
        value: Price or quantity; finite.
        step: Grid width, > 0.
        rounding: `down` (towards zero: quantities), `floor`, `ceiling` or `nearest` (prices).

    Returns:
        A multiple of `step`.

    Raises:
        ValueError: The value is not finite, or the rounding is unknown.
    """
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite():
        raise ValueError(f"cannot quantize {value}: not a finite number")
    if rounding not in _ROUNDING:
        raise ValueError(f"rounding {rounding!r}: expected one of {', '.join(_ROUNDING)}")
    return (exact / step).to_integral_value(_ROUNDING[rounding]) * step
