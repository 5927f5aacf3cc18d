from dataclasses import replace
from typing import Any

import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    Answer,
    Cancel,
    CommandReceived,
    Commit,
    OrderReported,
    Outcome,
    QuoteSeen,
    Severity,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import OrderRequest, OrderType, Role, Seen, VenueState
from novapulse.core.records import Intent, Mode, OrderKind
from novapulse.engine.settings import TraderSettings
from novapulse.engine.ticks import LOOK_NS
from tests.engine.harness import (
    decides,
    noisy_ticks,
    trader_of,
    world_of,
)
from tests.engine.scene import Scene, fill_entry, opened


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


def leaving_passively(**wants: int) -> tuple[Scene, Submit]:
    """Return a scene in which a position is to be left by a limit order, and that order as it was sent."""
    settings = decides()
    execution = settings.execution.model_copy(update={"exit_order": "limit", **wants})
    scene = opened(chosen=settings.model_copy(update={"execution": execution}))
    scene.tick(-15.0)
    (passive,) = scene.sent(Submit)
    return scene, passive


def test_an_exit_goes_passive_then_across_the_spread_then_to_the_market():
    scene, passive = leaving_passively(exit_deadline_bars=2, exit_cross_bars=1, chases_max=1)
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


@pytest.mark.parametrize("verb", ["close", "flatten", "kill"])
def test_what_rests_to_leave_a_position_goes_to_the_market_when_an_operator_wants_it_closed(verb: str):
    """A bug: a position that was being left by a limit order counted as being closed, and rested on for bars."""
    scene, passive = leaving_passively(exit_deadline_bars=20, exit_cross_bars=0, chases_max=19)
    scene.accept(passive, "V3")
    scene.hear(CommandReceived(scene.wait(1), "c", verb, {"symbol": "BTC/USD"}, "ops"))
    assert [answer.text for answer in scene.sent(Answer) if "being closed" in answer.text]
    (cancel,) = scene.sent(Cancel)
    assert cancel.client_order_id == passive.request.client_order_id
    scene.hear(OrderReported(scene.wait(0.2), Seen(cancel.client_order_id, "V3", VenueState.CANCELED, 0, scene.ts_ns)))
    (market,) = scene.sent(Submit)
    assert (market.request.role, market.request.kind) == (Role.EXIT, OrderType.MARKET)
    told = exits_decided(scene)[market.request.decision_id]
    assert (told["reason"], told["units"]) == ("EXIT_MODE", market.request.terms.qty_units)
    scene.hear(CommandReceived(scene.wait(1), "d", verb, {"symbol": "BTC/USD"}, "ops"))
    assert not [*scene.sent(Submit), *scene.sent(Cancel)], "it is at the market already"


def closes_beyond_the_stop(scene: Scene, minutes: int) -> None:
    """Let every close of some minutes touch the stop, and somebody look every half a minute."""
    for _ in range(minutes):
        scene.touch()
        scene.hear(TimerFired(scene.wait(30), "exit:0"))


@pytest.mark.parametrize("is_halted", [False, True])
def test_a_stop_that_every_close_touches_puts_off_neither_the_exit_nor_the_word_of_it(is_halted):
    """A bug: each close began the wait anew, so that a stop which the venue did not carry out was never looked into."""
    scene = opened()
    if is_halted:
        scene.hear(CommandReceived(scene.wait(1), "c", "halt", {}, "ops"))
    closes_beyond_the_stop(scene, 3)
    assert "exit:BTC/USD" not in scene.desk.alerts.open
    closes_beyond_the_stop(scene, 1)
    assert "exit:BTC/USD" in scene.desk.alerts.open
    (told,) = [sent for sent in scene.kept if isinstance(sent, Alert) and sent.key == "exit:BTC/USD"]
    assert ("halted" in told.text) is is_halted
    exits = [sent.request for sent in scene.kept if isinstance(sent, Submit) and sent.request.role is Role.EXIT]
    assert [request.kind for request in exits] == ([] if is_halted else [OrderType.MARKET])
    closes_beyond_the_stop(scene, 5)
    assert not [sent for sent in scene.kept if isinstance(sent, Cancel)]
    if is_halted:
        scene.hear(CommandReceived(scene.wait(1), "d", "resume_from_halt", {}, "ops"))
        assert scene.desk.books.mode is Mode.NORMAL
        scene.hear(TimerFired(scene.wait(29), "exit:0"))
        exits = [sent.request for sent in scene.kept if isinstance(sent, Submit) and sent.request.role is Role.EXIT]
    assert [(request.role, request.kind) for request in exits] == [(Role.EXIT, OrderType.MARKET)]


def test_an_exit_that_replaced_a_stop_is_not_taken_back_by_the_next_touch():
    """A bug: each close that touched the stop withdrew the order of the one before and sent another."""
    scene = opened()
    scene.touch()
    bracket = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    scene.hear(TimerFired(scene.wait(5), "retry:0"))
    (sent,) = [one for one in scene.kept if isinstance(one, Submit) and one.request.role is Role.EXIT]
    scene.accept(sent, "V3")
    closes_beyond_the_stop(scene, 4)
    assert not [one for one in scene.kept if isinstance(one, Cancel)]
    assert scene.desk.slots[0].child == sent.request.client_order_id
    assert "exit:BTC/USD" in scene.desk.alerts.open


@pytest.mark.parametrize(("bid", "ask"), [(0.0001, 1.0005), (0.9995, 5000.0)])
def test_one_price_far_away_moves_no_exit_that_rests(bid: float, ask: float):
    """A bug: the middle of a bid that nobody meant and a fair ask was half of the price: the exit was sold there."""
    scene, passive = leaving_passively(exit_deadline_bars=2, exit_cross_bars=1, chases_max=1)
    scene.accept(passive, "V3")
    close, limits = float(scene.desk.books.last_bars[0].close), []
    for _ in range(16):
        timer_ns = scene.wait(LOOK_NS / 1e9)
        scene.hear(QuoteSeen(timer_ns, scene.desk.keys[0], close * bid, close * ask))
        scene.hear(TimerFired(timer_ns, "exit:0"))
        for moved in scene.sent(Amend):
            if moved.client_order_id == passive.request.client_order_id:
                limits.append(moved.terms.limit_units / 100 / close)
                scene.hear(AmendEnded(scene.wait(0.2), moved.client_order_id, moved.amendment, Outcome.ACCEPTED))
    assert limits
    assert all(0.998 < limit < 1.002 for limit in limits), limits


@pytest.mark.parametrize("has_quotes", [True, False])
def test_an_exit_goes_passive_then_across_then_to_the_market_although_no_bar_comes(has_quotes: bool):
    scene, passive = leaving_passively(exit_deadline_bars=2, exit_cross_bars=1, chases_max=1)
    scene.accept(passive, "V3")
    close, limits, began_ns = float(scene.desk.books.last_bars[0].close), [], scene.ts_ns
    for _ in range(16):
        timer_ns = scene.wait(LOOK_NS / 1e9)
        if has_quotes:
            scene.hear(QuoteSeen(timer_ns, scene.desk.keys[0], close * 0.999, close * 0.9995))
        scene.hear(TimerFired(timer_ns, "exit:0"))
        for moved in scene.sent(Amend):
            if moved.client_order_id == passive.request.client_order_id:
                limits.append(moved.terms.limit_units)
                scene.hear(AmendEnded(scene.wait(0.2), moved.client_order_id, moved.amendment, Outcome.ACCEPTED))
        cancels = [each for each in scene.sent(Cancel) if each.client_order_id == passive.request.client_order_id]
        if cancels:
            break
    assert scene.desk.plan(0).kind == OrderKind.MARKET
    assert scene.ts_ns - began_ns < 6 * MINUTE_NS
    seen = Seen(cancels[0].client_order_id, "V3", VenueState.CANCELED, 0, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(0.2), seen))
    (market,) = scene.sent(Submit)
    assert market.request.kind is OrderType.MARKET
    assert limits
    assert limits[-1] < close * (0.9995 if has_quotes else 1.0) * 100


def test_a_close_that_comes_in_time_moves_an_exit_and_no_timer_does():
    scene, passive = leaving_passively(exit_deadline_bars=3)
    scene.accept(passive, "V3")
    before = scene.desk.plan(0).copy()
    scene.ts_ns = int(before.expires_ns)
    scene.hear(TimerFired(scene.wait(30), "exit:0"))
    assert scene.desk.plan(0).tobytes() == before.tobytes()


def test_an_exit_goes_on_although_the_bars_are_heard_late():
    scene, passive = leaving_passively(exit_deadline_bars=3, exit_cross_bars=1, chases_max=2)
    scene.accept(passive, "V3")
    for _ in range(3):
        event = scene.ticks.event(scene.row, 0)
        signals = event.signals.copy()
        signals["consensus"], signals["atr"] = 0.0, 3.0
        scene.row, scene.ts_ns = scene.row + 1, event.ts_close_ns
        late_ns = scene.wait(scene.desk.settings.quote_age_s_max + 1)
        scene.hear(replace(event, ts_ns=late_ns, signals=signals))
        (moved,) = [each for each in scene.sent(Amend) if each.client_order_id == passive.request.client_order_id]
        assert moved.terms.limit_units == round(float(scene.desk.plan(0).limit_price) * 100)
        scene.hear(AmendEnded(scene.wait(0.2), moved.client_order_id, moved.amendment, Outcome.ACCEPTED))


def ended_halfway(times: float = 1.0, *, fallback: bool = True) -> tuple[Scene, Submit]:
    """Return a scene whose entry filled by half before the venue ended it, prices being `times` what they were."""
    settings = decides()
    execution = settings.execution.model_copy(update={"fallback_market": fallback})
    chosen = settings.model_copy(update={"execution": execution})
    scene = Scene(TraderSettings(partial_fill="complete"), chosen)
    submit = scene.enter()
    scene.accept(submit)
    units = submit.request.terms.qty_units // 2
    fill_entry(scene, submit, units)
    event = scene.ticks.event(scene.row, 0)
    bars, signals = event.bars.copy(), event.signals.copy()
    for name in ("open", "high", "low", "close"):
        bars[name] *= times
    signals["consensus"], signals["atr"] = 10.0, 3.0
    scene.row, scene.ts_ns = scene.row + 1, event.ts_close_ns
    scene.hear(replace(event, ts_ns=scene.ts_ns, bars=bars, signals=signals))
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, units, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(1), seen))
    return scene, submit


@pytest.mark.parametrize(
    ("times", "fallback", "reason"),
    [
        pytest.param(1.1, True, "UNFILLED_NO_EDGE", id="the price is where the target was"),
        pytest.param(1.0, False, "UNFILLED_EXPIRED", id="nothing may go to the market"),
    ],
)
def test_what_the_fallback_would_not_buy_completes_no_entry(times: float, fallback: bool, reason: str):
    scene, _ = ended_halfway(times, fallback=fallback)
    assert not scene.sent(Submit)
    assert scene.desk.slots[0].unfilled == reason
    written = [record for effect in scene.sent(Commit) for record in effect.records if record.kind == "entry_unfilled"]
    assert [record.body["reason"] for record in written] == ["UNFILLED_CANCELED", reason]
    scene.tick(10.0)
    roles = [submit.request.role for submit in scene.sent(Submit)]
    assert Role.ENTRY not in roles, "what was given up stays given up"


def test_what_completes_an_entry_reserves_what_it_costs_now_and_waits_no_longer_than_the_fallback():
    scene, _ = ended_halfway(1.02)
    (rest,) = scene.sent(Submit)
    close = float(scene.desk.books.last_bars[0].close)
    cost = rest.request.terms.qty_units / 10_000 * close
    held = sum(now for _, now in scene.desk.holds.values()) / 1e8
    assert cost < held < cost * 1.01
    assert int(scene.desk.plan(0).expires_ns) > scene.ts_ns


def exits_of(scene: Scene) -> list[OrderRequest]:
    return [sent.request for sent in scene.kept if isinstance(sent, Submit) and sent.request.role is Role.EXIT]


def exits_decided(scene: Scene) -> dict[str, Any]:
    """Return the exits that were recorded as decisions, by their names."""
    records = [record for sent in scene.kept if isinstance(sent, Commit) for record in sent.records]
    decided = [record.body for record in records if record.kind == "decision_taken" and record.body["verb"] == "EXIT"]
    assert len({body["decision_id"] for body in decided}) == len(decided)
    return {body["decision_id"]: body for body in decided}


@pytest.mark.parametrize("how", ["the bracket is gone", "the venue's stop closes nothing"])
def test_an_exit_of_our_own_behind_a_touched_stop_is_a_recorded_decision(how):
    scene = opened()
    held, bracket = int(scene.desk.books.positions[0].qty_units), scene.desk.slots[0].protect
    scene.touch()
    if how == "the bracket is gone":
        scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
        scene.hear(TimerFired(scene.wait(5), "retry:0"))
    else:
        closes_beyond_the_stop(scene, 4)
    (request,) = exits_of(scene)
    told = exits_decided(scene)[request.decision_id]
    assert (told["reason"], told["units"], told["side"]) == ("EXIT_STOP", held, -1)
    assert scene.desk.ts_close_ns - told["ts_close_ns"] in (0, MINUTE_NS)
    # Its orders carry out that one decision, however often they are sent.
    scene.hear(SubmitEnded(scene.wait(1), request.client_order_id, 1, Outcome.REJECTED, "", "busy"))
    scene.hear(TimerFired(scene.wait(60), "retry:0"))
    assert {one.decision_id for one in exits_of(scene)} == set(exits_decided(scene)) == {request.decision_id}
    assert len(exits_of(scene)) == 2
