"""What keeps an account, an instrument or a strategy from new entries, and until when.

Invariants:
- a lock is told from the entry that made it, or from the trader's own state as it was committed last;
- one that ends by itself says when, and is not told once the account's own time has passed that moment.
"""

from collections.abc import Iterable, Iterator

from novapulse.core.kept_state import Kept
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.monitor.fold import AccountFold
from novapulse.monitor.rows import LockState

_MODES = {"PAUSED": Reason.MODE_PAUSED, "REDUCE_ONLY": Reason.MODE_REDUCE_ONLY, "HALTED": Reason.MODE_HALTED}


def locks_of(fold: AccountFold, kept: Kept | None) -> tuple[LockState, ...]:
    """Return what keeps entries away as of the last commit: the account's first, then by symbol."""
    return tuple(sorted((*_made(fold), *_cooling(fold, kept)), key=lambda one: (one.symbol, one.strategy, one.reason)))


def in_force(locks: Iterable[LockState], own_ns: int) -> tuple[LockState, ...]:
    """Return those that have not ended at a moment of the account's own time."""
    return tuple(one for one in locks if one.until_ns is None or one.until_ns > own_ns)


def _made(fold: AccountFold) -> Iterator[LockState]:
    if (mode := _MODES.get(fold.mode)) is not None:
        yield LockState("", "", mode.name, REASON_TEXT[mode], None, fold.seqs.get("mode"))
    for tripped in fold.breakers.values():
        yield LockState(tripped.symbol, "", Reason.BREAKER.name, tripped.text or tripped.name, None, tripped.seq)
    for differs in fold.breaks.values():
        for symbol in differs.symbols:
            yield LockState(symbol, "", Reason.BREAK_OPEN.name, differs.text, None, differs.seq)


def _cooling(fold: AccountFold, kept: Kept | None) -> Iterator[LockState]:
    if kept is None:
        return
    account = kept.account
    for reason, name in ((Reason.LOSS_COOLDOWN, "loss_ready_ns"), (Reason.LOSS_STREAK, "streak_ready_ns")):
        yield from _until(fold, int(account[name]), reason)
    for name, ready_ns in zip(fold.strategies, account["strategy_ready_ns"], strict=False):
        yield from _until(fold, int(ready_ns), Reason.STRATEGY_COOLDOWN, strategy=name)
    for key, position in zip(kept.instruments, kept.positions, strict=True):
        yield from _until(fold, int(position["ready_ns"]), Reason.INSTRUMENT_COOLDOWN, key.symbol)


def _until(
    fold: AccountFold, ready_ns: int, reason: Reason, symbol: str = "", strategy: str = ""
) -> Iterator[LockState]:
    if ready_ns > fold.ts_ns:
        yield LockState(symbol, strategy, reason.name, REASON_TEXT[reason], ready_ns, None)
