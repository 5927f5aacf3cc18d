"""Turns what was taken in of an account into the rows that people see.

Invariants:
- amounts are exact until the last step, where a worth is rounded to the digits of the quote asset;
- marks are the last closes of the trader's state that was committed with the entries: nothing is newer than
  `as_of_seq`, nothing is older;
- a mark that is missing makes a worth unknown, never 0.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from novapulse.core.kept_state import Kept
from novapulse.core.postings import Book
from novapulse.monitor.fold import POINTS_KEPT, AccountFold
from novapulse.monitor.holdings import Mark, marks_of, position_states
from novapulse.monitor.locks import locks_of
from novapulse.monitor.order_book import order_state
from novapulse.monitor.state import AccountState
from novapulse.monitor.values import exact
from novapulse.monitor.votes import instrument_states


def account_state(fold: AccountFold, kept: Kept | None) -> AccountState:
    """Return what the ledger alone says of an account: proven, healthy until somebody says otherwise."""
    marks = marks_of(kept, fold.listings)
    orders = tuple(order_state(one, fold.listings[one.symbol]) for one in fold.orders.working)
    positions = position_states(fold, marks)
    worth, gross = _worth(fold, marks)
    digits = fold.scales.get(fold.quote, 0)
    cash, hold = fold.amount(Book.CASH), fold.amount(Book.HOLD)
    equity = None if worth is None else cash + hold + exact(worth, digits)
    day_opening = _of_account(kept, "day_opening_equity", digits)
    peak = _of_account(kept, "equity_peak", digits)
    unrealized = [one.unrealized_pnl for one in positions]
    day_pnl = None if equity is None or day_opening is None else equity - day_opening
    last_close_ns = max((mark.ts_ns for mark in marks.values()), default=None)
    return AccountState(
        exchange=fold.key.exchange,
        account_id=fold.key.account_id,
        mode=fold.mode.lower(),
        healthy=True,
        reasons=(),
        notes=(),
        proven=True,
        connected=None,
        quote=fold.quote,
        equity=equity,
        equity_said=None,
        cash=cash,
        hold=hold,
        day_pnl=day_pnl,
        day_pnl_fraction=_ratio(day_pnl, day_opening),
        drawdown_fraction=None if equity is None or not peak else max(0.0, 1.0 - float(equity / peak)),
        gross_exposure=None if gross is None else exact(gross, digits),
        exposure_fraction=None if gross is None else _ratio(exact(gross, digits), equity),
        pending_exposure=_of_account(kept, "pending_exposure", digits),
        loss_streak=None if kept is None else int(kept.account["loss_streak"]),
        realized_pnl=exact(fold.realized / 10**digits, digits),
        unrealized_pnl=None if None in unrealized else sum((one for one in unrealized if one), Decimal(0)),
        fees=fold.amount(Book.FEES),
        last_close_ns=last_close_ns,
        last_bar_age_s=None,
        open_orders=fold.orders.open_count,
        unknown_orders=fold.orders.unknown_count,
        open_breaks=len(fold.breaks),
        trades=fold.trades,
        positions=positions,
        orders=orders,
        recent_fills=tuple(reversed(fold.fills)),
        recent_decisions=tuple(reversed(fold.decisions)),
        recent_round_trips=tuple(reversed(fold.round_trips)),
        alerts=fold.alerts.rows,
        breakers=tuple(sorted(fold.breakers.values(), key=lambda one: one.seq)),
        breaks=tuple(sorted(fold.breaks.values(), key=lambda one: one.seq)),
        equity_points=_points(fold, last_close_ns, equity),
        start=fold.start,
        equity_peak=peak,
        days=fold.days.rows,
        compared_ns=fold.compared_ns,
        as_of_seq=fold.seq,
        as_of_ns=fold.ts_ns,
        market_state="",
        votes=instrument_states(fold, kept, marks, positions, orders),
        seqs=dict(fold.seqs),
        risk=fold.risk,
        limit_changes=fold.limit_changes,
        groups=fold.groups,
        bases={symbol: one.base for symbol, one in fold.listings.items()},
        settings_hash=fold.settings_hash,
        locks=locks_of(fold, kept),
    )


def _worth(fold: AccountFold, marks: Mapping[str, Mark]) -> tuple[Fraction | None, Fraction | None]:
    """Return what the holdings are worth, signed and by their sizes; None where a mark is missing."""
    prices = {one.base: marks[symbol].price for symbol, one in fold.listings.items() if symbol in marks}
    net = gross = Fraction(0)
    for asset, units in fold.held().items():
        if asset not in prices:
            return None, None
        worth = Fraction(units, 10 ** fold.scales[asset]) * Fraction(prices[asset])
        net, gross = net + worth, gross + abs(worth)
    return net, gross


def _of_account(kept: Kept | None, name: str, digits: int) -> Decimal | None:
    return None if kept is None else exact(Fraction(float(kept.account[name])), digits)


def _ratio(part: Decimal | None, whole: Decimal | None) -> float | None:
    return None if part is None or not whole else float(part / whole)


def _points(fold: AccountFold, last_close_ns: int | None, equity: Decimal | None) -> tuple[tuple[int, Decimal], ...]:
    points = tuple(fold.points)
    if last_close_ns is None or equity is None:
        return points
    if points and points[-1][0] >= last_close_ns:
        return points
    return (*points, (last_close_ns, equity))[-POINTS_KEPT:]
