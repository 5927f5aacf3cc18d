"""What the trader measures of itself: how much worse than the model it is filled, and how far its equity jumps.

Invariants:
- a gauge says nothing before it has seen enough;
- equity that hardly moves is no reason to call a small move a jump: its usual move is at least `USUAL_MIN`;
- gauges and what they are still to measure are kept with the state, so that a restarted trader measures on.
"""

import math

from novapulse.core.messages import BarsClosed
from novapulse.engine.books import EQUITY
from novapulse.engine.desk import Desk, Draft

USUAL_MIN = 0.001
"""Smallest usual move of the equity between two closes, a fraction."""

FILLS_MIN = 5
MOVES_MIN = 60
_KEEP_SLIPPAGE = 0.8
_KEEP_VARIANCE = 0.97

SLIPPAGE, FILLS, VARIANCE, MOVES = 0, 1, 3, 4


def measure_fills(desk: Desk, draft: Draft, event: BarsClosed) -> None:
    """Compare what orders at the market paid with what the model says, by the open of the bar that filled them."""
    gauges, rules = desk.books.gauges, desk.books.rules
    model = float(rules.half_spread_fraction + rules.slippage_fraction)
    for row, side, price in desk.taken:
        reference = float(event.bars[row].open)
        if not event.present[row] or reference <= 0.0 or model <= 0.0:
            continue
        multiple = side * (price / reference - 1.0) / model
        weight = _KEEP_SLIPPAGE if gauges[FILLS] else 0.0
        gauges[SLIPPAGE] = weight * gauges[SLIPPAGE] + (1.0 - weight) * multiple
        gauges[FILLS] += 1
        if gauges[FILLS] >= FILLS_MIN:
            desk.measured(draft, "slippage", float(gauges[SLIPPAGE]))
    draft.told = draft.told or bool(desk.taken)
    desk.taken.clear()


def measure_losses(desk: Desk, draft: Draft, day: float, drawdown: float) -> None:
    """Let the breakers know the day's loss and the drawdown, shares of the equity."""
    drawdown_max = float(desk.books.rules.drawdown_max)
    desk.measured(draft, "daily_loss", day)
    # A limit that was switched off restricts nothing any more.
    desk.measured(draft, "drawdown_share", drawdown / drawdown_max if drawdown_max > 0.0 else 0.0)


def measure_equity(desk: Desk, draft: Draft) -> None:
    """Compare the move of the equity since the last close with its usual moves."""
    gauges, equity = desk.books.gauges, float(desk.books.account[0].equity)
    before = float(gauges[EQUITY])
    gauges[EQUITY] = equity
    if before <= 0.0:
        return
    move = equity / before - 1.0
    usual = max(math.sqrt(float(gauges[VARIANCE])), USUAL_MIN)
    if gauges[MOVES] >= MOVES_MIN:
        desk.measured(draft, "equity_jump", move / usual)
    gauges[VARIANCE] = _KEEP_VARIANCE * gauges[VARIANCE] + (1.0 - _KEEP_VARIANCE) * move * move
    gauges[MOVES] += 1
