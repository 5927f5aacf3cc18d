"""However a position is left, the kernel, the plain fold and the whole engine make the same round trips to the bit."""

from typing import Any

import numpy as np
import pytest

from novapulse.backtest import Result
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.records import Reason
from novapulse.engine.configuration import Configuration
from novapulse.engine.opening import scales_of
from novapulse.engine.rows import Ticks
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.execution.rules import with_own_fees
from novapulse.parity.ladder import Stretch, fold_rung, kernel_of, replay_rung, signals_in
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Played, play
from tests.engine.harness import ACCOUNT, decides, facts_of, noisy_ticks

RESTING = {"exit_order": "limit", "limit_offset_bps": 2.0}
EXITS: dict[str, dict[str, Any]] = {
    "at the market": {"exit_order": "market"},
    "resting": {"exit_order": "limit"},
    "resting to a deadline": RESTING | {"exit_deadline_bars": 2, "time_to_live_bars": 5, "chases_max": 0},
    "across the spread": RESTING | {"exit_deadline_bars": 1, "exit_cross_bars": 2},
    "across the spread in thin volume": RESTING | {"exit_cross_bars": 3, "participation_max_fraction": 0.01},
}
SEEDS = (1, 2, 3)


def stretch(seed: int, ticks: Ticks, **execution: Any) -> Stretch:
    one = decides()
    chosen = one.model_copy(update={"execution": one.execution.model_copy(update=execution | {"seed": seed})})
    facts = with_own_fees(facts_of([key.symbol for key in ticks.keys]), chosen.execution)
    bars = {}
    for column, key in enumerate(ticks.keys):
        rows = ticks.bars[ticks.present[:, column] != 0, column]
        prices = (np.ascontiguousarray(rows[name]) for name in ("open", "high", "low", "close", "volume"))
        bars[key] = BarColumns.checked(np.ascontiguousarray(rows["ts_close_ns"]), *prices, timeframe_ns=MINUTE_NS)
    # What fills is not as the model expects where a limit rests across the spread, and bars are missing: breakers are
    # not the matter here.
    loose = BreakerSettings(orders_max=10_000, slippage_multiple_max=1e9, drawdown_share_max=1.0, missing_bars_max=1e9)
    configuration = Configuration(
        facts, chosen, TraderSettings(), loose, MINUTE_NS, scales_of(facts), spread_by_model=True
    )
    return Stretch(ACCOUNT, configuration, bars, signals_in(ticks), ticks)


def with_gaps(ticks: Ticks, seed: int) -> Ticks:
    """Take bars out: stretches of one to forty of one instrument, and of all of them."""
    rng = np.random.default_rng(seed)
    present = ticks.present.copy()
    for _ in range(20):
        begin, column = int(rng.integers(0, len(ticks))), int(rng.integers(0, len(ticks.keys) + 1))
        present[begin : begin + int(rng.integers(1, 41)), column if column < len(ticks.keys) else slice(None)] = 0
    some = present.any(axis=1)
    names = tuple(name for name, kept in zip(ticks.calibrations, some, strict=True) if kept)
    return Ticks(ticks.keys, ticks.ts_close_ns[some], ticks.bars[some], ticks.signals[some], present[some], names)


def played(one: Stretch) -> Played:
    return play(one.key, one.configuration, one.ticks, MemoryJournal())


def left_at_will(kernel: Result) -> Any:
    fills = kernel.fills
    return fills[np.isin(fills["reason"], (Reason.EXIT_OPPOSITE, Reason.EXIT_TIME))]


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("exits", EXITS)
def test_kernel_fold_and_engine_leave_alike(exits: str, seed: int, gaps: bool) -> None:
    ticks = noisy_ticks(seed=seed)
    one = stretch(seed, with_gaps(ticks, seed) if gaps else ticks, **EXITS[exits])
    kernel = kernel_of(one)
    assert fold_rung(one, kernel).holds
    rung = replay_rung(one, kernel, played(one))
    assert [(found.difference.field, found.cause.value, found.why) for found in rung.differences] == []
    assert rung.holds
    assert left_at_will(kernel).size > 3
