"""What the parts of one trader share: its books, its orders, what it is told to do, and the draft of an answer.

Invariants:
- a draft is finished into one `Commit` with the effects that need it behind it: nothing leaves before it is durable;
- the holds of open orders are what the ledger's HOLD book has, to the unit.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence

from novapulse.core.facts import kind_of, to_body
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import JSON, CommandReceived, Commit, Effect, HoldRun, QuoteSeen, SetTimer, Severity
from novapulse.core.messages import Record as Entry
from novapulse.core.order_fold import Order
from novapulse.core.orders import Fact, OrderStatus, Role
from novapulse.core.postings import Book, Posting, move, trade
from novapulse.core.records import Intent, Mode, Record
from novapulse.engine import disputes
from novapulse.engine.alerts import Alerts, Telling
from novapulse.engine.books import Books
from novapulse.engine.breakers import Breakers, Change, Tripped
from novapulse.engine.configuration import Configuration
from novapulse.engine.limits import LimitChange, in_force
from novapulse.engine.medians import LastMedian
from novapulse.engine.slots import Misfit, Run, Slot
from novapulse.reconciliation.breaks import Break, Reading
from novapulse.risk.cash import notional_units
from novapulse.risk.decide import cash_per_notional

CLOSED_KEPT = 512
"""Ended orders that are remembered for facts that come late; the ledger keeps all of them."""

PLANS_KEPT = 64

FOREIGN_KEPT = 4096

ANSWERED_KEPT = 512
"""Commands that had waited and were answered: those that may be given again in the same life are far fewer."""

SPREADS_KEPT = 101
SPREADS_MIN = 20
"""Quotes before the usual spread of an instrument is known; until then it is not."""


class Draft:
    """The answer to one event, as it comes about."""

    def __init__(self, ts_ns: int) -> None:
        self.ts_ns = ts_ns
        self.entries: list[Entry] = []
        self.effects: list[Effect] = []
        self.runs: list[HoldRun] = []
        self.changed = False
        self.told = False

    def write(self, kind: str, body: Mapping[str, JSON], postings: Sequence[Posting] = ()) -> None:
        """Add a record."""
        self.entries.append(Entry(kind, self.ts_ns, body, tuple(postings)))

    def then(self, effect: Effect) -> None:
        """Add an effect that needs everything written so far to be durable."""
        self.effects.append(effect)

    def finished(self, ts_close_ns: int, state: bytes) -> list[Effect]:
        """Return the commit and what follows it; nothing at all when nothing happened."""
        if not (self.entries or self.runs or self.changed):
            return self.effects
        return [Commit(tuple(self.entries), ts_close_ns, state, tuple(self.runs)), *self.effects]


class Desk:
    """The shared state of one trader."""

    def __init__(
        self,
        key: AccountKey,
        configured: Configuration,
        books: Books,
        breakers: Breakers,
    ) -> None:
        """Set a desk up.

        Args:
            key: The account.
            configured: What it was put together from.
            books: Its records.
            breakers: Its circuit breakers.
        """
        self.key = key
        self.configured = self.in_force = configured
        self.limits: dict[str, LimitChange] = {}
        self.settings = configured.settings
        self.settings_hash = configured.decides.hash
        self.books = books
        self.breakers = breakers
        self.alerts = Alerts(self.settings.escalation_s)
        self.instruments = books.instruments
        self.keys = tuple(instrument.key for instrument in self.instruments)
        self.rows = {key: row for row, key in enumerate(self.keys)}
        self.quote = self.instruments[0].quote
        self.scales = dict(configured.scales)
        self.spread_by_model = configured.spread_by_model
        self.slots = [Slot() for _ in self.instruments]
        self.runs: list[Run | None] = [None for _ in self.instruments]
        self.dropped: dict[InstrumentKey, Run | None] = {}
        self.orders: dict[str, Order] = {}
        self.closed: OrderedDict[str, Order] = OrderedDict()
        self.venue_ids: dict[str, str] = {}
        self.plans: OrderedDict[str, Record] = OrderedDict()
        self.holds: dict[str, tuple[int, int]] = {}
        self.foreign: OrderedDict[str, InstrumentKey] = OrderedDict()
        self.foreign_trades: OrderedDict[str, None] = OrderedDict()
        self.keeps = 0
        self._qty_scales = [instrument.qty_scale for instrument in self.instruments]
        self.cursor = ""
        self.clean_cursor = ""
        self.ts_close_ns = 0
        self.bar_ns = 0
        self.calibration = ""
        self.prices_ns = [0 for _ in self.instruments]
        self.stops_due = [("", 0) for _ in self.instruments]
        self.misfits: dict[int, Misfit] = {}
        self.quotes: list[tuple[int, float, float]] = [(0, 0.0, 0.0) for _ in self.instruments]
        self.started_ns = 0
        self.ready = False
        self.frozen = ""
        self.flat_wanted = ""
        self.breaks: dict[str, Break] = {}
        self.readings: Mapping[str, Reading] = {}
        self.breaks_recorded: set[str] = set()
        self.ignored: dict[str, int] = {}
        self.flows: OrderedDict[str, None] = OrderedDict()
        self.active_ns: dict[str, int] = {}
        self.waits: dict[tuple[str, str], tuple[int, int]] = {}
        self.rows_active_ns = [0 for _ in self.instruments]
        self.extras_asked: set[str] = set()
        self.taken: list[tuple[int, int, float]] = []
        self.waiting: dict[str, list[CommandReceived]] = {}
        self.answered: deque[str] = deque(maxlen=ANSWERED_KEPT)
        self.fills_since_clean = 0
        self.dust_days: dict[str, int] = {}
        self.asserted_ns = 0
        self.spreads = [LastMedian(SPREADS_KEPT) for _ in self.instruments]

    def instrument(self, row: int) -> Instrument:
        """Return the facts of an instrument."""
        return self.instruments[row]

    def order(self, client_order_id: str, venue_order_id: str = "") -> Order | None:
        """Return an order by our id, else by the venue's; None when it is not ours."""
        found = client_order_id or self.venue_ids.get(venue_order_id, "")
        return self.orders.get(found) or self.closed.get(found)

    def row_of(self, order: Order) -> int:
        """Return the instrument's row of an order."""
        return self.rows[order.request.instrument]

    def open_orders(self, row: int) -> Iterator[Order]:
        """Yield what has not ended of an instrument."""
        slot = self.slots[row]
        for name in (slot.child, slot.protect, *slot.drains):
            order = self.orders.get(name)
            if order is not None:
                yield order

    def plan(self, row: int) -> Record:
        """Return what is at work for an instrument: an ORDER record."""
        return self.books.orders[row]

    def has_plan(self, row: int) -> bool:
        """Tell whether something is wanted of the market for an instrument."""
        return self.books.intent(row) is not Intent.NONE

    def keep_plan(self, decision: str, row: int) -> None:
        """Remember what an entry was decided with, for fills however late."""
        self.plans[decision] = self.plan(row).copy()
        while len(self.plans) > PLANS_KEPT:
            self.plans.popitem(last=False)
        self.keeps += 1

    def restate_kept_plan(self, decision: str, new: int, old: int) -> None:
        """Restate the plan that an entry was decided with by the ratio of a split, if it is kept."""
        if decision in self.plans:
            self.books.restate_plan(self.plans[decision], new, old)
            self.keeps += 1

    def end_kept_plan(self, decision: str) -> None:
        """Let the plan that an entry was decided with want nothing any more."""
        self.plans[decision].intent = Intent.NONE
        self.keeps += 1

    def amount(self, asset: str, units: int, digits: int) -> int:
        """Return units of an instrument's scale in units of the asset's ledger scale."""
        return units * int(10 ** (self.scales[asset] - digits))

    def base_amount(self, row: int, qty_units: int) -> int:
        """Return quantity units of an instrument in units of its base asset's ledger scale."""
        return self.amount(self.instruments[row].base, qty_units, self._qty_scales[row])

    def cash_amount(self, cash_units: int) -> int:
        """Return cash units in units of the quote asset's ledger scale."""
        return self.amount(self.quote, cash_units, self.instruments[0].cash_scale)

    def spread_in_medians(self, row: int, quote: QuoteSeen) -> float | None:
        """Return a quote's spread in medians of the last ones; None while that is not known."""
        if not 0.0 < quote.bid < quote.ask:
            return None
        spread, seen = quote.ask / quote.bid - 1.0, self.spreads[row]
        usual = seen.value if len(seen) >= SPREADS_MIN else None
        seen.add(spread)
        return spread / usual if usual else None

    def is_spread_unknown(self, row: int) -> bool:
        """Tell whether no quote could be compared with the usual spread yet, and the venue has none by its model."""
        seen = len(self.spreads[row])
        return seen <= SPREADS_MIN and (seen > 0 or not self.spread_by_model)

    def price_across(self, row: int, side: int) -> float:
        """Return the last price that an order of a side would meet: of the last quote, or the last close if later."""
        ts_ns, bid, ask = self.quotes[row]
        bar = self.books.last_bars[row]
        if ts_ns > int(bar.ts_close_ns):
            return ask if side > 0 else bid
        return float(bar.close)

    def middle_price(self, row: int) -> float:
        """Return the middle one of last bid, last ask and last close: one of them that is far away moves nothing."""
        close = float(self.books.last_bars[row].close)
        return sorted((self.price_across(row, 1), self.price_across(row, -1), close))[1]

    # ---- restrictions ----

    def put_in_force(self, limits: Mapping[str, LimitChange]) -> None:
        """Let exactly these limits be otherwise than configured, from the next decision on.

        Raises:
            LimitError: They do not fit the configuration; nothing was changed.
        """
        found = in_force(self.configured, {name: one.value for name, one in limits.items()})
        self.books.rules = found.rules
        self.in_force, self.limits = found, dict(limits)
        self.settings_hash = found.decides.hash
        self.breakers.use(found.breakers)

    def want_flat(self, wish: str) -> None:
        """Note whether an operator wants nothing held: `flatten`, `kill` (halted then), or empty for no more."""
        self.flat_wanted = wish
        self.books.account["flattening"] = bool(wish)

    @property
    def may_leave(self) -> bool:
        """Whether positions may be closed: a halt leaves them to their stops, unless an operator wants nothing held."""
        return self.books.mode != Mode.HALTED or self.flat_wanted != ""

    def measured(self, draft: Draft, name: str, value: float | None, instrument: InstrumentKey | None = None) -> None:
        """Let the breakers know a measurement, and the account obey them."""
        changes = self.breakers.measure(draft.ts_ns, name, value, instrument)
        if changes:
            self._restrict(draft, changes)

    def counted(self, draft: Draft, name: str, subject: str = "") -> None:
        """Let the breakers count something that is limited per time."""
        changes = self.breakers.happened(draft.ts_ns, name, subject)
        if changes:
            self._restrict(draft, changes)

    def time_passed(self, draft: Draft) -> None:
        """Let what was counted fall out of its window."""
        changes = self.breakers.tick(draft.ts_ns)
        if changes:
            self._restrict(draft, changes)

    def told(self, draft: Draft, changes: Sequence[Change]) -> None:
        """Take up what an operator's word changed."""
        self._restrict(draft, changes)

    def _restrict(self, draft: Draft, changes: Sequence[Change]) -> None:
        for change in changes:
            draft.entries.append(change.record())
            key = f"breaker:{change.name}" + (f":{change.instrument.symbol}" if change.instrument else "")
            if isinstance(change, Tripped):
                self.alert(draft, change.severity, key, change.text)
            else:
                self.alert_over(draft, key, change.text)
        mode = self.breakers.mode
        if mode != self.books.mode:
            before = self.books.mode
            self.books.mode = mode
            draft.write("mode_changed", {"from": before.name, "to": mode.name, "why": self.breakers.reasons()})

    # ---- alerts ----

    def alert(self, draft: Draft, severity: Severity, key: str, text: str, *, is_event: bool = False) -> None:
        """Tell people what is wrong, and keep that they were told; see `Alerts.raised`."""
        self.tell(draft, self.alerts.raised(draft.ts_ns, severity, key, text, is_event=is_event))

    def alert_over(self, draft: Draft, key: str, text: str) -> None:
        """Tell people that something is over, if they were told of it."""
        self.tell(draft, self.alerts.over(draft.ts_ns, key, text))

    def tell(self, draft: Draft, tellings: Sequence[Telling]) -> None:
        """Keep what people are told and tell them, and set the time at which they may have to be told again."""
        for telling in tellings:
            draft.entries.append(telling.record)
            if telling.alert is not None:
                draft.then(telling.alert)
        if tellings:
            self._set_time_of_alerts(draft)

    def tell_again(self, draft: Draft) -> None:
        """Let time pass for the alerts."""
        self.tell(draft, self.alerts.time_passed(draft.ts_ns))
        self._set_time_of_alerts(draft)

    def _set_time_of_alerts(self, draft: Draft) -> None:
        if (due_ns := self.alerts.due_ns) is not None:
            draft.then(SetTimer("alerts:due", due_ns))

    # ---- facts and money ----

    def learn(
        self, draft: Draft, fact: Fact, postings: Sequence[Posting] = (), beside: Mapping[str, JSON] | None = None
    ) -> bool:
        """Add a fact to its order and to the draft; False when it says nothing new, and nothing was written."""
        order = self.order(fact.client_order_id)
        assert order is not None, f"a fact about an order that is not ours: {fact}"
        before = order.disputes
        if not order.add(fact):
            return False
        for venue_order_id in order.venue_order_ids:
            self.venue_ids[venue_order_id] = order.client_order_id
        self.active_ns[order.client_order_id] = draft.ts_ns
        self.rows_active_ns[self.row_of(order)] = draft.ts_ns
        draft.write(kind_of(fact), {**to_body(fact), **(beside or {})}, postings)
        disputes.tell(self, draft, order, before)
        if order.client_order_id in self.closed and not order.is_terminal:
            self._reopen(draft, order)
        return True

    def _reopen(self, draft: Draft, order: Order) -> None:
        # What came late says that it has not ended after all: it drains again, and what it may still buy is reserved.
        name = order.client_order_id
        self.orders[name] = self.closed.pop(name)
        self.slots[self.row_of(order)].drains.append(name)
        body = {"client_order_id": name, "status": order.status.value, "filled_units": order.filled_units}
        draft.write("order_reopened", body, self._hold_again(order))
        if order.undisputed_status is not OrderStatus.SETTLING:
            text = f"order {name} of {order.request.instrument} had ended and is {order.status.value} after all"
            self.alert(draft, Severity.CRITICAL, f"reopened:{name}", text)

    def hold(self, client_order_id: str, cash_units: int) -> tuple[Posting, ...]:
        """Reserve cash for an order and return the legs."""
        self.holds[client_order_id] = (cash_units, cash_units)
        return move(self.quote, self.cash_amount(cash_units), Book.CASH, Book.HOLD)

    def hold_more(self, order: Order, cash_units: int) -> tuple[Posting, ...]:
        """Reserve what an order needs beyond what it holds after its price went up, and return the legs."""
        _, held = self.holds.get(order.client_order_id, (0, 0))
        if cash_units <= held or order.leaves_units <= 0:
            return ()
        first = -(-cash_units * order.request.terms.qty_units // order.leaves_units)
        self.holds[order.client_order_id] = (first, cash_units)
        return move(self.quote, self.cash_amount(cash_units - held), Book.CASH, Book.HOLD)

    def _hold_again(self, order: Order) -> tuple[Posting, ...]:
        # Its plan may be forgotten: it reserves what the rest of it costs at its limit, or at the last price.
        if order.request.role is not Role.ENTRY:
            return ()
        row = self.row_of(order)
        record, side = self.books.records[row], int(order.request.side)
        price_units = order.terms.limit_units or self.price_units(row, self.price_across(row, side))
        notional = int(notional_units(record, price_units, order.leaves_units))
        return self.hold_more(order, math.ceil(notional * cash_per_notional(record, self.books.rules)))

    def release(self, order: Order, leaves_units: int) -> tuple[Posting, ...]:
        """Give back what an order does not need any more, and return the legs."""
        first, held = self.holds.get(order.client_order_id, (0, 0))
        keep = -(-first * leaves_units // order.request.terms.qty_units) if leaves_units > 0 else 0
        keep = min(keep, held)
        if leaves_units <= 0:
            self.holds.pop(order.client_order_id, None)
        else:
            self.holds[order.client_order_id] = (first, keep)
        return move(self.quote, self.cash_amount(held - keep), Book.HOLD, Book.CASH)

    def trade_legs(self, row: int, side: int, qty_units: int, cash_units: int, fee_units: int) -> tuple[Posting, ...]:
        """Return the legs of one execution."""
        instrument = self.instruments[row]
        return trade(
            instrument.base,
            instrument.quote,
            side,
            self.base_amount(row, qty_units),
            self.cash_amount(cash_units),
            self.cash_amount(fee_units),
        )

    def remember_foreign(self, venue_trade_id: str) -> None:
        """Remember an execution of nobody's order, so that it is taken once."""
        self.foreign_trades[venue_trade_id] = None
        while len(self.foreign_trades) > FOREIGN_KEPT:
            self.foreign_trades.popitem(last=False)
        self.keeps += 1

    def reserved(self) -> tuple[float, float]:
        """Return cash held and notional of entries that no plan stands for: cancelled but not ended, or not known."""
        hold = notional = 0.0
        for slot in self.slots:
            for name in slot.drains:
                order = self.orders.get(name)
                if order is None or order.request.role is not Role.ENTRY:
                    continue
                hold += self.holds.get(name, (0, 0))[1] / 10 ** self.instruments[0].cash_scale
                plan = self.plans.get(order.request.decision_id)
                if plan is not None and plan.units > 0:
                    notional += float(plan.notional) * order.leaves_units / order.request.terms.qty_units
        return hold, notional

    def price_units(self, row: int, price: float) -> int:
        """Return a price that lies on the grid in price units; 0 for none."""
        return round(price * float(self.books.records[row].price_factor)) if price > 0.0 else 0

    def hold_units(self, plan: Record) -> int:
        """Return the cash units that a plan reserves, rounded up."""
        return math.ceil(float(plan.hold) * float(self.books.records[0].cash_factor)) if plan.hold > 0.0 else 0
