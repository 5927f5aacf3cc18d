import numpy as np
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.market.calendars import CalendarError, calendar
from novapulse.market.spelling import stamp_ns

HOUR_NS = 60 * MINUTE_NS


@pytest.mark.parametrize(
    ("year", "sessions", "minutes"), [(2023, 250, 97_140), (2024, 252, 97_740), (2025, 250, 96_960)]
)
def test_new_york_counts_holidays_and_half_days(year: int, sessions: int, minutes: int) -> None:
    market, start, end = calendar("XNYS"), stamp_ns(f"{year}-01-01"), stamp_ns(f"{year + 1}-01-01")
    assert market.closes(start, end, DAY_NS).size == sessions
    assert market.closes(start, end, MINUTE_NS).size == minutes
    assert market.closes(start, end, 5 * MINUTE_NS).size == minutes // 5


def test_half_day_closes_early_and_summer_shifts_utc() -> None:
    closes = calendar("XNYS").closes(stamp_ns("2024-11-28"), stamp_ns("2024-11-30"), DAY_NS)
    assert closes.tolist() == [stamp_ns("2024-11-29T18:00")]
    assert calendar("XNYS").closes(stamp_ns("2024-07-02"), stamp_ns("2024-07-03"), DAY_NS).tolist() == [
        stamp_ns("2024-07-02T20:00")
    ]


def test_hourly_day_starts_with_the_half_bar_before_ten() -> None:
    market = calendar("XNYS")
    closes = market.closes(stamp_ns("2025-01-02"), stamp_ns("2025-01-03"), HOUR_NS)
    assert closes.tolist() == [stamp_ns(f"2025-01-02T{hour}:00") for hour in range(15, 22)]
    opened = np.array([stamp_ns("2025-01-02T14:00"), stamp_ns("2025-01-02T20:00")])
    assert market.closes_of_opens(opened, HOUR_NS).tolist() == [closes[0], closes[-1]]


def test_the_last_bar_ends_with_the_session() -> None:
    last = calendar("XLON").closes_of_opens(np.array([stamp_ns("2025-01-02T16:00")]), HOUR_NS)
    assert last.tolist() == [stamp_ns("2025-01-02T16:30")]
    assert calendar("XLON").on_grid(last, HOUR_NS).tolist() == [True]


@pytest.mark.parametrize("name", ["XNYS", "XLON", "XHKG"])
@pytest.mark.parametrize("width", [MINUTE_NS, 15 * MINUTE_NS, HOUR_NS, DAY_NS])
def test_numbers_run_on_through_nights_and_lead_back_to_closes(name: str, width: int) -> None:
    market = calendar(name)
    closes = market.closes(stamp_ns("2023-06-01"), stamp_ns("2024-06-01"), width)
    numbers = market.numbers(closes, width)
    assert (np.diff(numbers) == 1).all()
    assert (market.closes_of(numbers, width) == closes).all()


def test_groups_of_minutes_line_up_with_the_open_also_after_half_days() -> None:
    market = calendar("XNYS")
    for date, hour in (("2024-11-29", 14), ("2024-12-02", 14), ("2024-07-05", 13)):
        first = market.numbers(np.array([stamp_ns(f"{date}T{hour}:31")]), MINUTE_NS)
        assert (first[0] - 1) % 15 == 0


@pytest.mark.parametrize("stamp", ["2025-01-04T16:00", "2025-01-03T14:30", "2025-01-03T21:01", "2025-01-03T15:00:30"])
def test_stamps_off_the_grid_are_refused(stamp: str) -> None:
    with pytest.raises(CalendarError, match="XNYS: row 1"):
        calendar("XNYS").numbers(np.array([stamp_ns("2025-01-03T15:00"), stamp_ns(stamp)]), MINUTE_NS)
