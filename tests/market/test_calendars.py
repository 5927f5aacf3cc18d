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
    with pytest.raises(CalendarError, match="must divide an hour"):
        calendar("XNYS").closes(0, DAY_NS, 7 * MINUTE_NS)
