"""Running totals of a backtest, so that a sweep needs no curve: bounded memory whatever the number of bars.

All sums run in tick order; adding nothing for a tick that changed nothing is the same as adding its zero.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import DAY_NS
from novapulse.core.records import Record

TALLY = np.dtype(
    (
        np.record,
        np.dtype(
            [
                ("ticks", "i8"),
                ("first_ts_ns", "i8"),
                ("last_ts_ns", "i8"),
                ("warm_ts_ns", "i8"),  # first tick on which anything could be decided; 0 while there is none
                ("cold_ticks", "i8"),  # ticks before it
                ("cold_days", "i8"),  # whole days of UTC before it
                ("cold_day", "i8"),  # number of the last of them
                ("equity", "f8"),
                ("equity_sum", "f8"),  # without the ticks of the current run
                ("run_ticks", "i8"),  # ticks since equity last changed
                ("equity_peak", "f8"),
                ("trough", "f8"),  # lowest equity since the peak
                ("drawdown_max", "f8"),
                ("drawdown_ticks", "i8"),
                ("drawdown_ticks_max", "i8"),
                ("day_end_ns", "i8"),
                ("day_equity", "f8"),
                ("days", "i8"),
                ("day_return_sum", "f8"),
                ("day_return_squares", "f8"),
                ("day_downside_squares", "f8"),
                ("gross_sum", "f8"),
                ("ticks_in_market", "i8"),
                ("fills", "i8"),
                ("maker_fills", "i8"),
                ("cash_factor", "f8"),  # cash units in one of the quote
                ("traded_units", "f8"),
                ("fee_units", "i8"),
                ("slippage", "f8"),
                ("trades", "i8"),
                ("wins", "i8"),
                ("profit", "f8"),
                ("loss", "f8"),
                ("r_sum", "f8"),
            ],
            align=True,
        ),
    )
)


def new_tally(cash: float, cash_factor: float) -> NDArray[np.void]:
    """Return TALLY[1] of an account that opens with `cash` in quote, counted in units of 1 / `cash_factor`."""
    tally = np.zeros(1, TALLY)
    tally["cash_factor"] = cash_factor
    for name in ("equity", "equity_peak", "trough", "day_equity"):
        tally[name] = cash
    return tally


class Sums(NamedTuple):
    """The totals that every tick changes, as values: a loop keeps them in registers. Names are those of `TALLY`."""

    equity: float
    equity_sum: float
    run_ticks: int
    equity_peak: float
    trough: float
    drawdown_max: float
    drawdown_ticks: int
    drawdown_ticks_max: int
    gross_sum: float
    ticks_in_market: int


@kernel(inline=True, allocates=False)
def sums_of(tally: Record) -> Sums:
    """Take the running totals out of the record."""
    return Sums(
        tally.equity,
        tally.equity_sum,
        tally.run_ticks,
        tally.equity_peak,
        tally.trough,
        tally.drawdown_max,
        tally.drawdown_ticks,
        tally.drawdown_ticks_max,
        tally.gross_sum,
        tally.ticks_in_market,
    )


@kernel(inline=True, allocates=False)
def put_sums(tally: Record, sums: Sums, ticks: int, last_ts_ns: int) -> None:
    """Put running totals back into the record, `ticks` later."""
    tally.ticks += ticks
    tally.last_ts_ns = last_ts_ns
    tally.equity = sums.equity
    tally.equity_sum = sums.equity_sum
    tally.run_ticks = sums.run_ticks
    tally.equity_peak = sums.equity_peak
    tally.trough = sums.trough
    tally.drawdown_max = _deepest(sums.drawdown_max, sums.trough, sums.equity_peak)
    tally.drawdown_ticks = sums.drawdown_ticks
    tally.drawdown_ticks_max = sums.drawdown_ticks_max
    tally.gross_sum = sums.gross_sum
    tally.ticks_in_market = sums.ticks_in_market


@kernel(inline=True, allocates=False)
def with_tick(sums: Sums, equity: float, gross: float) -> Sums:
    """Return the totals after one more clock tick: equity, drawdown, exposure."""
    before, equity_sum, run_ticks, peak, trough = (
        sums.equity,
        sums.equity_sum,
        sums.run_ticks,
        sums.equity_peak,
        sums.trough,
    )
    drawdown_max, under, under_max = sums.drawdown_max, sums.drawdown_ticks, sums.drawdown_ticks_max
    held_sum, held = sums.gross_sum, sums.ticks_in_market
    if gross > 0.0:
        held += 1
        held_sum += gross
    if equity != before:
        equity_sum += before * run_ticks
        run_ticks = 0
        if equity >= peak:
            drawdown_max = _deepest(drawdown_max, trough, peak)
            peak, trough = equity, equity
            under = 0
        trough = min(trough, equity)
    run_ticks += 1
    if equity < peak:
        under += 1
        under_max = max(under_max, under)
    return Sums(
        equity,
        equity_sum,
        run_ticks,
        peak,
        trough,
        drawdown_max,
        under,
        under_max,
        held_sum,
        held,
    )


@kernel(inline=True, allocates=False)
def _deepest(drawdown_max: float, trough: float, peak: float) -> float:
    # The trough of a peak is its deepest drawdown: one division for all the ticks in between.
    return max(drawdown_max, 1.0 - trough / peak) if trough < peak else drawdown_max


@kernel(inline=True, allocates=False)
def tally_tick(tally: Record, equity: float, gross: float, ts_close_ns: int) -> None:
    """Add one clock tick, and the day when it is over."""
    if ts_close_ns > tally.day_end_ns:
        _close_day(tally, ts_close_ns)
    put_sums(tally, with_tick(sums_of(tally), equity, gross), 1, ts_close_ns)


@kernel(inline=True, allocates=False)
def tally_still(tally: Record, ticks: int, last_ts_ns: int) -> None:
    """Add ticks of one day on which nothing is held and equity stays as it is."""
    tally.ticks += ticks
    tally.run_ticks += ticks
    tally.last_ts_ns = last_ts_ns
    if tally.equity < tally.equity_peak:
        tally.drawdown_ticks += ticks
        tally.drawdown_ticks_max = max(tally.drawdown_ticks_max, tally.drawdown_ticks)


@kernel(inline=True, allocates=False)
def _close_day(tally: Record, ts_close_ns: int) -> None:
    if tally.day_end_ns > 0:
        change = tally.equity / tally.day_equity - 1.0 if tally.day_equity > 0.0 else 0.0
        tally.days += 1
        tally.day_return_sum += change
        tally.day_return_squares += change * change
        if change < 0.0:
            tally.day_downside_squares += change * change
    else:
        tally.first_ts_ns = ts_close_ns
    tally.day_equity = tally.equity
    tally.day_end_ns = (ts_close_ns - 1) // DAY_NS * DAY_NS + DAY_NS


@kernel(inline=True, allocates=False)
def tally_fill(tally: Record, cash_units: int, fee_units: int, slippage: float, maker: bool) -> None:
    """Add one fill: notional and fee in cash units, slippage in quote."""
    tally.fills += 1
    if maker:
        tally.maker_fills += 1
    tally.traded_units += cash_units
    tally.fee_units += fee_units
    tally.slippage += slippage


@kernel(inline=True, allocates=False)
def tally_round_trip(tally: Record, pnl: float, r_multiple: float) -> None:
    """Add one closed round trip, net of fees."""
    tally.trades += 1
    tally.r_sum += r_multiple
    if pnl > 0.0:
        tally.wins += 1
        tally.profit += pnl
    else:
        tally.loss -= pnl
