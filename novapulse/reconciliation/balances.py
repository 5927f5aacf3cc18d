"""Balances against the venue's totals.

Invariants:
- expected = opening + executions - fees + flows; holds move money inside the account and never enter;
- what the snapshot itself explains (its executions, its flows) is taken into account before a difference is one;
- a difference is attributed before it is called unexplained: dust, a trade not seen, a corporate action.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from novapulse.core.instruments import InstrumentKey, Kind
from novapulse.core.messages import Flow, Snapshot
from novapulse.core.orders import Filled
from novapulse.reconciliation.breaks import Break, BreakClass
from novapulse.reconciliation.orders import is_racing
from novapulse.reconciliation.view import View, effects_of

TRADE_PRICE_TOLERANCE = Fraction(1, 20)
"""How far the price that two differences imply may lie from the last one for them to be one trade."""

SPLIT = "split"
"""Kind of a movement by which a venue tells of a split."""

RATIO_MAX = 100
"""Largest number on either side of a ratio at which shares are split or merged."""


def balance_breaks(view: View, snapshot: Snapshot) -> Iterator[Break]:
    """Yield the movements that are not booked, and what still differs after them."""
    explained = _explained_by_fills(view, snapshot)
    for flow in sorted(snapshot.flows, key=lambda each: each.flow_id):
        if flow.flow_id not in view.known_flows:
            explained[flow.asset] += flow.asset_units
            yield _moved(view, flow)
    differences = {
        asset: diff
        for asset in sorted({*view.balances, *_traded(view)})
        if not _is_asset_racing(view, snapshot, asset)
        and (diff := snapshot.balances.get(asset, 0) - view.balances.get(asset, 0) - explained[asset])
    }
    yield from _attributed(view, snapshot, differences, explained)


def has_effect(view: View, snapshot: Snapshot, fill: Filled) -> bool | None:
    """Tell whether the venue's holding differs from ours as by an execution that is not booked.

    Returns:
        Whether the difference is nearer to the execution than to nought; None while something happens to the holding.
    """
    instrument = view.instruments[fill.instrument]
    base = instrument.base
    if _is_asset_racing(view, snapshot, base):
        return None
    expected = view.balances.get(base, 0) + _explained_by_fills(view, snapshot)[base]
    diff = snapshot.balances.get(base, 0) - expected
    return abs(diff - effects_of(fill, instrument, view.scales)[base]) < abs(diff)


def _moved(view: View, flow: Flow) -> Break:
    is_split = flow.kind == SPLIT
    amount = view.amount(flow.asset_units, flow.asset)
    text = f"{flow.kind} of {amount}"
    if is_split:
        known = f"{flow.new} for {flow.old}" if flow.new and flow.old else "at a ratio that the venue does not say"
        text = f"{flow.asset} was split {known}"
    return Break(
        BreakClass.CORPORATE_ACTION if is_split else BreakClass.UNRECORDED_FLOW,
        flow.flow_id,
        text,
        theirs=amount,
        instruments=view.traded_as(flow.asset) if is_split else (),
        flow=flow,
        asset=flow.asset,
        diff_units=flow.asset_units,
    )


def _traded(view: View) -> set[str]:
    return {asset for each in view.instruments.values() for asset in (each.base, each.quote)}


def _explained_by_fills(view: View, snapshot: Snapshot) -> defaultdict[str, int]:
    explained: defaultdict[str, int] = defaultdict(int)
    for fill in snapshot.fills:
        instrument = view.instruments.get(fill.instrument)
        if instrument is None or view.is_booked(fill):
            continue
        for asset, units in effects_of(fill, instrument, view.scales).items():
            explained[asset] += units
    return explained


def _is_asset_racing(view: View, snapshot: Snapshot, asset: str) -> bool:
    return any(
        is_racing(view, active_ns, snapshot)
        for key, active_ns in view.instruments_active_ns.items()
        if key in view.instruments and asset in (view.instruments[key].base, view.instruments[key].quote)
    )


def _attributed(
    view: View, snapshot: Snapshot, differences: dict[str, int], explained: defaultdict[str, int]
) -> Iterator[Break]:
    dust = {asset for asset, diff in differences.items() if _is_dust(view, asset, diff)}
    left = {asset: diff for asset, diff in differences.items() if asset not in dust}
    trade = _is_trade(view, left)
    for asset, diff in differences.items():
        expected = view.balances.get(asset, 0) + explained[asset]
        instruments = view.traded_as(asset)
        kind, text = BreakClass.UNEXPLAINED, f"{asset} differs by {view.amount(diff, asset)}"
        if asset in dust:
            kind, text = BreakClass.DUST, f"{text}, less than can be traded"
        elif trade:
            kind, text = BreakClass.UNSEEN_TRADE, f"{text}, as if by a trade"
        elif (ratio := _ratio(view, instruments, expected, expected + diff, left)) is not None:
            kind = BreakClass.CORPORATE_ACTION
            text = f"{asset} is held {ratio.numerator} for {ratio.denominator}"
        worth = view.worth(asset)
        yield Break(
            kind,
            asset,
            text,
            ours=view.amount(expected, asset),
            theirs=view.amount(expected + diff, asset),
            instruments=instruments,
            asset=asset,
            diff_units=diff,
            worth_units=None if worth is None else -(-abs(diff) * worth.numerator // worth.denominator),
        )


def _is_dust(view: View, asset: str, diff: int) -> bool:
    if asset == view.quote:
        cash_scale = min((each.cash_scale for each in view.instruments.values() if each.quote == asset), default=0)
        return abs(diff) <= view.fills_since_clean * view.whole(asset) // int(10**cash_scale)
    worth = view.worth(asset)
    if worth is None or abs(diff) * worth >= view.whole(view.quote):
        return False
    limits = [max(view.instruments[key].lot, view.instruments[key].qty_min / 10) for key in view.traded_as(asset)]
    return abs(diff) <= max(limits) * view.whole(asset)


def _is_trade(view: View, left: dict[str, int]) -> bool:
    cash = left.get(view.quote, 0)
    if not cash or len(left) < 2:
        return False
    paid = Fraction(0)
    for asset, diff in left.items():
        worth = view.worth(asset)
        if worth is None:
            return False
        paid += diff * worth if asset != view.quote else 0
    return abs(paid + cash) <= TRADE_PRICE_TOLERANCE * abs(paid)


def _ratio(
    view: View, instruments: tuple[InstrumentKey, ...], ours: int, theirs: int, left: dict[str, int]
) -> Fraction | None:
    is_stock = any(view.instruments[key].kind is Kind.STOCK for key in instruments)
    if not is_stock or view.quote in left or ours == 0 or theirs == 0:
        return None
    ratio = Fraction(theirs, ours)
    return ratio if ratio > 0 and max(ratio.numerator, ratio.denominator) <= RATIO_MAX else None
