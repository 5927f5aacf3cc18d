"""The settings of the trader: frozen, typed, an unknown key fails; the defaults stand here and nowhere else.

Nothing here changes what is decided on a closed bar, so nothing here is part of the hash that a decision carries.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

PartialFill = Literal["keep", "complete", "unwind"]
StopEntries = Literal["keep", "cancel"]


class BreakerSettings(BaseModel):
    """When trading is restricted by what is measured, and when it goes on.

    A breaker trips at its limit and clears at its clear level, and not before its minimum time is over.
    """

    model_config = FROZEN

    daily_loss_reduce_only_fraction: float = Field(
        0.03, gt=0, lt=1, description="Loss of the UTC day, of its opening equity, from which only reducing is allowed."
    )
    daily_loss_halt_fraction: float = Field(0.05, gt=0, lt=1, description="Loss of the UTC day that halts the account.")
    daily_loss_clear_fraction: float = Field(0.01, ge=0, lt=1, description="Loss of the UTC day at which that ends.")
    drawdown_share_max: float = Field(
        0.8, gt=0, le=1, description="Share of risk.limits.drawdown_max_fraction from which only reducing is allowed."
    )
    drawdown_share_clear: float = Field(0.7, ge=0, lt=1, description="Share at which that ends.")
    bar_age_bars_max: float = Field(3.0, ge=1, description="Age of the last bar, in bars, beyond which data is stale.")
    feed_silence_heartbeats_max: float = Field(
        2.0, ge=1, description="Silence of the feed, in heartbeats, beyond which it counts as disconnected."
    )
    missing_bars_max: float = Field(
        2.0,
        ge=1,
        description="Bars of an instrument missing while others come, beyond which it is not entered.",
    )
    spread_multiple_max: float = Field(
        5.0,
        gt=1,
        description="Spread, in medians, beyond which its instrument is not entered; nor while it is unknown.",
    )
    spread_multiple_clear: float = Field(3.0, ge=1, description="Spread, in medians, at which that ends.")
    slippage_multiple_max: float = Field(
        3.0, gt=1, description="Average slippage, in slippages of the model, beyond which no new risk is taken."
    )
    slippage_multiple_clear: float = Field(2.0, ge=0, description="Average slippage at which that ends.")
    rejects_max: int = Field(5, ge=1, description="Refused orders in the window beyond which no new risk is taken.")
    rejects_window_s: float = Field(600.0, gt=0)
    orders_max: int = Field(60, ge=1, description="Orders sent in the window beyond which no new risk is taken.")
    orders_window_s: float = Field(60.0, gt=0)
    clock_skew_warn_ms: float = Field(250.0, gt=0, description="Clock skew beyond which there is an alert.")
    clock_skew_pause_ms: float = Field(500.0, gt=0, description="Clock skew beyond which no new risk is taken.")
    clock_skew_halt_ms: float = Field(1000.0, gt=0, description="Clock skew beyond which the account is halted.")
    equity_jump_sigmas_max: float = Field(
        10.0, gt=0, description="Move of the equity between two bars, in its usual moves, that nobody believes at once."
    )
    equity_jump_pause_s: float = Field(900.0, ge=0, description="How long only reducing is allowed after it.")
    disk_free_fraction_min: float = Field(0.10, gt=0, lt=1, description="Free disk below which no new risk is taken.")
    disk_free_fraction_clear: float = Field(0.12, gt=0, lt=1, description="Free disk at which that ends.")
    outbox_lag_s_max: float = Field(
        60.0,
        gt=0,
        description="Age of the oldest event that a consumer of the ledger lacks beyond which people are told.",
    )
    unknown_order_alert_s: float = Field(
        120.0, gt=0, description="Age of an UNKNOWN order beyond which people are told."
    )
    unknown_order_halt_s: float = Field(600.0, gt=0, description="Age beyond which the account is halted.")
    task_failures_max: int = Field(3, ge=1, description="Failures of one task in the window that pause the account.")
    task_failures_window_s: float = Field(600.0, gt=0)

    @model_validator(mode="after")
    def _levels_ascend(self) -> Self:
        for lower, upper in (
            ("daily_loss_clear_fraction", "daily_loss_reduce_only_fraction"),
            ("daily_loss_reduce_only_fraction", "daily_loss_halt_fraction"),
            ("drawdown_share_clear", "drawdown_share_max"),
            ("spread_multiple_clear", "spread_multiple_max"),
            ("slippage_multiple_clear", "slippage_multiple_max"),
            ("clock_skew_warn_ms", "clock_skew_pause_ms"),
            ("clock_skew_pause_ms", "clock_skew_halt_ms"),
            ("disk_free_fraction_min", "disk_free_fraction_clear"),
            ("unknown_order_alert_s", "unknown_order_halt_s"),
        ):
            if getattr(self, lower) >= getattr(self, upper):
                raise ValueError(f"{lower} ({getattr(self, lower):g}) must be below {upper} ({getattr(self, upper):g})")
        return self


class ReconciliationSettings(BaseModel):
    """How often ours and the venue's are compared."""

    model_config = FROZEN

    orders_interval_s: float = Field(20.0, gt=0, description="Between two comparisons while an entry or exit is out.")
    fills_interval_s: float = Field(60.0, gt=0, description="Between two comparisons while only stops are out.")
    balances_interval_s: float = Field(300.0, gt=0, description="Between two comparisons while nothing is out.")
    race_guard_s: float = Field(
        5.0, ge=0, description="What was touched this shortly before a reading is not compared: lists lag behind."
    )
    readings_min: int = Field(2, ge=1, le=10, description="Equal readings before anything is repaired.")
    account_is_exclusive: bool = Field(
        False, description="Whether nobody else trades on the account: then an order that is not ours is cancelled."
    )

    @model_validator(mode="after")
    def _narrow_looks_come_often(self) -> Self:
        if not self.orders_interval_s <= self.fills_interval_s <= self.balances_interval_s:
            raise ValueError(
                f"orders_interval_s ({self.orders_interval_s:g}), fills_interval_s ({self.fills_interval_s:g}) and "
                f"balances_interval_s ({self.balances_interval_s:g}) must not descend: "
                "what may change sooner is read more often"
            )
        return self


class TraderSettings(BaseModel):
    """How the trader waits, gives up, compares and stops."""

    model_config = FROZEN

    tick_deadline_s: float = Field(2.0, gt=0, description="How long a close waits for the bars of all instruments.")
    quote_age_s_max: float = Field(5.0, gt=0, description="Oldest quote that an entry may follow.")
    submit_deadline_s: float = Field(10.0, gt=0, description="After which the outcome of a request is UNKNOWN.")
    partial_fill: PartialFill = Field(
        "keep",
        description="What becomes of a partly filled entry: kept, completed as the fallback would, or left again.",
    )
    bracket_tries: int = Field(3, ge=1, description="Refusals of a stop after which its position is closed.")
    absence_after_s: float = Field(
        15.0, ge=0, description="After a request was sent, when an order that is nowhere can be called absent."
    )
    absences_apart_s: float = Field(5.0, ge=0, description="Between the two reads that prove it.")
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    escalation_s: float = Field(
        900.0, gt=0, description="After which a critical alert that nobody acknowledged is raised once more."
    )
    backoff_s_min: float = Field(1.0, gt=0, description="Wait before a failed task is started again, doubling ...")
    backoff_s_max: float = Field(60.0, gt=0, description="... up to this.")
    lease_s: float = Field(30.0, ge=5, description="How long an account stays ours without a sign of life.")
    stop_deadline_s: float = Field(10.0, gt=0, description="How long a clean stop may take.")
    stop_entries: StopEntries = Field(
        "cancel", description="What becomes of resting entries at a stop: cancelled, or kept until they expire."
    )

    @model_validator(mode="after")
    def _waits_fit(self) -> Self:
        if self.backoff_s_min > self.backoff_s_max:
            raise ValueError(f"backoff_s_min ({self.backoff_s_min:g}) is above backoff_s_max ({self.backoff_s_max:g})")
        return self
