"""What keeps entries away is told from the entry that made it, or from the trader's own state."""

import numpy as np

from novapulse.core.instruments import InstrumentKey
from novapulse.core.kept_state import Kept
from novapulse.core.records import ACCOUNT as ACCOUNT_RECORD
from novapulse.core.records import POSITION, REASON_TEXT, Reason
from novapulse.monitor.fold import AccountFold
from novapulse.monitor.locks import in_force, locks_of
from novapulse.monitor.rows import BreakerState, BreakState, LockState
from tests.engine.harness import ACCOUNT


def test_modes_breakers_and_differences_keep_entries_away() -> None:
    fold = AccountFold(ACCOUNT, {})
    assert locks_of(fold, None) == ()
    fold.mode, fold.seqs["mode"] = "PAUSED", 5
    fold.breakers["stale", "ETH/USD"] = BreakerState(7, 1, "stale", "ETH/USD", "PAUSED", "no bar for an hour")
    fold.breaks["D1:x"] = BreakState(8, 1, "D1:x", "D1", "", "a fill is missing", "", "", ("BTC/USD", "ETH/USD"), "")
    assert locks_of(fold, None) == (
        LockState("", "", "MODE_PAUSED", REASON_TEXT[Reason.MODE_PAUSED], None, 5),
        LockState("BTC/USD", "", "BREAK_OPEN", "a fill is missing", None, 8),
        LockState("ETH/USD", "", "BREAKER", "no bar for an hour", None, 7),
        LockState("ETH/USD", "", "BREAK_OPEN", "a fill is missing", None, 8),
    )


def test_a_cooldown_is_told_until_it_is_over() -> None:
    locks = [LockState("BTC/USD", "", "INSTRUMENT_COOLDOWN", "cools down", at_ns, None) for at_ns in (100, 101)]
    always = LockState("", "", "MODE_PAUSED", "paused", None, 7)
    assert in_force([*locks, always], 100) == (locks[1], always)


def test_what_cools_down_is_told_with_its_end() -> None:
    fold = AccountFold(ACCOUNT, {})
    fold.strategies, fold.ts_ns = ("trend", "keltner"), 1_000
    account, positions = np.zeros(1, ACCOUNT_RECORD)[0], np.zeros(2, POSITION)
    instruments = InstrumentKey("kraken", "BTC/USD"), InstrumentKey("kraken", "ETH/USD")
    kept = Kept(ACCOUNT, instruments, (None, None), account, positions, np.zeros(2), np.zeros(2), np.zeros(2), {})
    assert locks_of(fold, kept) == ()
    account["loss_ready_ns"], account["streak_ready_ns"] = 1_001, 1_000
    account["strategy_ready_ns"][1] = 1_002
    positions["ready_ns"] = (1_000, 1_003)
    assert [(one.symbol, one.strategy, one.reason, one.until_ns, one.seq) for one in locks_of(fold, kept)] == [
        ("", "", "LOSS_COOLDOWN", 1_001, None),
        ("", "keltner", "STRATEGY_COOLDOWN", 1_002, None),
        ("ETH/USD", "", "INSTRUMENT_COOLDOWN", 1_003, None),
    ]
    account["streak_ready_ns"] = 1_004
    assert "LOSS_STREAK" in {one.reason for one in locks_of(fold, kept)}
