"""Alerts: raised once, over once, escalated once; kept over a restart, and recorded with what caused them."""

from dataclasses import replace

from novapulse.core.messages import (
    Alert,
    CommandReceived,
    Commit,
    ConditionSeen,
    Record,
    SetTimer,
    Severity,
    SnapshotFailed,
    SnapshotRead,
    Started,
    TimerFired,
)
from novapulse.core.records import Mode
from novapulse.engine.alerts import EVENT_NS, OPEN_MAX, Alerts, Telling
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, trader_of
from tests.engine.scene import Scene
from tests.engine.shell import House, in_virtual_time
from tests.engine.test_supervisor import MINUTE_NS, OTHER, TICKS

LATER_NS = 900 * SECOND_NS
CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO


def kinds(tellings: tuple[Telling, ...]) -> list[str]:
    return [telling.record.kind for telling in tellings]


def records(scene: Scene) -> list[Record]:
    return [record for commit in scene.sent(Commit) for record in commit.records if record.kind.startswith("alert_")]


def test_what_lasts_is_raised_once_and_over_once() -> None:
    alerts = Alerts(900.0)
    first = alerts.raised(1, WARNING, "exit:BTC/USD", "refused 3 times")
    assert first[0].record.body == {"severity": "warning", "key": "exit:BTC/USD", "text": "refused 3 times", "times": 1}
    assert first[0].alert == Alert(WARNING, "exit:BTC/USD", "refused 3 times")
    assert alerts.raised(2, WARNING, "exit:BTC/USD", "refused 4 times") == ()
    assert kinds(alerts.over(3, "exit:BTC/USD", "closed")) == ["alert_cleared"]
    assert alerts.over(4, "exit:BTC/USD", "closed") == ()
    assert kinds(alerts.raised(5, WARNING, "exit:BTC/USD", "again")) == ["alert_raised"]


def test_what_grows_louder_is_raised_anew_and_what_grows_quieter_is_not() -> None:
    alerts = Alerts(900.0)
    alerts.raised(1, WARNING, "k", "bad")
    assert kinds(alerts.raised(2, CRITICAL, "k", "worse")) == ["alert_raised"]
    assert alerts.raised(3, INFO, "k", "bad") == ()
    assert alerts.open["k"].severity is CRITICAL


def test_a_critical_alert_that_nobody_acknowledged_is_raised_once_more_and_only_once() -> None:
    alerts = Alerts(900.0)
    alerts.raised(0, CRITICAL, "seen", "one")
    alerts.raised(0, CRITICAL, "unseen", "two")
    alerts.raised(0, WARNING, "mild", "three")
    alerts.acknowledge(5, ["seen"], "ann")
    assert alerts.due_ns == LATER_NS
    assert alerts.time_passed(LATER_NS - 1) == ()
    (again,) = alerts.time_passed(LATER_NS)
    assert (again.record.body["key"], again.record.body["times"]) == ("unseen", 2)
    assert again.alert == Alert(CRITICAL, "unseen", "nobody has acknowledged: two")
    assert (alerts.due_ns, alerts.time_passed(10 * LATER_NS)) == (None, ())


def test_an_event_is_over_an_hour_after_it_last_happened_and_a_critical_one_when_it_was_seen() -> None:
    alerts = Alerts(900.0)
    alerts.raised(0, WARNING, "foreign", "a trade by hand", is_event=True)
    alerts.raised(0, CRITICAL, "bust", "taken back", is_event=True)
    alerts.raised(1_000, WARNING, "foreign", "another", is_event=True)
    assert [one.record.body["key"] for one in alerts.time_passed(EVENT_NS)] == ["bust"]
    assert [one.record.body["key"] for one in alerts.time_passed(EVENT_NS + 1_000)] == ["foreign"]
    assert kinds(alerts.acknowledge(2 * EVENT_NS, ["bust"], "ann")) == ["alert_acknowledged", "alert_cleared"]
    assert alerts.open == {}


def test_what_is_open_is_bounded_and_the_loud_ones_stay() -> None:
    alerts = Alerts(900.0)
    alerts.raised(0, CRITICAL, "loud", "loud")
    for number in range(OPEN_MAX + 20):
        alerts.raised(number, WARNING, f"flow:{number}", "unknown asset", is_event=True)
    assert len(alerts.open) == OPEN_MAX
    assert "loud" in alerts.open
    assert "flow:20" not in alerts.open


def test_a_breaker_and_its_end_are_alerts_in_the_ledger() -> None:
    scene = Scene()
    told = []
    for silence in (3.0, 4.0, 5.0, 0.5):
        scene.hear(ConditionSeen(scene.wait(60), "feed_silence", silence))
        told += [(record.kind, record.body["key"]) for record in records(scene)]
    assert told == [("alert_raised", "breaker:feed_silent"), ("alert_cleared", "breaker:feed_silent")]
    assert scene.sent(Alert)[-1].severity is INFO


def test_an_account_that_cannot_be_read_is_an_alert_until_it_can() -> None:
    scene = Scene()
    told = []
    for event in (*[SnapshotFailed(0, "timeout")] * 4, SnapshotRead(0, scene.snapshot())):
        scene.wait(1)
        if isinstance(event, SnapshotRead):
            event = SnapshotRead(0, scene.snapshot())
        scene.hear(replace(event, ts_ns=scene.ts_ns))
        told += [(record.kind, record.body["key"]) for record in records(scene)]
    assert told == [("alert_raised", "reconcile"), ("alert_cleared", "reconcile")]


def test_a_halt_that_nobody_acknowledges_is_told_once_more_even_over_a_restart() -> None:
    scene = Scene()
    scene.hear(ConditionSeen(scene.wait(1), "clock_skew", 5000.0))
    raised = [record for record in records(scene) if record.body["severity"] == "critical"]
    assert [record.body["key"] for record in raised] == ["breaker:clock_skew_halt"]
    assert [effect.at_ns for effect in scene.sent(SetTimer) if effect.name == "alerts:due"][-1] == (
        scene.ts_ns + LATER_NS
    )
    again = trader_of(["BTC/USD"])
    again.restore(scene.desk.ts_close_ns, scene.sent(Commit)[-1].state, (), ())
    again.handle(Started(scene.ts_ns + SECOND_NS))
    assert again.desk.books.mode is Mode.HALTED
    effects = again.handle(TimerFired(scene.ts_ns + LATER_NS, "alerts:due"))
    assert [effect.text[:24] for effect in effects if isinstance(effect, Alert)] == ["nobody has acknowledged:"]


def test_an_operator_acknowledges_one_alert_or_all() -> None:
    scene = Scene()
    scene.hear(ConditionSeen(scene.wait(1), "clock_skew", 5000.0))

    def say(number: int, alert: str) -> tuple[bool, str]:
        scene.hear(CommandReceived(scene.wait(1), f"c{number}", "acknowledge", {"alert": alert}, "ann"))
        (answer,) = [effect for effect in scene.effects if type(effect).__name__ == "Answer"]
        return answer.done, answer.text

    assert say(1, "exit:BTC/USD")[0] is False
    assert say(2, "breaker:clock_skew_halt") == (True, "acknowledged: breaker:clock_skew_halt")
    assert [record.body["actor"] for record in records(scene)] == ["ann"]
    assert say(3, "all")[0]
    scene.hear(TimerFired(scene.ts_ns + LATER_NS, "alerts:due"))
    assert scene.sent(Alert) == []


def test_failures_of_a_task_are_one_alert_of_their_account_and_a_skewed_venue_one_of_its_own() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        house.venues[OTHER].exchange.clock_ahead_ns = 700_000_000
        runner = house.runners[OTHER]
        for minute in (30, 31, 32):
            house.timeline.at(
                ORIGIN_NS + minute * MINUTE_NS, lambda: runner.condition("task_failed", 1.0, "it hung up", "stream")
            )
        await house.supervisor().run()
        return house

    async def healthy() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        await house.supervisor().run()
        return house

    house, wanted = in_virtual_time(work), in_virtual_time(healthy)
    keys = [one.body["key"] for one in house.journal.of(OTHER, "alert_raised")]
    assert keys.count("task:stream") == 1
    assert {"breaker:task_failures", "breaker:clock_skew_pause"} <= set(keys)
    cleared = [one.body["key"] for one in house.journal.of(OTHER, "alert_cleared")]
    assert "task:stream" in cleared
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)
