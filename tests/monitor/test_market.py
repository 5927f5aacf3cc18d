"""Whether a market trades, by its calendar."""

import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.market.spelling import stamp_ns
from novapulse.monitor.market import market_state

NEW_YORK = {
    "a usual day": ("2024-11-27T15:00", "open"),
    "its first minute": ("2024-11-27T14:30", "open"),
    "the minute before": ("2024-11-27T14:29", "closed"),
    "its last minute": ("2024-11-27T20:59", "open"),
    "the minute after": ("2024-11-27T21:00", "closed"),
    "Thanksgiving": ("2024-11-28T15:00", "closed"),
    "the half-day behind it": ("2024-11-29T15:00", "half-day"),
    "the last minute of that": ("2024-11-29T17:59", "half-day"),
    "its afternoon": ("2024-11-29T18:00", "closed"),
    "a Saturday": ("2024-11-30T15:00", "closed"),
    "Christmas": ("2024-12-25T15:00", "closed"),
    "a day of mourning": ("2025-01-09T15:00", "closed"),
    "a Sunday": ("2026-01-18T17:00", "closed"),
    "the night": ("2026-01-16T03:00", "closed"),
    "winter, an hour before the open": ("2026-03-06T13:30", "closed"),
    "summer time, the same minute": ("2026-03-09T13:30", "open"),
    "summer time, the last minute": ("2026-03-09T19:59", "open"),
    "summer time, after the close": ("2026-03-09T20:30", "closed"),
    "winter again, after the close of summer": ("2026-11-02T20:30", "open"),
    "winter again, the open of summer": ("2026-11-02T13:30", "closed"),
}


@pytest.mark.parametrize(("moment", "state"), NEW_YORK.values(), ids=NEW_YORK)
def test_holidays_and_half_days_are_known(moment: str, state: str) -> None:
    """HS-016: the state of a market comes from its calendar, holidays included."""
    assert market_state("XNYS", stamp_ns(moment)) == state
    assert market_state("XNYS", stamp_ns(moment) + MINUTE_NS - 1) == state, "for the whole minute"


def test_coins_trade_always_and_of_a_strange_market_nothing_is_known() -> None:
    assert market_state("24/7", stamp_ns("2024-12-25")) == "24/7"
    assert market_state("nowhere", stamp_ns("2024-12-25")) == ""


def test_a_moment_counts_to_the_nanosecond() -> None:
    opens, closes = stamp_ns("2026-01-15T14:30"), stamp_ns("2026-01-15T21:00")
    assert [market_state("XNYS", opens + more) for more in (-1, 0, 1)] == ["closed", "open", "open"]
    assert [market_state("XNYS", closes + more) for more in (-1, 0)] == ["open", "closed"]


@pytest.mark.parametrize("moment", [moment for moment, _ in NEW_YORK.values()])
def test_a_market_without_an_end_trades_always(moment: str) -> None:
    assert market_state("24/7", stamp_ns(moment)) == "24/7"
