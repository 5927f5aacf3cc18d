"""What an entry says in a few words: one telling of it, wherever it is shown."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from novapulse.core.records import REASON_TEXT, Reason
from novapulse.monitor.entries import KIND_TEXT, EntryState
from novapulse.research.tearsheet.words import plus_exact

_NAMES, _WORDS = ("verb", "reason", "status", "exit_reason", "to", "name"), ("why", "text")
_NAMED = (("order", "client_order_id"), ("decision", "decision_id"))


def about_of(one: EntryState) -> str:
    """Return what happened, and the words of the entry that tell most."""
    body = one.body
    happened = KIND_TEXT.get(one.kind, one.kind.replace("_", " "))
    instrument = body.get("instrument") or (body.get("request") or {}).get("instrument")
    words = [str(instrument[1])] if isinstance(instrument, list) and len(instrument) > 1 else []
    words += [_named(body[name]) for name in _NAMES if isinstance(body.get(name), str) and body[name]]
    words += [str(body["key"]).replace(":", " ").replace("_", " ")] if body.get("key") else []
    words += [_told(body[name]) for name in _WORDS if body.get(name)]
    words += [f"{what} {str(body[name])[:8]}" for what, name in _NAMED if body.get(name)]
    return f"{happened}: {', '.join(words)}" if words else happened


def moved_of(one: EntryState) -> str:
    """Return what an entry moved, the legs of a book added up; empty where it moved nothing."""
    moved: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for leg in one.legs:
        moved[leg.book, leg.asset] += leg.amount
    return ", ".join(f"{book} {plus_exact(amount)} {asset}" for (book, asset), amount in moved.items() if amount)


def _named(name: str) -> str:
    return REASON_TEXT[Reason[name]] if name in Reason.__members__ else name.lower().replace("_", " ")


def _told(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
