"""Calibrations as the ledger keeps them: every number to the bit, so that a decision can be derived again.

Invariant: `from_body(to_body(row))` is the row without its memory, with the same id.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from novapulse.confluence.calibration import Calibration
from novapulse.core.bars import Floats
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Record

KIND = "calibration_learned"
_COLUMNS = ("thresholds", "volatility", "scalars", "weights", "learned")


def to_record(row: Calibration) -> Record:
    """Return the record of a calibration."""
    return Record(KIND, row.valid_from_ns, to_body(row))


def to_body(row: Calibration) -> dict[str, Any]:
    """Return what the ledger keeps of a calibration: text and integers."""
    return {
        "id": row.id,
        "valid_from_ns": row.valid_from_ns,
        "instruments": [[key.exchange, key.symbol] for key in row.instruments],
        "strategies": list(row.strategies),
        "multiples": list(row.multiples),
        "diversification": float(row.diversification).hex(),
        "days": row.days,
        **{name: _spelled(getattr(row, name)) for name in _COLUMNS},
    }


def from_body(body: Mapping[str, Any]) -> Calibration:
    """Return the calibration of a body.

    Raises:
        ValueError: The body is not one, or its numbers do not have its id.
    """
    try:
        row = Calibration(
            valid_from_ns=int(body["valid_from_ns"]),
            instruments=tuple(InstrumentKey(*parts) for parts in body["instruments"]),
            strategies=tuple(body["strategies"]),
            multiples=tuple(body["multiples"]),
            diversification=float.fromhex(body["diversification"]),
            days=int(body["days"]),
            thresholds=_read(body["thresholds"]),
            volatility=_read(body["volatility"]),
            scalars=_read(body["scalars"]),
            weights=_read(body["weights"]),
            learned=_read(body["learned"]),
        )
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError(f"the record of a calibration cannot be read: {wrong!r}") from wrong
    if row.id != body["id"]:
        raise ValueError(f"the calibration {body['id']} has numbers of {row.id}")
    return row


def _spelled(numbers: Floats) -> dict[str, Any]:
    return {"shape": list(numbers.shape), "hex": [float(number).hex() for number in numbers.ravel()]}


def _read(values: Mapping[str, Any]) -> Floats:
    return np.array([float.fromhex(text) for text in values["hex"]], np.float64).reshape(values["shape"])
