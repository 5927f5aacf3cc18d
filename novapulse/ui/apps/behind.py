"""What a figure is made of: the entries that its link asks the journal for, by the figure's name.

Invariants:
- a figure that is counted is made of what it counts; one that is added up, of all that was added; one that prices make,
  of the entries of its quantities;
- where a figure counts nothing, what shows that there is nothing stands behind it: what moved all of it away again;
- nothing is cut: the journal pages through what it finds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from novapulse.core.bars import DAY_NS, day_start_ns
from novapulse.core.postings import Book
from novapulse.monitor import AccountState
from novapulse.monitor.entries import Part
from novapulse.monitor.order_book import ENDS
from novapulse.monitor.rows import OrderState, PositionState

WORTH = (Book.CASH.value, Book.HOLD.value, Book.INVENTORY.value)
TRIPS = ("round_trip_closed",)
SEQS_MAX = 400
"""Entries that are named one by one; a database takes no longer list."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address says beside the figure's name.

    Attributes:
        symbol: Of an instrument; empty for all.
        group: Of instruments; empty for all.
        from_ns: First moment of a stretch of time.
        until_ns: Its last one.
    """

    symbol: str = ""
    group: str = ""
    from_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that has entries behind it.

    Attributes:
        title: What the entries are, in words.
        parts: Returns them of one account.
        page: App on which the figure stands with those beside it.
    """

    title: str
    parts: Callable[[AccountState, Asked], Iterable[Part]]
    page: str


def parts_of(figure: str, accounts: Iterable[AccountState], asked: Asked) -> tuple[Part, ...]:
    """Return what stands behind a figure of some accounts.

    Raises:
        KeyError: There is no such figure.
    """
    one = FIGURES[figure]
    return tuple(part for account in accounts for part in one.parts(account, asked))


def group_of(account: AccountState, held: PositionState) -> str:
    """Return the group that a position counts in; one in no group stands for itself."""
    return account.groups.get(held.symbol, held.base)


def _worth(account: AccountState, _: Asked) -> Iterable[Part]:
    return (Part(account.key, books=WORTH),)


def _fees(account: AccountState, _: Asked) -> Iterable[Part]:
    return (Part(account.key, books=(Book.FEES.value,)),)


def _today(account: AccountState, asked: Asked) -> Iterable[Part]:
    # A close counts to the day that it ends.
    begun_ns = day_start_ns(account.last_close_ns or account.as_of_ns)
    return (*_day(account, Asked(from_ns=begun_ns, until_ns=begun_ns + DAY_NS)), *_held(account, asked))


def _day(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what moved on a day, and the trades that closed on it whenever they were written down."""
    trips = [seq for day in account.days if day.day_ns == asked.from_ns for seq in day.seqs]
    since_ns, until_ns = asked.from_ns + 1, asked.until_ns + 1
    return (
        Part(account.key, books=WORTH, since_ns=since_ns, until_ns=until_ns),
        Part(account.key, kinds=TRIPS, since_ns=since_ns, until_ns=until_ns),
        Part(account.key, seqs=tuple(trips)),
    )


def _held(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what moved what is held, since its oldest part; where nothing is, all that ever moved holdings."""
    wanted = [one for one in account.positions if _is_asked(account, one, asked)]
    if not wanted:
        return (Part(account.key, books=(Book.INVENTORY.value,)), *_opening(account, asked))
    return [
        Part(account.key, books=(Book.INVENTORY.value,), assets=(one.base,), first_seq=min(one.opened_seq, *one.seqs))
        for one in wanted
    ]


def _is_asked(account: AccountState, held: PositionState, asked: Asked) -> bool:
    return asked.symbol in ("", held.symbol) and asked.group in ("", group_of(account, held))


def _at_stake(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what is held, with the orders that protect it."""
    stops = {one.stop_order for one in account.positions if _is_asked(account, one, asked)}
    return (*_held(account, asked), _facts(account, (one for one in account.orders if one.client_order_id in stops)))


def _exposed(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what is held, and the entries at work that may add to it."""
    return (*_held(account, asked), _facts(account, (one for one in account.orders if one.role == "entry")))


def _orders(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return all that was said of the orders at work; where none is, how the others ended."""
    wanted = [one for one in account.orders if asked.symbol in ("", one.symbol)]
    return (_facts(account, wanted) if wanted else Part(account.key, kinds=ENDS), *_opening(account, asked))


def _unknown(account: AccountState, asked: Asked) -> Iterable[Part]:
    unclear = [one for one in account.orders if one.status == "UNKNOWN"]
    return (_facts(account, unclear),) if unclear else _orders(account, asked)


def _facts(account: AccountState, orders: Iterable[OrderState]) -> Part:
    return Part(account.key, seqs=tuple(seq for one in orders for seq in (one.seq, *one.facts))[-SEQS_MAX:])


def _trades(account: AccountState, asked: Asked) -> Iterable[Part]:
    return (Part(account.key, kinds=TRIPS), *_opening(account, asked))


def _opening(account: AccountState, _: Asked) -> Iterable[Part]:
    return (Part(account.key, kinds=("account_opened", "instrument_listed")),)


def _realized(account: AccountState, asked: Asked) -> Iterable[Part]:
    return (*_trades(account, asked), Part(account.key, books=(Book.INVENTORY.value,)))


def _account(account: AccountState, asked: Asked) -> Iterable[Part]:
    return (*_worth(account, asked), *_trades(account, asked), *_orders(account, asked))


def _traded(account: AccountState, asked: Asked) -> Iterable[Part]:
    return (*_opening(account, asked), Part(account.key, books=(Book.INVENTORY.value,)))


def _calendars(account: AccountState, _: Asked) -> Iterable[Part]:
    return (Part(account.key, kinds=("session_started",)),)


def _stretch(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what was written while nothing was done, and the session whose settings let nothing be done."""
    return (
        Part(account.key, since_ns=asked.from_ns, until_ns=asked.until_ns + 1),
        Part(account.key, kinds=("session_started",), until_ns=asked.until_ns + 1),
    )


def _alerts(account: AccountState, _: Asked) -> Iterable[Part]:
    opened = tuple(one.seq for one in account.alerts if one.is_open)[:SEQS_MAX]
    alerts = ("alert_raised", "alert_acknowledged", "alert_cleared")
    return (Part(account.key, seqs=opened) if opened else Part(account.key, kinds=alerts),)


def _breaks(account: AccountState, _: Asked) -> Iterable[Part]:
    seqs = [one.seq for one in account.breaks][:SEQS_MAX]
    return (Part(account.key, seqs=(*seqs, *_seqs(account, "compared"))),)


def _standing(account: AccountState, asked: Asked) -> Iterable[Part]:
    """Return what a line about an account's health counts: unclear orders, differences, and what restricts it."""
    tripped = tuple(one.seq for one in account.breakers)[:SEQS_MAX]
    seqs = (account.as_of_seq, *_seqs(account, "mode"), *_seqs(account, "session"), *tripped)
    unclear = _facts(account, (one for one in account.orders if one.status == "UNKNOWN"))
    return (Part(account.key, seqs=seqs), unclear, *_breaks(account, asked))


def _seqs(account: AccountState, name: str) -> tuple[int, ...]:
    return (account.seqs[name],) if name in account.seqs else ()


FIGURES: Mapping[str, Figure] = {
    "account": Figure("what the account's figures are made of", _account, "desk"),
    "equity": Figure("all that moved money or holdings", _worth, "desk"),
    "today": Figure("what moved money or holdings today, and what made what is held", _today, "risk"),
    "exposure": Figure("what made what is held, and entries at work", _exposed, "risk"),
    "drawdown": Figure("all that moved money or holdings", _worth, "risk"),
    "stops": Figure("what made what is held, and the orders that protect it", _at_stake, "risk"),
    "position": Figure("what made what is held, and the orders that protect it", _at_stake, "desk"),
    "day": Figure("what moved money or holdings on that day, and the trades that closed on it", _day, "risk"),
    "orders": Figure("all that was said of the orders at work", _orders, "orders"),
    "unknown": Figure("all that was said of the orders whose outcome is not known", _unknown, "orders"),
    "trades": Figure("round trips", _trades, "orders"),
    "realized": Figure("round trips, and all that moved holdings", _realized, "orders"),
    "fees": Figure("all that cost fees or brought rebates", _fees, "orders"),
    "traded": Figure("what the account trades, and all that moved holdings", _traded, "scanner"),
    "calendars": Figure("sessions, each with the calendars of its instruments", _calendars, "scanner"),
    "stretch": Figure("what was written meanwhile, and under which settings nothing was done", _stretch, "decisions"),
    "alerts": Figure("alerts", _alerts, "health"),
    "breaks": Figure("differences between books and venue, and when they were compared last", _breaks, "health"),
    "standing": Figure("what says how the account stands", _standing, "health"),
}
