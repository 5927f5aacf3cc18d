"""Orders that had ended and are alive after all: they reserve again, they drain, and two never do the work of one."""

import pytest

from novapulse.core.messages import (
    Alert,
    Cancel,
    CancelEnded,
    Commit,
    FillReported,
    Found,
    LookupEnded,
    OrderReported,
    Outcome,
    Record,
    SnapshotRead,
    Started,
    Submit,
    SubmitEnded,
    TimerFired,
    VenueOrder,
)
from novapulse.core.orders import Filled, OrderStatus, Seen, VenueState
from novapulse.core.postings import Book
from tests.engine.harness import ACCOUNT, MemoryJournal, trader_of
from tests.engine.test_trader import Scene, fill_entry, opened


class Kept(Scene):
    """A scene whose commits are kept, and which can be started anew."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        super().__init__()

    def hear(self, event):
        effects = super().hear(event)
        self.journal.commit([(ACCOUNT, commit) for commit in self.sent(Commit)])
        return effects

    def start_anew(self) -> None:
        self.trader = trader_of(["BTC/USD"])
        self.trader.restore(*self.journal.restored())
        self.desk = self.trader.desk
        self.hear(Started(self.wait(1)))

    def reopened(self) -> list[Record]:
        return self.journal.records("order_reopened")

    def says(self, submit: Submit, state: VenueState, filled: int = 0) -> Seen:
        return Seen(submit.request.client_order_id, "V1", state, filled, self.wait(1))


def ended(how: str) -> tuple[Kept, Submit]:
    """Return an entry that ended without the venue's word, or by it with an execution on its way."""
    scene = Kept()
    submit = scene.enter()
    name = submit.request.client_order_id
    if how == "refused":
        scene.hear(SubmitEnded(scene.wait(1), name, 1, Outcome.REJECTED, "", "unavailable"))
    elif how == "never placed":
        scene.hear(SubmitEnded(scene.wait(1), name, 1, Outcome.AMBIGUOUS))
        for wait in (6, 20):
            scene.hear(LookupEnded(scene.wait(wait), name, Found.ABSENT))
    else:
        scene.accept(submit)
        scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.CANCELED)))
    assert scene.desk.order(name).is_terminal
    assert scene.journal.held() == 0
    return scene, submit


@pytest.mark.parametrize("how", ["refused", "never placed"])
def test_an_order_that_is_alive_after_all_holds_its_cash_again_is_cancelled_and_told(how):
    scene, submit = ended(how)
    first = next(record for record in scene.journal.records("order_intended") if record.postings)
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.LIVE)))
    (record,) = scene.reopened()
    assert record.body["status"] == "ACCEPTED"
    assert scene.journal.held() == pytest.approx(first.postings[1].amount, rel=0.01)
    assert {posting.book for posting in record.postings} == {Book.CASH, Book.HOLD}
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [submit.request.client_order_id]
    assert "reopened:" + submit.request.client_order_id in [alert.key for alert in scene.sent(Alert)]
    (commit,) = scene.sent(Commit)
    kinds = [record.kind for record in commit.records]
    assert kinds.index("order_seen") < kinds.index("order_reopened") < kinds.index("cancel_asked")


@pytest.mark.parametrize("anew", [False, True], ids=["at once", "after a restart"])
def test_what_was_reserved_again_goes_with_the_executions_and_the_second_end(anew):
    scene, submit = ended("never placed")
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.LIVE)))
    whole = scene.journal.held()
    if anew:
        scene.start_anew()
        assert scene.status(submit) in (OrderStatus.ACCEPTED, OrderStatus.CANCEL_PENDING)
        assert scene.desk.cash_amount(sum(now for _, now in scene.desk.holds.values())) == whole
    half = submit.request.terms.qty_units // 2
    fill_entry(scene, submit, half)
    assert scene.journal.held() == pytest.approx(whole / 2, rel=0.01)
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.CANCELED, half)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert scene.journal.held() == 0
    assert len(scene.journal.records("order_closed")) == 2


def test_an_execution_on_its_way_reserves_no_more_than_itself():
    scene, submit = ended("canceled")
    part = submit.request.terms.qty_units // 4
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.CANCELED, part)))
    assert scene.status(submit) is OrderStatus.SETTLING
    price = submit.request.terms.limit_units
    assert 0 < scene.journal.held() < 1.1 * part * price * 100
    assert not [alert for alert in scene.sent(Alert) if alert.key.startswith("reopened")]
    fill_entry(scene, submit, part)
    assert scene.status(submit) is OrderStatus.CANCELED
    assert scene.journal.held() == 0


def test_an_execution_itself_reopens_its_order_for_the_rest():
    scene, submit = ended("refused")
    half = submit.request.terms.qty_units // 2
    fill_entry(scene, submit, half)
    (record,) = scene.reopened()
    assert record.body == {
        "client_order_id": submit.request.client_order_id,
        "status": "PARTIALLY_FILLED",
        "filled_units": half,
    }
    assert scene.journal.held() > 0.9 * half * submit.request.terms.limit_units * 100


def test_a_list_that_shows_an_ended_order_reopens_it_too():
    scene, submit = ended("refused")
    seen = scene.says(submit, VenueState.LIVE)
    listed = VenueOrder(seen, submit.request.instrument, submit.request.side, submit.request.terms.qty_units)
    scene.wait(6)
    scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot(orders=(listed,))))
    assert [record.body["class"] for record in scene.journal.records("break_found")] == ["D3"]
    assert len(scene.reopened()) == 1
    assert scene.sent(Cancel)


def two_brackets() -> tuple[Scene, str, str]:
    """Return a position whose bracket was taken for absent and replaced, and then shows after all."""
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    old = submit.request.protection.client_order_id
    for wait in (1, 6):
        scene.hear(LookupEnded(scene.wait(wait), old, Found.ABSENT))
    (armed,) = scene.sent(Submit)
    new = armed.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(1), new, 1, Outcome.ACCEPTED, "V9"))
    scene.hear(OrderReported(scene.wait(1), Seen(old, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    return scene, old, new


def test_of_two_brackets_the_newest_is_disputed_and_cancelled_and_the_oldest_guards():
    scene, old, new = two_brackets()
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [new]
    assert scene.desk.orders[new].status is OrderStatus.DISPUTED
    assert scene.desk.slots[0].protect == old
    assert scene.desk.orders[old].is_live
    assert scene.desk.orders[old].cancels == 0
    assert f"disputed:{new}" in [alert.key for alert in scene.sent(Alert)]
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    assert not scene.sent(Submit)


def test_the_dispute_about_a_second_bracket_ends_when_the_venue_has_ended_it():
    scene, old, new = two_brackets()
    scene.hear(CancelEnded(scene.wait(0.2), new, 1, Outcome.ACCEPTED))
    assert scene.desk.orders[new].status is OrderStatus.DISPUTED
    scene.hear(OrderReported(scene.wait(1), Seen(new, "V9", VenueState.CANCELED, 0, scene.ts_ns)))
    kinds = [record.kind for commit in scene.sent(Commit) for record in commit.records]
    assert kinds.index("dispute_settled") < kinds.index("order_closed")
    assert list(scene.desk.orders) == [old]
    assert not scene.sent(Submit)


def test_a_second_bracket_is_cancelled_again_when_the_first_cancel_was_lost():
    scene, _, new = two_brackets()
    scene.hear(CancelEnded(scene.wait(0.2), new, 1, Outcome.AMBIGUOUS))
    scene.hear(LookupEnded(scene.wait(5), new, Found.FOUND, Seen(new, "V9", VenueState.LIVE, 0, scene.ts_ns)))
    assert [(cancel.client_order_id, cancel.attempt) for cancel in scene.sent(Cancel)] == [(new, 2)]


def test_a_bracket_that_shows_while_the_next_is_on_its_way_is_taken_back():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    old = submit.request.protection.client_order_id
    for wait in (1, 6):
        scene.hear(LookupEnded(scene.wait(wait), old, Found.ABSENT))
    (armed,) = scene.sent(Submit)
    scene.hear(OrderReported(scene.wait(0.1), Seen(old, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    assert not scene.sent(Cancel)
    new = armed.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(1), new, 1, Outcome.ACCEPTED, "V9"))
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [new]
    assert scene.desk.slots[0].protect == old


def test_the_older_exit_shows_after_the_next_was_sent_and_the_newest_is_disputed():
    scene = opened()
    scene.tick(-15.0)
    (first,) = scene.sent(Submit)
    scene.hear(SubmitEnded(scene.wait(0.2), first.request.client_order_id, 1, Outcome.REJECTED, "", "busy"))
    scene.hear(TimerFired(scene.wait(2), "retry:0"))
    (second,) = scene.sent(Submit)
    scene.hear(SubmitEnded(scene.wait(0.2), second.request.client_order_id, 1, Outcome.ACCEPTED, "V5"))
    old, new = first.request.client_order_id, second.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(old, "V4", VenueState.LIVE, 0, scene.ts_ns)))
    assert {cancel.client_order_id for cancel in scene.sent(Cancel)} == {old, new}
    assert scene.desk.orders[new].status is OrderStatus.DISPUTED
    assert scene.desk.orders[old].status is OrderStatus.CANCEL_PENDING
    units = abs(int(scene.desk.books.positions[0].qty_units))
    request = second.request
    fill = Filled(
        new, "V5", "T9", request.instrument, request.side, units, 10_000, 10_000 * units * 100, 0, 1, scene.ts_ns
    )
    scene.hear(FillReported(scene.wait(1), fill))
    assert scene.desk.books.positions[0].qty_units == 0
