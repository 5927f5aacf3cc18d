"""Running totals of a backtest, so that a sweep needs no curve: bounded memory whatever the number of bars.

All sums run in tick order; adding nothing for a tick that changed nothing is the same as adding its zero.
"""

import numpy as np

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
                ("opening_equity", "f8"),
                ("equity", "f8"),
                ("equity_sum", "f8"),  # without the ticks of the current run
                ("run_ticks", "i8"),  # ticks since equity last changed
                ("equity_peak", "f8"),
                ("drawdown_max", "f8"),
                ("drawdown_ticks", "i8"),
                ("drawdown_ticks_max", "i8"),
                ("return_sum", "f8"),
                ("return_squares", "f8"),
                ("downside_squares", "f8"),
                ("day_end_ns", "i8"),
                ("day_equity", "f8"),
                ("days", "i8"),
                ("day_return_sum", "f8"),
                ("day_return_squares", "f8"),
                ("day_downside_squares", "f8"),
                ("exposure_sum", "f8"),
                ("ticks_in_market", "i8"),
                ("fills", "i8"),
                ("maker_fills", "i8"),
                ("traded", "f8"),
                ("fees", "f8"),
                ("slippage", "f8"),
                ("trades", "i8"),
                ("wins", "i8"),
                ("profit", "f8"),
                ("loss", "f8"),
                ("r_sum", "f8"),
                ("r_squares", "f8"),
            ],
            align=True,
        ),
    )
)


@kernel(inline=True, allocates=False)
def tally_tick(tally: Record, equity: float, gross: float, ts_close_ns: int) -> None:
    """Add one clock tick: the return since the last one, drawdown, exposure, and the day when it is over."""
    if ts_close_ns > tally.day_end_ns:
        _close_day(tally, ts_close_ns)
    if gross > 0.0:
        tally.ticks_in_market += 1
        if equity > 0.0:
            tally.exposure_sum += gross / equity
    if equity != tally.equity:
        _change_equity(tally, equity)
    tally_still(tally, 1, ts_close_ns)


@kernel(inline=True, allocates=False)
def tally_still(tally: Record, ticks: int, last_ts_ns: int) -> None:
    """Add ticks of one day on which equity stays as it is."""
    tally.ticks += ticks
    tally.run_ticks += ticks
    tally.last_ts_ns = last_ts_ns
    if tally.equity < tally.equity_peak:
        tally.drawdown_ticks += ticks
        tally.drawdown_ticks_max = max(tally.drawdown_ticks_max, tally.drawdown_ticks)


@kernel(inline=True, allocates=False)
def _change_equity(tally: Record, equity: float) -> None:
    tally.equity_sum += tally.equity * tally.run_ticks
    tally.run_ticks = 0
    change = equity / tally.equity - 1.0 if tally.equity > 0.0 else 0.0
    tally.return_sum += change
    tally.return_squares += change * change
    if change < 0.0:
        tally.downside_squares += change * change
    tally.equity = equity
    if equity >= tally.equity_peak:
        tally.equity_peak = equity
        tally.drawdown_ticks = 0
    else:
        tally.drawdown_max = max(tally.drawdown_max, 1.0 - equity / tally.equity_peak)


@kernel(allocates=False)
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


@kernel(allocates=False)
def tally_fill(tally: Record, notional: float, fee: float, slippage: float, maker: bool) -> None:
    """Add one fill, all in quote."""
    tally.fills += 1
    if maker:
        tally.maker_fills += 1
    tally.traded += notional
    tally.fees += fee
    tally.slippage += slippage


@kernel(allocates=False)
def tally_round_trip(tally: Record, pnl: float, r_multiple: float) -> None:
    """Add one closed round trip, net of fees."""
    tally.trades += 1
    tally.r_sum += r_multiple
    tally.r_squares += r_multiple * r_multiple
    if pnl > 0.0:
        tally.wins += 1
        tally.profit += pnl
    else:
        tally.loss -= pnl
