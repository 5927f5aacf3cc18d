"""Limits that an operator changes while the trader runs: in force at once, kept, told, and never half."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import format_ns
from novapulse.core.kept_state import parts
from novapulse.core.messages import Answer, CommandReceived, Commit, Effect, Record, Submit
from novapulse.core.records import Mode, Reason
from novapulse.engine import memory
from novapulse.engine.limits import LimitError, in_force
from novapulse.engine.report import health_of, summary_of
from novapulse.engine.settings import BreakerSettings
from novapulse.engine.trader import Trader
from novapulse.risk.settings import GateSettings, LimitSettings, RiskSettings, SizingSettings, StopSettings
from tests.engine.harness import (
    ACCOUNT,
    MemoryJournal,
    closes,
    decides,
    noisy_ticks,
    start_anew,
    trader_of,
    world_of,
)
from tests.engine.scene import opened
from tests.engine.shell import House, in_virtual_time
from tests.engine.test_late_evidence import Kept


def told(scene: Any, what: str, command_id: str = "c1") -> Answer:
    scene.hear(CommandReceived(scene.wait(0.1), command_id, "limits", {"set": what}, "web:ann"))
    (answer,) = scene.sent(Answer)
    return answer


def changed(scene: Any) -> list[Record]:
    return [record for commit in scene.sent(Commit) for record in commit.records if record.kind == "limits_changed"]


def test_a_change_is_in_force_at_the_next_decision_and_is_kept_with_who_and_when():
    scene = Kept()
    before = scene.desk.settings_hash
    answer = told(scene, "position_notional_max=50")
    assert (answer.done, answer.text) == (True, "position_notional_max is 50.0, was 200.0")
    (record,) = changed(scene)
    limit = {"section": "sizing", "value": "50.0", "command_id": "c1", "actor": "web:ann"}
    assert scene.desk.limits["position_notional_max"].ts_ns == scene.ts_ns
    assert record.body == {
        "command_id": "c1",
        "actor": "web:ann",
        "settings": scene.desk.settings_hash,
        "limits": {"position_notional_max": limit},
    }
    kinds = [record.kind for commit in scene.sent(Commit) for record in commit.records]
    assert kinds == ["limits_changed", "command_answered"]
    submit = scene.enter()
    worth = submit.request.terms.qty_units * submit.request.terms.limit_units / 10**6
    assert 45 < worth <= 50
    (decision,) = scene.journal.records("decision_taken")
    expected = decides(sizing={"position_notional_max": 50})
    assert decision.body["settings"] == expected.hash != before


def test_two_limits_change_together_and_one_goes_back_to_the_configuration():
    scene = Kept()
    assert told(scene, "positions_max=1, risk_fraction=0.002").text == (
        "positions_max is 1, was 8; risk_fraction is 0.002, was 0.005"
    )
    assert told(scene, "positions_max = configured", "c2").text == "positions_max is 8 as configured, was 1"
    assert {name: one.command_id for name, one in scene.desk.limits.items()} == {"risk_fraction": "c1"}
    assert told(scene, "all=configured", "c3").text == "risk_fraction is 0.005 as configured, was 0.002"
    assert scene.desk.limits == {}
    assert scene.desk.settings_hash == decides().hash
    assert scene.desk.books.rules == trader_of(["BTC/USD"]).desk.books.rules


def test_what_is_said_twice_changes_nothing_and_keeps_who_said_it_first():
    scene = Kept()
    told(scene, "positions_max=3")
    answer = told(scene, "positions_max=3.0", "c2")
    assert (answer.done, answer.text) == (True, "nothing changes: positions_max is 3")
    assert changed(scene) == []
    assert scene.desk.limits["positions_max"].command_id == "c1"
    assert told(scene, "positions_max=8", "c3").text == "positions_max is 8 as configured, was 3"
    assert scene.desk.limits == {}


REFUSED = {
    "below its bound": ("positions_max=-1", "positions_max is -1: it should be greater than or equal to 0"),
    "at its bound": ("daily_loss_max_fraction=1", "daily_loss_max_fraction is 1: it should be less than 1"),
    "no whole number": ("positions_max=2.5", "positions_max is 2.5: it should be a valid integer"),
    "no number": ("positions_max=many", "positions_max is 'many': expected a number, or 'configured'"),
    "beyond what a record holds": (
        "positions_max=1e7",
        "positions_max is 1e+07: it should be less than or equal to 1000000",
    ),
    "beyond the end of time": (
        "loss_cooldown_s=9e9",
        "loss_cooldown_s is 9e+09: it should be less than or equal to 315360000",
    ),
    "a section": ("limits=3", "there is no limit 'limits': expected one of risk_fraction, "),
    "not finite": ("risk_fraction=nan", "risk_fraction is nan: it should be a finite number"),
    "nothing": ("positions_max=", "positions_max is '': expected a number, or 'configured'"),
    "no name": ("=3", "there is no limit ''"),
    "unknown": ("risk=3", "there is no limit 'risk': expected one of risk_fraction, "),
    "twice": ("positions_max=3,positions_max=4", "positions_max is named twice"),
    "all of a number": ("all=3", "all is 3: all limits together only go back, by all=configured"),
    "out of line with another": (
        "group_exposure_max_fraction=0.6",
        "limits.group_exposure_max_fraction (0.6) is above limits.gross_exposure_max_fraction (0.5)",
    ),
    "breakers that do not ascend": (
        "daily_loss_reduce_only_fraction=0.06",
        "daily_loss_reduce_only_fraction (0.06) must be below daily_loss_halt_fraction (0.05)",
    ),
    "a stop": ("stop_atr=1", "stop_atr cannot be changed while the trader runs: stops and targets go with the"),
    "a breaker that counts": ("rejects_max=9", "rejects_max cannot be changed while the trader runs: it watches"),
    "a way of sizing": ("kelly_trades_min=5", "kelly_trades_min cannot be changed while the trader runs: it says how"),
    "an opinion": ("entry_forecast_min=5", "entry_forecast_min cannot be changed while the trader runs: it says what"),
}


@pytest.mark.parametrize(("what", "why"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_answered_and_changes_nothing(what, why):
    scene = Kept()
    told(scene, "risk_fraction=0.002")
    rules, state = scene.desk.books.rules.tobytes(), dict(scene.desk.limits)
    answer = told(scene, f"cash_fraction_max=0.5,{what}" if what != "=3" else what, "c2")
    assert not answer.done
    assert why in answer.text
    assert changed(scene) == []
    assert (scene.desk.books.rules.tobytes(), scene.desk.limits) == (rules, state)


def test_every_limit_can_be_set_to_itself_and_every_setting_of_risk_is_told_of():
    """No name leads to two settings, and none is unknown that a configuration has."""
    names = [
        name
        for model in (RiskSettings, SizingSettings, LimitSettings, StopSettings, GateSettings, BreakerSettings)
        for name in model.model_fields
    ]
    assert len(set(names)) == len(names)
    scene = Kept()
    risk, breakers = scene.desk.configured.decides.risk, BreakerSettings()
    for section in (risk.sizing, risk.limits, breakers, risk.stops, risk.gate):
        for name in type(section).model_fields:
            value = getattr(section, name)
            text = told(scene, f"{name}={value if isinstance(value, int | float) else 1}", name).text
            assert text.startswith(("nothing changes: every limit is", f"{name} cannot be changed")), text


@pytest.mark.parametrize("anew", [False, True], ids=["one life", "a restart in between"])
def test_a_breaker_of_the_days_loss_trips_at_the_word_that_tightens_it(anew):
    scene = losing()
    if anew:
        scene.start_anew()
    told(scene, "daily_loss_clear_fraction=0.0001,daily_loss_reduce_only_fraction=0.001")
    assert scene.desk.books.mode is Mode.REDUCE_ONLY
    kinds = [record.kind for commit in scene.sent(Commit) for record in commit.records]
    assert kinds == ["limits_changed", "breaker_tripped", "alert_raised", "mode_changed", "command_answered"]
    told(scene, "all=configured", "c2")
    assert scene.desk.books.mode is Mode.NORMAL, "the loss is at the clear level that counts again"


def losing() -> Kept:
    """Return a scene whose account is down by half a percent today."""
    scene = Kept()
    scene.tick()
    account = scene.desk.books.account[0]
    scene.desk.books.move_cash(-int(account.cash_units) // 200)
    scene.tick()
    assert scene.desk.books.mode is Mode.NORMAL
    return scene


def test_a_drawdown_that_is_not_limited_any_more_restricts_nothing_any_more():
    scene = losing()
    told(scene, "drawdown_max_fraction=0.006")
    assert scene.desk.books.mode is Mode.REDUCE_ONLY
    told(scene, "drawdown_max_fraction=0", "c2")
    assert scene.desk.books.mode is Mode.NORMAL


def test_what_is_held_and_what_is_at_work_stays():
    scene = opened()
    told(scene, "position_notional_max=1,gross_exposure_max_fraction=0.01,group_exposure_max_fraction=0.01")
    assert scene.sent(Submit) == []
    scene.tick(10.0)
    assert scene.desk.books.held_units(0) > 0
    assert scene.sent(Submit) == []


def test_the_day_is_over_at_the_limit_that_counts_now():
    scene = losing()
    told(scene, "daily_loss_max_fraction=0.004")
    scene.tick(10.0)
    assert scene.sent(Submit) == []
    assert scene.desk.books.actions[0].reason == Reason.DAILY_LOSS
    told(scene, "daily_loss_max_fraction=0.01", "c2")
    assert scene.enter()


# ---- kept over a restart ----


def test_a_state_without_changed_limits_reads_as_before_and_goes_by_the_configuration():
    scene = Kept()
    scene.tick()
    (commit,) = scene.sent(Commit)
    assert "limits" not in parts(commit.state)[0]
    told(scene, "positions_max=2")
    told(scene, "all=configured", "c2")
    assert "limits" not in parts(scene.sent(Commit)[0].state)[0]
    again = trader_of(["BTC/USD"]).desk
    memory.unpack(again, commit.state)
    assert (again.limits, again.settings_hash) == ({}, decides().hash)


def test_changed_limits_are_in_force_again_after_a_restart_and_named_at_its_start():
    scene = Kept()
    told(scene, "positions_max=2,daily_loss_halt_fraction=0.04")
    limits, rules, name = dict(scene.desk.limits), scene.desk.books.rules, scene.desk.settings_hash
    scene.start_anew()
    assert (scene.desk.limits, scene.desk.settings_hash) == (limits, name)
    assert scene.desk.books.rules == rules
    (started,) = [record for commit in scene.sent(Commit) for record in commit.records if record.kind.startswith("ses")]
    assert started.body["settings"] == name
    assert in_force(scene.desk.configured, {}).decides.hash == decides().hash, "the configuration is kept apart"


def test_a_configuration_that_does_not_fit_the_kept_limits_is_refused_and_says_what_to_do():
    scene = Kept()
    told(scene, "group_exposure_max_fraction=0.45")
    other = trader_of(
        ["BTC/USD"], decides(limits={"gross_exposure_max_fraction": 0.4, "group_exposure_max_fraction": 0.3})
    )
    with pytest.raises(ValueError, match=r"group_exposure_max_fraction \(0.45\) is above .* command c1 of web:ann"):
        other.restore(*scene.journal.restored())


def test_a_changed_configuration_counts_where_no_word_says_otherwise():
    scene = Kept()
    told(scene, "positions_max=2")
    other = trader_of(["BTC/USD"], decides(sizing={"risk_fraction": 0.004}))
    other.restore(*scene.journal.restored())
    rules = other.desk.books.rules
    assert (int(rules.positions_max), float(rules.risk_fraction)) == (2, 0.004)


CHANGES: Mapping[int, str] = {
    40: "positions_max=1,position_notional_max=120",
    80: "gross_exposure_max_fraction=0.015,group_exposure_max_fraction=0.01",
    110: "all=configured",
}
"""Row of the close behind which it is said."""


def run(changes: Mapping[int, str], every: int = 0) -> MemoryJournal:
    """Play a market with changes of limits; started anew after every so many closes."""
    ticks = noisy_ticks(bars=150)
    world, node, journal = world_of(trader_of())
    world.start(node)
    for row in closes(world, node, ticks):
        if row in changes:
            now = world.timeline.now_ns
            world.deliver(node, CommandReceived(now, f"c{row}", "limits", {"set": changes[row]}, "ops"))
        if every and row % every == 0:
            start_anew(world, node, journal)
    return journal


def decisions(journal: MemoryJournal) -> Iterator[tuple[Any, ...]]:
    for record in journal.records("decision_taken"):
        body = record.body
        yield body["decision_id"], body["verb"], body["reason"], body["units"], body["settings"]


def test_a_trader_that_is_started_anew_after_every_tick_decides_the_same_under_changed_limits():
    """R-34."""
    whole, anew = list(decisions(run(CHANGES))), list(decisions(run(CHANGES, every=1)))
    assert len({one[-1] for one in whole}) == 3, "decided under each of the limits"
    assert anew == whole
    assert [one[:-1] for one in whole] != [one[:-1] for one in decisions(run({}))]


def test_a_crash_before_the_commit_leaves_nothing_and_one_behind_it_everything():
    scene = Kept()
    command = CommandReceived(scene.wait(1), "c1", "limits", {"set": "positions_max=2"}, "ops")
    effects: list[Effect] = scene.trader.handle(command)
    assert isinstance(effects[0], Commit), "durable before the answer"
    assert [type(one) for one in effects[1:]] == [Answer]
    scene.start_anew()
    assert scene.desk.limits == {}, "killed before the commit: as if never said, and the inbox says it again"
    scene.hear(replace(command, ts_ns=scene.wait(1)))
    scene.start_anew()
    assert scene.desk.limits["positions_max"].value == "2"
    scene.hear(replace(command, ts_ns=scene.wait(1)))
    assert len(scene.journal.records("limits_changed")) == 1, "said again by an inbox that did not hear the answer"


def test_names_are_found_in_their_sections():
    trader: Trader = trader_of(["BTC/USD"])
    found = in_force(
        trader.desk.configured, {"risk_fraction": "0.002", "positions_max": "3", "drawdown_share_max": "0.9"}
    )
    assert isinstance(found.decides, BacktestSettings)
    sizing: SizingSettings = found.decides.risk.sizing
    assert (sizing.risk_fraction, found.decides.risk.limits.positions_max) == (0.002, 3)
    assert found.breakers.drawdown_share_max == 0.9
    with pytest.raises(LimitError, match="there is no limit 'nonsense'"):
        in_force(trader.desk.configured, {"nonsense": "1"})


def test_the_trader_says_what_differs_and_who_set_it():
    async def work() -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
        house = House(noisy_ticks(bars=3), [ACCOUNT])
        runner = house.runners[ACCOUNT]
        await runner.start()
        runner.command("c1", "limits", {"set": "positions_max=3"}, "web:ann")
        await runner.idle()
        now_ns = house.timeline.now_ns()
        health = health_of(runner, now_ns)
        return summary_of(runner, now_ns)["limits"], health.more["limits"], health.notes

    summary, told, notes = in_virtual_time(work)
    ts_ns = told["positions_max"].pop("ts_ns")
    assert told == {"positions_max": {"value": 3.0, "configured": 8.0, "command_id": "c1", "actor": "web:ann"}}
    assert summary["positions_max"]["value"] == 3.0
    assert notes == (f"positions_max is 3, configured is 8: set by web:ann at {format_ns(ts_ns)}, command c1",)
