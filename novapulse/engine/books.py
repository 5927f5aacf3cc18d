"""The records of one account that decisions read, and the only place of the trader that changes them.

Invariants:
- the records are those of the backtest: account, positions, working orders; they change by ticks and by fills;
- a fill larger than the position it closes never turns it by itself: what is left over belongs to nobody
  (`foreign_units`), or is a position of its own (`turn`);
- `packed` and `restored` keep every bit, so that a restarted trader decides what the unbroken one would have.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novapulse.core.instruments import Instrument
from novapulse.core.orders import Filled, Role
from novapulse.core.records import (
    ACCOUNT,
    ACTION,
    DENIAL,
    FILL,
    ORDER,
    POSITION,
    SIGNAL,
    Intent,
    Mode,
    Reason,
    Record,
    Verb,
)
from novapulse.core.records import BAR as BAR_RECORD
from novapulse.engine.round_trips import RoundTrip, round_trip_of
from novapulse.engine.step import book_entry, book_exit, close_tick, end_plan, forget_round_trip, place_exit_now
from novapulse.execution.rules import instrument_records
from novapulse.execution.tactics import cross
from novapulse.risk.decide import cash_per_notional

EQUITY = 2
"""Place of the last equity among the gauges."""

GAUGES = 5
"""How many there are."""

_MODES = tuple(Mode)
_INTENTS = tuple(Intent)


@dataclass(frozen=True, slots=True)
class Attention:
    """An instrument for which a tick wants something done.

    Attributes:
        row: Which.
        step: A `Step` of its working order, `TRIGGERED`, or 0.
        verb: What was decided.
        reason: Why.
        ends_entry: Whether an entry that was at work has ended for it, without having been filled to the last unit.
    """

    row: int
    step: int
    verb: Verb
    reason: int
    ends_entry: bool


class Books:
    """Account, positions and working orders of one account."""

    def __init__(self, instruments: Sequence[Instrument], rules: Record, capital_units: int) -> None:
        """Open the books.

        Args:
            instruments: In sorted order; one quote asset.
            rules: RULES.
            capital_units: Opening cash, cash units.
        """
        count = len(instruments)
        self.instruments = tuple(instruments)
        self.records = instrument_records(self.instruments)
        self.rules = rules
        self._whole, parts = _side_by_side(count)
        self.account, self.positions, self.orders, self.foreign_units, self.inside, self.last_bars, self.gauges = parts
        self._mode: NDArray[np.int32] = self.account["mode"]
        self._held: NDArray[np.int64] = self.positions["qty_units"]
        self._intents: NDArray[np.int32] = self.orders["intent"]
        self.actions = np.zeros(count, ACTION)
        self._action_bytes = self.actions.view(np.uint8)
        self.seen_account = np.zeros(count, ACCOUNT)
        self.seen_positions = np.zeros(count, POSITION)
        self.groups = np.zeros(count)
        self.last_signals = np.zeros(count, SIGNAL)
        self.losses = np.zeros(2)
        self._steps = np.zeros(count, np.int64)
        self._denial = np.zeros(1, DENIAL)
        self._fill = np.zeros(1, FILL)[0]
        self._reserved = np.zeros(2)
        account = self.account
        account["cash_units"] = capital_units
        cash = capital_units / float(self.records[0].cash_factor)
        for name in ("cash", "equity", "equity_peak", "day_opening_equity", "day_peak"):
            account[name] = cash

    @property
    def mode(self) -> Mode:
        """What the account may do."""
        return _MODES[self._mode.item(0)]

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self.account["mode"] = mode

    def intent(self, row: int) -> Intent:
        """Return what is at work for an instrument."""
        return _INTENTS[self._intents.item(row)]

    def held_units(self, row: int) -> int:
        """Return the signed quantity of a position."""
        return self._held.item(row)

    def held_or_worked_for(self) -> int:
        """Return for how many instruments something is held or an entry is at work: what the account counts."""
        entry, rows = int(Intent.ENTRY), zip(self._held.tolist(), self._intents.tolist(), strict=True)
        return sum([held != 0 or intent == entry for held, intent in rows])

    def tick(
        self,
        ts_close_ns: int,
        bars: Record,
        signals: Record,
        present: Record,
        blocked: Record,
        reserved: tuple[float, float],
    ) -> list[Attention]:
        """Let a close act and decide; see `close_tick`.

        Returns:
            The instruments for which something is to be done, in order.
        """
        self._reserved[:] = reserved
        # What is recorded of a decision holds nothing of an earlier one.
        self._action_bytes[:] = 0
        before = self._intents.tolist()
        count = close_tick(
            ts_close_ns,
            bars,
            signals,
            present,
            self.inside,
            blocked,
            self.groups,
            self._reserved,
            self.records,
            self.rules,
            self.account,
            self.positions,
            self.orders,
            self._denial,
            self.actions,
            self._steps,
            self.seen_account,
            self.seen_positions,
            self.losses,
        )
        here = present != 0
        if 0 not in present.tolist():
            self.inside[:], self.last_bars[:], self.last_signals[:] = 0, bars, signals
        else:
            self.inside[here] = 0
            self.last_bars[here] = bars[here]
            self.last_signals[here] = signals[here]
        if count == 0:
            return []
        verbs = self.actions["verb"]
        wanted = np.flatnonzero(here & ((self._steps != 0) | (verbs != int(Verb.HOLD))))
        return [self._attention(row, Intent(before[row])) for row in wanted.tolist()]

    def _attention(self, row: int, before: Intent) -> Attention:
        action = self.actions[row]
        verb = Verb(int(action.verb))
        ends_entry = before is Intent.ENTRY and (self.intent(row) is not Intent.ENTRY or verb is Verb.ENTER)
        return Attention(row, self._steps.item(row), verb, int(action.reason), ends_entry)

    def book(
        self, row: int, fill: Filled, role: Role, plan: Record | None, reason: int, *, rested: bool = False
    ) -> RoundTrip | None:
        """Book one execution.

        Args:
            row: Instrument.
            fill: The execution.
            role: What its order is for.
            plan: ORDER that an entry was decided with; None for an order of nobody, whose quantity stays foreign.
            reason: Code of the exit, or of the entry.
            rested: Whether the order was a limit order, so that an entry lies somewhere inside its bar.

        Returns:
            The round trip that the fill closed, or None.
        """
        position, order = self.positions[row], self.orders[row]
        units = fill.qty_units
        if role is Role.ENTRY and plan is not None:
            fits = position.direction in (0, int(fill.side))
            self._write(row, fill, units, reason, float(plan.decision_price))
            if fits:
                if position.entered_units == 0 and rested:
                    self.inside[row] = 1
                book_entry(self._fill, plan, self.records[row], self.rules, self.account[0], position, order)
                return None
        closing = min(units, max(-int(fill.side) * int(position.qty_units), 0)) if role is not Role.ENTRY else 0
        if closing < units:
            self._book_foreign(row, fill, closing)
        if closing == 0:
            return None
        self._write(row, fill, closing, reason, _reference(position, order, reason))
        closed = book_exit(self._fill, self.records[row], self.rules, self.account[0], position, order, self._denial[0])
        return self._round_trip(row, fill, reason) if closed else None

    def turn(self, row: int, fill: Filled, stop_distance: float) -> None:
        """Book what was executed beyond what was held: a position that nobody decided, with a stop and no target.

        Args:
            row: Instrument, which holds nothing, or holds on the execution's side.
            fill: The execution, as far as it is beyond.
            stop_distance: From its price, quote per base.
        """
        position, plan = self.positions[row], np.zeros(1, ORDER)[0]
        plan.side, plan.lead, plan.regime = int(fill.side), position.lead, position.regime
        plan.stop_distance, plan.decision_ts_ns = stop_distance, -1
        record = self.records[row]
        self._write(row, fill, fill.qty_units, Reason.EXIT_EXCESS, fill.price_units / float(record.price_factor))
        book_entry(self._fill, plan, record, self.rules, self.account[0], position, self.orders[row])

    def reopen(self, row: int, undone: Filled) -> None:
        """Let a position have back what an execution had closed of it: it is as it was, its stop included.

        Args:
            row: Instrument, of whose position more than that was closed by executions that stand, or nothing.
            undone: The execution turned round: of the position's side, its fee with the other sign.
        """
        position, units = self.positions[row], undone.qty_units
        assert position.direction == int(undone.side), f"{undone} is not of a position on side {position.direction}"
        before, price = int(position.exited_units), undone.price_units / float(self.records[row].price_factor)
        left = max(before - units, 0)
        position.exit_price = (float(position.exit_price) * before - price * units) / left if left else 0.0
        position.exited_units = left
        position.exit_units = int(position.exit_units) - undone.cash_units if left else 0
        position.fee_units += undone.fee_units
        position.qty_units += int(undone.side) * units
        position.qty = int(position.qty_units) / float(self.records[row].qty_factor)
        if self.intent(row) is Intent.EXIT:
            self.orders[row].units = abs(int(position.qty_units))
        self.move_cash(-int(undone.side) * undone.cash_units - undone.fee_units)

    def _write(self, row: int, fill: Filled, units: int, reason: int, reference: float) -> None:
        instrument, record = self.records[row], self._fill
        whole = units == fill.qty_units
        share = 1.0 if whole else units / fill.qty_units
        record.ts_ns = fill.ts_event_ns
        record.side = int(fill.side)
        record.liquidity = fill.liquidity
        record.reason = reason
        record.price_units = fill.price_units
        record.price = fill.price_units / instrument.price_factor
        record.qty_units = units
        record.qty = units / instrument.qty_factor
        record.cash_units = fill.cash_units if whole else round(fill.cash_units * share)
        record.fee_units = fill.fee_units if whole else round(fill.fee_units * share)
        record.slippage = int(fill.side) * (record.price - reference) * record.qty

    def _book_foreign(self, row: int, fill: Filled, closing: int) -> None:
        left = fill.qty_units - closing
        self.foreign_units[row] += int(fill.side) * left
        share = closing / fill.qty_units
        cash = fill.cash_units - (round(fill.cash_units * share) if closing else 0)
        fee = fill.fee_units - (round(fill.fee_units * share) if closing else 0)
        self.move_cash(-int(fill.side) * cash - fee)

    def move_cash(self, cash_units: int) -> None:
        """Book cash that came or went without a trade of ours."""
        self.account["cash_units"] += cash_units
        self.account["cash"] = self.account["cash_units"] / float(self.records[0].cash_factor)

    def split(self, row: int, new: int, old: int, own_units: int, foreign_units: int) -> None:
        """Restate an instrument by a ratio: what was paid, the result and the equity stay what they are.

        Args:
            row: Instrument.
            new: New units for `old` ones.
            old: Old units.
            own_units: What strategies hold afterwards, of the sign of what they held before.
            foreign_units: What belongs to nobody afterwards.
        """
        position, record, factor = self.positions[row], self.records[row], old / new
        self.foreign_units[row] = foreign_units
        position.qty_units = own_units
        position.qty = own_units / record.qty_factor
        position.entered_units = position.entered_units * new // old
        position.exited_units = max(int(position.entered_units) - abs(own_units), 0)
        for name in ("mark_price", "best_price", "worst_price", "entry_price", "exit_price"):
            setattr(position, name, getattr(position, name) * factor)
        position.stop_distance *= factor
        position.target_distance *= factor
        towards = math.ceil if position.direction > 0 else math.floor
        position.stop_price = self._on_grid(row, float(position.stop_price) * factor, towards)
        position.target_price = self._on_grid(row, float(position.target_price) * factor, round)
        self.restate_plan(self.orders[row], new, old)
        if self.orders[row].intent == Intent.EXIT:
            self.orders[row].units = abs(own_units)
        bar = self.last_bars[row]
        for name in ("open", "high", "low", "close"):
            setattr(bar, name, getattr(bar, name) * factor)
        bar.volume /= factor

    def _on_grid(self, row: int, price: float, rounded: Callable[[float], int]) -> float:
        record = self.records[row]
        ticks = round(price * float(record.price_factor) / float(record.tick_units), 6)
        return rounded(ticks) * int(record.tick_units) / float(record.price_factor)

    def restate_plan(self, plan: Record, new: int, old: int) -> None:
        """Restate quantity and prices of an ORDER by the ratio of a split."""
        plan.units = plan.units * new // old
        for name in ("limit_price", "decision_price", "stop_distance", "target_distance"):
            setattr(plan, name, getattr(plan, name) * old / new)

    def shift_marks(self, cash_units: int) -> None:
        """Let what came or went without a trade, worth so much, be neither profit nor loss: today or on a later day."""
        amount = cash_units / float(self.records[0].cash_factor)
        account = self.account[0]
        for name in ("equity", "equity_peak", "day_opening_equity", "day_peak"):
            setattr(account, name, getattr(account, name) + amount)
        # Of a day without a peak nothing is known.
        account.day_peaks[account.day_peaks != 0.0] += amount
        self.gauges[EQUITY] += amount if self.gauges[EQUITY] > 0.0 else 0.0

    def _round_trip(self, row: int, fill: Filled, reason: int) -> RoundTrip:
        position = self.positions[row]
        trip = round_trip_of(position, row, fill.ts_event_ns, reason)
        forget_round_trip(position)
        self.inside[row] = 0
        return trip

    def end_plan(self, row: int) -> None:
        """Give up what is at work for an instrument: the rest of an entry, or an exit that is to be decided anew."""
        if self.intent(row) is not Intent.NONE:
            end_plan(row, self.last_bars[row], self.account[0], self.positions[row], self.orders[row], self._denial[0])

    def leave(self, row: int, reason: int) -> None:
        """Decide to close a position now, outside of a bar: at the market."""
        position = self.positions[row]
        self.end_plan(row)
        action = self.actions[row]
        action.verb = Verb.EXIT
        action.reason = reason
        action.side = -position.direction
        action.kind = 0
        action.units = abs(position.qty_units)
        action.qty = abs(position.qty)
        action.target_units = 0
        action.limit_price = 0.0
        place_exit_now(self.orders[row], position, action, self.last_bars[row], self.rules)

    def complete(self, row: int, plan: Record, units: int, price: float, ts_ns: int) -> None:
        """Put the rest of an entry back to work, at the market, with what it costs at the price there is now."""
        order, record = self.orders[row], self.records[row]
        self.orders[row] = plan
        cross(order, ts_ns, self.rules)
        order.units = units
        order.notional = units / record.qty_factor * price
        order.hold = order.notional * cash_per_notional(record, self.rules)
        self.positions[row].pending_units = order.side * units

    def packed(self) -> bytes:
        """Return every bit of the books."""
        whole = self._whole.tobytes()
        return zlib.crc32(whole).to_bytes(4, "big") + whole

    def restore(self, packed: bytes, rows: Sequence[int | None] | None = None, count: int | None = None) -> None:
        """Take up what `packed` returned.

        Args:
            packed: The bytes.
            rows: Where each instrument stood when they were packed, None for one that did not; None means here.
            count: How many there were then; None means as many as now.

        Raises:
            ValueError: The bytes are of another number of instruments, or damaged.
        """
        rows = range(len(self.positions)) if rows is None else rows
        count = len(self.positions) if count is None else count
        before, (account, *of_each, gauges) = _side_by_side(count)
        whole = packed[4:]
        if len(whole) != before.nbytes:
            raise ValueError(f"books of {len(whole)} bytes for {count} instruments: expected {before.nbytes}")
        if zlib.crc32(whole) != int.from_bytes(packed[:4], "big"):
            raise ValueError("the books' checksum is wrong: the state is damaged")
        before[:] = np.frombuffer(whole, np.uint8)
        self.account[:], self.gauges[:] = account, gauges
        own = (self.positions, self.orders, self.foreign_units, self.inside, self.last_bars)
        for mine, theirs in zip(own, of_each, strict=True):
            for row, at in enumerate(rows):
                # All bytes of it: what lies between fields is packed as well.
                mine[row : row + 1].view(np.uint8)[:] = 0 if at is None else theirs[at : at + 1].view(np.uint8)
        # A count that was ever wrong would stay so, until nothing was entered any more.
        self.account["positions"] = self.held_or_worked_for()


def _side_by_side(count: int) -> tuple[NDArray[np.uint8], list[Record]]:
    # What is kept lies in one piece, so that it is packed in one piece: `core.kept_state` reads it in this order.
    of_each = (POSITION, ORDER, np.dtype(np.int64), np.dtype(np.int64), BAR_RECORD)
    shapes = [(ACCOUNT, 1), *((dtype, count) for dtype in of_each), (np.dtype(np.float64), GAUGES)]
    whole = np.zeros(sum(dtype.itemsize * size for dtype, size in shapes), np.uint8)
    parts, start = [], 0
    for dtype, size in shapes:
        end = start + dtype.itemsize * size
        parts.append(whole[start:end].view(dtype))
        start = end
    return whole, parts


def _reference(position: Record, order: Record, reason: int) -> float:
    if reason == Reason.EXIT_TARGET:
        return float(position.target_price)
    return float(order.decision_price if int(order.intent) == Intent.EXIT else position.stop_price)
