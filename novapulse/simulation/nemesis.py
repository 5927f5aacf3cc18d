"""What venues, markets, clocks and machines do at moments: the planned acts of a seed, and their end.

Invariants:
- whatever an act makes wrong is right again at the next calm at the latest;
- an act that finds nothing to act on (no live order, no position) does nothing and leaves no mark.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from novapulse.core.messages import ConditionSeen
from novapulse.core.orders import OrderType, Side, VenueState
from novapulse.simulation import by_hand, quotes
from novapulse.simulation.faults import Fault
from novapulse.simulation.host import Host
from novapulse.simulation.plan import HEALTHY_WITHIN_NS, MINUTE_NS, Act
from novapulse.venues.simulated import VenueMode
from novapulse.venues.simulated.account import shift
from novapulse.venues.simulated.book import Order, Slot

if TYPE_CHECKING:
    from novapulse.simulation.storm import StormyWorld

SECOND_NS = 1_000_000_000
REST_SECOND_NS = 40 * SECOND_NS
BACKUP_AGE_NS = 60 * MINUTE_NS
BEHIND_CANCELS_NS = 5 * SECOND_NS
RETRY_NS = 61 * SECOND_NS
LEFT_HALF_FILLED = 0.25
ENDS_SHORT = 0.4
"""Chance that an operator wants nothing held just when part of an order has traded."""

BOTH_LEGS = 0.5
"""Chance that a bracket does not end for nothing, but twice for something."""

TRIES = 20
SILENT_HEARTBEATS = 60.0
"""How long a feed that has stopped is said to have been silent."""


class Nemesis:
    """Carries out the acts of one world."""

    def __init__(self, world: "StormyWorld") -> None:
        self.world = world
        self._acts: dict[Fault, Callable[[Host], None]] = {
            Fault.TRADE_CONFLICT: self._trade_conflict,
            Fault.STREAM_SILENT: self._stream_silent,
            Fault.LONG_ABSENCE: self._long_absence,
            Fault.STALE_FEED: self._stale_feed,
            Fault.CLOCK_STEP: self._clock_step,
            Fault.NONCE_BURST: self._nonce_burst,
            Fault.PARTIAL_FILL: self._partial_fill,
            Fault.LATE_CANCEL: self._late_cancel,
            Fault.RULES_CHANGED: self._rules_changed,
            Fault.FUNDS_FROZEN: self._funds_frozen,
            Fault.VENUE_MODE: self._venue_mode,
            Fault.FOREIGN_ACTIVITY: self._foreign_activity,
            Fault.DUST: self._dust,
            Fault.SPLIT: self._split,
            Fault.DISK_FULL: self._disk_full,
            Fault.OLD_BACKUP: self._old_backup,
            Fault.SECOND_INSTANCE: lambda host: world.process.second_instance(host),
            Fault.BRACKET_GONE: self._bracket_gone,
            Fault.TRADE_BUST: self._trade_bust,
            Fault.SLOW_READS: self._slow_reads,
            Fault.DEAD_MAN: self._dead_man,
        }

    def schedule(self) -> None:
        """Put the acts and the calms of the plan on the timeline."""
        timeline, plan = self.world.timeline, self.world.plan
        for act in plan.acts:
            timeline.at(act.ts_ns, partial(self._do, act))
            if act.fault is Fault.OLD_BACKUP:
                timeline.at(act.ts_ns - BACKUP_AGE_NS, self.world.disk.take_copy)
        for begin, _ in plan.calms:
            timeline.at(begin, self.heal)
            rest = begin + HEALTHY_WITHIN_NS
            rest += (REST_SECOND_NS - rest % MINUTE_NS) % MINUTE_NS
            timeline.at(rest, self.world.auditor.rested)
            timeline.at(rest + SECOND_NS, self.world.operator.enters_again)

    def _do(self, act: Act, tries_left: int = TRIES) -> None:
        if not self.world.is_stormy():
            return
        hosts, mark = self.world.hosts, f"fault {act.fault.value}"
        before = self.world.marks.counts[mark]
        self._acts[act.fault](hosts[self.world.plan.chance.between("whose act", 0, len(hosts) - 1)])
        if self.world.marks.counts[mark] == before and tries_left:
            # There was nothing to act on, no order or no position: perhaps a minute later.
            self._then(RETRY_NS, lambda: self._do(act, tries_left - 1))

    # ---- the end of a storm ----

    def heal(self) -> None:
        """Make everything right that is wrong at present."""
        world = self.world
        world.network.slow_reads_until_ns = world.network.nonce_until_ns = 0
        world.disk.full_until_ns = 0
        for host in world.hosts:
            host.levers.set_mode(VenueMode.ONLINE)
            host.levers.delay_cancels(0)
            host.levers.freeze(0)
            for instrument in host.part.instruments:
                if host.exchange.slots[instrument.key].instrument is not instrument:
                    host.levers.change_rules(instrument)
            host.silent_until_ns = host.stale_until_ns = host.refuses_brackets_until_ns = 0
            host.unquoted_until_ns = 0
            self._condition(host, "reconnected", 1.0)
            self._condition(host, "disk_free", 0.5)
            self._condition(host, "feed_silence", 0.0)
            if host.clock_ns:
                self._set_clock(host, 0)
            quotes.quote_all(self.world, host)

    def _condition(self, host: Host, name: str, value: float | None) -> None:
        if host.trader is not None:
            self.world.deliver(host, ConditionSeen(self.world.now(host), name, value))

    def _until(self, name: str, low_s: int, high_s: int) -> int:
        return self.world.timeline.now_ns + self._wait(name, low_s, high_s)

    def _wait(self, name: str, low_s: int, high_s: int) -> int:
        return self.world.plan.chance.between(name, low_s, high_s) * SECOND_NS

    def _then(self, wait_ns: int, call: Callable[[], None]) -> None:
        # What ends by itself ends once: a calm that came first has ended it already, which does no harm.
        self.world.timeline.at(self.world.timeline.now_ns + wait_ns, call)

    # ---- orders and executions ----

    def _live(self, host: Host, *kinds: OrderType) -> list[tuple[Slot, Order]]:
        return [
            (slot, order)
            for slot in host.exchange.slots.values()
            for order in slot.live
            if order.request.kind in kinds and order.client_order_id
        ]

    def trade_some(self, host: Host, client_order_id: str, pieces: int = 1, *, crumb: bool = False) -> bool:
        """Let part of a live order trade outside of any bar, all of it, or a crumb alone; False when it cannot."""
        order = host.exchange.book.find(client_order_id)
        if order is None or not order.is_live or order.request.kind is OrderType.BRACKET:
            return False
        slot, chance = host.exchange.slots[order.request.instrument], self.world.plan.chance
        resting = order.request.kind is OrderType.LIMIT
        price = order.terms.limit_units or round(slot.last_price * float(slot.record["price_factor"]))
        if price <= 0 or not (resting or order.reduces):
            return False
        traded = False
        for _ in range(pieces):
            most = (
                min(order.leaves_units, slot.reducible_units(order.request.side))
                if order.reduces
                else order.leaves_units
            )
            lots = most // int(slot.record["lot_units"])
            if not order.is_live or lots < 1:
                break
            whole = pieces == 1 and not crumb and chance.happens("trades whole", 0.4)
            part = 1 if pieces > 1 or crumb else chance.between("lots traded", 1, lots)
            host.levers.fill(
                order.venue_order_id,
                most if whole else part * int(slot.record["lot_units"]),
                price,
                self.world.timeline.now_ns,
            )
            traded = True
        return traded

    def _partial_fill(self, host: Host) -> None:
        for _, order in self._live(host, OrderType.LIMIT):
            # A crumb is less than the venue lets go alone.
            chance = self.world.plan.chance
            crumb = not order.reduces and chance.happens("trades a crumb", ENDS_SHORT)
            if self.trade_some(host, order.client_order_id, crumb=crumb):
                self.world.marks.saw(Fault.PARTIAL_FILL)
                if order.is_live and (crumb or (not order.reduces and chance.happens("rest is ended", ENDS_SHORT))):
                    host.levers.cancel(order.venue_order_id, self.world.timeline.now_ns)
                self.world.stream(host)
                if chance.happens("left half filled", LEFT_HALF_FILLED) and order.is_live:
                    self._then(SECOND_NS, partial(self.world.operator.leaves, host))
                self._silence(host, self._wait("cut", 5, 60))
                return

    def _long_absence(self, host: Host) -> None:
        orders = [order.client_order_id for _, order in self._live(host, OrderType.LIMIT)]
        if orders and self.trade_some(host, orders[0], pieces=60):
            self.world.marks.saw(Fault.LONG_ABSENCE)
            host.exchange.take_events()
            self.world.process.crash("while an order filled in pieces")

    def _trade_conflict(self, host: Host) -> None:
        trades = host.exchange.holdings.trades
        if trades:
            self.world.marks.saw(Fault.TRADE_CONFLICT)
            self.world.say_twice_differently(host, next(reversed(trades.values())))

    def _trade_bust(self, host: Host) -> None:
        holdings = host.exchange.holdings
        standing = [fill for fill in holdings.trades.values() if fill.venue_trade_id not in holdings.busted]
        if standing:
            self.world.marks.saw(Fault.TRADE_BUST)
            busted, now = standing[-1], self.world.timeline.now_ns
            host.levers.bust(busted.venue_trade_id, now)
            host.untold[busted.instrument] = now
            if self.world.plan.chance.happens("bust is not told", 0.4):
                self.world.marks.reached("a bust was not told")
                host.exchange.take_events()
                self._condition(host, "reconnected", 1.0)
            self.world.stream(host)

    def _bracket_gone(self, host: Host) -> None:
        brackets = self._live(host, OrderType.BRACKET)
        if self.world.plan.chance.happens("brackets refused", 0.4):
            host.refuses_brackets_until_ns = self._until("refusal", 2, 120)
        if brackets:
            self.world.marks.saw(Fault.BRACKET_GONE)
            if self.world.plan.chance.happens("both legs", BOTH_LEGS):
                self._both_legs(host, *max(brackets, key=lambda each: each[0].instrument.shortable))
                return
            state = VenueState.EXPIRED if self.world.plan.chance.happens("expires", 0.3) else VenueState.CANCELED
            host.levers.cancel(brackets[0][1].venue_order_id, self.world.timeline.now_ns, state)
            self.world.stream(host)

    def _both_legs(self, host: Host, slot: Slot, bracket: Order) -> None:
        chance, now, key = self.world.plan.chance, self.world.timeline.now_ns, bracket.request.instrument
        price = round(slot.last_price * float(slot.record["price_factor"]))
        if not slot.instrument.shortable and price > 0 and chance.happens("somebody holds some too", 0.5):
            lots = int(slot.record["lot_units"]) * chance.between("lots beside", 2, 9)
            host.levers.trade(key, Side.BUY, lots, price, now)
        held, side = slot.reducible_units(bracket.request.side), int(bracket.request.side)
        first, second = host.levers.fill_both_legs(bracket.venue_order_id, now)
        if second is None:
            self.world.marks.reached("the second leg of a bracket was refused")
        elif first.qty_units + second.qty_units > min(held, bracket.terms.qty_units):
            turned = side * slot.held_units > 0
            did = "turned the position" if turned else "used up what is nobody's"
            self.world.marks.reached(f"the second leg of a bracket {did}")
            host.legs |= {first.venue_trade_id: second.venue_trade_id, second.venue_trade_id: first.venue_trade_id}
            host.untold[key] = now
            if turned:
                host.beyond[key] = (side, now)
        self.world.stream(host)

    def _dead_man(self, host: Host) -> None:
        if host.levers.cancel_all(self.world.timeline.now_ns):
            self.world.marks.saw(Fault.DEAD_MAN)
            self.world.stream(host)

    # ---- the venue ----

    def _late_cancel(self, host: Host) -> None:
        self.world.marks.saw(Fault.LATE_CANCEL)
        host.levers.delay_cancels(self._wait("late cancel", 1, 30))
        until_ns = self._until("late cancels", 600, 3600)
        self._then(until_ns - self.world.timeline.now_ns, lambda: host.levers.delay_cancels(0))
        self._trade_behind_cancels(host, until_ns)

    def _trade_behind_cancels(self, host: Host, until_ns: int) -> None:
        now = self.world.timeline.now_ns
        if now >= until_ns or not self.world.is_stormy():
            return
        for _, order in self._live(host, OrderType.LIMIT, OrderType.MARKET):
            if order.cancel_ns > now and self.trade_some(host, order.client_order_id):
                self.world.marks.reached("an order traded behind its cancel")
                self.world.stream(host)
        self._then(BEHIND_CANCELS_NS, partial(self._trade_behind_cancels, host, until_ns))

    def _rules_changed(self, host: Host) -> None:
        self.world.marks.saw(Fault.RULES_CHANGED)
        wait_ns = self._wait("rules", 300, 1800)
        for one in host.part.instruments:
            host.levers.change_rules(replace(one, notional_min=Decimal(5000)))
            self._then(wait_ns, partial(host.levers.change_rules, one))

    def _funds_frozen(self, host: Host) -> None:
        self.world.marks.saw(Fault.FUNDS_FROZEN)
        host.levers.freeze(max(host.exchange.holdings.cash_units, 0))
        self._then(self._wait("freeze", 300, 1800), lambda: host.levers.freeze(0))

    def _venue_mode(self, host: Host) -> None:
        modes = (VenueMode.MAINTENANCE, VenueMode.CANCEL_ONLY, VenueMode.POST_ONLY)
        mode = modes[self.world.plan.chance.between("mode", 0, 2)]
        self.world.marks.saw(Fault.VENUE_MODE)
        self.world.marks.reached(f"the venue was {mode.value}")
        host.levers.set_mode(mode)
        self._then(self._wait("mode lasts", 20, 400), lambda: host.levers.set_mode(VenueMode.ONLINE))

    def _foreign_activity(self, host: Host) -> None:
        did = by_hand.act(self.world.plan.chance, host, self.world.timeline.now_ns)
        if not did:
            return
        self.world.marks.saw(Fault.FOREIGN_ACTIVITY)
        self.world.marks.reached(f"somebody {did}")
        if did == "took money without a word":
            # No movement tells of it: that needs a person.
            self._condition(host, "reconnected", 1.0)
        self.world.stream(host)

    def _dust(self, host: Host) -> None:
        for slot in host.exchange.slots.values():
            if slot.held_units > 1:
                self.world.marks.saw(Fault.DUST)
                shift(slot, -1)
                host.exchange.follow(slot, self.world.timeline.now_ns)
                self.world.stream(host)
                return

    def _split(self, host: Host) -> None:
        for key, slot in host.exchange.slots.items():
            if slot.held_units > 0:
                self.world.marks.saw(Fault.SPLIT)
                host.closed_until_ns[key] = self._until("weekend", 600, 1200)
                host.levers.split(key, 2, 1, self.world.timeline.now_ns)
                host.splits[key] = host.splits.get(key, 1.0) / 2.0
                slot.last_price /= 2.0
                self.world.stream(host)
                self._then(SECOND_NS, lambda: self._condition(host, "reconnected", 1.0))
                return

    # ---- stream, feed, reads, clock ----

    def _silence(self, host: Host, wait_ns: int) -> None:
        host.silent_until_ns = self.world.timeline.now_ns + wait_ns
        self._then(wait_ns, lambda: self._condition(host, "reconnected", 1.0))

    def _stream_silent(self, host: Host) -> None:
        self.world.marks.saw(Fault.STREAM_SILENT)
        if self.world.plan.chance.happens("its task fails", 0.3):
            for _ in range(self.world.scene.breakers.task_failures_max):
                self._fails(host)
        self._silence(host, self._wait("silence", 30, 400))

    def _fails(self, host: Host) -> None:
        if host.trader is not None:
            now = self.world.now(host)
            self.world.deliver(host, ConditionSeen(now, "task_failed", None, "the stream ended", "stream"))

    def _slow_reads(self, host: Host) -> None:
        self.world.marks.saw(Fault.SLOW_READS)
        self.world.network.slow_reads_until_ns = self._until("slow reads", 60, 400)

    def _nonce_burst(self, host: Host) -> None:
        self.world.marks.saw(Fault.NONCE_BURST)
        self.world.network.nonce_until_ns = self._until("nonce", 3, 40)

    def _stale_feed(self, host: Host) -> None:
        self.world.marks.saw(Fault.STALE_FEED)
        if self.world.plan.chance.happens("quotes alone", 0.3):
            self.world.marks.reached("quotes stopped")
            host.unquoted_until_ns = self._until("unquoted", 60, 500)
            return
        wait_ns = self._wait("stale", 60, 500)
        host.stale_until_ns = self.world.timeline.now_ns + wait_ns
        self._condition(host, "feed_silence", SILENT_HEARTBEATS)
        self._then(wait_ns, lambda: self._condition(host, "feed_silence", 0.0))
        instrument = host.part.instruments[0]
        if self.world.plan.chance.happens("crossed", 0.5):
            quotes.quote(self.world, host, instrument.key, crossed=True)
            host.unquoted_until_ns = self._until("crossed for", 10, 200)

    def _clock_step(self, host: Host) -> None:
        self.world.marks.saw(Fault.CLOCK_STEP)
        chance = self.world.plan.chance
        step = chance.between("step", 300, 300_000) * 1_000_000
        step = -step if chance.happens("step back", 0.5) else step
        for each in self.world.hosts:
            self._set_clock(each, step)
        self._then(self._wait("step lasts", 30, 600), self._right_clocks)

    def _right_clocks(self) -> None:
        for host in self.world.hosts:
            if host.clock_ns:
                self._set_clock(host, 0)

    def _set_clock(self, host: Host, ahead_ns: int) -> None:
        host.clock_ns = ahead_ns
        self._condition(host, "clock_step", 1.0)

    # ---- the machine ----

    def _disk_full(self, host: Host) -> None:
        self.world.marks.saw(Fault.DISK_FULL)
        for each in self.world.hosts:
            self._condition(each, "disk_free", 0.01)
        wait = self._wait("disk full", 20, 300)
        self.world.disk.full_until_ns = self.world.timeline.now_ns + wait

        def free() -> None:
            for each in self.world.hosts:
                self._condition(each, "disk_free", 0.5)

        self._then(wait + 30 * SECOND_NS, free)

    def _old_backup(self, host: Host) -> None:
        self.world.process.old_backup()
