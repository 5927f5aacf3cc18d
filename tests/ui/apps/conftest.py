"""Pages drawn without a browser, for whoever a test says looks, on what a real session of the paper trader left."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from novapulse.monitor import Overview
from novapulse.monitor.hub import Hub
from novapulse.monitor.rows import PositionState
from novapulse.ui.apps import decisions, desk, frame, health, journal, orders, overview, risk, scanner
from novapulse.ui.session import Scope
from novapulse.ui.widgets import Candles, Hold, Live, Press
from tests.monitor.conftest import left_home, paper_home

__all__ = ["left_home", "paper_home"]

_NOW = Hub.now

VIEWS: dict[str, Any] = {
    "overview": overview,
    "desk": desk,
    "risk": risk,
    "orders": orders,
    "decisions": decisions,
    "scanner": scanner,
    "journal": journal,
    "health": health,
}


@dataclass
class Drawn:
    """A page: its text of HTML, its widgets, and the way to hand it another reading."""

    html: str
    widgets: list[Live]
    deliver: Callable[[Overview], object]

    def state(self, label: str) -> dict[str, Any]:
        """The state of the one widget of a label."""
        (found,) = [one for one in self.widgets if one.label.startswith(label)]
        return dict(found.state)

    def rows(self, label: str) -> list[dict[str, Any]]:
        return list(self.state(label)["rows"])

    def tiles(self, label: str = "") -> dict[str, dict[str, Any]]:
        """The tiles of a page, by their keys, which are their labels unless they have others."""
        found = [one.state["tiles"] for one in self.widgets if "tiles" in one.state and one.label.startswith(label)]
        keyed = {tile.get("key", tile["label"]): tile for tile in found[0]}
        assert len(keyed) == len(found[0]), "two tiles of one key: one of them could not be told from the other"
        return keyed

    @property
    def holds(self) -> list[Hold]:
        return [one for one in self.widgets if isinstance(one, Hold) and not one.compact]

    @property
    def presses(self) -> list[Press]:
        return [one for one in self.widgets if isinstance(one, Press)]

    @property
    def reach(self) -> list[Hold]:
        """The buttons of the bar that is always in reach on a phone."""
        return [one for one in self.widgets if isinstance(one, Hold) and one.compact]

    @property
    def chart(self) -> Candles:
        (found,) = [one for one in self.widgets if isinstance(one, Candles)]
        return found

    @property
    def links(self) -> list[str]:
        """Every address of the page: in its own text, and in what its widgets show."""
        written = [unescape(one) for one in re.findall(r'href="([^"]*)"', self.html)]
        return written + [address for one in self.widgets for address in _addresses(one.state)]

    @property
    def problem(self) -> str:
        found = re.search(r'role="alert"><p>(.*?)</p>', self.html)
        return unescape(found[1]) if found else ""


@dataclass
class Look:
    """Draws pages of a home folder."""

    monkeypatch: pytest.MonkeyPatch
    opened: list[Scope] = field(default_factory=list)
    change: Callable[[Overview], Overview] | None = None
    mode: str = ""

    def __call__(self, name: str, home: Path, role: str = "", **asked: str) -> Drawn:
        session, pumped = Scope(), []
        self.opened.append(session)
        widgets: list[Live] = []

        def own(widget: Any) -> Any:
            widgets.append(widget)
            return widget

        patch = self.monkeypatch.setattr
        patch(session, "own", own)
        patch(session, "pump", lambda _, deliver: pumped.append(deliver))
        self.monkeypatch.setenv("NOVAPULSE_HOME", str(home))
        guest = frame.Guest("ann" if role else "", role, "token" if role else "", self.mode)
        patch(frame, "guest", lambda: guest)
        patch(frame.Page, "asked", lambda _, key: asked.get(key, ""))
        for module in (frame, *VIEWS.values()):
            if hasattr(module, "scope"):
                patch(module, "scope", lambda: session)
        patch("novapulse.ui.apps.proof.scope", lambda: session)
        patch("novapulse.ui.apps.universe.scope", lambda: session)
        patch("novapulse.ui.apps.commands.scope", lambda: session)
        change = self.change or (lambda reading: reading)
        patch(Hub, "now", lambda hub: change(_NOW(hub)))
        text = VIEWS[name].page().text
        (deliver,) = pumped
        return Drawn(text, widgets, deliver)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    drawing = Look(monkeypatch)
    yield drawing
    for session in drawing.opened:
        session.close()


def changed(reading: Overview, **changes: Any) -> Overview:
    """The reading with every account changed in the same way."""
    return replace(reading, accounts=tuple(replace(one, **changes) for one in reading.accounts))


def position(symbol: str, worth: Decimal | None, **known: Any) -> PositionState:
    """A long position that is worth so much, and of which little else is known than what is given."""
    unknown = dict.fromkeys(("mark_ns", "mark_price", "unrealized_pnl", "unrealized_r", "stop_price", "target_price"))
    texts = dict.fromkeys(("stop_order", "stop_status", "stop_missing_reason", "lead", "decision_id"), "")
    return PositionState(
        symbol=symbol,
        base=symbol[:3],
        is_ours=True,
        direction=1,
        qty=Decimal(1),
        entry_price=Decimal(100),
        notional=worth,
        opened_ns=1,
        opened_seq=1,
        **{**unknown, **texts, **known},
    )


def _addresses(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["href"]] if value.get("href") else []
        return own + [address for one in value.values() for address in _addresses(one)]
    return [address for one in value for address in _addresses(one)] if isinstance(value, list | tuple) else []
