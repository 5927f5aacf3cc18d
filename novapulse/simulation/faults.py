"""The faults: what each does in this world, or why it takes a wire to happen.

The contract of what is legal here, so that a finding is a finding:
- a request that left is taken by the venue within `submit_deadline_s`, or never: a venue refuses what comes later, as
  their deadlines and expiry times make them do;
- a refusal is the truth, but for the one fault that denies what it took;
- lists and queries may lag behind by up to five seconds, never show something that was not;
- a read is whole or fails; what it repeats, it repeats unchanged;
- requests are sent twice on the way only where the venue knows a client order id again: one that forgets ids with the
  end of their order does while it lives, and refuses what comes later for its nonce;
- a commit that returned is durable; one that did not may be, or may not be;
- a disk that comes back holds everything that was durable, but for the one fault that restores an old copy.
"""

import enum
from dataclasses import dataclass


class Fault(enum.StrEnum):
    """Names of the faults, in the order of their numbers."""

    ACK_LOST = "ack_lost"
    REQUEST_LOST = "request_lost"
    SEND_RESET = "send_reset"
    ACK_TWICE = "ack_twice"
    FILL_BEFORE_ACK = "fill_before_ack"
    STREAM_SHUFFLED = "stream_shuffled"
    TRADE_CONFLICT = "trade_conflict"
    STREAM_GAP = "stream_gap"
    STREAM_SILENT = "stream_silent"
    LONG_ABSENCE = "long_absence"
    STALE_FEED = "stale_feed"
    CLOCK_STEP = "clock_step"
    NONCE_BURST = "nonce_burst"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    GARBLED = "garbled"
    PARTIAL_FILL = "partial_fill"
    FILL_IN_CANCEL = "fill_in_cancel"
    LATE_CANCEL = "late_cancel"
    CANCEL_LOST = "cancel_lost"
    AMEND_RACE = "amend_race"
    POST_ONLY_REFUSED = "post_only_refused"
    RULES_CHANGED = "rules_changed"
    FUNDS_FROZEN = "funds_frozen"
    VENUE_MODE = "venue_mode"
    LISTS_LAG = "lists_lag"
    HISTORY_PAGES = "history_pages"
    FOREIGN_ACTIVITY = "foreign_activity"
    DUST = "dust"
    SPLIT = "split"
    CRASH = "crash"
    LEDGER_LOCKED = "ledger_locked"
    DISK_FULL = "disk_full"
    OLD_BACKUP = "old_backup"
    SECOND_INSTANCE = "second_instance"
    ID_REUSE = "id_reuse"
    SENT_TWICE = "sent_twice"
    SENT_TWICE_REFUSED = "sent_twice_refused"
    BRACKET_GONE = "bracket_gone"
    TRADE_BUST = "trade_bust"
    HOSTILE_WIRE = "hostile_wire"
    SLOW_READS = "slow_reads"
    DEAD_MAN = "dead_man"

    @property
    def number(self) -> int:
        """Number in the list of faults, from 1."""
        return _NUMBERS[self]


_NUMBERS = {fault: number for number, fault in enumerate(Fault, 1)}


@dataclass(frozen=True, slots=True)
class Does:
    """What a fault does in this world.

    Attributes:
        text: In words.
        rate: Chance per occasion, or times per day where `daily`.
        share: Share of the seeds that have it.
        daily: It is an act at a moment, not an accident of a message.
        wire: Why it cannot happen here as itself; empty when it does.
        never: Why nobody can ask for it: nothing here does it; empty when somebody can.
    """

    text: str
    rate: float = 0.0
    share: float = 0.6
    daily: bool = False
    wire: str = ""
    never: str = ""


TABLE: dict[Fault, Does] = {
    Fault.ACK_LOST: Does("the venue takes a request, and its answer is lost: ambiguous at the deadline", 0.05),
    Fault.REQUEST_LOST: Does("a request is lost on its way: ambiguous at the deadline", 0.05),
    Fault.SEND_RESET: Does("the connection breaks while a request is sent: ambiguous at once, not taken", 0.04),
    Fault.ACK_TWICE: Does("an answer comes a second time, up to half a minute later", 0.08),
    Fault.FILL_BEFORE_ACK: Does("an answer takes seconds, so that the stream speaks first", 0.08),
    Fault.STREAM_SHUFFLED: Does("the stream repeats, delays and reorders what it says", 0.15),
    Fault.TRADE_CONFLICT: Does("the stream gives an execution a second time with another price", 1.0, 0.1, daily=True),
    Fault.STREAM_GAP: Does("the stream loses a message; the socket looks healthy or says that it was cut", 0.08),
    Fault.STREAM_SILENT: Does("the stream says nothing for minutes, then is connected anew", 3.0, daily=True),
    Fault.LONG_ABSENCE: Does("the process is gone while an order fills in dozens of pieces", 1.5, 0.4, daily=True),
    Fault.STALE_FEED: Does("bars stop, come late, twice or impossible; quotes cross or stub", 4.0, daily=True),
    Fault.CLOCK_STEP: Does("the machine's clock steps by seconds or minutes", 1.5, 0.3, daily=True),
    Fault.NONCE_BURST: Does("for some seconds every request is refused for its nonce", 2.0, 0.4, daily=True),
    Fault.RATE_LIMITED: Does("orders and amendments are refused for their rate, cancels are not", 0.05),
    Fault.SERVER_ERROR: Does("a request is taken and answered by an error of the server: ambiguous", 0.04),
    Fault.UNAVAILABLE: Does(
        "a request is answered by unavailable: ambiguous, taken or not; or refused, and taken", 0.04
    ),
    Fault.GARBLED: Does("an answer makes no sense: ambiguous, taken or not", 0.04),
    Fault.PARTIAL_FILL: Does("part of an order trades, a crumb or more, and the stream is cut", 4.0, daily=True),
    Fault.FILL_IN_CANCEL: Does("an order trades, in part or whole, while its cancel is on the way", 0.25),
    Fault.LATE_CANCEL: Does("cancels have their effect seconds after they were taken", 3.0, daily=True),
    Fault.CANCEL_LOST: Does("a cancel is lost, its answer is, or the venue says it knows no such order", 0.2),
    Fault.AMEND_RACE: Does("an amendment is lost, its answer is, or the order trades before it arrives", 0.25),
    Fault.POST_ONLY_REFUSED: Does("an order is refused because it would have crossed", 0.04),
    Fault.RULES_CHANGED: Does(
        "minimums rise, so that what is on its way or comes next is too small", 1.5, 0.4, daily=True
    ),
    Fault.FUNDS_FROZEN: Does("the venue holds all cash back for no order that anybody sees", 1.5, 0.4, daily=True),
    Fault.VENUE_MODE: Does("maintenance, cancels only, or post-only for minutes", 2.0, daily=True),
    Fault.LISTS_LAG: Does("orders that are seconds old are in no list yet", 0.15),
    Fault.HISTORY_PAGES: Does("executions come repeated and out of order, and the cursor stands still", 0.15),
    Fault.FOREIGN_ACTIVITY: Does("somebody trades by hand, leaves an order, brings money or takes it", 1.5, 0.3, True),
    Fault.DUST: Does(
        "a fee in the base asset that nobody tells of takes less than can be traded", 1.0, 0.2, daily=True
    ),
    Fault.SPLIT: Does("what is held is split two for one while its market is closed", 1.0, 0.2, daily=True),
    Fault.CRASH: Does("the process ends before or after a commit, or after a send; also while it recovers", 0.002),
    Fault.LEDGER_LOCKED: Does("the ledger takes no commit for a moment", 0.0015),
    Fault.DISK_FULL: Does("the ledger takes nothing for minutes", 1.5, 0.4, daily=True),
    Fault.OLD_BACKUP: Does("after a crash the ledger is an hour old", 0.6, 0.1, daily=True),
    Fault.SECOND_INSTANCE: Does("another process takes the account's lease", 1.5, 0.3, daily=True),
    Fault.ID_REUSE: Does(
        "the venue makes a second order of an id whose order has ended",
        never="a client order id is minted once, the ledger takes no second intent of it, and a copy made on the way "
        "comes to a venue that forgets ids while its order lives, or not at all: its nonce and its deadline are over",
    ),
    Fault.SENT_TWICE: Does("a client resends an order; the venue answers with the first one", 0.08),
    Fault.SENT_TWICE_REFUSED: Does("a client resends an order; the venue says that it has it: ambiguous", 0.08),
    Fault.BRACKET_GONE: Does(
        "the venue ends a bracket, refuses a new one, or fills both its legs", 4.0, 0.8, daily=True
    ),
    Fault.TRADE_BUST: Does("the venue takes an execution back", 0.6, 0.15, daily=True),
    Fault.HOSTILE_WIRE: Does(
        "names, certificates, bodies without end: what is left of it here is an ambiguous answer",
        0.02,
        wire="bounds on time and size of a body are the adapter's; its outcome is planted as ambiguous",
    ),
    Fault.SLOW_READS: Does("reads take half a minute, writes do not", 3.0, daily=True),
    Fault.DEAD_MAN: Does("the venue ends every order, stops too", 1.5, 0.4, daily=True),
}
"""Every fault and what it does here."""


def chosen(names: str) -> frozenset[Fault]:
    """Return the faults that a word of the command line names.

    Raises:
        ValueError: One of them there is not.
    """
    there_are = [fault for fault in Fault if not TABLE[fault].never]
    if names == "all":
        return frozenset(there_are)
    if names == "none":
        return frozenset()
    wanted = [name.strip() for name in names.split(",")]
    never = [fault for fault in Fault if fault.value in wanted and TABLE[fault].never]
    if never:
        raise ValueError(f"{never[0]} cannot be asked for: {TABLE[never[0]].never}")
    unknown = sorted(set(wanted) - {fault.value for fault in Fault})
    if unknown:
        raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(there_are)}")
    return frozenset(Fault(name) for name in wanted)
