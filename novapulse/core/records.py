"""Records that compiled code reads and writes in place, and the words its decisions are told in.

Invariants:
- money, prices and quantities that move cash are integers (`*_units`): price units of 10^-price_scale, quantity units
  of 10^-qty_scale, cash units of 10^-cash_scale. The float beside one is that integer divided by its factor, never the
  truth;
- `decide` writes its action only; equity, cooldowns and stops change in `mark_position`, `mark_account` and
  `apply_fill` only;
- 0 means "off" for a rule where it says so, never "unknown": unknown numbers are NaN.
"""

import enum
from functools import partial
from typing import Any, TypeAlias

from novapulse.core.record_type import record_type

Record: TypeAlias = Any
"""One element of a record array: attributes are its fields, and writing one writes into the array."""

STRATEGIES_MAX = 32
PEAK_DAYS = 180


class Mode(enum.IntEnum):
    """What an account may do."""

    NORMAL = 0
    PAUSED = 1
    REDUCE_ONLY = 2
    HALTED = 3


class Verb(enum.IntEnum):
    """What a decision does."""

    HOLD = 0
    ENTER = 1
    EXIT = 2
    WITHDRAW = 3


class OrderKind(enum.IntEnum):
    """How an order asks for its price."""

    MARKET = 0
    LIMIT = 1
    ACROSS = 2
    """A limit on the other side of the spread: it takes what the open offers within it, and rests from then on."""


class Liquidity(enum.IntEnum):
    """Whether a fill added liquidity or removed it."""

    MAKER = 0
    TAKER = 1


class StopKind(enum.IntEnum):
    """Which rule put the protective stop where it is."""

    INITIAL = 0
    BREAKEVEN = 1
    TRAIL = 2


class Intent(enum.IntEnum):
    """What a working order is for."""

    NONE = 0
    ENTRY = 1
    EXIT = 2


class Reason(enum.IntEnum):
    """Why a decision is what it is: one code for every outcome, "why not" included."""

    NONE = 0
    NOT_WARM = 1
    NO_SIGNAL = 2
    HOLDING = 3
    ORDER_WORKING = 4
    SHORT_NOT_ALLOWED = 5
    MODE_PAUSED = 6
    MODE_REDUCE_ONLY = 7
    MODE_HALTED = 8
    DAILY_LOSS = 9
    DRAWDOWN = 10
    LOSS_COOLDOWN = 11
    LOSS_STREAK = 12
    INSTRUMENT_COOLDOWN = 13
    STRATEGY_COOLDOWN = 14
    GATE_MISSING = 15
    GATE_REFUSED = 16
    RISK_OF_RUIN = 17
    VOLATILITY_UNKNOWN = 18
    TARGET_BELOW_COSTS = 19
    POSITIONS_MAX = 20
    GROSS_EXPOSURE = 21
    GROUP_EXPOSURE = 22
    BUYING_POWER = 23
    KELLY_ZERO = 24
    BELOW_MINIMUM = 25
    ENTER_CONSENSUS = 26
    EXIT_STOP = 27
    EXIT_BREAKEVEN = 28
    EXIT_TRAIL = 29
    EXIT_TARGET = 30
    EXIT_TIME = 31
    EXIT_OPPOSITE = 32
    EXIT_MODE = 33
    UNFILLED_EXPIRED = 34
    UNFILLED_NO_EDGE = 35
    UNFILLED_SUPERSEDED = 36
    UNFILLED_TURNED = 37
    SPREAD_UNKNOWN = 38
    ORDER_UNKNOWN = 40
    BREAK_OPEN = 41
    BREAKER = 42
    UNFILLED_REFUSED = 43
    UNFILLED_CANCELED = 44
    UNFILLED_MODE = 45
    EXIT_UNWIND = 46
    EXIT_FOREIGN = 47
    EXIT_EXCESS = 48


REASON_TEXT: dict[Reason, str] = {
    Reason.NONE: "nothing to say",
    Reason.NOT_WARM: "indicators are not warm yet",
    Reason.NO_SIGNAL: "the consensus is weaker than the entry threshold",
    Reason.HOLDING: "the position stays as it is",
    Reason.ORDER_WORKING: "an order for this instrument is still working",
    Reason.SHORT_NOT_ALLOWED: "the consensus is short and this instrument cannot be sold short",
    Reason.MODE_PAUSED: "the account is paused: no new risk",
    Reason.MODE_REDUCE_ONLY: "the account may only reduce",
    Reason.MODE_HALTED: "the account is halted",
    Reason.DAILY_LOSS: "the daily loss limit is reached",
    Reason.DRAWDOWN: "the drawdown limit is reached",
    Reason.LOSS_COOLDOWN: "the account cools down after a loss",
    Reason.LOSS_STREAK: "the account pauses after a streak of losses",
    Reason.INSTRUMENT_COOLDOWN: "the instrument cools down after its last round trip",
    Reason.STRATEGY_COOLDOWN: "the leading strategy cools down after its last entry",
    Reason.GATE_MISSING: "the entry gate is required and abstains",
    Reason.GATE_REFUSED: "the entry gate gives the trade too small a chance",
    Reason.RISK_OF_RUIN: "the risk of ruin is above its limit",
    Reason.VOLATILITY_UNKNOWN: "the average true range is unknown or zero",
    Reason.TARGET_BELOW_COSTS: "the market moves too little to pay the round trip's costs",
    Reason.POSITIONS_MAX: "the number of open positions is at its limit",
    Reason.GROSS_EXPOSURE: "the account's exposure is at its limit",
    Reason.GROUP_EXPOSURE: "the correlated group's exposure is at its limit",
    Reason.BUYING_POWER: "there is no cash left to spend",
    Reason.KELLY_ZERO: "the trades so far show no edge (Kelly cap is zero)",
    Reason.BELOW_MINIMUM: "the size left by the limits is below the instrument's minimum",
    Reason.ENTER_CONSENSUS: "the consensus is strong enough and every limit leaves room",
    Reason.EXIT_STOP: "the protective stop was hit",
    Reason.EXIT_BREAKEVEN: "the stop at break-even was hit",
    Reason.EXIT_TRAIL: "the trailing stop was hit",
    Reason.EXIT_TARGET: "the take-profit price was reached",
    Reason.EXIT_TIME: "the position reached its time limit",
    Reason.EXIT_OPPOSITE: "the consensus turned against the position",
    Reason.EXIT_MODE: "the account was told to flatten",
    Reason.UNFILLED_EXPIRED: "the limit order expired without a fill",
    Reason.UNFILLED_NO_EDGE: "the limit order was not filled and the price left no edge for a market order",
    Reason.UNFILLED_SUPERSEDED: "the rest of the entry was given up because the position was closed",
    Reason.UNFILLED_TURNED: "the consensus turned before the entry was filled",
    Reason.SPREAD_UNKNOWN: "the spread is unknown: no price to trade at",
    Reason.ORDER_UNKNOWN: "the outcome of an order of this instrument is not known yet",
    Reason.BREAK_OPEN: "what the venue shows and what the ledger says differ",
    Reason.BREAKER: "a circuit breaker is open",
    Reason.UNFILLED_REFUSED: "the venue refused the order",
    Reason.UNFILLED_CANCELED: "the order ended at the venue before it was filled",
    Reason.UNFILLED_MODE: "the account was told to take no new risk before the entry was filled",
    Reason.EXIT_UNWIND: "the entry was filled in part only, and the part is given up",
    Reason.EXIT_FOREIGN: "somebody else closed the position, or the venue took its executions back",
    Reason.EXIT_EXCESS: "the venue executed more than was held, or took an exit back: nobody decided what that left",
}

CAPS = ("risk", "volatility", "kelly", "position", "gross", "group", "cash")
"""Names of the sizes that `decide` compares, in the order of `action.sizes`: the smallest one binds."""


_record = partial(record_type, __name__)

BAR = _record(
    "BAR", ("ts_close_ns", "i8"), ("open", "f8"), ("high", "f8"), ("low", "f8"), ("close", "f8"), ("volume", "f8")
)

SIGNAL = _record(
    "SIGNAL",
    ("consensus", "f8"),  # -20..20
    ("confidence", "f8"),  # 0..1
    ("atr", "f8"),  # quote per base, NaN while unknown
    ("volatility", "f8"),  # annual, as a fraction, NaN while unknown
    ("gate_probability", "f8"),  # NaN when the gate abstained
    ("lead", "i4"),  # index of the strategy that weighs most in the consensus
    ("regime", "i4"),
    ("warm", "i4"),
    ("sure_fire", "i4"),
)

INSTRUMENT = _record(
    "INSTRUMENT",
    ("price_factor", "f8"),  # 10^price_scale
    ("qty_factor", "f8"),
    ("cash_factor", "f8"),
    ("tick_units", "i8"),
    ("lot_units", "i8"),
    ("tick", "f8"),
    ("cash_multiplier", "i8"),  # cash units = price units * qty units * multiplier / divisor
    ("cash_divisor", "i8"),
    ("qty_min_units", "i8"),
    ("notional_min", "f8"),
    ("maker_fee_e8", "i8"),  # fee as a share of the notional, in units of 1e-8
    ("taker_fee_e8", "i8"),
    ("shortable", "i4"),
    ("group", "i4"),  # -1: none
    ("chance_key", "i8"),  # names the instrument in hashed chances
)

ACCOUNT = _record(
    "ACCOUNT",
    ("cash_units", "i8"),
    ("cash", "f8"),
    ("hold", "f8"),  # cash reserved by open entry orders
    ("equity", "f8"),
    ("equity_peak", "f8"),  # over the last PEAK_DAYS days
    ("gross_exposure", "f8"),  # positions at their marks
    ("pending_exposure", "f8"),  # open and UNKNOWN entry orders
    ("day_end_ns", "i8"),  # last nanosecond of the current UTC day
    ("day_opening_equity", "f8"),
    ("day_peak", "f8"),
    ("positions", "i8"),  # open positions and entries at work
    ("loss_streak", "i8"),
    ("loss_ready_ns", "i8"),
    ("streak_ready_ns", "i8"),
    ("trades", "i8"),  # closed round trips
    ("entries", "i8"),  # opened round trips
    ("evidence", "f8"),  # closed round trips, each counting less the older it is; so do the three sums
    ("r_sum", "f8"),
    ("r_squares", "f8"),
    ("risk_sum", "f8"),  # R of the closed round trips, in quote
    ("mode", "i4"),
    ("flattening", "i4"),  # 1: close everything
    ("strategy_ready_ns", "i8", (STRATEGIES_MAX,)),
    ("day_peaks", "f8", (PEAK_DAYS,)),
    ("day_index", "i8"),
)

POSITION = _record(
    "POSITION",
    ("qty_units", "i8"),  # signed
    ("qty", "f8"),
    ("mark_price", "f8"),
    ("pending_units", "i8"),  # entry orders that may still fill, signed
    ("exiting", "i4"),  # 1: an exit order is working
    ("stop_price", "f8"),
    ("target_price", "f8"),  # 0: none
    ("stop_distance", "f8"),  # R in price, frozen at entry
    ("target_distance", "f8"),
    ("best_price", "f8"),
    ("worst_price", "f8"),
    ("entry_price", "f8"),  # average
    ("exit_price", "f8"),  # average
    ("entry_units", "i8"),  # cash units paid for the quantity, fees apart
    ("entered_units", "i8"),  # quantity units bought (or sold short) so far
    ("exit_units", "i8"),
    ("exited_units", "i8"),
    ("fee_units", "i8"),
    ("slippage", "f8"),
    ("entry_ts_ns", "i8"),
    ("ready_ns", "i8"),
    ("bars_held", "i8"),
    ("entry_consensus", "f8"),
    ("round_trip", "i8"),  # number of the open round trip, in order of the entries
    ("pnl_units", "i8"),  # of the round trip that closed last, in cash units, fees paid; so are the next three
    ("pnl", "f8"),  # quote
    ("risk", "f8"),  # R in quote
    ("r_multiple", "f8"),
    ("direction", "i4"),
    ("stop_kind", "i4"),
    ("lead", "i4"),
    ("regime", "i4"),
)

ORDER = _record(
    "ORDER",
    ("intent", "i4"),
    ("kind", "i4"),
    ("side", "i4"),  # +1 buys, -1 sells
    ("reason", "i4"),
    ("units", "i8"),  # quantity units still to fill
    ("limit_price", "f8"),
    ("decision_price", "f8"),
    ("decision_ts_ns", "i8"),
    ("active_ns", "i8"),  # fills on bars that close after this
    ("expires_ns", "i8"),  # 0: never
    ("chases_left", "i8"),  # -1: an exit that has gone across the spread
    ("stop_distance", "f8"),
    ("target_distance", "f8"),
    ("hold", "f8"),
    ("notional", "f8"),
    ("notional_max", "f8"),  # what the position may be worth at its fills; infinity for no cap
    ("consensus", "f8"),
    ("lead", "i4"),
    ("regime", "i4"),
)

ACTION = _record(
    "ACTION",
    ("verb", "i4"),
    ("reason", "i4"),
    ("side", "i4"),
    ("kind", "i4"),
    ("units", "i8"),
    ("qty", "f8"),
    ("target_units", "i8"),  # signed position wanted
    ("limit_price", "f8"),
    ("stop_distance", "f8"),
    ("target_distance", "f8"),
    ("notional", "f8"),
    ("notional_max", "f8"),
    ("hold", "f8"),
    ("binding", "i4"),  # index into CAPS
    ("sizes", "f8", (len(CAPS),)),  # base units each cap allows
)

RULES = _record(
    "RULES",
    ("entry_forecast_min", "f8"),
    ("exit_forecast_min", "f8"),
    ("fixed_units", "i8"),  # 0: sized by risk
    ("risk_fraction", "f8"),
    ("position_notional_max", "f8"),  # 0: no cap
    ("position_fraction_max", "f8"),  # share of equity, 0: no cap
    ("cash_fraction_max", "f8"),  # share of free cash, 0: no cap
    ("volatility_target", "f8"),  # annual, 0: off
    ("volatility_weight_max", "f8"),
    ("drawdown_max", "f8"),  # 0: off
    ("daily_loss_max", "f8"),  # 0: off
    ("gross_fraction_max", "f8"),
    ("group_fraction_max", "f8"),
    ("positions_max", "i8"),
    ("kelly_trades_min", "i8"),  # 0: off
    ("kelly_floor_fraction", "f8"),
    ("ruin_trades_min", "i8"),  # 0: off
    ("ruin_probability_max", "f8"),
    ("ruin_horizon_trades", "f8"),
    ("gate_required", "i4"),
    ("gate_probability_min", "f8"),  # 0: off
    ("instrument_cooldown_ns", "i8"),
    ("strategy_cooldown_ns", "i8"),
    ("loss_cooldown_ns", "i8"),
    ("loss_streak_max", "i8"),  # 0: off
    ("loss_streak_pause_ns", "i8"),
    ("stop_atr", "f8"),
    ("target_atr", "f8"),  # 0: no target
    ("target_cost_multiple_min", "f8"),
    ("target_stretch_max", "f8"),
    ("breakeven_r", "f8"),  # 0: off
    ("trail_r", "f8"),  # 0: off
    ("trail_start_r", "f8"),
    ("time_stop_bars", "i8"),  # 0: off
    ("entry_kind", "i4"),
    ("exit_kind", "i4"),
    ("target_kind", "i4"),
    ("limit_offset_fraction", "f8"),  # passive distance from the last close
    ("time_to_live_ns", "i8"),
    ("chases_max", "i8"),
    ("exit_deadline_ns", "i8"),
    ("exit_cross_ns", "i8"),  # 0: from the passive side straight to the market
    ("fallback_market", "i4"),
    ("fallback_edge_capture", "f8"),
    ("latency_ns", "i8"),
    ("half_spread_fraction", "f8"),
    ("slippage_fraction", "f8"),
    ("participation_max", "f8"),  # share of the bar's volume, 0: no cap
    ("touch_probability", "f8"),
    ("seed", "i8"),
)

FILL = _record(
    "FILL",
    ("ts_ns", "i8"),
    ("decision_ts_ns", "i8"),
    ("instrument", "i4"),
    ("side", "i4"),
    ("liquidity", "i4"),
    ("reason", "i4"),
    ("price", "f8"),
    ("qty", "f8"),
    ("price_units", "i8"),
    ("qty_units", "i8"),
    ("cash_units", "i8"),  # notional, fee apart
    ("fee_units", "i8"),
    ("slippage", "f8"),  # quote lost against the reference price; negative when better
    ("round_trip", "i8"),  # `number` of the round trip it belongs to
)

ROUND_TRIP = _record(
    "ROUND_TRIP",
    ("number", "i8"),  # in order of the entries of the whole account
    ("instrument", "i8"),
    ("direction", "i4"),
    ("lead", "i4"),
    ("regime", "i4"),
    ("exit_reason", "i4"),
    ("entry_ts_ns", "i8"),
    ("exit_ts_ns", "i8"),
    ("bars_held", "i8"),
    ("qty", "f8"),
    ("entry_price", "f8"),
    ("exit_price", "f8"),
    ("pnl_units", "i8"),
    ("pnl", "f8"),  # net of fees
    ("fees", "f8"),
    ("slippage", "f8"),
    ("risk", "f8"),  # R in quote
    ("r_multiple", "f8"),
    ("mae_r", "f8"),
    ("mfe_r", "f8"),
    ("entry_consensus", "f8"),
)

DENIAL = _record(
    "DENIAL",
    ("instrument", "i4"),
    ("reason", "i4"),
    ("direction", "i4"),
    ("lead", "i4"),
    ("first_ts_ns", "i8"),
    ("last_ts_ns", "i8"),
    ("bars", "i8"),
    ("price", "f8"),
    ("stop_distance", "f8"),
    ("target_distance", "f8"),  # 0: none; -1: beyond what the market moves
    ("consensus", "f8"),
)
