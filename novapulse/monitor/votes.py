"""Every instrument of an account: what was voted last, what is held or at work, and why nothing was done."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from novapulse.core.kept_state import Kept
from novapulse.core.messages import HoldRun
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.monitor.decisions import regime, strategy
from novapulse.monitor.fold import AccountFold
from novapulse.monitor.holdings import Mark
from novapulse.monitor.rows import OrderState, PositionState, VoteState
from novapulse.monitor.state import InstrumentState


def instrument_states(
    fold: AccountFold,
    kept: Kept | None,
    marks: Mapping[str, Mark],
    positions: Sequence[PositionState],
    orders: Sequence[OrderState],
) -> tuple[InstrumentState, ...]:
    """Return one row for every instrument that the account trades, sorted by symbol; while unknown, of all it was told.

    Args:
        fold: Of the account's entries.
        kept: The trader's state; None while unknown.
        marks: Symbol -> last close.
        positions: Of the account.
        orders: That have not ended.
    """
    runs = {} if kept is None else {key.symbol: run for key, run in zip(kept.instruments, kept.runs, strict=True)}
    held = {one.symbol: one.direction for one in positions}
    at_work = {one.symbol: one.role for one in orders if one.role != "protect"}
    return tuple(
        _state(fold, symbol, held.get(symbol, 0), symbol in at_work, marks.get(symbol), runs, symbol in marks)
        for symbol in sorted(fold.listings if kept is None else runs)
    )


def with_signal(one: InstrumentState, signal: Mapping[str, Any], strategies: Sequence[str]) -> InstrumentState:
    """Return an instrument with what the trader says was voted at its last bar, unless its last decision is newer.

    Args:
        one: As the ledger has it.
        signal: As `engine.report` tells it, with the votes beside it where they were made; empty for none.
        strategies: Names that `lead` counts in.
    """
    one, ts_ns = replace(one, votes_before=_before(signal.get("earlier", {}))), signal.get("ts_close_ns")
    if ts_ns is None or (one.votes_ns is not None and ts_ns < one.votes_ns):
        return one
    votes = signal.get("votes")
    told = replace(
        one,
        forecasts=None if votes is None else {name: float(vote["forecast"]) for name, vote in votes.items()},
        weights=None if votes is None else {name: float(vote["weight"]) for name, vote in votes.items()},
    )
    if ts_ns == one.votes_ns:
        # The ledger has the consensus of this bar, with a decision; the votes beside it are of the same bar.
        return told
    return replace(
        told,
        consensus=signal.get("consensus"),
        confidence=signal.get("confidence"),
        gate_probability=signal.get("gate_probability"),
        lead=strategy(strategies, int(signal.get("lead", -1))),
        regime=regime(int(signal.get("regime", -1))),
        votes_ns=int(ts_ns),
        votes_seq=None,
    )


def _before(earlier: Mapping[str, Any]) -> tuple[VoteState, ...]:
    forecasts = earlier.get("forecasts", {})
    if not forecasts:
        return ()
    rows = zip(*forecasts.values(), strict=True)
    return tuple(
        VoteState(int(ts_ns), regime(int(code)), float(consensus), dict(zip(forecasts, row, strict=True)))
        for ts_ns, code, consensus, row in zip(
            earlier["ts_close_ns"], earlier["regime"], earlier["consensus"], rows, strict=True
        )
    )


def _state(
    fold: AccountFold,
    symbol: str,
    direction: int,
    is_working: bool,
    mark: Mark | None,
    runs: Mapping[str, HoldRun | None],
    has_decided: bool,
) -> InstrumentState:
    last = fold.last_decision.get(symbol)
    run = runs.get(symbol)
    state = {1: "long", -1: "short"}.get(direction, "working" if is_working else "flat")
    why, reason = (None, "") if not has_decided else ("", "") if run is None else _told(run.reason)
    return InstrumentState(
        symbol=symbol,
        state=state,
        has_working_order=is_working,
        consensus=None if last is None else last.consensus,
        confidence=None if last is None else last.confidence,
        lead="" if last is None else last.lead,
        regime="" if last is None else last.regime,
        gate_probability=None if last is None else last.gate_probability,
        votes_ns=None if last is None or last.consensus is None else last.ts_ns,
        votes_seq=None if last is None or last.consensus is None else last.seq,
        action="" if last is None else last.action,
        reason="" if last is None else last.reason,
        decision_id="" if last is None else last.decision_id,
        decision_ns=None if last is None else last.ts_ns,
        decision_seq=None if last is None else last.seq,
        why_not=why,
        why_not_reason=reason,
        why_not_since_ns=None if run is None else run.first_ns,
        why_not_bars=0 if run is None else run.bars,
        price=None if mark is None else mark.price,
        price_ns=None if mark is None else mark.ts_ns,
    )


def _told(code: int) -> tuple[str, str]:
    if code not in set(Reason):
        return f"for a reason that this program does not know ({code})", str(code)
    reason = Reason(code)
    return REASON_TEXT[reason], reason.name
