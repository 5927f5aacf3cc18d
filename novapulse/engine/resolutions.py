"""Carries out what reconciliation decided.

Invariants:
- money is booked with its legs, whatever the reason: a movement against CAPITAL or INCOME, dust against DUST, and what
  an operator accepts without an explanation against SUSPENSE, where it stays visible;
- money that comes or goes without a trade is no profit, nor are coins of a position: the day's opening and the peaks of
  this day and of those before move with it. Only what is paid for the rest of a split has a counterpart: it left the
  position.
"""

from collections.abc import Iterable

from novapulse.core.bars import DAY_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import JSON, Cancel, Flow, Lookup, ReadSnapshot, Severity
from novapulse.core.orders import Busted, Filled
from novapulse.core.postings import Book, Posting, move
from novapulse.engine import fills, splits
from novapulse.engine.changes import ask_cancel
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.resolver import Resolver
from novapulse.reconciliation.breaks import Break, Scope
from novapulse.reconciliation.resolve import (
    AdoptExternal,
    AlertOnly,
    ApplySplit,
    BookFacts,
    BookProvisional,
    CancelAtVenue,
    FreezeEntries,
    HaltAccount,
    HaltInstrument,
    ImportFlow,
    LookUp,
    Resolution,
    SweepDust,
    WidenFills,
)

FLOWS_KEPT = 1024
FOREIGN_ORDERS_KEPT = 256
_SOURCES = dict.fromkeys(("interest", "staking", "dividend", "reward"), Book.INCOME) | {"fee": Book.FEES}
"""Kind of a movement -> the book on its other side; CAPITAL for every other kind."""


class Resolutions:
    """What one comparison asks for, carried out as it comes.

    Attributes:
        gates: Instrument -> why it takes no new risk.
        frozen: Why the account takes none; empty when it may.
        fatal: How many breaks halt the account.
    """

    def __init__(self, desk: Desk, resolver: Resolver) -> None:
        """Start without demands."""
        self.desk = desk
        self.resolver = resolver
        self.gates: dict[InstrumentKey, str] = {}
        self.frozen = ""
        self.fatal = 0

    def begin(self) -> None:
        """Forget the demands of the comparison before."""
        self.gates = {}
        self.frozen = ""
        self.fatal = 0

    def apply(self, draft: Draft, found: Break, wanted: Iterable[Resolution]) -> None:
        """Carry out what is wanted of one break."""
        for one in wanted:
            if isinstance(one, HaltInstrument):
                self.gates.setdefault(one.instrument, one.text)
            elif isinstance(one, FreezeEntries):
                self.frozen = self.frozen or one.text
            elif isinstance(one, HaltAccount):
                self.frozen = self.frozen or one.text
                self.fatal += 1
            elif isinstance(one, AlertOnly):
                self.desk.alert(draft, found.rule.severity, f"break:{found.key}", one.text)
            else:
                self._act(draft, found, one)

    def gate(self, found: Break) -> None:
        """Let what a break touches take no new risk while it is open: its instruments, or the account without any."""
        if found.rule.scope is Scope.ACCOUNT or not found.instruments:
            self.frozen = self.frozen or found.text
        for instrument in found.instruments:
            self.gates.setdefault(instrument, found.text)

    def _act(self, draft: Draft, found: Break, one: Resolution) -> None:
        desk = self.desk
        if isinstance(one, BookFacts):
            for fact in one.facts:
                if isinstance(fact, Filled):
                    fills.take_fill(desk, draft, fact)
                elif desk.order(fact.client_order_id) is not None:
                    desk.learn(draft, fact)
                if isinstance(fact, Busted):
                    text = f"{found.text}; neither its list nor its balances have them: they were taken back"
                    desk.alert(draft, Severity.CRITICAL, f"bust:{fact.venue_trade_id}", text, is_event=True)
        elif isinstance(one, BookProvisional):
            fills.take_fill(desk, draft, one.fill)
        elif isinstance(one, LookUp):
            self._look_up(draft, one)
        elif isinstance(one, CancelAtVenue):
            order = desk.order(one.client_order_id)
            if order is not None:
                ask_cancel(desk, draft, order)
            else:
                body = {"client_order_id": "", "venue_order_id": one.venue_order_id}
                draft.write("extra_cancel_asked", body)
                draft.then(Cancel("", one.venue_order_id, one.instrument, 1))
        elif isinstance(one, AdoptExternal):
            self._adopt_external(draft, one)
        elif isinstance(one, ImportFlow):
            self._import(draft, one.flow)
        elif isinstance(one, ApplySplit):
            self._split(draft, one.flow)
        elif isinstance(one, WidenFills):
            draft.then(ReadSnapshot(desk.clean_cursor, one.text))
        elif isinstance(one, SweepDust):
            if self._sweep(draft, one):
                # It was booked: who adopts it before the next reading would book it once more.
                del desk.breaks[found.key]
        else:
            raise AssertionError(f"nobody carries out {one}")

    def _look_up(self, draft: Draft, one: LookUp) -> None:
        order = self.desk.orders.get(one.client_order_id)
        if order is not None:
            self.resolver.watch(draft, order, keep=True)
        else:
            draft.then(Lookup(one.client_order_id, one.venue_order_id, one.instrument, draft.ts_ns))

    def _adopt_external(self, draft: Draft, one: AdoptExternal) -> None:
        desk = self.desk
        if one.listed is not None and one.listed.seen.venue_order_id not in desk.foreign:
            seen = one.listed.seen
            desk.foreign[seen.venue_order_id] = one.listed.instrument
            while len(desk.foreign) > FOREIGN_ORDERS_KEPT:
                desk.foreign.popitem(last=False)
            draft.write(
                "foreign_order_seen",
                {
                    "venue_order_id": seen.venue_order_id,
                    "client_order_id_shown": seen.client_order_id,
                    "instrument": [one.listed.instrument.exchange, one.listed.instrument.symbol],
                    "side": int(one.listed.side),
                    "qty_units": one.listed.qty_units,
                },
            )
        for fill in one.fills:
            fills.take_fill(desk, draft, fill)

    # ---- money without a trade ----

    def _import(self, draft: Draft, flow: Flow) -> None:
        desk = self.desk
        if flow.flow_id in desk.flows:
            return
        self._remember(flow)
        legs: tuple[Posting, ...] = ()
        is_price = flow.kind == "cash_in_lieu"
        taken = self._take_amount(draft, flow.asset, flow.asset_units, own_money=not is_price)
        if taken is not None:
            source = Book.TRADING if is_price else _SOURCES.get(flow.kind, Book.CAPITAL)
            legs = move(flow.asset, flow.asset_units, source, self._book_of(flow.asset))
        else:
            text = f"{flow.kind} of {flow.asset}: not an asset of ours"
            desk.alert(draft, Severity.WARNING, f"flow:{flow.flow_id}", text, is_event=True)
        draft.write(
            "flow_booked",
            {
                "flow_id": flow.flow_id,
                "kind": flow.kind,
                "asset": flow.asset,
                "asset_units": flow.asset_units,
                "ts_event_ns": flow.ts_event_ns,
                **(taken or {}),
            },
            legs,
        )

    def _remember(self, flow: Flow) -> None:
        self.desk.flows[flow.flow_id] = None
        while len(self.desk.flows) > FLOWS_KEPT:
            self.desk.flows.popitem(last=False)

    def _split(self, draft: Draft, flow: Flow) -> None:
        if flow.flow_id not in self.desk.flows and splits.apply(self.desk, draft, flow):
            self._remember(flow)

    def _sweep(self, draft: Draft, one: SweepDust) -> bool:
        desk = self.desk
        day = draft.ts_ns // DAY_NS
        if desk.dust_days.get(one.asset) == day and not self._is_all_there_is(one):
            return False
        desk.dust_days[one.asset] = day
        taken = self._take_amount(draft, one.asset, one.asset_units, own_money=False)
        if taken is not None:
            legs = move(one.asset, one.asset_units, Book.DUST, self._book_of(one.asset))
            draft.write("dust_swept", {"asset": one.asset, "asset_units": one.asset_units, **taken}, legs)
        return taken is not None

    def _is_all_there_is(self, one: SweepDust) -> bool:
        # A position that is nothing but dust cannot be left: its exit would be refused until the day is over.
        desk = self.desk
        held = [
            desk.base_amount(row, desk.books.held_units(row))
            for row, instrument in enumerate(desk.instruments)
            if instrument.base == one.asset
        ]
        return any(0 < abs(units) <= abs(one.asset_units) and units * one.asset_units < 0 for units in held)

    def adopt(self, draft: Draft, found: Break) -> tuple[bool, str]:
        """Book a difference of amounts as it is, against SUSPENSE.

        Returns:
            Whether it was done, and a sentence.
        """
        if not found.asset or not found.diff_units:
            return False, f"{found.key} is no difference of amounts: {found.text}"
        if found.flow is not None and found.flow.flow_id in self.desk.flows:
            return False, f"{found.key} was booked with the movement {found.flow.flow_id} already"
        taken = self._take_amount(draft, found.asset, found.diff_units, own_money=True)
        if taken is None:
            return False, f"{found.asset} is not an asset of this account, or its difference is finer than it trades"
        legs = move(found.asset, found.diff_units, Book.SUSPENSE, self._book_of(found.asset))
        if found.flow is not None:
            self._remember(found.flow)
        draft.write("break_adopted", {"key": found.key, "text": found.text, **taken}, legs)
        return True, f"{found.diff_units} units of {found.asset} were booked against suspense"

    def _book_of(self, asset: str) -> Book:
        return Book.CASH if asset == self.desk.quote else Book.INVENTORY

    def _take_amount(self, draft: Draft, asset: str, units: int, *, own_money: bool) -> dict[str, JSON] | None:
        """Let the books have an amount that no trade brought; return what its record says, None when they cannot."""
        desk, books = self.desk, self.desk.books
        if asset == desk.quote:
            step = 10 ** (desk.scales[asset] - desk.instruments[0].cash_scale)
            if units % step:
                return None
            books.move_cash(units // step)
            if own_money:
                books.shift_marks(units // step)
            return {}
        for row, instrument in enumerate(desk.instruments):
            if instrument.base == asset:
                step = 10 ** (desk.scales[asset] - instrument.qty_scale)
                if units % step:
                    return None
                return fills.take_amount(desk, draft, row, units // step, own_money=own_money)
        return None
