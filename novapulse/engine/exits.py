"""Exits that no close decides: an operator's, the venue's, or a touched stop's that an order of our own carries out.

Each is a record like the decision of a close, without inputs: it follows from what was written before it.
"""

from novapulse.core.messages import decision_id
from novapulse.core.records import Reason
from novapulse.engine.desk import Desk, Draft


def decide_exit(desk: Desk, draft: Draft, row: int, what: str) -> None:
    """Record the exit that is wanted of an instrument as a decision of this moment, which its orders carry out.

    Args:
        desk: The trader's state; the exit is planned.
        draft: Answer to the event at hand.
        row: Instrument.
        what: Tells it from other decisions of the moment.
    """
    slot, position = desk.slots[row], desk.books.positions[row]
    slot.decision = decision_id(desk.key, desk.keys[row], draft.ts_ns, f"{desk.settings_hash}:{what}")
    slot.legs = 0
    draft.write(
        "decision_taken",
        {
            "decision_id": slot.decision,
            "instrument": [desk.key.exchange, desk.instruments[row].symbol],
            "ts_close_ns": desk.ts_close_ns,
            "verb": "EXIT",
            "reason": Reason(int(desk.plan(row).reason)).name,
            "side": -int(position.direction),
            "units": abs(int(position.qty_units)),
            "target_units": 0,
            "limit_price": float(desk.plan(row).limit_price).hex(),
            "settings": desk.settings_hash,
            "calibration": desk.calibration,
            "mode": desk.books.mode.name,
            "inputs": None,
        },
    )
