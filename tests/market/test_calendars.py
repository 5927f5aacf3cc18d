import numpy as np
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.market.calendars import CalendarError, bars_per_year_of, calendar, check_bars_per_year

HOUR_NS = 60 * MINUTE_NS


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def bars_at(closes: np.ndarray, width: int, numbers: np.ndarray | None = None) -> BarColumns:
    ones = np.ones(closes.size)
    return BarColumns.checked(closes, ones, ones, ones, ones, ones, timeframe_ns=width, number=numbers)


@pytest.mark.parametrize(
    ("year", "sessions", "minutes"), [(2023, 250, 97_140), (2024, 252, 97_740), (2025, 250, 96_960)]
)
def test_new_york_counts_holidays_and_half_days(year: int, sessions: int, minutes: int) -> None:
    market, start, end = calendar("XNYS"), ns(f"{year}-01-01"), ns(f"{year + 1}-01-01")
    assert market.closes(start, end, DAY_NS).size == sessions
    assert market.closes(start, end, MINUTE_NS).size == minutes
    assert market.closes(start, end, 5 * MINUTE_NS).size == minutes // 5


def test_half_day_closes_early_and_summer_shifts_utc() -> None:
    closes = calendar("XNYS").closes(ns("2024-11-28"), ns("2024-11-30"), DAY_NS)
    assert closes.tolist() == [ns("2024-11-29T18:00")]
    assert calendar("XNYS").closes(ns("2024-07-02"), ns("2024-07-03"), DAY_NS).tolist() == [ns("2024-07-02T20:00")]


def test_hourly_day_starts_with_the_half_bar_before_ten() -> None:
    market = calendar("XNYS")
    closes = market.closes(ns("2025-01-02"), ns("2025-01-03"), HOUR_NS)
    assert closes.tolist() == [ns(f"2025-01-02T{hour}:00") for hour in range(15, 22)]
    opened = np.array([ns("2025-01-02T14:00"), ns("2025-01-02T20:00")])
    assert market.closes_of_opens(opened, HOUR_NS).tolist() == [closes[0], closes[-1]]


@pytest.mark.parametrize("name", ["XNYS", "XLON", "XHKG"])
@pytest.mark.parametrize("width", [MINUTE_NS, 15 * MINUTE_NS, HOUR_NS, DAY_NS])
def test_numbers_run_on_through_nights_and_lead_back_to_closes(name: str, width: int) -> None:
    market = calendar(name)
    closes = market.closes(ns("2023-06-01"), ns("2024-06-01"), width)
    numbers = market.numbers(closes, width)
    assert (np.diff(numbers) == 1).all()
    assert (market.closes_of(numbers, width) == closes).all()


def test_groups_of_minutes_line_up_with_the_open_also_after_half_days() -> None:
    market = calendar("XNYS")
    for date, hour in (("2024-11-29", 14), ("2024-12-02", 14), ("2024-07-05", 13)):
        first = market.numbers(np.array([ns(f"{date}T{hour}:31")]), MINUTE_NS)
        assert (first[0] - 1) % 15 == 0


@pytest.mark.parametrize("stamp", ["2025-01-04T16:00", "2025-01-03T14:30", "2025-01-03T21:01", "2025-01-03T15:00:30"])
def test_stamps_off_the_grid_are_refused(stamp: str) -> None:
    with pytest.raises(CalendarError, match="XNYS: row 1"):
        calendar("XNYS").numbers(np.array([ns("2025-01-03T15:00"), ns(stamp)]), MINUTE_NS)


def test_bars_per_year() -> None:
    assert calendar("24/7").bars_per_year(5 * MINUTE_NS) == 365.25 * 288
    assert calendar("XNYS").bars_per_year(DAY_NS) == pytest.approx(251.4, abs=0.1)
    assert calendar("XNYS").bars_per_year(5 * MINUTE_NS) == pytest.approx(19_531, abs=1)
    assert calendar("XNYS").bars_per_year(5 * DAY_NS) == pytest.approx(251.4 / 5, abs=0.02)
    closes = calendar("24/7").closes(ns("2024-01-01"), ns("2025-01-01"), HOUR_NS)
    assert bars_per_year_of(bars_at(closes, HOUR_NS)) == pytest.approx(365.25 * 24, rel=2e-4)


def test_a_wrong_calendar_is_refused_and_an_outage_is_not() -> None:
    stocks = calendar("XNYS").closes(ns("2024-01-01"), ns("2024-03-01"), MINUTE_NS)
    with pytest.raises(CalendarError, match="more than 3% apart"):
        check_bars_per_year(bars_at(stocks, MINUTE_NS), calendar("24/7"))
    crypto = calendar("24/7").closes(ns("2024-01-01"), ns("2024-03-01"), MINUTE_NS)
    with pytest.raises(CalendarError, match="no close of a regular"):
        check_bars_per_year(bars_at(crypto, MINUTE_NS), calendar("XNYS"))
    with pytest.raises(CalendarError, match="more than 3% apart"):
        check_bars_per_year(bars_at(np.delete(crypto, slice(None, None, 20)), MINUTE_NS), calendar("24/7"))
    outage = np.delete(crypto, slice(10_000, 20_000))
    assert check_bars_per_year(bars_at(outage, MINUTE_NS), calendar("24/7")) == 365.25 * 1440


def test_a_short_stretch_is_annualised_by_the_calendar() -> None:
    week = calendar("XNYS").closes(ns("2024-01-08"), ns("2024-01-13"), MINUTE_NS)
    numbers = calendar("XNYS").numbers(week, MINUTE_NS)
    yearly = check_bars_per_year(bars_at(week, MINUTE_NS, numbers), calendar("XNYS"))
    assert yearly == calendar("XNYS").bars_per_year(MINUTE_NS)


def test_unknown_names_and_widths_are_refused() -> None:
    with pytest.raises(CalendarError, match="'XFOO'"):
        calendar("XFOO")
    with pytest.raises(CalendarError, match="divides an hour"):
        calendar("XNYS").closes(0, DAY_NS, 7 * MINUTE_NS)
