"""The look over the lake in Chromium, on desk and phone: begun by a click, shown when it is made."""

import time

import pytest

from novapulse.config import load
from novapulse.market.lake import Lake
from novapulse.research.universe import on_own_timeframe, scan, series_of
from novapulse.strategies import STRATEGIES
from tests.apps.conftest import Visited
from tests.apps.page import looking
from tests.killing import ROOT

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.mark.parametrize(("width", "height"), SIZES.values(), ids=SIZES)
def test_a_click_looks_over_the_lake_and_shows_every_series_with_its_votes(
    visited: Visited, width: int, height: int
) -> None:
    house = visited.house
    settings = load({"NOVAPULSE_CONFIG": str(ROOT / "config" / "novapulse.yaml")}).settings
    lake, now_ns = Lake(house.home / "lake"), time.time_ns()
    own = on_own_timeframe(settings.backtest)
    found = scan(lake, series_of(lake), own, STRATEGIES, now_ns=now_ns, told=lambda done, total: None)
    with looking(visited.browsers["viewer"], house.address, "/apps/scanner/?own=1", width, height) as looked:
        looked.wait_drawn()
        card = looked.page.get_by_role("region", name="The whole lake")
        card.get_by_role("link", name="all", exact=True).click()
        looked.page.wait_for_url("**universe=all**")
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
        # Narrowed by another click, and back by the browser's own way.
        looked.page.get_by_role("link", name="trend-high", exact=True).click()
        looked.page.wait_for_url("**market=trend-high**")
        looked.wait_drawn()
        fits = [row for row in found.rows if row.regime == "trend-high"]
        looked.widget("Looked over").get_by_text(f"{len(found.rows) - len(fits)} left out by the choice").wait_for()
        assert looked.overflow() == 0
