"""What is durable of one account, indexed as it is written: the auditor's memory of the ledger.

Invariants:
- it holds what commits that succeeded said, nothing else; it can be made anew from the ledger and is then the same.
"""

import itertools
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from novapulse.core.facts import KINDS, from_body
from novapulse.core.messages import Record
from novapulse.core.orders import Fact

FILLS_KNOWN = 32
"""Executions that a restart is told of at least, and all facts since the first of them: what a venue tells again."""

FILLS_KEPT = 1000
FILLED = "fill_booked"


@dataclass(slots=True)
class _Told:
    """A record of an order's fact, and the fact once somebody asked for it."""

    number: int
    kind: str
    body: Mapping[str, Any]
    _fact: Fact | None = None

    def fact(self) -> Fact:
        """Return the fact: it does not change."""
        if self._fact is None:
            self._fact = from_body(self.kind, self.body)
        return self._fact


class Durable:
    """One account's records, as far as they are asked for.

    Attributes:
        intents: Client order id -> body of its request.
        legs: Decision id -> client order ids of its orders.
        attempts: (client order id, attempt).
        cancels: (client order id, or the venue's where the order is none of ours, attempt).
        amends: (client order id, amendment) -> terms.
        trades: Venue trade id -> body, real executions only.
        provisional: The same for inferred ones.
        busted: Venue trade ids that were taken back.
        filled: Client order id -> quantity booked, busts taken off.
        closed: Client order id -> (status, filled units).
        decisions: Decision id -> body, entries only.
        breaks: Keys of the differences that are open.
        limits: Name of a limit -> its value, of those that are otherwise than configured: as it was, change by change.
        unfilled: Decisions whose entry ended before it was filled, and a record says why.
        taken_under: Decision id -> which of `limits` it was taken under, entries only.
        alerts: Keys of the alerts that are open.
        waiting: Command id -> the order whose end answers it.
        kinds: Kind -> how many.
        balances: (book, asset) -> units.
        records: How many.
    """

    def __init__(self) -> None:
        self.intents: dict[str, Mapping[str, Any]] = {}
        self.legs: defaultdict[str, list[str]] = defaultdict(list)
        self.attempts: set[tuple[str, int]] = set()
        self.cancels: set[tuple[str, int]] = set()
        self.amends: dict[tuple[str, int], list[int]] = {}
        self.trades: dict[str, Mapping[str, Any]] = {}
        self.provisional: dict[str, Mapping[str, Any]] = {}
        self.busted: set[str] = set()
        self.filled: defaultdict[str, int] = defaultdict(int)
        self.closed: dict[str, tuple[str, int]] = {}
        self.decisions: dict[str, Mapping[str, Any]] = {}
        self.breaks: set[str] = set()
        self.limits: list[Mapping[str, str]] = [{}]
        self.unfilled: set[str] = set()
        self.taken_under: dict[str, int] = {}
        self.alerts: set[str] = set()
        self.waiting: dict[str, str] = {}
        self.kinds: defaultdict[str, int] = defaultdict(int)
        self.balances: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.records = 0
        self._recent: deque[_Told] = deque()
        self._recent_of: defaultdict[str, deque[_Told]] = defaultdict(deque)
        self._recent_fills: deque[_Told] = deque()

    def add_all(self, records: Iterable[Record]) -> None:
        """Take in records in their order."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in a record."""
        self.records += 1
        kind, body = record.kind, record.body
        self.kinds[kind] += 1
        if kind in KINDS:
            self._remember(record)
        for posting in record.postings:
            self.balances[posting.book.value, posting.asset] += posting.amount
        if kind == "order_intended":
            request = body["request"]
            self.intents[body["client_order_id"]] = request
            self.legs[request["decision_id"]].append(body["client_order_id"])
        elif kind == "order_attempted":
            self.attempts.add((body["client_order_id"], body["attempt"]))
        elif kind == "cancel_asked":
            self.cancels.add((body["client_order_id"], body["attempt"]))
        elif kind == "extra_cancel_asked":
            self.cancels.add((body["venue_order_id"], 1))
        elif kind == "amend_asked":
            self.amends[body["client_order_id"], body["amendment"]] = body["terms"]
        elif kind == FILLED:
            booked = self.provisional if body.get("provisional") else self.trades
            booked[body["venue_trade_id"]] = body
            if booked is self.trades:
                self.filled[body["client_order_id"]] += body["qty_units"]
        elif kind == "fill_busted":
            self._bust(body["client_order_id"], body["venue_trade_id"])
        elif kind == "order_closed":
            self.closed[body["client_order_id"]] = (body["status"], body["filled_units"])
        elif kind == "order_reopened":
            self.closed.pop(body["client_order_id"])
        elif kind == "break_found":
            self.breaks.add(body["key"])
        elif kind == "break_resolved":
            self.breaks.discard(body["key"])
        elif kind == "alert_raised":
            self.alerts.add(body["key"])
        elif kind == "alert_cleared":
            self.alerts.discard(body["key"])
        elif kind == "limits_changed":
            self.limits.append({name: one["value"] for name, one in body["limits"].items()})
        elif kind == "command_taken":
            self.waiting[body["command_id"]] = body["client_order_id"]
        elif kind == "command_answered":
            self.waiting.pop(body["command_id"], None)
        elif kind == "decision_taken" and body["verb"] == "ENTER":
            self.decisions[body["decision_id"]] = body
            self.taken_under[body["decision_id"]] = len(self.limits) - 1
        elif kind == "entry_unfilled":
            self.unfilled.add(body["decision_id"])

    @property
    def limits_now(self) -> Mapping[str, str]:
        """Name of a limit -> its value, of those that are otherwise than configured now."""
        return self.limits[-1]

    def recent_facts(self, fills: int) -> list[Fact]:
        """Return the facts since the newest so many executions, and all others of the orders that these are of.

        Newest by the venue's time: what was heard late is booked behind what happened after it, and a venue tells
        again what happened last.
        """
        booked = list(self._recent_fills)
        happened = sorted(one.body["ts_event_ns"] for one in booked)[-fills:]
        first = next((one.number for one in booked if one.body["ts_event_ns"] >= happened[0]), 0)
        first = min([first, *(one.number for one in booked[-fills:])])
        since = itertools.takewhile(lambda one: one.number >= first, reversed(self._recent))
        touched = {one.body["client_order_id"] for one in since}
        told = [one for name in touched for one in self._recent_of[name]]
        return [one.fact() for one in sorted(told, key=lambda one: one.number)]

    def _remember(self, record: Record) -> None:
        told = _Told(self.records, record.kind, record.body)
        self._recent.append(told)
        self._recent_of[record.body["client_order_id"]].append(told)
        if record.kind == FILLED:
            self._recent_fills.append(told)
        while len(self._recent_fills) > FILLS_KEPT:
            self._forget(self._recent.popleft())

    def _forget(self, told: "_Told") -> None:
        name = told.body["client_order_id"]
        self._recent_of[name].popleft()
        if not self._recent_of[name]:
            del self._recent_of[name]
        if told.kind == FILLED:
            self._recent_fills.popleft()

    def _bust(self, client_order_id: str, venue_trade_id: str) -> None:
        fill = self.trades.get(venue_trade_id)
        if venue_trade_id not in self.busted and fill is not None:
            self.filled[client_order_id] -= fill["qty_units"]
        self.busted.add(venue_trade_id)
