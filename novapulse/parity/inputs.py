"""What a recorded decision saw."""

from collections.abc import Mapping
from dataclasses import dataclass

from novapulse.core.records import ACCOUNT, ACTION, BAR, POSITION, SIGNAL
from novapulse.core.records import Record as Row
from novapulse.engine.ticks import decoded


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decision saw, as its record holds it.

    Attributes:
        account: ACCOUNT.
        position: POSITION.
        bar: BAR.
        signal: SIGNAL.
        action: ACTION: what came of it.
        group_exposure: Of the instrument's correlated group, quote.
    """

    account: Row
    position: Row
    bar: Row
    signal: Row
    action: Row
    group_exposure: float

    @classmethod
    def of(cls, inputs: Mapping[str, str]) -> "Inputs":
        """Read them; ValueError where the record is damaged."""
        return cls(
            decoded(inputs["account"], ACCOUNT),
            decoded(inputs["position"], POSITION),
            decoded(inputs["bar"], BAR),
            decoded(inputs["signal"], SIGNAL),
            decoded(inputs["action"], ACTION),
            float.fromhex(inputs["group_exposure"]),
        )
