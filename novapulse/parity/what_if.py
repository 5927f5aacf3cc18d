"""A recorded decision with something changed: what `decide` would have said, and the same without the change.

Invariants:
- nothing is decided here: the same `decide` that live called gets the recorded records, one of them changed;
- without a change the answer is the recorded one, to the bit.
"""

from dataclasses import dataclass, replace
from typing import Any

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import CAPS, REASON_TEXT, Mode, OrderKind, Reason, Verb
from novapulse.core.records import Record as Row
from novapulse.parity.inputs import Inputs
from novapulse.parity.rederive import Rederived, decided

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another one; None leaves it as it was.

    Attributes:
        consensus: -20 to 20.
        close: Price of the bar's close, quote per base, > 0.
        atr: Average true range, quote per base, > 0.
        equity: Of the account, quote, > 0: so much more or less cash, as if it had been gained or lost since.
        mode: What the account may do.
        settings: What is decided by.
    """

    consensus: float | None = None
    close: float | None = None
    atr: float | None = None
    equity: float | None = None
    mode: Mode | None = None
    settings: BacktestSettings | None = None


def inputs_of(found: Rederived) -> Inputs | None:
    """Return what a decision saw; None where no bar decided."""
    recorded = found.record.body["inputs"]
    return None if recorded is None else Inputs.of(recorded)


def what_if(found: Rederived, change: Change) -> Told:
    """Decide again with a change.

    Args:
        found: The decision; one that a bar decided.
        change: What is another one.

    Returns:
        `verb`, `reason`, `text`, `side` (buy, sell or None), `kind`, `qty`, `notional`, `limit_price`,
        `stop_distance`, `target_distance`, `sizes` (cap -> base units, None for no limit), `binding`; None where there
        is none.

    Raises:
        ValueError: The settings cannot be decided by.
    """
    inputs = inputs_of(found)
    assert inputs is not None, "no bar decided it"
    key = InstrumentKey(*found.record.body["instrument"])
    fact = next(one for one in found.configuration.instruments if one.key == key)
    return told(decided(found.configuration, key, _changed(inputs, change, fact), _settings(found, change)))


def told(action: Row) -> Told:
    """Return an ACTION in plain values."""
    verb, reason = Verb(int(action.verb)), Reason(int(action.reason))
    compared = bool(action.sizes.any())
    acts = verb in (Verb.ENTER, Verb.EXIT)
    sizes = {cap: float(size) if size < float("inf") else None for cap, size in zip(CAPS, action.sizes, strict=True)}
    return {
        "verb": verb.name,
        "reason": reason.name,
        "text": REASON_TEXT[reason],
        "side": {1: "buy", -1: "sell"}.get(int(action.side)) if acts else None,
        "kind": OrderKind(int(action.kind)).name.lower() if acts else None,
        "qty": float(action.qty) if acts else None,
        "notional": float(action.notional) or None,
        "limit_price": float(action.limit_price) or None,
        "stop_distance": float(action.stop_distance) or None,
        "target_distance": float(action.target_distance) or None,
        "sizes": sizes if compared else None,
        "binding": CAPS[int(action.binding)] if compared else None,
    }


def _settings(found: Rederived, change: Change) -> BacktestSettings:
    return change.settings or found.configuration.decides


def _changed(inputs: Inputs, change: Change, fact: Instrument) -> Inputs:
    account, bar, signal = inputs.account.copy(), inputs.bar.copy(), inputs.signal.copy()
    if change.consensus is not None:
        signal.consensus = change.consensus
    if change.atr is not None:
        signal.atr = change.atr
    if change.close is not None:
        bar.close = change.close
        bar.high, bar.low = max(bar.high, change.close), min(bar.low, change.close)
    if change.mode is not None:
        account.mode = change.mode
    if change.equity is not None:
        _gain(account, change.equity - float(account.equity), fact)
    return replace(inputs, account=account, bar=bar, signal=signal)


def _gain(account: Row, amount: float, fact: Instrument) -> None:
    before, factor = float(account.cash), 10**fact.cash_scale
    account.cash_units += round(amount * factor)
    account.cash = account.cash_units / factor
    account.equity += account.cash - before
    account.equity_peak = max(account.equity_peak, account.equity)
    account.day_peak = max(account.day_peak, account.equity)
