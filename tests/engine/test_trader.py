"""The trader in a small world: what it sends, what it makes durable first, and what it does when answers fail."""

from dataclasses import replace

import numpy as np
import pytest

from novapulse.backtest import run
from novapulse.backtest.columns import signals_of
from novapulse.backtest.result import Result
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.messages import (
    Alert,
    Cancel,
    CommandReceived,
    Commit,
    CommitFailed,
    ConditionSeen,
    QuoteSeen,
    Record,
    Started,
    Submit,
)
from novapulse.core.ports import Unwritable
from novapulse.core.records import Mode, Reason
from novapulse.engine.rows import Ticks
from tests.engine.harness import (
    ACCOUNT,
    END_S,
    ORIGIN_NS,
    SECOND_NS,
    MemoryJournal,
    closes,
    decides,
    facts_of,
    noisy_ticks,
    start_anew,
    trader_of,
    world_of,
)
from tests.engine.scene import Scene


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
    for row in closes(world, node, ticks):
        if row % every == 0:
            start_anew(world, node, journal)
    made = trips_of_journal(journal)
    assert len(made) > 8
    assert made == trips_of_kernel(ticks)[: len(made)]


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


def test_an_unknown_spread_means_no_entry():
    scene = Scene()
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, 0.0, 100.0))
    scene.tick(12.0)
    assert not scene.sent(Submit)
    assert scene.desk.books.actions[0].reason == Reason.SPREAD_UNKNOWN


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


def restore_record(scene: Scene) -> Record:
    return Record("ledger_restored", scene.ts_ns, {"dropped": 3, "text": "the ledger was restored from a backup"})


def test_a_ledger_that_was_put_back_halts_the_account_in_the_commit_of_its_start_also_a_second_time():
    scene = Scene()
    scene.enter()
    for _ in range(2):
        again = trader_of(["BTC/USD"], decides())
        journal = MemoryJournal()
        journal.commits = [(ACCOUNT, effect) for effect in scene.kept if isinstance(effect, Commit)]
        again.restore(*journal.restored(), [restore_record(scene)])
        scene.trader, scene.desk = again, again.desk
        commit = scene.hear(Started(scene.wait(1)))[0]
        assert isinstance(commit, Commit)
        assert commit.state
        assert [one.body["name"] for one in commit.records if one.kind == "breaker_tripped"] == ["ledger_restored"]
        assert again.desk.books.mode == Mode.HALTED
        assert [one.text for one in scene.sent(Alert) if one.key == "ledger_restored"] == [
            "the ledger was restored from a backup"
        ]
        scene.hear(CommandReceived(scene.wait(1), f"c{scene.ts_ns}", "resume_from_halt", {}, "ann"))
        scene.hear(CommandReceived(scene.wait(1), f"a{scene.ts_ns}", "acknowledge", {"alert": "all"}, "ann"))
        assert again.desk.books.mode == Mode.NORMAL
