"""What the rules of risk said at one bar: the account is folded up to it, and `decide` is asked once more.

The question is asked of the state that the fold had when it came to this instrument: those decided later in the same
tick, and this one, are kept from acting on their last bar.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from novapulse.backtest.account import Books, Plan, Stretch, checked
from novapulse.backtest.columns import NO_FINE, Signals, State, fine_of, joined_signals, market_of, signals_of
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import ACTION, BAR, CAPS, REASON_TEXT, SIGNAL, Intent, Reason, Verb
from novapulse.research.inputs import Markets
from novapulse.risk.decide import decide

Columns = Mapping[InstrumentKey, SignalColumns]


def decision_at(key: InstrumentKey, markets: Markets, columns: Columns, settings: BacktestSettings) -> dict[str, Any]:
    """Return the decision on the last bar of an instrument.

    Args:
        key: The instrument; its last bar is the last of all.
        markets: Bars up to that bar.
        columns: What the confluence said of them.
        settings: The rules and the account.

    Returns:
        Verb, reason and its text, equity, position, and the size that each limit allows where sizes were compared.
    """
    table, facts = checked(markets.bars, markets.instruments, settings)
    keys = list(table)
    j, tick = keys.index(key), int(table[key].ts_close_ns[-1])
    plan = Plan.of(settings, facts, table)
    books = Books(plan, keep=False)
    books.fold(
        Stretch(
            market_of(list(table.values())),
            joined_signals([_held_back(columns[k], k >= key and _closes_at(table[k], tick)) for k in keys]),
            fine_of(list(table.values()), [markets.finer.get(k, table[k][:0]) for k in keys])
            if markets.finer
            else NO_FINE,
        )
    )
    state, action = books.state, np.zeros(1, ACTION)[0]
    bar, signal = np.zeros(1, BAR)[0], np.zeros(1, SIGNAL)[0]
    for name in BAR.names or ():
        bar[name] = getattr(table[key], name)[-1]
    for name in SIGNAL.names or ():
        signal[name] = getattr(columns[key], name)[-1] if hasattr(columns[key], name) else np.nan
    position, account = state.positions[j], state.account[0]
    decide(account, position, plan.records[j], bar, signal, _group_exposure(plan, state, j), plan.rules, action)
    reason = Reason(int(action.reason))
    return {
        "verb": Verb(int(action.verb)).name,
        "reason": reason.name,
        "text": REASON_TEXT[reason],
        "equity": float(account.equity),
        "position_qty": float(position.qty),
        "stop_distance": float(action.stop_distance) or None,
        # Below zero the rules mean: too far away to be worth it.
        "target_distance": float(action.target_distance) if action.target_distance > 0.0 else None,
        "sizes": _sizes(action),
        "binding": CAPS[int(action.binding)] if action.sizes.any() else None,
    }


def _sizes(action: Any) -> dict[str, float | None] | None:
    if not action.sizes.any():
        return None
    return {cap: float(size) if np.isfinite(size) else None for cap, size in zip(CAPS, action.sizes, strict=True)}


def _closes_at(bars: BarColumns, tick: int) -> bool:
    return int(bars.ts_close_ns[-1]) == tick


def _held_back(columns: SignalColumns, last_is_silent: bool) -> Signals:
    if last_is_silent:
        consensus = columns.consensus.copy()
        consensus[-1] = 0.0
        columns = replace(columns, consensus=consensus)
    return signals_of(**columns.to_kernel())


def _group_exposure(plan: Plan, state: State, j: int) -> float:
    if not plan.facts[j].group:
        return 0.0
    exposure = 0.0
    for other, position, order in zip(plan.records, state.positions, state.orders, strict=True):
        if other.group == plan.records[j].group:
            exposure += abs(position.qty * position.mark_price)
            exposure += order.notional if order.intent == Intent.ENTRY else 0.0
    return exposure
