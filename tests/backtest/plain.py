"""The fold written a second time, in plain Python and without a short cut: every bar goes through every step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from novapulse.backtest.account import opening_state
from novapulse.backtest.columns import NO_FINE, WRITTEN, Fine, Signals
from novapulse.backtest.orders import give_up, place_entry, place_exit, trade_bar, write_denial
from novapulse.backtest.tally import tally_tick
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import Instrument
from novapulse.core.records import ACTION, BAR, DENIAL, FILL, ROUND_TRIP, SIGNAL, Intent, Reason, Record, Verb
from novapulse.execution.rules import instrument_records
from novapulse.risk.decide import decide
from novapulse.risk.settle import mark_account, mark_position
from tests.backtest.builders import Book

NEUTRAL = {
    "confidence": 1.0,
    "volatility": np.nan,
    "gate_probability": np.nan,
    "lead": 0,
    "regime": 0,
    "warm": 1,
    "sure_fire": 0,
}


class PlainFold:
    def __init__(
        self,
        bars: Sequence[BarColumns],
        signals: Sequence[Signals],
        instruments: Sequence[Instrument],
        rules: Record,
        capital: float,
        fine: Fine = NO_FINE,
    ) -> None:
        self.bars, self.signals, self.rules, self.fine = bars, signals, rules, fine
        self.offsets = np.concatenate(([0], np.cumsum([len(b) for b in bars])))
        self.rows = [{int(t): k for k, t in enumerate(b.ts_close_ns)} for b in bars]
        self.records = instrument_records(instruments)
        self.state = opening_state(capital, instruments)
        self.account, self.tally = self.state.account[0], self.state.tally[0]
        self.fills: list[Any] = []
        self.trips: list[Any] = []
        self.denials: list[Any] = []
        self.running: dict[int, Any] = {}
        self.reasons = np.zeros((len(bars), len(Reason)), np.int64)
        self.equity: list[float] = []
        self.ticks = sorted(set().union(*self.rows))

    def run(self) -> Book:
        for tick in self.ticks:
            present = [j for j in range(len(self.bars)) if tick in self.rows[j]]
            for j in present:
                for bar in self.inner_bars(j, self.rows[j][tick]):
                    self.trade(j, bar)
            self.mark(tick, present)
            for j in present:
                self.decide(j, self.rows[j][tick])
        return Book(
            joined(self.fills, FILL),
            joined(self.trips, ROUND_TRIP),
            joined(self.denials, DENIAL),
            np.array(self.equity),
            np.array(self.ticks, np.int64),
            self.reasons,
            self.state,
        )

    def bar(self, columns: BarColumns | Fine, row: int) -> Record:
        names = ("ts_close_ns", "open", "high", "low", "close", "volume")
        return np.array([tuple(getattr(columns, name)[row] for name in names)], BAR)[0]

    def inner_bars(self, j: int, row: int) -> list[Record]:
        k = self.offsets[j] + row
        if self.fine.starts.size and self.fine.stops[k] > self.fine.starts[k]:
            return [self.bar(self.fine, i) for i in range(self.fine.starts[k], self.fine.stops[k])]
        return [self.bar(self.bars[j], row)]

    def trade(self, j: int, bar: Record) -> None:
        fills, trip, gone = np.zeros(3, FILL), np.zeros(1, ROUND_TRIP), np.zeros(1, DENIAL)
        written = np.zeros(1, WRITTEN)
        trade_bar(
            j, bar, self.records[j], self.rules, self.account, self.state.positions[j], self.state.orders[j],
            self.tally, written[0], fills[0], fills[1], fills[2], trip[0], gone[0],
        )  # fmt: skip
        self.fills += [fills[k : k + 1] for k in range(written[0].fills)]
        self.trips += [trip] * int(written[0].round_trips)
        if written[0].denials:
            self.denials.append(gone)
            self.reasons[j, gone[0].reason] += 1

    def mark(self, tick: int, present: Sequence[int]) -> None:
        value = gross = hold = pending = 0.0
        for j, (position, order) in enumerate(zip(self.state.positions, self.state.orders, strict=True)):
            if position.qty_units != 0 and j in present:
                mark_position(position, self.records[j], self.bars[j].close[self.rows[j][tick]], self.rules)
            if position.qty_units != 0:
                value += float(position.qty * position.mark_price)
                gross += abs(float(position.qty * position.mark_price))
            if order.intent == Intent.ENTRY:
                hold += float(order.hold)
                pending += float(order.notional)
        self.account.hold, self.account.pending_exposure = hold, pending
        mark_account(self.account, value, gross, tick)
        tally_tick(self.tally, self.account.equity, self.account.gross_exposure, tick)
        self.equity.append(float(self.account.equity))

    def decide(self, j: int, row: int) -> None:
        position, order, bar = self.state.positions[j], self.state.orders[j], self.bar(self.bars[j], row)
        signal, action = self.signal(j, row), np.zeros(1, ACTION)[0]
        decide(self.account, position, self.records[j], bar, signal, self.group(j), self.rules, action)
        self.reasons[j, action.reason] += 1
        if action.verb == Verb.HOLD:
            self.note_refusal(j, bar, signal, int(action.reason))
            return
        self.running.pop(j, None)
        if order.intent == Intent.ENTRY:
            gone = np.zeros(1, DENIAL)
            reason = Reason.UNFILLED_TURNED if action.verb == Verb.WITHDRAW else Reason.UNFILLED_SUPERSEDED
            give_up(j, reason, bar, self.account, position, order, gone[0])
            if action.verb != Verb.WITHDRAW:
                self.reasons[j, reason] += 1
            self.denials.append(gone)
        if action.verb == Verb.ENTER:
            place_entry(order, position, self.account, action, signal, bar, self.rules)
        elif action.verb == Verb.EXIT:
            place_exit(order, position, action, bar, self.rules)

    def signal(self, j: int, row: int) -> Record:
        columns, record = self.signals[j], np.zeros(1, SIGNAL)[0]
        record.consensus, record.atr = columns.consensus[row], columns.atr[row]
        for name, neutral in NEUTRAL.items():
            column = getattr(columns, name)
            record[name] = column[row] if column.size else neutral
        return record

    def group(self, j: int) -> float:
        exposure = 0.0
        for other, record in enumerate(self.records):
            if record.group == self.records[j].group:
                exposure += abs(float(self.state.positions[other].qty * self.state.positions[other].mark_price))
                if self.state.orders[other].intent == Intent.ENTRY:
                    exposure += float(self.state.orders[other].notional)
        return exposure

    def note_refusal(self, j: int, bar: Record, signal: Record, reason: int) -> None:
        if not Reason.SHORT_NOT_ALLOWED <= reason <= Reason.BELOW_MINIMUM:
            self.running.pop(j, None)
        elif j in self.running and self.running[j][0].reason == reason:
            self.running[j][0].last_ts_ns = bar.ts_close_ns
            self.running[j][0].bars += 1
        else:
            self.running[j] = np.zeros(1, DENIAL)
            write_denial(j, bar, signal, reason, self.records[j], self.rules, self.running[j][0])
            self.denials.append(self.running[j])


def joined(parts: Sequence[Any], dtype: Any) -> Any:
    records = np.zeros(len(parts), dtype)
    for k, part in enumerate(parts):
        records[k] = part[0]
    return records.view(np.recarray)
