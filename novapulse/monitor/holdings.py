"""What an account holds, at its marks, with the order that protects it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from novapulse.core.amounts import from_units
from novapulse.core.kept_state import Kept
from novapulse.core.orders import OrderStatus
from novapulse.ledger.lots import Inventory
from novapulse.ledger.queries import Listing
from novapulse.monitor.fold import AccountFold
from novapulse.monitor.order_book import IN_FORCE, Known, price_of
from novapulse.monitor.rows import PositionState
from novapulse.monitor.values import average, exact, filled

_SEQS_KEPT = 50
_NOT_GUARDING = {
    OrderStatus.INTENT: "it was not sent yet",
    OrderStatus.SENDING: "it is on its way",
    OrderStatus.UNKNOWN: "nobody knows yet whether the venue has it",
    OrderStatus.CANCEL_PENDING: "it is being cancelled",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """The last close of an instrument, with all digits of its tick."""

    price: Decimal
    ts_ns: int


def marks_of(kept: Kept | None, listings: Mapping[str, Listing]) -> dict[str, Mark]:
    """Return symbol -> last close, as the trader had it when it last committed.

    Args:
        kept: The trader's state; None where there is none.
        listings: Symbol -> instrument.
    """
    if kept is None:
        return {}
    return {
        key.symbol: Mark(
            filled(Decimal(repr(float(bar["close"]))), listings[key.symbol].price_scale), int(bar["ts_close_ns"])
        )
        for key, bar in zip(kept.instruments, kept.last_bars, strict=True)
        if bar["ts_close_ns"] > 0
    }


def position_states(fold: AccountFold, marks: Mapping[str, Mark]) -> tuple[PositionState, ...]:
    """Return what was traded and is still held, by symbol; what came without a trade is in the equity only."""
    return tuple(
        _position(fold, is_ours, inventory, marks.get(symbol))
        for (symbol, is_ours), inventory in sorted(
            fold.inventories.items(), key=lambda item: (item[0][0], not item[0][1])
        )
    )


def _position(fold: AccountFold, is_ours: bool, inventory: Inventory, mark: Mark | None) -> PositionState:
    listing = fold.listings[inventory.instrument.symbol]
    base, quote = fold.scales[listing.base], fold.scales[listing.quote]
    symbol, units, lots = listing.key.symbol, inventory.units, inventory.lots
    direction = 1 if units > 0 else -1
    paid = sum((lot.worth for lot in lots), Fraction(0))
    entry = filled(average(paid / (abs(units) * 10**listing.price_scale)), listing.price_scale)
    worth = None if mark is None else Fraction(units, 10**base) * Fraction(mark.price)
    spent = sum((lot.money for lot in lots), Fraction(0)) / 10**quote
    unrealized = None if worth is None else worth + spent
    opener = fold.orders.find(lots[0].execution.client_order_id)
    decision = "" if opener is None else opener.order.request.decision_id
    lead, distance = fold.entries.get((symbol, decision), ("", 0.0))
    risked = distance * abs(units) / 10**base
    bracket = fold.orders.bracket_of(symbol, -direction) if is_ours else None
    terms = None if bracket is None else bracket.order.terms
    return PositionState(
        symbol=symbol,
        base=listing.base,
        is_ours=is_ours,
        direction=direction,
        qty=from_units(units, base),
        entry_price=entry,
        mark_price=None if mark is None else mark.price,
        mark_ns=None if mark is None else mark.ts_ns,
        notional=None if worth is None else exact(abs(worth), quote),
        unrealized_pnl=None if unrealized is None else exact(unrealized, quote),
        unrealized_r=None if unrealized is None or risked <= 0.0 else float(unrealized) / risked,
        stop_price=None if terms is None else price_of(terms.stop_units, listing),
        stop_order="" if bracket is None else bracket.order.client_order_id,
        stop_status="" if bracket is None else bracket.order.status.value,
        stop_missing_reason=_why_bare(fold, symbol, is_ours, bracket),
        target_price=None if terms is None else price_of(terms.target_units, listing),
        opened_ns=lots[0].execution.ts_ns,
        opened_seq=lots[0].execution.seq,
        lead=lead,
        decision_id=decision,
        seqs=tuple(lot.execution.seq for lot in lots)[-_SEQS_KEPT:],
    )


def _why_bare(fold: AccountFold, symbol: str, is_ours: bool, bracket: Known | None) -> str:
    if bracket is not None and bracket.order.status in IN_FORCE:
        return ""
    if not is_ours:
        return "it came from elsewhere: no order of ours protects it"
    noted = fold.why_bare.get(symbol, "")
    if bracket is None:
        return noted or "the ledger has no protective order for it, and no reason why"
    status = bracket.order.status
    return "; ".join(filter(None, (_NOT_GUARDING.get(status, f"the order is {status.value}"), noted)))
