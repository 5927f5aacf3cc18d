"""One instrument whose bars stop while others of its account go on: told, not entered, and seen in the health."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import Instrument
from novapulse.core.messages import Alert, Cancel, Commit, Severity, Submit
from novapulse.core.records import Intent, Reason
from novapulse.engine.feed import RecordedSignals
from novapulse.engine.report import health_of, missing_of
from novapulse.engine.staleness import bars_due, is_due
from novapulse.engine.trader import Trader
from tests.engine.harness import ACCOUNT, ORIGIN_NS, facts_of, noisy_ticks, trader_of
from tests.engine.scene import Scene, with_position
from tests.engine.shell import House, in_virtual_time
from tests.engine.test_feed import OTHER

NEW_YORK_OPEN_NS = 1_700_577_000_000_000_000
"""Tuesday 2023-11-21 14:30 UTC."""


class Pair(Scene):
    """A trader of two instruments, of which either may bring no bar."""

    symbols = ("BTC/USD", "ETH/USD")

    def close(self, *here: int, consensus: float = 0.0) -> None:
        """Let a bar close, of the rows that are named alone."""
        event = self.ticks.event(self.row, 0)
        signals, present = event.signals.copy(), np.zeros_like(event.present)
        signals["consensus"], signals["atr"] = consensus, 3.0
        present[list(here)] = 1
        self.ts_ns = event.ts_close_ns
        self.row += 1
        self.hear(replace(event, ts_ns=self.ts_ns, signals=signals, present=present))

    def snapshot(self, orders=(), fills=()):
        shown = super().snapshot(orders, fills)
        return replace(shown, balances={**shown.balances, "ETH": self.desk.books.held_units(1)})

    def told(self, severity: Severity) -> list[str]:
        return [alert.key for alert in self.sent(Alert) if alert.severity is severity]


def written(scene: Scene, kind: str) -> list[dict]:
    commits = [effect for effect in scene.kept if isinstance(effect, Commit)]
    return [dict(record.body) for commit in commits for record in commit.records if record.kind == kind]


def test_bars_that_stop_are_told_once_and_over_when_two_in_a_row_came_again():
    scene = Pair()
    scene.close(0, 1)
    told = []
    for _ in range(6):
        scene.close(0)
        told.append(scene.told(Severity.WARNING))
    assert told == [[], [], ["breaker:missing_bars:ETH/USD"], [], [], []]
    (tripped,) = written(scene, "breaker_tripped")
    assert tripped["instrument"] == ["kraken", "ETH/USD"]
    assert "ETH/USD on kraken is 3 bars" in tripped["text"]
    assert missing_of(scene.desk) == {"ETH/USD": 6}
    scene.close(0, 1)
    assert not written(scene, "breaker_cleared")
    scene.close(0, 1)
    assert [body["name"] for body in written(scene, "breaker_cleared")] == ["missing_bars"]
    assert "breaker:missing_bars:ETH/USD" not in scene.desk.alerts.open
    scene.close(0, 1)
    assert missing_of(scene.desk) == {}


def test_a_bar_now_and_then_does_not_end_it():
    scene = Pair()
    for here in ((0, 1), (0,), (0,), (0,), (0, 1), (0,), (0, 1), (0,)):
        scene.close(*here)
    assert len(written(scene, "breaker_tripped")) == 1
    assert not written(scene, "breaker_cleared")


def test_what_is_silent_is_not_entered_on_its_first_bar_and_what_goes_on_is():
    scene = Pair()
    scene.close(0, 1)
    for _ in range(4):
        scene.close(0)
    scene.close(0, 1, consensus=10.0)
    assert [submit.request.instrument.symbol for submit in scene.sent(Submit)] == ["BTC/USD"]
    assert int(scene.desk.books.actions[1].reason) == Reason.BREAKER


def test_an_entry_at_work_is_taken_back_when_its_bars_stop():
    scene = Pair()
    scene.close(1, consensus=10.0)
    (submit,) = scene.sent(Submit)
    scene.accept(submit)
    for _ in range(2):
        scene.close(0)
        assert scene.desk.books.intent(1) is Intent.ENTRY
    scene.close(0)
    assert scene.desk.books.intent(1) is Intent.NONE
    assert [effect.venue_order_id for effect in scene.sent(Cancel)] == ["V1"]
    (unfilled,) = written(scene, "entry_unfilled")
    assert (unfilled["reason"], unfilled["text"]) == ("BREAKER", "its bars do not come any more")


def test_a_position_whose_exits_nobody_judges_is_critical_until_bars_come_again():
    class First(Pair):
        def enter(self) -> Submit:
            self.close(0, consensus=10.0)
            (submit,) = self.sent(Submit)
            return submit

    scene = with_position(First())
    for _ in range(2):
        scene.close(1)
        assert not scene.told(Severity.CRITICAL)
    scene.close(1)
    assert scene.told(Severity.CRITICAL) == ["stale:BTC/USD"]
    assert "since 2023-11-14 22:15:00Z" in scene.desk.alerts.open["stale:BTC/USD"].text
    scene.close(0, 1)
    assert "stale:BTC/USD" in scene.desk.alerts.open
    scene.close(0, 1)
    assert "stale:BTC/USD" not in scene.desk.alerts.open


def test_a_restart_in_between_goes_on_to_wait():
    scene = Pair()
    for _ in range(4):
        scene.close(0)
    state = next(effect.state for effect in reversed(scene.kept) if isinstance(effect, Commit) and effect.state)
    again = trader_of(Pair.symbols)
    again.restore(scene.desk.ts_close_ns, state, (), ())
    assert missing_of(again.desk) == {"ETH/USD": 4}
    assert again.desk.breakers.blocks(again.desk.keys[1])


def stock() -> Instrument:
    return replace(facts_of(("BTC/USD",))[0], calendar="XNYS", tick=Decimal("0.01"))


@pytest.mark.parametrize(
    ("minutes", "due"), [(-1, False), (0, False), (1, True), (390, True), (391, False), (24 * 60 + 1, True)]
)
def test_a_market_that_is_closed_misses_no_bar(minutes: int, due: bool):
    ts_ns = NEW_YORK_OPEN_NS + minutes * MINUTE_NS
    assert is_due(stock(), ts_ns, MINUTE_NS) is due
    assert is_due(facts_of(("BTC/USD",))[0], ts_ns, MINUTE_NS)


def test_bars_are_counted_by_the_calendar_of_whatever_misses_the_fewest():
    coin = facts_of(("BTC/USD",))[0]
    evening_ns = NEW_YORK_OPEN_NS + 385 * MINUTE_NS
    morning_ns = NEW_YORK_OPEN_NS + (24 * 60 + 3) * MINUTE_NS
    assert bars_due([coin], evening_ns, morning_ns, MINUTE_NS) == 24 * 60 + 3 - 385
    assert bars_due([coin, stock()], evening_ns, morning_ns, MINUTE_NS) == 5 + 3
    assert bars_due([coin], evening_ns, evening_ns, MINUTE_NS) == 0


class OneCoin(House):
    """A house whose other account trades nothing but bitcoin."""

    def fresh(self, key) -> Trader:
        facts = self.facts
        self.facts = facts_of(("BTC/USD",)) if key == OTHER else facts
        try:
            return super().fresh(key)
        finally:
            self.facts = facts


def test_an_account_all_of_whose_bars_stop_is_silent_though_its_exchange_goes_on():
    ticks = noisy_ticks(bars=120)
    present = ticks.present.copy()
    present[50:60, 0] = 0
    ticks = replace(ticks, present=present)
    alone = replace(
        ticks, keys=ticks.keys[:1], bars=ticks.bars[:, :1], signals=ticks.signals[:, :1], present=present[:, :1]
    )

    async def work() -> House:
        house = OneCoin(ticks, [ACCOUNT, OTHER])
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        (other,) = [listener for listener in feed.listeners if listener.runner.key == OTHER]
        other.signals = RecordedSignals(alone, ())
        house.timeline.at(ORIGIN_NS + 57 * MINUTE_NS, lambda: seen.append(health_of(house.runners[OTHER], 0)))
        house.timeline.at(ORIGIN_NS + 57 * MINUTE_NS, lambda: seen.append(health_of(house.runners[ACCOUNT], 0)))
        await supervisor.run()
        return house

    seen: list = []
    house = in_virtual_time(work)
    assert seen[0].reasons[0].startswith("the silence of the feed is ")
    assert seen[1].more["missing_bars"] == {"BTC/USD": 6}
    assert any("BTC/USD" in note for note in seen[1].notes)
    of_other = house.journal.of(OTHER, "breaker_tripped", "breaker_cleared")
    told = [(one.kind, (one.ts_ns - ORIGIN_NS) // MINUTE_NS) for one in of_other if one.body["name"] == "feed_silent"]
    assert told == [("breaker_tripped", 53), ("breaker_cleared", 61)]
