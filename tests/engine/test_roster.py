"""An account that trades other instruments than before: what it keeps, what begins anew, and what may not go."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from novapulse.core import kept_state
from novapulse.core.bars import MINUTE_NS
from novapulse.core.facts import from_body
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import (
    CommandReceived,
    Commit,
    FillReported,
    OrderReported,
    QuoteSeen,
    Snapshot,
    SnapshotRead,
    Submit,
)
from novapulse.core.orders import DisputeRaised, Seen, VenueState
from novapulse.core.records import ACCOUNT as ACCOUNT_RECORD
from novapulse.core.records import BAR, ORDER, POSITION, Mode
from novapulse.engine import memory
from novapulse.engine.desk import Desk
from novapulse.engine.roster import StillNeededError
from novapulse.engine.slots import Slot
from tests.engine.harness import NAMES, noisy_ticks, trader_of, world_of
from tests.engine.scene import fill_entry, with_position
from tests.engine.test_late_evidence import Kept, executed
from tests.engine.test_memory import told_otherwise

MORE = ("AAVE/USD", *NAMES, "ZEC/USD")


@pytest.fixture(scope="module")
def state() -> bytes:
    """A state with positions, orders and stretches of bars in it."""
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, noisy_ticks(bars=150, seed=5))
    found = b""
    for _ in range(150):
        world.timeline.run(world.timeline.now_ns + MINUTE_NS)
        assert node.trader is not None
        desk = node.trader.desk
        if np.count_nonzero(desk.books.positions["qty_units"]) > 1:
            found = journal.restored()[1]
    assert found

    def measured_next(told: dict[str, Any]) -> None:
        told["taken"] = [[row, -1, (100.0 + row).hex()] for row in range(len(NAMES))]

    return told_otherwise(found, measured_next)


def own(desk: Desk, symbol: str) -> tuple[object, ...]:
    """Return all that a desk has of an instrument."""
    row, books = desk.rows[InstrumentKey("kraken", symbol)], desk.books
    parts = (books.positions, books.orders, books.foreign_units, books.inside, books.last_bars)
    taken = [rest for at, *rest in desk.taken if at == row]
    return desk.slots[row], desk.runs[row], taken, *(part[row].tobytes() for part in parts)


def taken_up(symbols: tuple[str, ...], state: bytes) -> Desk:
    desk = trader_of(symbols).desk
    memory.unpack(desk, state)
    return desk


def whole(desk: Desk) -> bytes:
    draft: Any = type("Draft", (), {"entries": [], "told": True})
    return memory.Packer(desk).packed(draft)


def test_what_is_added_begins_anew_and_what_was_there_keeps_all_of_its_own(state):
    before, after, fresh = taken_up(NAMES, state), taken_up(MORE, state), trader_of(MORE).desk
    assert [own(after, name) for name in NAMES] == [own(before, name) for name in NAMES]
    assert all(own(after, name)[2] for name in NAMES)
    for name in set(MORE) - set(NAMES):
        assert own(after, name) == own(fresh, name)
    assert after.books.account.tobytes() == before.books.account.tobytes()
    assert after.books.gauges.tobytes() == before.books.gauges.tobytes()
    assert (after.holds, list(after.plans)) == (before.holds, list(before.plans))
    # Taken out again before anything happened to it, it leaves no trace: every bit is what it was.
    assert whole(taken_up(NAMES, whole(after))) == whole(before)


def turned_round(state: bytes) -> bytes:
    """Return the same state with its instruments in the opposite order."""
    told, runs, books = kept_state.parts(state)
    for name in ("instruments", "slots"):
        told[name].reverse()
    told["taken"] = [[len(told["slots"]) - 1 - row, *rest] for row, *rest in told["taken"]]
    count, at, parts = len(told["slots"]), 4 + ACCOUNT_RECORD.itemsize, []
    for size in (POSITION.itemsize, ORDER.itemsize, 8, 8, BAR.itemsize):
        parts += [books[at + row * size : at + (row + 1) * size] for row in reversed(range(count))]
        at += count * size
    turned = books[4 : 4 + ACCOUNT_RECORD.itemsize] + b"".join(parts) + books[at:]
    stretches = b"".join(runs[row * 32 : (row + 1) * 32] for row in reversed(range(count)))
    spelled = json.dumps(told).encode()
    turned = zlib.crc32(turned).to_bytes(4, "big") + turned
    return kept_state.HEAD.pack(kept_state.MAGIC, len(spelled), len(runs), len(books)) + spelled + stretches + turned


def test_the_order_of_instruments_means_nothing(state):
    turned = turned_round(state)
    assert turned != state
    assert whole(taken_up(NAMES, turned)) == whole(taken_up(NAMES, state))
    assert [own(taken_up(MORE, turned), name) for name in MORE] == [own(taken_up(MORE, state), name) for name in MORE]


class Two(Kept):
    """A scene of two instruments whose commits are kept, and which can be started anew with others."""

    symbols = ("BTC/USD", "ETH/USD")

    def snapshot(self, orders=(), fills=()) -> Snapshot:
        books = self.desk.books
        held = books.positions["qty_units"] + books.foreign_units
        units = {one.base: int(amount) for one, amount in zip(self.desk.instruments, held, strict=True)}
        cash = int(books.account[0].cash_units)
        return Snapshot(self.ts_ns, self.ts_ns, orders, fills, "0/0", {"USD": cash, **units}, (), self.ts_ns)

    def enter(self) -> Submit:
        self.tick(10.0, 0.0)
        (submit,) = self.sent(Submit)
        return submit


def test_what_restricted_a_dropped_instrument_ends_with_it_and_is_told():
    scene = Two()
    scene.tick(0.0, 0.0)
    run, eth = scene.desk.runs[1], InstrumentKey("kraken", "ETH/USD")
    scene.hear(QuoteSeen(scene.wait(1), eth, 100.0, 100.0))
    assert run is not None
    assert scene.desk.breakers.blocks(eth)
    assert any(name.endswith("ETH/USD") for name in scene.desk.alerts.open)
    scene.start_anew("BTC/USD")
    (commit,) = scene.sent(Commit)
    kinds = [record.kind for record in commit.records]
    assert {"session_started", "breaker_cleared", "alert_cleared"} <= set(kinds)
    assert [(one.instrument, one.first_ns, one.bars) for one in commit.holds] == [(eth, run.first_ns, run.bars)]
    assert not any(name.endswith("ETH/USD") for name in scene.desk.alerts.open)
    assert scene.desk.breakers.blocks(eth) is None
    # It has happened: the next start tells nothing of it again.
    scene.start_anew("BTC/USD")
    assert not {"breaker_cleared", "alert_cleared"} & {
        record.kind for commit in scene.sent(Commit) for record in commit.records
    }


def test_what_was_executed_of_a_dropped_instrument_may_be_told_again():
    scene = Two()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    scene.hear(CommandReceived(scene.wait(1), "c", "close", {"symbol": "BTC/USD"}, "ops"))
    (leaving,) = scene.sent(Submit)
    executed(scene, leaving, 9_900, "X1")
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    fills = [from_body(one.kind, one.body) for one in scene.journal.records("fill_booked")]
    assert len(fills) == 2
    scene.start_anew("ETH/USD")
    scene.hear(SnapshotRead(scene.wait(1), scene.snapshot(fills=tuple(fills))))
    scene.hear(FillReported(scene.wait(1), fills[0]))
    name = submit.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V1", VenueState.FILLED, fills[0].qty_units, scene.ts_ns)))
    assert (scene.desk.ready, scene.desk.books.mode, scene.desk.breaks) == (True, Mode.NORMAL, {})
    assert len(scene.journal.records("fill_booked")) == 2


def held(scene: Two) -> None:
    with_position(scene)


def at_work(scene: Two) -> None:
    scene.accept(scene.enter())


def foreign(scene: Two) -> None:
    scene.desk.books.foreign_units[0] = 7


def gated(scene: Two) -> None:
    scene.desk.slots[0].gate = "it differs"


def ignored(scene: Two) -> None:
    scene.desk.ignored["balance_mismatch:BTC"] = 5


LEFT: dict[str, tuple[Callable[[Two], None], str]] = {
    "a position": (held, "a position is held, something is at work"),
    "an order": (at_work, "something is at work"),
    "what is nobody's": (foreign, "it has units that belong to no order of ours"),
    "a difference": (gated, "it differs from what the venue shows"),
    "a difference that is lived with": (ignored, "it differs from what the venue shows"),
}


@pytest.mark.parametrize(("left", "told"), LEFT.values(), ids=LEFT)
def test_an_instrument_of_which_something_is_left_may_not_go(left, told):
    scene = Two()
    left(scene)
    # Whatever is told has the whole state written.
    scene.hear(QuoteSeen(scene.wait(1), InstrumentKey("kraken", "ETH/USD"), 100.0, 100.0))
    with pytest.raises(StillNeededError) as refused:
        scene.start_anew("ETH/USD")
    text = str(refused.value)
    assert f"cannot go on without BTC/USD, which is not among its symbols any more: {told}" in text
    assert "'novapulse control close --exchange kraken --account main --symbol BTC/USD'" in text
    # With it the account goes on as it was.
    scene.start_anew("BTC/USD", "ETH/USD", "SOL/USD")
    assert scene.desk.slots[2] == Slot()


@pytest.mark.parametrize(("is_disputed", "told"), [(False, "has not ended"), (True, "is disputed")])
def test_an_instrument_with_an_order_that_is_not_settled_may_not_go(is_disputed, told):
    scene = Two()
    before = scene.journal.restored()[1]
    order = scene.desk.orders[scene.enter().request.client_order_id]
    if is_disputed:
        order.add(DisputeRaised(order.client_order_id, "an execution came in two versions"))
    with pytest.raises(StillNeededError, match=f"any more: order {order.client_order_id} {told}"):
        memory.unpack(trader_of(["ETH/USD"]).desk, before, [order])
    memory.unpack(trader_of(["BTC/USD"]).desk, before, [order])
