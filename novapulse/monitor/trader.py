"""The trader's process, as its health document shows it.

Invariants:
- a document of the last seconds is a sign of life, nothing else is: a trader that died says nothing, and is seen as
  silent `SILENT_S` after its last word, long before `ops.health` calls the document stale;
- a document that is damaged, from the future or of another ledger makes nobody healthy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novapulse.core.instruments import AccountKey
from novapulse.monitor.state import Life, TraderState
from novapulse.ops.health import FILE, Verdict, read

SILENT_S = 3.5
"""Age of the last sign of life from which a trader counts as silent; it gives one every second."""

_AHEAD_S = 5.0


@dataclass(frozen=True, slots=True)
class Word:
    """What the trader said last.

    Attributes:
        state: Of its process.
        accounts: What it said of each account; empty where nothing can be believed.
    """

    state: TraderState
    accounts: Mapping[AccountKey, Mapping[str, Any]]


def word_of(home: Path, now_ns: int) -> Word:
    """Read the health document of a home folder."""
    path = home / FILE
    verdict = read(path, now_ns, SILENT_S)
    document = verdict.document
    if not document:
        life = Life.UNREADABLE if path.exists() else Life.ABSENT
        return Word(TraderState(life, False, False, verdict.reasons), {})
    try:
        return _word(document, verdict, now_ns)
    except (KeyError, TypeError, AttributeError, ValueError) as wrong:
        reason = f"{path} is damaged: {type(wrong).__name__}: {wrong}"
        return Word(TraderState(Life.UNREADABLE, False, False, (reason,)), {})


def _word(document: Mapping[str, Any], verdict: Verdict, now_ns: int) -> Word:
    age_s = (now_ns - int(document["heartbeat_ns"])) / 1e9
    life, reasons = _life(bool(document["running"]), age_s), list(verdict.reasons)
    if life is Life.SILENT:
        reasons[0] = f"no sign of life for {age_s:.0f} s: the trader does not run, or it hangs"
    ledger = document.get("ledger", {})
    state = TraderState(
        life=life,
        running=life is Life.RUNNING,
        healthy=life is Life.RUNNING and verdict.healthy,
        reasons=tuple(reasons),
        heartbeat_ns=int(document["heartbeat_ns"]),
        heartbeat_age_s=max(age_s, 0.0),
        session=str(document.get("session", "")),
        version=str(document.get("version", "")),
        pid=document.get("pid"),
        ledger_id=str(ledger.get("id", "")),
        bars=str(document.get("bars", "")),
    )
    return Word(state, {AccountKey(one["exchange"], one["account_id"]): one for one in verdict.accounts})


def _life(running: bool, age_s: float) -> Life:
    if not running:
        return Life.STOPPED
    if age_s < -_AHEAD_S:
        return Life.UNREADABLE
    return Life.SILENT if age_s > SILENT_S else Life.RUNNING
