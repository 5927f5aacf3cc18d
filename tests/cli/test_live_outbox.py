"""The ledger's way out: late and lost events are told."""

from typing import Any

from novapulse.cli.live_outbox import OutboxWatch
from novapulse.core.messages import Alert, ConditionSeen
from novapulse.ledger.journal import Ledger
from novapulse.ledger.outbox import Outbox
from tests.engine.scene import Scene
from tests.ledger.conftest import noted, opened, write


class Account:
    """A trader that hears conditions at once."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.heard: dict[str, float | None] = {}

    def condition(self, name: str, value: float | None, text: str = "", subject: str = "") -> None:
        self.heard[name] = value
        self.scene.hear(ConditionSeen(self.scene.wait(1), name, value, text, subject))

    def told(self, key: str) -> list[str]:
        return [one.text for one in self.scene.kept if isinstance(one, Alert) and one.key == key]


def test_a_consumer_that_falls_behind_and_one_that_cannot_take_an_event_are_told_until_that_is_over() -> None:
    clock, account = [0.0], Account()
    stub: Any = type("Stub", (), {"runners": {"a": account}})()
    with opened(":memory:") as ledger:
        assert isinstance(ledger, Ledger)
        outbox, watch = Outbox(ledger), OutboxWatch(ledger, stub, lambda: clock[0])

        def look(at_s: float) -> dict[str, float | None]:
            clock[0] = at_s
            watch()()
            watch()
            return account.heard

        write(ledger, noted("nobody waits for this"))
        assert look(0.0) == {}
        outbox.register("mail", after_seq=0)
        outbox.register("quick", after_seq=ledger.head()[0])
        assert look(10.0) == {"outbox_lag": 0.0, "outbox_lost": 0.0}
        write(ledger, noted("1"))
        look(30.0)
        outbox.delivered("quick", ledger.head()[0])
        assert look(69.0)["outbox_lag"] == 59.0
        assert account.told("breaker:outbox_late") == []
        assert look(71.0)["outbox_lag"] == 61.0
        assert account.told("breaker:outbox_late") == [
            "the age of the oldest event that a consumer of the ledger lacks is 61 s, above 60 s"
        ]
        outbox.delivered("mail", 1)
        assert look(75.0)["outbox_lag"] == 45.0
        assert outbox.failed("mail", 0, "it does not fit", for_good=True)
        assert look(80.0) == {"outbox_lag": 0.0, "outbox_lost": 1.0}
        assert len(account.told("breaker:outbox_late")) == 2
        assert len(account.told("breaker:outbox_lost")) == 1
        outbox.bury_no_more("mail", 2)
        assert look(85.0)["outbox_lost"] == 0.0
        assert account.scene.desk.alerts.open == {}
        write(ledger, noted("2"))
        look(90.0)
        assert look(151.0)["outbox_lag"] == 61.0
        outbox.remove("mail")
        outbox.remove("quick")
        assert look(152.0)["outbox_lag"] == 0.0
        assert account.scene.desk.alerts.open == {}
