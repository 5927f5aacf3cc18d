"""The health document: what the trader says about each account, and what a reader may believe of it.

Invariants:
- every account the trader runs is in it, healthy or not; the whole is as healthy as its worst account, and a document
  without accounts is not healthy;
- it is replaced as a whole: a reader never sees half of one;
- one that is missing, damaged, old, from the future or left behind by a stopped trader is never healthy, and no account
  in it is; nor is one on a disk that is full, whatever it says.
"""

import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from novapulse.core.records import Mode
from novapulse.ops.disk import free_bytes

FILE = "health.json"
EVERY_S = 1.0
"""How often the trader writes one."""

STALE_S = 5 * EVERY_S
"""Age from which a document says nothing any more: that of a trader that cannot write one is not believed for long."""

FREE_BYTES_MIN = 1 << 20
"""With less room than this on its disk, a trader can write neither ledger nor document."""

_FUTURE_S = 5.0
_SCHEMA = 1


@dataclass(frozen=True)
class AccountHealth:
    """How one account is.

    Attributes:
        exchange: Lower-case id.
        account_id: Name of the account there.
        mode: What it may do.
        money: With what it trades, as its venue says: `paper` or `live`; empty where nobody said.
        reasons: Why it is not healthy, in words; empty when it is.
        notes: What restricts or worries without making it unhealthy.
        connected: Whether the venue's stream stands; None where that is not known.
        last_bar_age_s: Since the close of the last decided bar; None before the first.
        open_orders: Orders that may still fill.
        unknown_orders: Orders whose outcome is not known.
        positions: Instruments that are held.
        open_breaks: Differences between ledger and venue that are not resolved.
        equity: In the quote currency, as text; empty while unknown.
        more: Further figures, such as lags.
    """

    exchange: str
    account_id: str
    mode: Mode
    money: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    connected: bool | None = None
    last_bar_age_s: float | None = None
    open_orders: int = 0
    unknown_orders: int = 0
    positions: int = 0
    open_breaks: int = 0
    equity: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons


@dataclass(frozen=True)
class Verdict:
    """What a reader may believe.

    Attributes:
        healthy: Whether everything is well.
        reasons: Why not, of the trader as a whole.
        document: What was read; empty where nothing could be.
        age_s: Of the document, seconds, >= 0; None where nothing was read.
        stopped: Whether it is the last word of a trader that has stopped.
        alive: Whether it is the word of a trader that runs.
    """

    healthy: bool
    reasons: tuple[str, ...]
    document: dict[str, Any]
    age_s: float | None = None
    stopped: bool = False
    alive: bool = False

    @property
    def accounts(self) -> list[dict[str, Any]]:
        """The accounts of the document; those of a trader that does not run are not healthy."""
        return [{**one, "healthy": self.alive and one["healthy"]} for one in self.document.get("accounts", [])]

    def json(self) -> dict[str, Any]:
        """Return the answer of `novapulse health --json`."""
        said = {"healthy": self.healthy, "reasons": list(self.reasons), "accounts": self.accounts}
        return {**self.document, **said, "age_s": self.age_s}


def document(
    accounts: Sequence[AccountHealth],
    *,
    now_ns: int,
    ledger_id: str,
    ledger_place: str,
    version: str,
    session: str = "",
    reasons: Sequence[str] = (),
    running: bool = True,
    bars: str = "",
) -> dict[str, Any]:
    """Return the health document of a trader.

    Args:
        accounts: All of them.
        now_ns: The machine's own time, ns UTC, whatever time the trader lives in.
        ledger_id: Which ledger it writes.
        ledger_place: Where that is.
        version: Of the program.
        session: Id of the session.
        reasons: What is wrong with the trader as a whole.
        running: False in the last document of a trader that stopped.
        bars: Where its bars are from: `recorded` or `sample`; empty where that is not said.
    """
    listed = [
        {"exchange": one.exchange, "account_id": one.account_id, "healthy": one.healthy}
        | {name: _plain(value) for name, value in asdict(one).items() if name not in ("exchange", "account_id")}
        for one in sorted(accounts, key=lambda one: (one.exchange, one.account_id))
    ]
    return {
        "schema": _SCHEMA,
        "healthy": running and bool(accounts) and not reasons and all(one.healthy for one in accounts),
        "running": running,
        "mode": _plain(max((one.mode for one in accounts), default=Mode.HALTED)),
        "reasons": list(reasons) or ([] if accounts else ["the trader runs no account"]),
        "accounts": listed,
        "ledger": {"id": ledger_id, "place": ledger_place},
        "heartbeat_ns": now_ns,
        "heartbeat": datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).isoformat(),
        "session": session,
        "bars": bars,
        "pid": os.getpid(),
        "version": version,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Replace the document at a path as a whole.

    Raises:
        OSError: It could not be written; the one of before is still there.
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files for one user alone; readers share the folder's group.
        os.chmod(name, 0o640)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: Path, now_ns: int, stale_s: float = STALE_S) -> Verdict:
    """Return what a reader may believe of the document at a path; whatever is wrong with it is in the reasons."""
    try:
        found = json.loads(path.read_bytes())
        accounts, beat_ns = found["accounts"], int(found["heartbeat_ns"])
        sick = [_sick(one) for one in accounts if not one["healthy"]]
        said = bool(found["healthy"])
        own = [str(reason) for reason in found["reasons"]]
        running = bool(found["running"])
    except FileNotFoundError:
        return Verdict(False, (f"no trader has written {path}",), {})
    except OSError as wrong:
        return Verdict(False, (f"{path} cannot be read: {wrong.strerror or wrong}",), {})
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        return Verdict(False, (f"{path} is damaged: {type(wrong).__name__}: {wrong}",), {})
    age_s = (now_ns - beat_ns) / 1e9
    reasons, free = [*own, *sick], free_bytes(path.parent)
    if free is not None and free < FREE_BYTES_MIN:
        reasons.insert(0, f"the disk of {path.parent} is full: {free:,} bytes are free")
    alive = running and -_FUTURE_S <= age_s <= stale_s
    if not running:
        reasons.insert(0, f"the trader was stopped {age_text(age_s)} ago")
    elif age_s > stale_s:
        reasons.insert(0, f"the last sign of life is {age_text(age_s)} old: the trader does not run, or it hangs")
    elif not alive:
        reasons.insert(
            0, f"the last sign of life is {age_text(-age_s)} ahead of this clock: one of the clocks is wrong"
        )
    if not accounts and not own:
        reasons.append("the trader runs no account")
    if not said and not reasons:
        reasons.append("the trader says that it is not healthy")
    return Verdict(not reasons, tuple(reasons), found, max(age_s, 0.0), not running, alive)


def _sick(account: dict[str, Any]) -> str:
    why = "; ".join(map(str, account.get("reasons", ())))
    return f"account {account['account_id']} on {account['exchange']} is not healthy{f': {why}' if why else ''}"


def age_text(seconds: float) -> str:
    """Return a time that has passed as people read it."""
    for unit, width in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * width:
            return f"{seconds / width:.0f} {unit}"
    return f"{seconds:.0f} s"


def _plain(value: Any) -> Any:
    if isinstance(value, Mode):
        return value.name.lower()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
