"""One comparison: all breaks between a view and a snapshot, the most urgent first."""

from dataclasses import replace

from novapulse.core.messages import Severity, Snapshot
from novapulse.reconciliation.balances import balance_breaks, has_effect
from novapulse.reconciliation.breaks import Break, BreakClass
from novapulse.reconciliation.orders import order_breaks
from novapulse.reconciliation.view import View

STALE_NS = 60_000_000_000
"""A snapshot whose reading began this long ago is no data any more."""

_LOUDNESS = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def reconcile(view: View, snapshot: Snapshot, now_ns: int) -> list[Break]:
    """Compare what we believe with what the venue shows.

    `news` of the same snapshot are booked before; what is left of them shows as a break as well.

    Args:
        view: What the trader believes.
        snapshot: A consistent cut of the account.
        now_ns: The moment, ns UTC.

    Returns:
        Every difference once: a position without protection first, then by loudness, scope and name.
    """
    if now_ns - snapshot.began_ns > STALE_NS:
        return unreachable(view, f"the reading is {(now_ns - snapshot.began_ns) // 1_000_000_000} s old", now_ns)
    found = {each.key: each for each in (*order_breaks(view, snapshot), *balance_breaks(view, snapshot))}
    told = (_borne_out(view, snapshot, each) for each in found.values())
    return sorted((_read_again(view, each, now_ns) for each in told), key=_urgency)


def unreachable(view: View, text: str, now_ns: int) -> list[Break]:
    """Return what a failed reading says: nothing but that there is none. Earlier breaks stay as they were.

    Args:
        view: What the trader believes.
        text: Why the reading failed.
        now_ns: The moment, ns UTC.
    """
    lost = Break(BreakClass.VENUE_UNREACHABLE, view.account.exchange, f"{view.account.exchange}: {text}")
    return [_read_again(view, lost, now_ns)]


def _borne_out(view: View, snapshot: Snapshot, found: Break) -> Break:
    if found.stand_in is None:
        return found
    return replace(found, is_in_balances=has_effect(view, snapshot, found.stand_in))


def _read_again(view: View, found: Break, now_ns: int) -> Break:
    before = view.readings.get(found.key)
    if before is None:
        count, first_ns = 1, now_ns
    elif (before.ours, before.theirs) == (found.ours, found.theirs):
        count, first_ns = before.count + 1, before.first_ns
    else:
        count, first_ns = 1, before.first_ns
    return replace(found, readings=count, first_ns=first_ns, ts_ns=now_ns, equity_units=view.equity_units)


def _urgency(found: Break) -> tuple[bool, int, int, str]:
    bare = found.kind is BreakClass.UNPROTECTED
    return (not bare, _LOUDNESS[found.rule.severity], -int(found.rule.scope), found.key)
