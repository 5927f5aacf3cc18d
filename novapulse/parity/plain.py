"""The fold written a second time, in plain Python and without a short cut: every bar goes through every step.

It calls the decision, the fill model and the marks one by one, in the order that the rules of the house name; the
kernel of the backtest skips what cannot matter and keeps everything in columns. Both must leave the same bits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from novapulse.backtest.account import opening_state
from novapulse.backtest.columns import NO_FINE, WRITTEN, Fine, Records, Signals, State
from novapulse.backtest.orders import give_up, place_entry, place_exit, trade_bar, write_denial
from novapulse.backtest.tally import tally_tick
from novapulse.core.bars import BarColumns, Floats, Integers
from novapulse.core.instruments import Instrument
from novapulse.core.records import (
    ACTION,
    BAR,
    DENIAL,
    FILL,
    ROUND_TRIP,
    SIGNAL,
    Intent,
    Reason,
    Record,
    Verb,
)
from novapulse.execution.rules import instrument_records
from novapulse.risk.decide import decide
from novapulse.risk.settle import mark_account, mark_position

NEUTRAL = {
    "confidence": 1.0,
    "volatility": np.nan,
    "gate_probability": np.nan,
    "lead": 0,
    "regime": 0,
    "warm": 1,
    "sure_fire": 0,
}
"""What a signal column of length 0 means."""


class Folded(NamedTuple):
    """What a fold left behind.

    Attributes:
        fills: FILL.
        round_trips: ROUND_TRIP.
        denials: DENIAL.
        equity: float64[N], at each tick.
        equity_ts_ns: int64[N].
        reasons: int64[P, R], how often each reason was given.
        state: Account, positions, orders and tally at the end.
    """

    fills: Any
    round_trips: Any
    denials: Any
    equity: Floats
    equity_ts_ns: Integers
    reasons: Integers
    state: State


class PlainFold:
    """One fold of one account."""

    def __init__(
        self,
        bars: Sequence[BarColumns],
        signals: Sequence[Signals],
        instruments: Sequence[Instrument],
        rules: Record,
        capital: float,
        fine: Fine = NO_FINE,
    ) -> None:
        """Lay out what is folded.

        Args:
            bars: Of each instrument.
            signals: As many rows as the bars of each.
            instruments: In sorted order.
            rules: RULES.
            capital: Opening cash, quote.
            fine: Finer bars inside the decision bars.
        """
        self._rules = rules
        self._fine = fine
        self._offsets = np.concatenate(([0], np.cumsum([len(b) for b in bars])))
        self._rows = [{int(t): k for k, t in enumerate(b.ts_close_ns)} for b in bars]
        self._bars = [_bar_records(b) for b in bars]
        self._inner = _bar_records(fine)
        self._signals = [_signal_records(s) for s in signals]
        self._instruments = instrument_records(instruments)
        self._state = opening_state(capital, instruments)
        self._account, self._tally = self._state.account[0], self._state.tally[0]
        self._fills: list[Any] = []
        self._trips: list[Any] = []
        self._denials: list[Any] = []
        self._running: dict[int, Any] = {}
        self._reasons = np.zeros((len(bars), len(Reason)), np.int64)
        self._equity: list[float] = []
        self._ticks = sorted(set().union(*self._rows))

    def run(self) -> Folded:
        """Go through every bar."""
        for tick in self._ticks:
            present = [j for j, rows in enumerate(self._rows) if tick in rows]
            for j in present:
                for bar in self._bars_inside(j, self._rows[j][tick]):
                    self._trade(j, bar)
            self._mark(tick, present)
            for j in present:
                self._decide(j, self._rows[j][tick])
        return Folded(
            _joined(self._fills, FILL),
            _joined(self._trips, ROUND_TRIP),
            _joined(self._denials, DENIAL),
            np.array(self._equity),
            np.array(self._ticks, np.int64),
            self._reasons,
            self._state,
        )

    def _bars_inside(self, j: int, row: int) -> list[Record]:
        k = self._offsets[j] + row
        if self._fine.starts.size and self._fine.stops[k] > self._fine.starts[k]:
            return [self._inner[i] for i in range(self._fine.starts[k], self._fine.stops[k])]
        return [self._bars[j][row]]

    def _trade(self, j: int, bar: Record) -> None:
        fills, trip, gone = np.zeros(3, FILL), np.zeros(1, ROUND_TRIP), np.zeros(1, DENIAL)
        written, state = np.zeros(1, WRITTEN), self._state
        trade_bar(
            j,
            bar,
            self._instruments[j],
            self._rules,
            self._account,
            state.positions[j],
            state.orders[j],
            self._tally,
            written[0],
            fills[0],
            fills[1],
            fills[2],
            trip[0],
            gone[0],
        )
        self._fills += [fills[k : k + 1] for k in range(written[0].fills)]
        self._trips += [trip] * int(written[0].round_trips)
        if written[0].denials:
            self._denials.append(gone)
            self._reasons[j, gone[0].reason] += 1

    def _mark(self, tick: int, present: Sequence[int]) -> None:
        value = gross = hold = pending = 0.0
        for j, (position, order) in enumerate(zip(self._state.positions, self._state.orders, strict=True)):
            if position.qty_units != 0 and j in present:
                mark_position(position, self._instruments[j], self._bars[j][self._rows[j][tick]].close, self._rules)
            if position.qty_units != 0:
                value += float(position.qty * position.mark_price)
                gross += abs(float(position.qty * position.mark_price))
            if order.intent == Intent.ENTRY:
                hold += float(order.hold)
                pending += float(order.notional)
        self._account.hold, self._account.pending_exposure = hold, pending
        mark_account(self._account, value, gross, tick)
        tally_tick(self._tally, self._account.equity, self._account.gross_exposure, tick)
        self._equity.append(float(self._account.equity))

    def _decide(self, j: int, row: int) -> None:
        position, order, bar = self._state.positions[j], self._state.orders[j], self._bars[j][row]
        signal, action = self._signals[j][row], np.zeros(1, ACTION)[0]
        decide(self._account, position, self._instruments[j], bar, signal, self._group(j), self._rules, action)
        self._reasons[j, action.reason] += 1
        if action.verb == Verb.HOLD:
            self._note_refusal(j, bar, signal, int(action.reason))
            return
        self._running.pop(j, None)
        if order.intent == Intent.ENTRY:
            gone = np.zeros(1, DENIAL)
            reason = Reason.UNFILLED_TURNED if action.verb == Verb.WITHDRAW else Reason.UNFILLED_SUPERSEDED
            give_up(j, reason, bar, self._account, position, order, gone[0])
            if action.verb != Verb.WITHDRAW:
                self._reasons[j, reason] += 1
            self._denials.append(gone)
        if action.verb == Verb.ENTER:
            place_entry(order, position, self._account, action, signal, bar, self._rules)
        elif action.verb == Verb.EXIT:
            place_exit(order, position, action, bar, self._rules)

    def _group(self, j: int) -> float:
        exposure, state = 0.0, self._state
        for other, record in enumerate(self._instruments):
            if record.group == self._instruments[j].group:
                exposure += abs(float(state.positions[other].qty * state.positions[other].mark_price))
                if state.orders[other].intent == Intent.ENTRY:
                    exposure += float(state.orders[other].notional)
        return exposure

    def _note_refusal(self, j: int, bar: Record, signal: Record, reason: int) -> None:
        if not Reason.SHORT_NOT_ALLOWED <= reason <= Reason.BELOW_MINIMUM:
            self._running.pop(j, None)
        elif j in self._running and self._running[j][0].reason == reason:
            self._running[j][0].last_ts_ns = bar.ts_close_ns
            self._running[j][0].bars += 1
        else:
            self._running[j] = np.zeros(1, DENIAL)
            write_denial(j, bar, signal, reason, self._instruments[j], self._rules, self._running[j][0])
            self._denials.append(self._running[j])


def _bar_records(columns: BarColumns | Fine) -> Records:
    records = np.zeros(columns.ts_close_ns.size, BAR)
    for name in BAR.names or ():
        records[name] = getattr(columns, name)
    return records.view(np.recarray)


def _signal_records(columns: Signals) -> Records:
    records = np.zeros(columns.consensus.size, SIGNAL)
    for name in SIGNAL.names or ():
        column = getattr(columns, name)
        records[name] = column if column.size else NEUTRAL[name]
    return records.view(np.recarray)


def _joined(parts: Sequence[Any], dtype: Any) -> Any:
    records = np.zeros(len(parts), dtype)
    for k, part in enumerate(parts):
        records[k] = part[0]
    return records.view(np.recarray)
