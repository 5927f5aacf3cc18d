"""Dashboards of a trader that trades: what an operator does with them, what a viewer cannot, and who outlives whom."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from novapulse.monitor import read_home
from tests.apps.conftest import let_in
from tests.apps.house import House, head_of, pace, serving, trader, wait_until
from tests.apps.page import PATIENCE_S, looking
from tests.killing import make_home

MAIN = "exchange=kraken&account_id=main"
BARS_A_SECOND = 5.0
SEEN_S = 5.0
"""Within this the page says that the trader was killed."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an hour of bars for a trader that sees five a second."""
    made = make_home(tmp_path / "home", 1200)
    pace(made, BARS_A_SECOND)
    return made


@pytest.fixture
def house(home: Path) -> Iterator[House]:
    with serving(home) as served:
        yield served


def mode_of(home: Path, account_id: str) -> str | None:
    return read_home(home).account("kraken", account_id).mode


def test_an_operator_pauses_an_account_a_viewer_cannot_and_the_trader_outlives_the_server(
    chromium: Any, home: Path, house: House
) -> None:
    with trader(home) as process:
        browsers = let_in(chromium, house)
        asked = browsers["viewer"].request
        csrf = asked.get(f"{house.address}/api/v1/session").json()["csrf"]
        refused = asked.post(
            f"{house.address}/api/v1/control/pause",
            data={"exchange": "kraken", "account_id": "main"},
            headers={"Origin": house.address, "X-CSRF": csrf, "Idempotency-Key": "made by hand"},
        )
        assert (refused.status, mode_of(home, "main")) == (403, "normal")
        with looking(browsers["operator"], house.address, f"/apps/desk/?{MAIN}") as looked:
            looked.wait_drawn()
            assert looked.hold("Hold to pause", "yes") == "Done"
            wait_until(lambda: mode_of(home, "main") == "paused", "the account is paused", process, PATIENCE_S)
            looked.account("kraken · main").locator(".held", has_text="paused").wait_for()
            assert looked.hold("Hold to kill", "flat") == "Proven flat"
            assert read_home(home).account("kraken", "main").is_flat
        assert mode_of(home, "second") == "normal"
        house.process.kill()
        house.process.wait()
        head = head_of(home)
        wait_until(lambda: head_of(home) > head, "the trader writes on", process, PATIENCE_S)


def test_the_dashboards_say_that_the_trader_was_killed_and_show_what_was_proven_last(
    chromium: Any, home: Path, house: House
) -> None:
    browsers = let_in(chromium, house)
    with (
        trader(home) as process,
        looking(browsers["viewer"], house.address, f"/apps/desk/?{MAIN}") as looked,
    ):
        looked.wait_drawn()
        strip, tiles = looked.widget("Trader and accounts"), looked.page.locator(".npw-tiles").first
        strip.locator(".one.good").first.wait_for()
        assert looked.page.locator(".npw.old").count() == 0
        process.kill()
        began_s = time.monotonic()
        process.wait()
        tiles.locator(".silence", has_text="the trader does not run").wait_for(timeout=SEEN_S * 1000)
        looked.account("Trader").get_by_text("■ not running", exact=True).wait_for(timeout=SEEN_S * 1000)
        seen_s = time.monotonic() - began_s
        assert seen_s <= SEEN_S, f"old figures looked new for {seen_s:.1f} s"
        strip.get_by_text("no sign of life for").first.wait_for()
        looked.widget("Positions").locator(".silence", has_text="as proven").wait_for(state="attached")
        equity = read_home(home).account("kraken", "main").equity
        looked.tile("equity").locator(".value", has_text=f"{equity:,.2f}").wait_for()
