"""The trader in a small world: what it sends, what it makes durable first, and what it does when answers fail."""

from dataclasses import replace

import numpy as np
import pytest

from novapulse.backtest import run
from novapulse.backtest.columns import signals_of
from novapulse.backtest.result import Result
from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    Cancel,
    CancelEnded,
    CommandReceived,
    Commit,
    CommitFailed,
    ConditionSeen,
    Effect,
    FillBusted,
    FillReported,
    Found,
    Lookup,
    LookupEnded,
    OrderReported,
    Outcome,
    QuoteSeen,
    ReadSnapshot,
    Severity,
    Snapshot,
    SnapshotRead,
    Started,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import Filled, OrderStatus, OrderType, Role, Seen, VenueState
from novapulse.core.ports import Unwritable
from novapulse.core.records import Intent, Mode, Reason
from novapulse.engine.rows import Ticks
from novapulse.engine.settings import TraderSettings
from tests.engine.harness import (
    ORIGIN_NS,
    SECOND_NS,
    decides,
    facts_of,
    noisy_ticks,
    trader_of,
    world_of,
)

END_S = 10


def kernel_result(ticks: Ticks) -> Result:
    bars, signals = {}, {}
    for column, key in enumerate(ticks.keys):
        b, s = ticks.bars[:, column], ticks.signals[:, column]
        prices = (b[name] for name in ("open", "high", "low", "close", "volume"))
        bars[key] = BarColumns.checked(b["ts_close_ns"], *prices, timeframe_ns=MINUTE_NS)
        signals[key] = signals_of(
            s["consensus"].copy(),
            s["atr"].copy(),
            confidence=s["confidence"].copy(),
            volatility=s["volatility"].copy(),
            warm=s["warm"].astype(bool),
        )
    facts = {fact.key: fact for fact in facts_of([key.symbol for key in ticks.keys])}
    return run(bars, decides(), instruments=facts, signals=signals)


def trips_of_kernel(ticks: Ticks) -> list[tuple[object, ...]]:
    return [
        (
            ticks.keys[int(trip.instrument)].symbol,
            int(trip.entry_ts_ns),
            int(trip.exit_ts_ns),
            int(trip.direction),
            int(trip.pnl_units),
            float(trip.entry_price),
            float(trip.exit_price),
            Reason(int(trip.exit_reason)).name,
        )
        for trip in kernel_result(ticks).round_trips
    ]


def trips_of_journal(journal) -> list[tuple[object, ...]]:
    return [
        (
            body["instrument"][1],
            body["entry_ns"],
            body["exit_ns"],
            body["direction"],
            body["pnl_units"],
            float.fromhex(body["entry_price"]),
            float.fromhex(body["exit_price"]),
            body["exit_reason"],
        )
        for body in (record.body for record in journal.records("round_trip_closed"))
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_engine_makes_the_round_trips_of_the_backtest(seed):
    ticks = noisy_ticks(seed=seed)
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]) + END_S * SECOND_NS)
    made = trips_of_journal(journal)
    assert len(made) > 50
    assert made == trips_of_kernel(ticks)


@pytest.mark.parametrize("every", [1, 7])
def test_a_trader_that_is_started_anew_after_every_tick_decides_the_same(every):
    ticks = noisy_ticks(bars=150)
    world, node, journal = world_of(trader_of())
    world.start(node)
    for row in range(len(ticks)):
        world.timeline.at(
            int(ticks.ts_close_ns[row]),
            lambda row=row: world.tick(node, ticks, ticks.event(row, world.timeline.now_ns)),
        )
        world.timeline.run(int(ticks.ts_close_ns[row]) + END_S * SECOND_NS)
        if row % every == 0:
            node.trader = trader_of()
            node.trader.restore(*journal.restored())
            node.life += 1
            node.timers.clear()
            world.start(node)
            world.timeline.run(world.timeline.now_ns + END_S * SECOND_NS)
    made = trips_of_journal(journal)
    assert len(made) > 8
    assert made == trips_of_kernel(ticks)[: len(made)]


class Scene:
    """A trader of one instrument whose venue is the test."""

    def __init__(self, settings: TraderSettings | None = None, chosen: BacktestSettings | None = None) -> None:
        self.trader = trader_of(["BTC/USD"], chosen or decides(), settings)
        self.desk = self.trader.desk
        self.ticks = noisy_ticks(["BTC/USD"], bars=40)
        self.ts_ns = ORIGIN_NS
        self.row = 0
        self.effects: list[Effect] = []
        self.hear(Started(self.ts_ns))
        self.hear(SnapshotRead(self.ts_ns, self.snapshot()))

    def snapshot(self, orders=(), fills=()) -> Snapshot:
        cash = int(self.desk.books.account[0].cash_units)
        held = int(self.desk.books.positions[0].qty_units + self.desk.books.foreign_units[0])
        return Snapshot(self.ts_ns, self.ts_ns, orders, fills, "0/0", {"USD": cash, "BTC": held}, (), self.ts_ns)

    def hear(self, event) -> list[Effect]:
        self.effects = self.trader.handle(event)
        return self.effects

    def tick(self, consensus: float = 0.0) -> list[Effect]:
        event = self.ticks.event(self.row, 0)
        signals = event.signals.copy()
        signals["consensus"] = consensus
        signals["atr"] = 3.0
        self.ts_ns = event.ts_close_ns
        self.row += 1
        return self.hear(replace(event, ts_ns=self.ts_ns, signals=signals))

    def wait(self, seconds: float) -> int:
        self.ts_ns += round(seconds * SECOND_NS)
        return self.ts_ns

    def sent(self, kind: type) -> list:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def enter(self) -> Submit:
        self.tick(10.0)
        (submit,) = self.sent(Submit)
        return submit

    def accept(self, submit: Submit, venue_id: str = "V1") -> None:
        self.hear(SubmitEnded(self.wait(0.2), submit.request.client_order_id, 1, Outcome.ACCEPTED, venue_id))

    def status(self, submit: Submit) -> OrderStatus:
        order = self.desk.order(submit.request.client_order_id)
        assert order is not None
        return order.status


def test_decision_intent_attempt_and_hold_are_durable_before_the_request_leaves():
    scene = Scene()
    submit = scene.enter()
    first = scene.effects[0]
    assert isinstance(first, Commit)
    kinds = [record.kind for record in first.records]
    assert kinds.index("decision_taken") < kinds.index("order_intended") < kinds.index("order_attempted")
    assert scene.effects.index(submit) > 0
    assert first.state
    held = [posting.amount for record in first.records for posting in record.postings if posting.book == "hold"]
    assert sum(held) > submit.request.terms.qty_units * 100


def test_nothing_is_entered_before_the_first_comparison_with_the_venue():
    trader = trader_of(["BTC/USD"])
    trader.handle(Started(ORIGIN_NS))
    event = noisy_ticks(["BTC/USD"], bars=3).event(0, ORIGIN_NS + MINUTE_NS)
    signals = event.signals.copy()
    signals["consensus"] = 10.0
    effects = trader.handle(replace(event, signals=signals))
    assert not [effect for effect in effects if isinstance(effect, Submit)]
    assert trader.desk.books.actions[0].reason == Reason.BREAK_OPEN


def test_an_unclear_outcome_is_unknown_gates_the_instrument_and_is_looked_into():
    scene = Scene()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(5), submit.request.client_order_id, 1, Outcome.AMBIGUOUS, text="timeout"))
    assert scene.status(submit) is OrderStatus.UNKNOWN
    scene.hear(TimerFired(scene.wait(0), f"lookup:{submit.request.client_order_id}"))
    assert scene.sent(Lookup)
    scene.tick(12.0)
    assert not scene.sent(Submit)
    seen = Seen(submit.request.client_order_id, "V1", VenueState.LIVE, 0, scene.ts_ns)
    scene.hear(LookupEnded(scene.wait(1), submit.request.client_order_id, Found.FOUND, seen))
    assert scene.status(submit) in (OrderStatus.ACCEPTED, OrderStatus.REPLACE_PENDING)


def test_absence_needs_two_whole_reads_apart_and_a_failed_one_counts_for_nothing():
    scene = Scene()
    submit = scene.enter()
    name = submit.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(5), name, 1, Outcome.AMBIGUOUS))
    for wait, found, status in (
        (1, Found.ABSENT, OrderStatus.UNKNOWN),
        (1, Found.ABSENT, OrderStatus.UNKNOWN),
        (6, Found.FAILED, OrderStatus.UNKNOWN),
        (6, Found.FAILED, OrderStatus.UNKNOWN),
        (6, Found.ABSENT, OrderStatus.NEVER_PLACED),
    ):
        scene.hear(LookupEnded(scene.wait(wait), name, found))
        assert scene.status(submit) is status
    assert scene.desk.holds == {} or name not in scene.desk.holds


def test_a_taken_cancel_ends_nothing_until_the_venue_shows_it():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    scene.tick(-12.0)
    (cancel,) = scene.sent(Cancel)
    scene.hear(CancelEnded(scene.wait(0.2), cancel.client_order_id, cancel.attempt, Outcome.ACCEPTED))
    assert scene.status(submit) is OrderStatus.CANCEL_PENDING
    assert scene.desk.holds
    scene.hear(OrderReported(scene.wait(1), Seen(cancel.client_order_id, "V1", VenueState.CANCELED, 0, scene.ts_ns)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert not scene.desk.holds


def test_a_refused_exit_is_tried_again_and_people_are_told():
    scene = opened()
    told = []
    for _ in range(5):
        submits = [] if scene.desk.slots[0].leaving_ns else (scene.tick(-15.0), scene.sent(Submit))[1]
        if not submits:
            scene.hear(TimerFired(scene.wait(61), "retry:0"))
            submits = scene.sent(Submit)
        (submit,) = submits
        assert submit.request.role is Role.EXIT
        scene.hear(SubmitEnded(scene.wait(0.2), submit.request.client_order_id, 1, Outcome.REJECTED, "", "busy"))
        told += [alert.key for alert in scene.sent(Alert)]
    assert told.count("exit:BTC/USD") == 1
    assert scene.desk.plan(0).intent == Intent.EXIT
    scene.hear(TimerFired(scene.wait(61), "retry:0"))
    (submit,) = scene.sent(Submit)
    request = submit.request
    sold = replace(submit, request=replace(request, terms=replace(request.terms, limit_units=10_000)))
    scene.accept(submit, "V9")
    fill_entry(scene, sold, request.terms.qty_units)
    assert "exit:BTC/USD" in [alert.key for alert in scene.sent(Alert) if alert.severity is Severity.INFO]
    assert "exit:BTC/USD" not in scene.desk.alerts.open


def opened(settings: TraderSettings | None = None, chosen: BacktestSettings | None = None) -> Scene:
    """Return a scene with a position and its bracket."""
    scene = Scene(settings, chosen)
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    return scene


def fill_entry(scene: Scene, submit: Submit, units: int) -> None:
    request = submit.request
    price = request.terms.limit_units
    cash = price * units * 10**2
    fill = Filled(
        request.client_order_id,
        "V1",
        f"T{units}",
        request.instrument,
        request.side,
        units,
        price,
        cash,
        0,
        0,
        scene.ts_ns,
    )
    scene.hear(FillReported(scene.wait(0.1), fill))


def test_a_position_without_a_bracket_gets_one_after_the_venue_was_asked():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    bracket = submit.request.protection.client_order_id
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    assert [lookup.client_order_id for lookup in scene.sent(Lookup)] == [bracket]
    scene.hear(LookupEnded(scene.wait(1), bracket, Found.ABSENT))
    assert not scene.sent(Submit)
    scene.hear(LookupEnded(scene.wait(6), bracket, Found.ABSENT))
    (rearmed,) = scene.sent(Submit)
    assert rearmed.request.kind is OrderType.BRACKET
    assert rearmed.request.client_order_id != bracket
    assert rearmed.request.terms.stop_units > 0


def test_the_stop_at_the_venue_only_ever_moves_towards_the_market():
    ticks = noisy_ticks(seed=9)
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]))
    stops: dict[str, list[int]] = {}
    for record in journal.records("amend_asked"):
        stops.setdefault(record.body["client_order_id"], []).append(record.body["terms"][2])
    moved = [prices for prices in stops.values() if len(prices) > 1 and prices[0]]
    assert moved
    for prices in moved:
        assert prices == sorted(prices)


def test_a_halted_account_cancels_and_keeps_its_stops():
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c1", "halt", {}, "ops"))
    assert scene.desk.books.mode is Mode.HALTED
    scene.tick(-15.0)
    assert not scene.sent(Submit)
    assert scene.desk.orders[scene.desk.slots[0].protect].is_live


def test_reduce_only_lets_exits_through_and_takes_entries_back():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    scene.hear(CommandReceived(scene.wait(1), "c1", "reduce_only", {}, "ops"))
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [submit.request.client_order_id]
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c1", "reduce_only", {}, "ops"))
    scene.tick(-15.0)
    assert [submit.request.role for submit in scene.sent(Submit)] == [Role.EXIT]


def test_kill_closes_everything_and_then_halts():
    ticks = noisy_ticks(bars=60, seed=1)
    world, node, _ = world_of(trader_of())
    world.start(node)
    world.play(node, ticks)
    while not node.trader.desk.books.positions["qty_units"].any():
        world.timeline.run(world.timeline.now_ns + MINUTE_NS)
    world.deliver(node, CommandReceived(world.timeline.now_ns, "c1", "kill", {}, "ops"))
    world.timeline.run(world.timeline.now_ns + 2 * MINUTE_NS)
    assert not node.trader.desk.books.positions["qty_units"].any()
    assert node.trader.desk.books.mode is Mode.HALTED
    assert not node.exchange.open_orders()
    assert node.answers["c1"].done


def test_an_operator_closes_one_position_and_an_unknown_symbol_is_named():
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c1", "close", {"symbol": "XRP/USD"}, "ops"))
    (record,) = [record for record in scene.effects[0].records if record.kind == "command_answered"]
    assert not record.body["done"]
    assert "BTC/USD" in record.body["text"]
    scene.hear(CommandReceived(scene.wait(1), "c2", "close", {"symbol": "BTC/USD"}, "ops"))
    assert [submit.request.role for submit in scene.sent(Submit)] == [Role.EXIT]


def test_a_quote_beyond_the_stop_closes_what_no_bracket_protects():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    stop = float(scene.desk.books.positions[0].stop_price)
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, stop + 0.05, stop + 0.06))
    assert not scene.sent(Submit)
    scene.hear(QuoteSeen(scene.wait(1), key, stop - 0.05, stop - 0.04))
    assert [submit.request.kind for submit in scene.sent(Submit)] == [OrderType.MARKET]


def test_an_unknown_spread_means_no_entry():
    scene = Scene()
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, 0.0, 100.0))
    scene.tick(12.0)
    assert not scene.sent(Submit)
    assert scene.desk.books.actions[0].reason == Reason.SPREAD_UNKNOWN


def test_a_price_that_is_too_old_is_not_chased():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    event = scene.ticks.event(scene.row, 0)
    late = event.ts_close_ns + 60 * SECOND_NS
    scene.hear(replace(event, ts_ns=late))
    assert not scene.sent(Amend)
    assert "old" in scene.desk.slots[0].not_sent


@pytest.mark.parametrize(("policy", "role"), [("keep", None), ("complete", Role.ENTRY), ("unwind", Role.EXIT)])
def test_a_partly_filled_entry_is_kept_completed_or_left_again(policy, role):
    scene = Scene(TraderSettings(partial_fill=policy))
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units // 2 // 10 * 10)
    units = submit.request.terms.qty_units // 2 // 10 * 10
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, units, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(1), seen))
    assert [submit.request.role for submit in scene.sent(Submit)] == ([] if role is None else [role])
    assert scene.desk.books.positions[0].qty_units == units


def test_what_the_ledger_does_not_take_is_not_sent():
    ticks = noisy_ticks(bars=60, seed=1)
    world, node, journal = world_of(trader_of())
    world.start(node)
    journal_error = Unwritable("database is locked")
    world.timeline.run(ORIGIN_NS + SECOND_NS)
    journal.error = journal_error
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]))
    assert not node.exchange.open_orders()
    assert node.exchange.book.made == 0


def test_the_same_close_is_decided_once():
    scene = Scene()
    scene.enter()
    event = replace(scene.ticks.event(scene.row - 1, 0), ts_ns=scene.ts_ns)
    assert scene.hear(event) == []


def test_after_a_failed_commit_a_trader_says_nothing_any_more():
    scene = Scene()
    assert scene.hear(CommitFailed(scene.wait(1), "disk full")) == []
    assert scene.tick(12.0) == []
    assert scene.trader.failed == "disk full"


def test_a_skewed_clock_takes_entries_back():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    scene.hear(ConditionSeen(scene.wait(1), "clock_skew", 700.0))
    assert scene.sent(Cancel)
    assert scene.desk.books.mode is Mode.PAUSED


def test_why_nothing_was_done_is_kept_in_runs_of_bars():
    ticks = noisy_ticks(bars=200)
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]))
    runs = [run for _, commit in journal.commits for run in commit.holds]
    decisions = journal.records("decision_taken")
    open_runs = sum(run.bars for run in node.trader.desk.runs if run is not None)
    assert sum(run.bars for run in runs) + open_runs + len(decisions) == 3 * 200
    assert np.all([run.last_ns >= run.first_ns for run in runs])


def test_an_execution_that_was_taken_back_before_it_was_known_moves_no_money():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    request, units = submit.request, submit.request.terms.qty_units
    cash = int(scene.desk.books.account[0].cash_units)
    bust = FillBusted(scene.wait(0.1), request.instrument, request.client_order_id, "V1", f"T{units}")
    scene.hear(bust)
    fill_entry(scene, submit, units)
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == cash


def test_a_bust_gives_money_and_quantity_back_and_the_venue_is_asked_again():
    scene = opened()
    request = next(order.request for order in scene.desk.closed.values() if order.request.role is Role.ENTRY)
    units = request.terms.qty_units
    scene.hear(FillBusted(scene.wait(1), request.instrument, request.client_order_id, "V1", f"T{units}"))
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == 10_000 * 10**8
    assert [effect.why for effect in scene.sent(ReadSnapshot)] == ["an execution was taken back"]


def test_fills_far_worse_than_the_model_stop_new_entries():
    ticks = noisy_ticks(bars=400, seed=2)
    world, node, journal = world_of(trader_of())
    world.start(node)
    exchange_rules = node.exchange._matcher.rules
    exchange_rules.slippage_fraction = 0.003
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]))
    tripped = {record.body["name"] for record in journal.records("breaker_tripped")}
    assert "slippage" in tripped
    assert node.trader.desk.books.mode >= Mode.PAUSED


def test_an_equity_that_jumps_is_believed_only_after_a_pause():
    scene = Scene()
    scene.ticks = noisy_ticks(["BTC/USD"], bars=80)
    for _ in range(62):
        scene.tick()
    scene.desk.books.move_cash(-400 * 10**8)
    scene.tick()
    assert scene.desk.books.mode is Mode.REDUCE_ONLY


def test_an_exit_goes_passive_then_across_the_spread_then_to_the_market():
    settings = decides()
    wants = {"exit_order": "limit", "exit_deadline_bars": 2, "exit_cross_bars": 1, "chases_max": 1}
    execution = settings.execution.model_copy(update=wants)
    scene = opened(chosen=settings.model_copy(update={"execution": execution}))
    scene.tick(-15.0)
    (passive,) = scene.sent(Submit)
    assert passive.request.kind is OrderType.LIMIT
    assert passive.request.terms.limit_units == round(scene.desk.books.last_bars[0].close * 100)
    scene.accept(passive, "V3")
    scene.hear(
        QuoteSeen(scene.wait(29), scene.desk.instruments[0].key, 1.0, 1.01 * scene.desk.books.last_bars[0].close)
    )
    scene.hear(TimerFired(scene.wait(1), "exit:0"))
    assert not [*scene.sent(Submit), *scene.sent(Amend), *scene.sent(Cancel)], "between bars nothing moves on"
    for worse_bps in (0, 3):
        scene.tick()
        close = scene.desk.books.last_bars[0].close
        (moved,) = [effect for effect in scene.sent(Amend) if effect.client_order_id == passive.request.client_order_id]
        assert close * (1 - worse_bps / 1e4) * 100 - 2.001 < moved.terms.limit_units <= close * 100 - (worse_bps > 0)
        scene.hear(AmendEnded(scene.wait(0.2), moved.client_order_id, moved.amendment, Outcome.ACCEPTED))
    scene.tick()
    (cancel,) = [effect for effect in scene.sent(Cancel) if effect.client_order_id == passive.request.client_order_id]
    scene.hear(OrderReported(scene.wait(0.2), Seen(cancel.client_order_id, "V3", VenueState.CANCELED, 0, scene.ts_ns)))
    (market,) = scene.sent(Submit)
    assert market.request.kind is OrderType.MARKET
    assert market.request.parent == passive.request.client_order_id


def test_a_post_only_refusal_is_repriced_a_bounded_number_of_times():
    scene = Scene()
    submit = scene.enter()
    tries = 1
    while submit is not None and tries < 10:
        scene.hear(SubmitEnded(scene.wait(0.2), submit.request.client_order_id, 1, Outcome.REJECTED, "", "post_only"))
        submit = next(iter(scene.sent(Submit)), None)
        tries += 1
    assert tries == 1 + 1 + int(scene.desk.books.rules.chases_max)
    assert scene.desk.plan(0).intent == Intent.NONE
