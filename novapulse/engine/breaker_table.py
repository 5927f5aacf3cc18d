"""Which breakers there are: one row each, made from the settings.

Invariants:
- a breaker whose clear level is no setting clears at half its limit: nothing flaps around one number;
- a breaker that halts is latched: only an operator leaves a halt;
- what must be known to trade at all (the spread, the age of the data, the clock, the disk, the day's loss) restricts
  when it is unknown; what is only known once something happened (slippage, a jump, breaks) does not.
"""

from dataclasses import dataclass

from novapulse.core.records import Mode
from novapulse.engine.settings import BreakerSettings

WINDOWS = ("rejects", "orders", "task_failures")
"""Measurements that are counts of the last while, by `<name>_max` and `<name>_window_s` of the settings."""

_ALERT, _PAUSE, _REDUCE, _HALT = Mode.NORMAL, Mode.PAUSED, Mode.REDUCE_ONLY, Mode.HALTED
_LEDGER_S = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """When one restriction begins and ends.

    Attributes:
        name: Unique.
        measure: Name of the measurement that drives it.
        subject: What is measured, in words.
        unit: How values are shown: `%` for fractions, else a suffix.
        trip: Level at which it trips ...
        reaching: ... when the value reaches it; else only beyond it.
        clear: Level at which it may clear.
        below: Small values are the bad ones.
        magnitude: The sign of a value does not matter.
        unknown_trips: A value that could not be measured trips it.
        time_min_s: Seconds since the last bad value before it may clear.
        effect: What the account may do meanwhile; NORMAL is an alert only.
        latched: Only an operator ends it.
    """

    name: str
    measure: str
    subject: str
    unit: str
    trip: float
    clear: float
    effect: Mode
    reaching: bool = False
    below: bool = False
    magnitude: bool = False
    unknown_trips: bool = False
    time_min_s: float = 0.0
    latched: bool = False

    def is_bad(self, value: float) -> bool:
        """Return whether a value trips it."""
        value = abs(value) if self.magnitude else value
        if self.below:
            return value <= self.trip if self.reaching else value < self.trip
        return value >= self.trip if self.reaching else value > self.trip

    def is_clear(self, value: float) -> bool:
        """Return whether a value lies at the clear level or on its good side."""
        value = abs(value) if self.magnitude else value
        return value >= self.clear if self.below else value <= self.clear


def breakers_of(settings: BreakerSettings) -> tuple[Breaker, ...]:
    """Return the breakers that some settings ask for."""
    return (*_of_money(settings), *_of_market(settings), *_of_machine(settings))


def _of_money(s: BreakerSettings) -> tuple[Breaker, ...]:
    loss, clear = "the day's loss", s.daily_loss_clear_fraction
    reduce_only, halt = s.daily_loss_reduce_only_fraction, s.daily_loss_halt_fraction
    jump, jump_s = s.equity_jump_sigmas_max, s.equity_jump_pause_s
    return (
        Breaker("daily_loss", "daily_loss", loss, "%", reduce_only, clear, _REDUCE, reaching=True, unknown_trips=True),
        Breaker("daily_loss_halt", "daily_loss", loss, "%", halt, clear, _HALT, reaching=True, latched=True),
        Breaker(
            "drawdown",
            "drawdown_share",
            "the drawdown's share of its limit",
            "%",
            s.drawdown_share_max,
            s.drawdown_share_clear,
            _REDUCE,
            reaching=True,
            unknown_trips=True,
        ),
        Breaker(
            "equity_jump",
            "equity_jump",
            "the move of the equity",
            " sigma",
            jump,
            jump / 2,
            _REDUCE,
            magnitude=True,
            time_min_s=jump_s,
        ),
        Breaker(
            "fatal_breaks", "fatal_breaks", "the number of fatal breaks", "", 1, 0, _HALT, reaching=True, latched=True
        ),
    )


def _of_market(s: BreakerSettings) -> tuple[Breaker, ...]:
    age, silence, missing = s.bar_age_bars_max, s.feed_silence_heartbeats_max, s.missing_bars_max
    wide, slips = s.spread_multiple_max, s.slippage_multiple_max
    rejects, orders, age_name = s.rejects_max, s.orders_max, "the age of the oldest UNKNOWN order"
    alert_s, halt_s = s.unknown_order_alert_s, s.unknown_order_halt_s
    return (
        Breaker("stale_bars", "bar_age", "the age of the last bar", " bars", age, age / 2, _PAUSE, unknown_trips=True),
        Breaker(
            "feed_silent",
            "feed_silence",
            "the silence of the feed",
            " heartbeats",
            silence,
            silence / 2,
            _PAUSE,
            unknown_trips=True,
        ),
        Breaker("missing_bars", "missing_bars", "the wait for a bar", " bars", missing, missing / 2, _PAUSE),
        Breaker(
            "spread", "spread", "the spread", " medians", wide, s.spread_multiple_clear, _PAUSE, unknown_trips=True
        ),
        # Only fills measure it and a pause lets none happen: without an operator it would never end.
        Breaker(
            "slippage",
            "slippage",
            "the average slippage",
            " times the model's",
            slips,
            s.slippage_multiple_clear,
            _PAUSE,
            latched=True,
        ),
        Breaker("rejects", "rejects", "the number of refused orders", "", rejects, rejects / 2, _PAUSE),
        Breaker("orders", "orders", "the number of orders sent", "", orders, orders / 2, _PAUSE),
        Breaker("unknown_order", "unknown_order_age", age_name, " s", alert_s, alert_s / 2, _ALERT),
        Breaker("unknown_order_halt", "unknown_order_age", age_name, " s", halt_s, halt_s / 2, _HALT, latched=True),
    )


def _of_machine(s: BreakerSettings) -> tuple[Breaker, ...]:
    skew, warn, pause, halt = "the clock's skew", s.clock_skew_warn_ms, s.clock_skew_pause_ms, s.clock_skew_halt_ms
    free, free_clear, failures = s.disk_free_fraction_min, s.disk_free_fraction_clear, s.task_failures_max
    return (
        Breaker("clock_skew", "clock_skew", skew, " ms", warn, warn / 2, _ALERT, magnitude=True, unknown_trips=True),
        Breaker(
            "clock_skew_pause", "clock_skew", skew, " ms", pause, pause / 2, _PAUSE, magnitude=True, unknown_trips=True
        ),
        Breaker("clock_skew_halt", "clock_skew", skew, " ms", halt, halt / 2, _HALT, magnitude=True, latched=True),
        Breaker("disk", "disk_free", "the free disk", "%", free, free_clear, _PAUSE, below=True, unknown_trips=True),
        Breaker(
            "task_failures",
            "task_failures",
            "the number of failures of a task",
            "",
            failures,
            failures / 2,
            _PAUSE,
            reaching=True,
        ),
        Breaker(
            "ledger",
            "ledger_unwritable",
            "the number of failed ledger writes",
            "",
            1,
            0,
            _REDUCE,
            reaching=True,
            time_min_s=_LEDGER_S,
        ),
        # Nobody trades worse for it: who is told late has to know that.
        Breaker(
            "outbox_late",
            "outbox_lag",
            "the age of the oldest event that a consumer of the ledger lacks",
            " s",
            s.outbox_lag_s_max,
            s.outbox_lag_s_max / 2,
            _ALERT,
        ),
        Breaker(
            "outbox_lost",
            "outbox_lost",
            "the number of events that a consumer of the ledger could not take",
            "",
            1,
            0,
            _ALERT,
            reaching=True,
        ),
        Breaker(
            "ledger_restored",
            "ledger_restores",
            "the number of backups that were put in the place of the ledger",
            "",
            1,
            0,
            _HALT,
            reaching=True,
            latched=True,
        ),
    )


MEASURES = tuple(dict.fromkeys(breaker.measure for breaker in breakers_of(BreakerSettings())))
"""Names of all measurements."""
