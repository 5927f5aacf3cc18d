"""The look over the lake in Chromium, on desk and phone: begun by a link, shown when it is made."""

import time

import pytest

from novapulse.config import load
from novapulse.market.lake import Lake
from novapulse.research.universe import on_own_timeframe, scan, series_of
from novapulse.strategies import STRATEGIES
from tests.apps.conftest import Visited
from tests.apps.page import Looked, looking
from tests.killing import ROOT

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.mark.parametrize(("width", "height"), SIZES.values(), ids=SIZES)
def test_a_link_looks_over_the_lake_and_shows_every_series_with_its_votes(
    visited: Visited, width: int, height: int
) -> None:
    house = visited.house
    settings = load({"NOVAPULSE_CONFIG": str(ROOT / "config" / "novapulse.yaml")}).settings
    lake, now_ns = Lake(house.home / "lake"), time.time_ns()
    own = on_own_timeframe(settings.backtest)
    found = scan(lake, series_of(lake), own, STRATEGIES, now_ns=now_ns, told=lambda done, total: None)
    viewer, address = visited.browsers["viewer"], house.address

    def link(looked: Looked, name: str) -> str:
        return str(looked.page.get_by_role("link", name=name, exact=True).get_attribute("href"))

    with looking(viewer, address, "/apps/scanner/?own=1", width, height) as looked:
        looked.wait_drawn()
        looked.page.get_by_role("region", name="The whole lake").wait_for()
        whole = link(looked, "all")
        assert looked.overflow() == 0
    with looking(viewer, address, whole, width, height) as looked:
        looked.wait_drawn()
        table = looked.widget("Universe")
        for row in found.rows:
            name = table.get_by_role("row").filter(has_text=row.exchange).filter(has_text=row.symbol)
            name.first.wait_for(state="visible")
        assert table.locator("tbody tr").count() == len(found.rows)
        strongest = found.chosen()[0]
        words = table.locator("tbody tr").first.inner_text()
        assert strongest.symbol in words
        assert strongest.forecasts is not None
        for vote in strongest.forecasts.values():
            # Its way is told by a sign, not by a colour alone.
            sign = "+" if vote >= 0.05 else "\N{MINUS SIGN}" if vote <= -0.05 else ""
            assert f"{sign}{abs(vote):.1f}" in words
        looked.widget("Looked over").get_by_text("would enter", exact=True).wait_for()
        assert looked.overflow() == 0
        narrowed = link(looked, "trend-high")
    with looking(viewer, address, narrowed, width, height) as looked:
        looked.wait_drawn()
        left_out = sum(row.regime != "trend-high" for row in found.rows)
        looked.widget("Looked over").get_by_text(f"{left_out} left out by the choice").wait_for()
        assert looked.overflow() == 0
