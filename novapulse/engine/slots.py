"""What is at work for one instrument, and the run of bars on which nothing was."""

from dataclasses import dataclass, field

TO_ITS_STOP = ""
"""Decision of an exit that nobody took: the position's stop was touched, and the venue closes it by that."""


@dataclass(slots=True)
class Slot:
    """What is at work for one instrument.

    Attributes:
        decision: The decision that the working order carries out; empty for none, see `leaves_by_stop`.
        legs: Orders minted for it.
        child: Client order id of the one that is out; empty for none.
        exit_reason: Code of the exit at work.
        entry: The decision that made the position, or is about to.
        protect: Client order id of its bracket; empty for none.
        brackets: Brackets minted for it.
        why_bare: Why an open position has no bracket, by its name; empty when it has one or needs none.
        bare_ns: Since when an open position has no stop at work; 0 when it has one.
        drains: Orders of earlier plans that may still fill.
        refusals: Refusals in a row of what is wanted now.
        retry_ns: When the next try is due.
        leaving_ns: Since when the position is to be closed; 0 when it is not.
        not_sent: Why nothing is sent although something is wanted; empty otherwise.
        unfilled: Why the last entry ended before it was filled.
        gate: Why the instrument takes no new risk until a break is cleared; empty for none.
        split_ns: Last close before the last split: brackets decided up to then have the prices before it.
        split_new: New shares of a split behind which no price has been seen; 0 for none.
        split_old: Its old ones.
        turned: The position is what the venue executed beyond the one before it: nobody decided it.
        missing_bars: Closes without a bar of it that was due, less those with one since: see `staleness`.
        dust_units: Signed quantity left over of positions that no order alone could close; nobody's in the books.
    """

    decision: str = ""
    legs: int = 0
    child: str = ""
    exit_reason: int = 0
    entry: str = ""
    protect: str = ""
    brackets: int = 0
    why_bare: str = ""
    bare_ns: int = 0
    drains: list[str] = field(default_factory=list)
    refusals: int = 0
    retry_ns: int = 0
    leaving_ns: int = 0
    not_sent: str = ""
    unfilled: str = ""
    gate: str = ""
    split_ns: int = 0
    split_new: int = 0
    split_old: int = 0
    turned: bool = False
    missing_bars: int = 0
    dust_units: int = 0

    @property
    def leaves_by_stop(self) -> bool:
        """Whether an exit that is wanted is left to the touched stop: no decision has an order of its own do it."""
        return self.decision == TO_ITS_STOP

    def dust_beside(self, held_units: int) -> int:
        """Return what dust there is on the side of what is held: an exit can take it along."""
        return self.dust_units if self.dust_units * held_units > 0 else 0

    def bound_dust(self, foreign_units: int) -> None:
        """Let what is dust be no more than what is nobody's."""
        self.dust_units = min(max(self.dust_units, min(foreign_units, 0)), max(foreign_units, 0))


@dataclass(slots=True)
class Misfit:
    """A stop that is not of the size of what it guards.

    Attributes:
        what: Its client order id, and the quantity that it should have.
        due_ns: When the venue is asked next.
        asked: How often it was.
    """

    what: tuple[str, int]
    due_ns: int
    asked: int = 0


@dataclass(slots=True)
class Run:
    """Bars in a row on which nothing was done, for one reason."""

    reason: int
    first_ns: int
    last_ns: int
    bars: int
