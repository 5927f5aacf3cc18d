from typing import Any

import pytest

from novapulse.engine.report import health_of, summary_of
from tests.engine.harness import ACCOUNT, noisy_ticks
from tests.engine.shell import House, in_virtual_time

TICKS = noisy_ticks(bars=200)


def test_the_report_says_where_an_account_stands() -> None:
    async def work() -> dict[str, Any]:
        house = House(TICKS, [ACCOUNT])
        before = health_of(house.runners[ACCOUNT], house.timeline.now_ns())
        assert (before.healthy, before.reasons) == (False, ("it has not started yet",))
        await house.supervisor().run()
        return summary_of(house.runners[ACCOUNT], house.timeline.now_ns())

    said = in_virtual_time(work)
    assert (said["exchange"], said["account_id"], said["mode"], said["healthy"]) == ("kraken", "main", "normal", True)
    assert said["round_trips"] == said["round_trips_ever"] > 5
    assert float(said["equity"]) == pytest.approx(10_000, rel=0.1)
    assert said["fills"] >= 2 * said["round_trips"]
