"""Two lives of one world, and why they differ: a reason that the ledger names, or none.

Four things may make a difference behind a crash, and nothing before them:

- an order that was durable and not sent is proved absent, and its decision is carried out by another one, at a later
  close: prices have moved on by then;
- an amendment that was durable and not sent changes nothing until that is found out: the order meets a bar as it was;
- a close that is told again when its price is stale is decided as it would have been, and what follows from it is sent
  at the next one;
- of several closes that passed while the process was down none is decided, and the last is recorded as late.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from novapulse.core.bars import MINUTE_NS
from novapulse.core.messages import Record
from novapulse.core.orders import Filled
from novapulse.engine.settings import TraderSettings
from novapulse.simulation.host import Host
from novapulse.simulation.scene import Scene
from novapulse.simulation.seeds import world_of
from novapulse.simulation.storm import StormyWorld

FRESH_NS = round(TraderSettings().quote_age_s_max * 1e9)
UNSENT = "sent again at a later close"
UNMOVED = "an amendment was not sent"
STALE = "decided when its price was stale"
MISSED = "missed while down"
Execution = tuple[int, ...]
Decision = tuple[int, str, str, str, int, str]


@dataclass(frozen=True)
class Life:
    """What one account did.

    Attributes:
        records: Its ledger.
        fills: The venue's executions.
    """

    records: tuple[Record, ...]
    fills: tuple[Filled, ...]

    def of(self, *kinds: str) -> list[Record]:
        """Return the records of some kinds."""
        return [record for record in self.records if record.kind in kinds]

    @property
    def executions(self) -> list[Execution]:
        """What was traded, without names."""
        return [
            (fill.ts_event_ns, int(fill.side), fill.qty_units, fill.price_units, fill.fee_units) for fill in self.fills
        ]

    @property
    def decisions(self) -> list[Decision]:
        """What was decided, in order, but for exits that a quote beyond the stop asked for and the venue's stop did.

        Whether such a quote is heard before the stop's execution is a race, with a crash and without one.
        """
        traded = {self.decision_of(fill.client_order_id) for fill in self.fills}
        return [
            (body["ts_close_ns"], body["decision_id"], body["verb"], body["reason"], body["units"], body["limit_price"])
            for body in (record.body for record in self.of("decision_taken"))
            if body["reason"] != "EXIT_STOP" or body["decision_id"] in traded
        ]

    @property
    def amendments_unsent(self) -> set[str]:
        """Orders of which an amendment was written last before a start, and had not reached the venue by then."""
        start = max(number for number, one in enumerate(self.records) if one.kind == "session_started")
        last = self.records[start - 1]
        if last.kind != "amend_asked" or last.body in [one.body for one in self.of("amend_done")]:
            return set()
        refused = [one.body["client_order_id"] for one in self.of("amend_refused")]
        return {last.body["client_order_id"]}.intersection(refused)

    def decision_of(self, client_order_id: str) -> str:
        """Return the decision that an order carries out."""
        (intended,) = [one for one in self.of("order_intended") if one.body["client_order_id"] == client_order_id]
        return str(intended.body["request"]["decision_id"])


@dataclass(frozen=True)
class Lived:
    """What came of a world: where its process ended, and what each account did."""

    ends: tuple[str, ...]
    points: int
    accounts: tuple[Life, ...] = ()


def lived(scene: Scene, points: frozenset[int] | None, absence_s: int = 1) -> Lived:
    """Live a world without faults whose process ends at some points, and is away for a while each time.

    None for the points leaves its end to chance, which ends nothing where there are no faults.

    Raises:
        Broken: An invariant does not hold.
    """
    world = world_of(scene, 0, frozenset(), points)
    world.process.absence_s = absence_s
    try:
        world.run()
        ends = tuple(mark for mark in world.marks.counts if mark.startswith("crash "))
        return Lived(ends, world.points, tuple(_life(world, host) for host in world.hosts))
    finally:
        world.disk.ledger.close()
        world.end()


def _life(world: StormyWorld, host: Host) -> Life:
    records = tuple(entry.record for entry in world.disk.ledger.records(host.key))
    return Life(records, tuple(host.exchange.holdings.trades.values()))


def why_different(whole: Life, broken: Life) -> str:
    """Return why an account did something else than in the world without a crash; empty when it did the same.

    Raises:
        AssertionError: The two differ, and nothing in the ledger says why.
    """
    decided = [one[1] for one in broken.decisions]
    assert len(set(decided)) == len(decided), "a decision was taken twice"
    if broken.executions == whole.executions and broken.decisions == whole.decisions:
        return ""
    first = _first_different(whole, broken)
    lost = [record.body["client_order_id"] for record in broken.of("absence_proved")]
    if lost:
        return _never_sent(whole, broken, lost, first)
    orders = {fill.client_order_id for life in (whole, broken) for fill in life.fills[first : first + 1]}
    if orders & broken.amendments_unsent:
        return UNMOVED
    return _was_down(whole, broken)


def _first_different(whole: Life, broken: Life) -> int:
    pairs = zip(whole.executions, broken.executions, strict=False)
    same = next((number for number, (one, other) in enumerate(pairs) if one != other), None)
    return min(len(whole.fills), len(broken.fills)) if same is None else same


def _was_down(whole: Life, broken: Life) -> str:
    start = broken.of("session_started")[-1]
    decided_ns = int(start.body["ts_close_ns"]) or whole.records[0].ts_ns
    first_ns = decided_ns + MINUTE_NS
    assert start.ts_ns - first_ns > FRESH_NS, "no close was missed for longer than its price is good"
    assert _upto(whole.executions, first_ns) == _upto(broken.executions, first_ns), "it differs before that"
    late = {(one.body["ts_close_ns"], one.body["problem"]) for one in broken.of("bar_late")}
    if start.ts_ns < first_ns + MINUTE_NS:
        assert not late
        assert _upto(whole.decisions, first_ns) == _upto(broken.decisions, first_ns), "a decision was lost"
        return STALE
    last_ns = start.ts_ns - (start.ts_ns - first_ns) % MINUTE_NS
    assert late == {(last_ns, "the account was down")}, "closes were missed in silence"
    assert _upto(whole.decisions, decided_ns) == _upto(broken.decisions, last_ns), "a decision was lost, or made late"
    return MISSED


def _never_sent(whole: Life, broken: Life, lost: Sequence[str], first: int) -> str:
    (name,) = lost
    (attempted,) = [one for one in broken.of("order_attempted") if one.body["client_order_id"] == name]
    (unclear,) = [one for one in broken.of("order_unclear") if one.body["client_order_id"] == name]
    start = broken.of("session_started")[-1]
    assert unclear.ts_ns == start.ts_ns, "the order was not found unsent at the start"
    assert not [fill for fill in broken.fills if fill.client_order_id == name], "an absent order traded"
    # The decision stands, everything before it is the same, and what differs first is what it traded.
    decision = broken.decision_of(name)
    until = next(number for number, one in enumerate(whole.decisions) if one[1] == decision)
    assert whole.decisions[: until + 1] == broken.decisions[: until + 1]
    ours = {
        life.decision_of(fill.client_order_id) for life in (whole, broken) for fill in life.fills[first : first + 1]
    }
    assert decision in ours, "what differs first is not what the lost order was for"
    times = [fill.ts_event_ns for fill in whole.fills if fill.client_order_id == name]
    again = [fill.ts_event_ns for fill in broken.fills if broken.decision_of(fill.client_order_id) == decision]
    assert all(late > attempted.ts_ns for late in again)
    assert not times or not again or min(again) > min(times), "the second order traded no later than the lost one"
    return UNSENT


def _upto(rows: Sequence[tuple[object, ...]], ts_ns: int) -> list[tuple[object, ...]]:
    return [row for row in rows if isinstance(row[0], int) and row[0] <= ts_ns]
