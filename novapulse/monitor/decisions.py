"""Decisions and round trips as rows: what their records kept, decoded."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from novapulse.core.amounts import from_units
from novapulse.core.records import ACCOUNT, ACTION, BAR, REASON_TEXT, SIGNAL, Reason, Record
from novapulse.ledger.queries import Listing
from novapulse.monitor.rows import DecisionState, RoundTripState
from novapulse.monitor.values import filled

REGIMES = ("range-low", "range-normal", "range-high", "trend-low", "trend-normal", "trend-high")
"""Labels of `signals.regimes`, which readers need not load."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decision was made from, as far as rows show it."""

    account: Record
    signal: Record
    bar: Record
    action: Record


def inputs_of(body: Mapping[str, Any]) -> Inputs | None:
    """Return the inputs of a decision; None where they were not kept.

    Raises:
        ValueError: They are damaged.
    """
    kept = body.get("inputs")
    if not isinstance(kept, Mapping):
        return None
    return Inputs(
        _decoded(kept["account"], ACCOUNT),
        _decoded(kept["signal"], SIGNAL),
        _decoded(kept["bar"], BAR),
        _decoded(kept["action"], ACTION),
    )


def _decoded(text: str, dtype: "np.dtype[np.void]") -> Record:
    raw = base64.b64decode(text, validate=True)
    if len(raw) != dtype.itemsize:
        raise ValueError(f"a decision kept {len(raw)} bytes where a record has {dtype.itemsize}")
    return np.frombuffer(raw, dtype)[0]


def reason_text(name: str) -> str:
    """Return a reason's name in words; the name itself where this program does not know it."""
    return REASON_TEXT[Reason[name]] if name in Reason.__members__ else name


def known(value: float) -> float | None:
    """Return a number, or None for one that is unknown."""
    return float(value) if math.isfinite(value) else None


def decimal(value: float) -> Decimal | None:
    """Return a float at its shortest spelling, or None for one that is unknown."""
    return Decimal(repr(float(value))) if math.isfinite(value) else None


def strategy(strategies: Sequence[str], lead: int) -> str:
    """Return the name of a strategy by its number: the number where the names are not known, nothing for nobody."""
    if lead < 0:
        return ""
    return strategies[lead] if lead < len(strategies) else str(lead)


def strategies_of(kind: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that `lead` counts in from a record on; nothing where it does not say.

    Args:
        kind: `session_started` or `calibration_learned`.
        body: Of the record.
    """
    if kind == "calibration_learned":
        return tuple(body.get("strategies", ()))
    configuration = json.loads(body.get("configuration") or "{}")
    weights = configuration.get("decides", {}).get("confluence", {}).get("weights", {})
    return tuple(name for name, weight in weights.items() if weight > 0)


def regime(code: int) -> str:
    """Return the label of a market's state."""
    return REGIMES[code] if 0 <= code < len(REGIMES) else ""


def decision_state(
    seq: int,
    body: Mapping[str, Any],
    inputs: Inputs | None,
    listing: Listing,
    strategies: Sequence[str],
) -> DecisionState:
    """Return a decision as a row."""
    side = int(body.get("side", 0))
    limit = float.fromhex(body["limit_price"]) if "limit_price" in body else 0.0
    signal = None if inputs is None else inputs.signal
    return DecisionState(
        decision_id=body["decision_id"],
        seq=seq,
        ts_ns=body["ts_close_ns"],
        symbol=listing.key.symbol,
        action=body["verb"],
        reason=body["reason"],
        why=reason_text(body["reason"]),
        side={1: "buy", -1: "sell"}.get(side, ""),
        qty=from_units(int(body.get("units", 0)), listing.qty_scale),
        limit_price=None if limit == 0.0 else _on_tick(limit, listing),
        consensus=None if signal is None else known(signal.consensus),
        confidence=None if signal is None else known(signal.confidence),
        lead="" if signal is None else strategy(strategies, int(signal.lead)),
        regime="" if signal is None else regime(int(signal.regime)),
        atr=None if signal is None else known(signal.atr),
        gate_probability=None if signal is None else known(signal.gate_probability),
        equity=None if inputs is None else decimal(inputs.account.equity),
        close=None if inputs is None else _on_tick(inputs.bar.close, listing),
        mode=str(body.get("mode", "")).lower(),
    )


def round_trip_state(seq: int, body: Mapping[str, Any], listing: Listing, strategies: Sequence[str]) -> RoundTripState:
    """Return a closed round trip as a row."""
    return RoundTripState(
        seq=seq,
        number=body["number"],
        symbol=listing.key.symbol,
        direction=body["direction"],
        lead=strategy(strategies, body["lead"]),
        regime=regime(body.get("regime", -1)),
        entry_ns=body["entry_ns"],
        exit_ns=body["exit_ns"],
        bars_held=body.get("bars_held"),
        qty=from_units(body["qty_units"], listing.qty_scale),
        entry_price=_price(body, "entry_price", listing),
        exit_price=_price(body, "exit_price", listing),
        pnl=from_units(body["pnl_units"], listing.cash_scale),
        fees=from_units(body["fee_units"], listing.cash_scale),
        r_multiple=float.fromhex(body["r_multiple"]),
        exit_reason=body["exit_reason"],
        why=reason_text(body["exit_reason"]),
    )


def _price(body: Mapping[str, Any], name: str, listing: Listing) -> Decimal | None:
    return _on_tick(float.fromhex(body[name]), listing) if name in body else None


def _on_tick(price: float, listing: Listing) -> Decimal | None:
    known = decimal(price)
    return None if known is None else filled(known, listing.price_scale)
