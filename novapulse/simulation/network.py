"""What becomes of a message on its way: drawn when it is sent, so that a seed replays.

Invariants:
- in a calm every message arrives, once, in tenths of seconds;
- what is drawn here is legal by the contract in `faults`.
"""

from dataclasses import dataclass

from novapulse.core.messages import Amend, Cancel, Effect, Lookup, ReadSnapshot, Submit
from novapulse.core.orders import Role
from novapulse.simulation.faults import Fault
from novapulse.simulation.marks import Marks
from novapulse.simulation.plan import FaultPlan

SECOND_NS = 1_000_000_000
READ_DEADLINE_NS = 45 * SECOND_NS
DENIED = 0.25
"""Share of the orders answered by unavailable that are refused for certain, and taken all the same."""

_AMBIGUOUS = {
    Fault.SERVER_ERROR: ("503 Service Unavailable", "502 Bad Gateway", "524 A Timeout Occurred"),
    Fault.UNAVAILABLE: ("EService:Unavailable", "EService:Busy"),
    Fault.GARBLED: ("<html>", "{}", "the body ends early", "success without an id"),
    Fault.HOSTILE_WIRE: ("the name could not be resolved", "the body had no end", "the certificate is of another host"),
}


@dataclass(slots=True)
class Fate:
    """What becomes of one request.

    Attributes:
        out_ns: How long it takes to the venue.
        back_ns: How long its answer takes.
        is_taken: Whether it reaches the venue.
        is_heard: Whether its answer comes back.
        unclear: What the caller hears at once instead of an answer; empty for nothing.
        refused: Code with which it is refused without having been looked at; empty when it is not.
        again_ns: When the answer comes a second time, behind the first; 0 for never.
        is_resent: Whether a client of the venue sends it a second time.
        trades_first: Whether the order trades just before the request arrives.
        is_denied: Whether the venue refuses what it took: the order is alive all the same.
        is_unknown: Whether the venue says that it knows no such order, and does nothing.
        lags: Whether lists do not show the youngest orders.
        is_repeated: Whether what is read comes repeated and out of order, and the cursor stands still.
    """

    out_ns: int
    back_ns: int
    is_taken: bool = True
    is_heard: bool = True
    unclear: str = ""
    refused: str = ""
    again_ns: int = 0
    is_resent: bool = False
    trades_first: bool = False
    is_denied: bool = False
    is_unknown: bool = False
    lags: bool = False
    is_repeated: bool = False


class Network:
    """Draws fates for one seed.

    Attributes:
        slow_reads_until_ns: Reads take half a minute up to then.
        nonce_until_ns: Requests are refused for their nonce up to then.
    """

    def __init__(self, plan: FaultPlan, marks: Marks) -> None:
        self.plan = plan
        self.marks = marks
        self.slow_reads_until_ns = 0
        self.nonce_until_ns = 0

    def fate(self, effect: Effect, now_ns: int) -> Fate:
        """Draw the fate of a request that leaves now."""
        chance = self.plan.chance
        fate = Fate(
            chance.between("out", 20, 400) * 1_000_000,
            chance.between("back", 10, 200) * 1_000_000,
        )
        if not self.plan.is_stormy(now_ns):
            return fate
        if isinstance(effect, Lookup | ReadSnapshot):
            self._read(fate, now_ns)
        else:
            self._asked(fate, effect, now_ns)
        return fate

    def _hit(self, fault: Fault) -> bool:
        rate = self.plan.rates.get(fault, 0.0)
        if rate and self.plan.chance.happens(fault, rate):
            self.marks.saw(fault)
            return True
        return False

    def _read(self, fate: Fate, now_ns: int) -> None:
        if now_ns < self.slow_reads_until_ns:
            self.marks.reached("a read was slow")
            fate.out_ns += self.plan.chance.between("slow out", 1, 15) * SECOND_NS
            fate.back_ns += self.plan.chance.between("slow back", 1, 15) * SECOND_NS
        if self._hit(Fault.REQUEST_LOST):
            fate.is_taken = False
        elif self._hit(Fault.ACK_LOST):
            fate.is_heard = False
        elif self._hit(Fault.SEND_RESET):
            fate.is_taken, fate.unclear = False, "connection reset by peer"
        elif self._hit(Fault.GARBLED):
            fate.is_taken, fate.unclear = False, "the list ends early"
        fate.lags = self._hit(Fault.LISTS_LAG)
        fate.is_repeated = self._hit(Fault.HISTORY_PAGES)

    def _asked(self, fate: Fate, effect: Effect, now_ns: int) -> None:
        is_cancel = isinstance(effect, Cancel)
        if now_ns < self.nonce_until_ns:
            fate.refused = "invalid_nonce"
            self.marks.reached("a request was refused for its nonce")
            return
        if is_cancel and self._asked_to_cancel(fate):
            return
        if isinstance(effect, Amend) and self._asked_to_amend(fate):
            return
        if not is_cancel and self._hit(Fault.RATE_LIMITED):
            fate.refused = "rate_limited"
        elif isinstance(effect, Submit) and self._submitted(fate, effect):
            return
        elif self._hit(Fault.REQUEST_LOST):
            fate.is_taken = False
        elif self._hit(Fault.ACK_LOST):
            fate.is_heard = False
        elif self._hit(Fault.SEND_RESET):
            fate.is_taken, fate.unclear = False, "connection reset by peer"
        elif self._hit(Fault.SERVER_ERROR):
            self._unclear(fate, Fault.SERVER_ERROR)
        else:
            self._perhaps_unclear(fate, effect)
        if self._hit(Fault.ACK_TWICE):
            fate.again_ns = self.plan.chance.between("again", 1, 30) * SECOND_NS
        if self._hit(Fault.FILL_BEFORE_ACK):
            fate.back_ns += self.plan.chance.between("late ack", 1, 9) * SECOND_NS

    def _perhaps_unclear(self, fate: Fate, effect: Effect) -> None:
        for fault in (Fault.UNAVAILABLE, Fault.GARBLED, Fault.HOSTILE_WIRE):
            if self._hit(fault):
                is_order = fault is Fault.UNAVAILABLE and isinstance(effect, Submit)
                if is_order and self.plan.chance.happens("denied", DENIED):
                    fate.is_denied = True
                    return
                fate.is_taken = self.plan.chance.happens("taken all the same", 0.5)
                self._unclear(fate, fault)
                return

    def _unclear(self, fate: Fate, fault: Fault) -> None:
        texts = _AMBIGUOUS[fault]
        fate.is_heard = False
        fate.unclear = texts[self.plan.chance.between("text", 0, len(texts) - 1)]

    def _submitted(self, fate: Fate, effect: Submit) -> bool:
        if effect.request.role is Role.ENTRY and self._hit(Fault.POST_ONLY_REFUSED):
            fate.refused = "post_only"
            return True
        fate.is_resent = self._hit(Fault.SENT_TWICE) or self._hit(Fault.SENT_TWICE_REFUSED)
        return False

    def _asked_to_cancel(self, fate: Fate) -> bool:
        if self._hit(Fault.FILL_IN_CANCEL):
            fate.trades_first = True
        if not self._hit(Fault.CANCEL_LOST):
            return False
        kind = self.plan.chance.between("cancel", 0, 2)
        fate.is_taken, fate.is_heard, fate.is_unknown = kind != 0, kind != 1, kind == 2
        return True

    def _asked_to_amend(self, fate: Fate) -> bool:
        if not self._hit(Fault.AMEND_RACE):
            return False
        kind = self.plan.chance.between("amend", 0, 2)
        fate.is_taken, fate.is_heard, fate.trades_first = kind != 0, kind != 1, kind == 2
        return True
