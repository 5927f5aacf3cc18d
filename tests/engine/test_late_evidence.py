"""Orders that had ended and are alive after all: they reserve again, they drain, and two never do the work of one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from novapulse.core.messages import (
    Alert,
    Cancel,
    CancelEnded,
    CommandReceived,
    Commit,
    FillReported,
    Found,
    Lookup,
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
from novapulse.core.orders import Filled, OrderRequest, OrderStatus, OrderType, Role, Seen, Terms, VenueState
from novapulse.core.postings import Book
from novapulse.core.records import Intent
from novapulse.simulation import on_requests
from novapulse.simulation.tally import OrderTally
from tests.engine.harness import ACCOUNT, MemoryJournal, trader_of
from tests.engine.scene import Scene, fill_entry, opened


class Kept(Scene):
    """A scene whose commits are kept, and which can be started anew."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        super().__init__()

    def hear(self, event):
        effects = super().hear(event)
        self.journal.commit([(ACCOUNT, commit) for commit in self.sent(Commit)])
        return effects

    def start_anew(self, *symbols: str) -> None:
        self.trader = trader_of(symbols or ("BTC/USD",))
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
    assert len([alert for alert in scene.sent(Alert) if alert.key.startswith(f"disputed:{new}:")]) == 1
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


def later_entry(scene: Kept, how: str) -> Submit | None:
    """Let the close behind a refused entry decide again: `planned` waits for a price, `on its way` for an answer."""
    if how == "planned":
        event = scene.ticks.event(scene.row, 0)
        signals = event.signals.copy()
        signals["consensus"], signals["atr"] = 10.0, 3.0
        scene.row += 1
        scene.ts_ns = event.ts_close_ns + 10 * 10**9
        scene.hear(replace(event, ts_ns=scene.ts_ns, signals=signals))
        assert not scene.sent(Submit)
        assert scene.desk.books.intent(0) is Intent.ENTRY
        return None
    submit = scene.enter()
    if how == "at work":
        scene.accept(submit, "V3")
    return submit


@pytest.mark.parametrize("how", ["planned", "on its way", "at work"])
def test_a_later_entry_is_given_up_when_the_refused_one_before_it_fills_after_all(how):
    scene, first = ended("refused")
    units = first.request.terms.qty_units
    later = later_entry(scene, how)
    fill_entry(scene, first, units // 4)
    assert [record.body["reason"] for record in scene.journal.records("entry_unfilled")][-1] == "UNFILLED_SUPERSEDED"
    assert scene.desk.books.intent(0) is Intent.NONE
    if later is not None and how == "on its way":
        scene.accept(later, "V3")
    if later is not None:
        asked = [record.body["client_order_id"] for record in scene.journal.records("cancel_asked")]
        assert later.request.client_order_id in asked
        seen = Seen(later.request.client_order_id, "V3", VenueState.CANCELED, 0, scene.wait(1))
        scene.hear(OrderReported(scene.ts_ns, seen))
    fill_entry(scene, first, units - units // 4)
    scene.hear(TimerFired(scene.wait(5), "retry:0"))
    assert scene.desk.books.positions[0].qty_units == units
    roles = [record.body["request"]["role"] for record in scene.journal.records("order_intended")]
    assert roles.count(Role.ENTRY.value) == (1 if later is None else 2)


def counted(scene: Scene) -> tuple[int, int]:
    """Return what the account says that is held or worked for, and what is."""
    books = scene.desk.books
    return int(books.account[0].positions), books.held_or_worked_for()


@pytest.mark.parametrize("how", ["refused", "canceled"])
def test_what_fills_late_beside_the_next_entry_counts_as_one_position_and_then_as_none(how):
    """A bug: it counted twice, and after as many as there may be positions the account entered nothing any more."""
    scene, first = ended(how)
    later_entry(scene, "at work")
    assert counted(scene) == (1, 1)
    fill_entry(scene, first, first.request.terms.qty_units)
    assert scene.desk.books.held_units(0) == first.request.terms.qty_units
    assert counted(scene) == (1, 1)
    scene.hear(CommandReceived(scene.wait(1), "c1", "close", {"symbol": "BTC/USD"}, "ops"))
    (leaving,) = [submit for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    scene.accept(leaving, "V7")
    executed(scene, leaving, 9_990, "T-out")
    assert scene.desk.books.held_units(0) == 0
    assert counted(scene) == (0, 0)


def test_an_account_that_was_counted_wrongly_is_counted_anew_at_its_start():
    scene = Kept()
    scene.enter()
    scene.desk.books.account["positions"] += 1
    scene.tick(10.0)
    assert counted(scene) == (2, 1)
    scene.start_anew()
    assert counted(scene) == (1, 1)


def unfilled(*, anew: bool) -> tuple[Kept, str]:
    """Return a scene whose only known entry ended without a fill, and the name of the bracket that went with it."""
    scene = Kept()
    submit = scene.enter()
    scene.accept(submit)
    if anew:
        scene.start_anew()
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.CANCELED)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert submit.request.protection is not None
    return scene, submit.request.protection.client_order_id


def test_a_bracket_whose_entries_were_all_written_by_this_trader_and_did_not_fill_was_never_made():
    scene, bracket = unfilled(anew=False)
    assert scene.desk.closed[bracket].status is OrderStatus.NEVER_PLACED


def test_a_bracket_intended_in_an_earlier_life_is_asked_for_because_that_ledger_may_have_lost_an_entry_that_filled():
    scene, bracket = unfilled(anew=True)
    assert scene.desk.orders[bracket].status is OrderStatus.INTENT
    scene.hear(TimerFired(scene.wait(0), f"lookup:{bracket}"))
    assert [lookup.client_order_id for lookup in scene.sent(Lookup)] == [bracket]
    seen = Seen(bracket, "V7", VenueState.CANCELED, 0, scene.wait(1))
    scene.hear(LookupEnded(scene.ts_ns, bracket, Found.FOUND, seen))
    assert scene.desk.closed[bracket].status is OrderStatus.CANCELED
    assert not scene.journal.records("absence_proved")


def test_a_bracket_intended_in_an_earlier_life_was_never_made_when_the_venue_has_it_not():
    scene, bracket = unfilled(anew=True)
    scene.hear(LookupEnded(scene.wait(1), bracket, Found.ABSENT))
    scene.hear(LookupEnded(scene.wait(6), bracket, Found.FAILED))
    assert scene.desk.orders[bracket].status is OrderStatus.INTENT
    scene.hear(LookupEnded(scene.wait(6), bracket, Found.ABSENT))
    assert scene.desk.closed[bracket].status is OrderStatus.NEVER_PLACED
    (proved,) = scene.journal.records("absence_proved")
    assert not proved.body["never_sent"]


def executed(scene: Kept, submit: Submit, price_units: int, trade: str) -> None:
    """Let a whole order be executed, late or not."""
    request, units = submit.request, submit.request.terms.qty_units
    ids = request.client_order_id, "V" + trade, trade
    cash = price_units * units * 100
    fill = Filled(*ids, request.instrument, request.side, units, price_units, cash, 0, 0, scene.wait(0.1))
    scene.hear(FillReported(scene.ts_ns, fill))


def refused(scene: Kept) -> Submit:
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(1), submit.request.client_order_id, 1, Outcome.REJECTED, "", "unavailable"))
    return submit


def guarded_late(scene: Kept, number: int, *, beside_a_later_entry: bool) -> OrderRequest:
    """Let a refused entry fill late, at a lower price each time; return the stop of its position, which is closed."""
    late = refused(scene)
    later = scene.enter() if beside_a_later_entry else None
    executed(scene, late, late.request.terms.limit_units - 200 * number, f"L{number}")
    if later is not None:
        attached = later.request.protection.client_order_id
        scene.hear(SubmitEnded(scene.wait(1), later.request.client_order_id, 1, Outcome.REJECTED, "", "late"))
        for wait in (1, 6):
            scene.hear(LookupEnded(scene.wait(wait), attached, Found.ABSENT))
    (stop,) = (submit for submit in scene.sent(Submit) if submit.request.kind is OrderType.BRACKET)
    scene.accept(stop, f"S{number}")
    scene.tick(-15.0)
    (leaving,) = scene.sent(Submit)
    executed(scene, leaving, 9_000, f"X{number}")
    assert scene.desk.books.positions[0].qty_units == 0
    name = stop.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(name, f"S{number}", VenueState.CANCELED, 0, scene.ts_ns)))
    return stop.request


@pytest.mark.parametrize("beside", [(False, False), (True, True), (True, False), (False, True)])
def test_positions_that_late_executions_opened_have_stops_by_names_that_no_other_had(beside):
    scene = Kept()
    stops = [guarded_late(scene, number, beside_a_later_entry=each) for number, each in enumerate(beside)]
    assert len({stop.client_order_id for stop in stops}) == len(stops)
    assert len({stop.decision_id for stop in stops}) == len(stops)
    assert "" not in {stop.decision_id for stop in stops}
    assert stops[1].terms.stop_units < stops[0].terms.stop_units
    auditor = SimpleNamespace(tallies={ACCOUNT: OrderTally()}, broke=lambda *told: pytest.fail(str(told)))
    for stop in stops:
        on_requests.sys_6_never_loosened(auditor, SimpleNamespace(key=ACCOUNT), stop, stop.terms.stop_units)


def test_a_bracket_that_covers_one_of_two_entries_gives_way_to_one_over_all_that_is_held():
    scene = Kept()
    first = refused(scene)
    later = scene.enter()
    scene.accept(later, "V3")
    executed(scene, first, first.request.terms.limit_units, "L1")
    price, units = later.request.terms.limit_units, later.request.terms.qty_units // 2
    name, attached = later.request.client_order_id, later.request.protection.client_order_id
    ids = name, "V3", "L2", later.request.instrument, later.request.side
    scene.hear(FillReported(scene.wait(0.1), Filled(*ids, units, price, price * units * 100, 0, 0, scene.ts_ns)))
    scene.hear(OrderReported(scene.wait(0.1), Seen(name, "V3", VenueState.CANCELED, units, scene.ts_ns)))
    covers = Terms(units, 0, price - 500, price + 500)
    scene.hear(OrderReported(scene.wait(0.1), Seen(attached, "S1", VenueState.LIVE, 0, scene.ts_ns, covers)))
    assert attached in [one.client_order_id for one in scene.sent(Cancel)]
    assert not scene.sent(Submit)
    scene.hear(OrderReported(scene.wait(0.1), Seen(attached, "S1", VenueState.CANCELED, 0, scene.ts_ns, covers)))
    (stop,) = scene.sent(Submit)
    held = first.request.terms.qty_units + units
    assert (stop.request.kind, stop.request.terms.qty_units) == (OrderType.BRACKET, held)
    assert scene.desk.books.positions[0].qty_units == held
