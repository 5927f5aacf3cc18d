"""What every request needs, put together once."""

from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection

from novapulse.control.limits import Allowances, Flood
from novapulse.control.plane import ControlPlane
from novapulse.monitor import Hub

API = "/api/v1"
APPS = "/apps"
ASSETS = f"{APPS}/assets"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one server.

    Attributes:
        home: Folder of the trader's state.
        plane: People, sessions, keys and commands.
        hub: What is known of the accounts.
        allowances: How often somebody may ask.
        origins: Where our pages may come from; empty for the request's own host.
        https: Whether browsers come by TLS alone.
        proxies: Addresses of proxies whose word about the visitor's address counts.
        mode: `paper` or `live`.
        config: File of the settings; None for the usual place.
        flood: Counts refusals.
    """

    home: Path
    plane: ControlPlane
    hub: Hub
    allowances: Allowances
    origins: frozenset[str] = frozenset()
    https: bool = False
    proxies: frozenset[str] = frozenset()
    mode: str = "paper"
    config: Path | None = None
    flood: Flood = field(default_factory=Flood)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie; browsers refuse the prefix without TLS."""
        return "__Host-np_session" if self.https else "np_session"

    @property
    def challenge_cookie(self) -> str:
        """Name of the cookie of a sign-in that waits for its code."""
        return "__Host-np_challenge" if self.https else "np_challenge"


def parts_of(connection: HTTPConnection) -> Parts:
    """Return the parts of the server that answers a request."""
    parts: Parts = connection.app.state.parts
    return parts


def address_of(connection: HTTPConnection, proxies: frozenset[str]) -> str:
    """Return where a request comes from: what a trusted proxy says, else the peer.

    Args:
        connection: The request.
        proxies: Addresses whose `X-Forwarded-For` counts; its last entry is what the proxy itself saw.
    """
    peer = connection.client.host if connection.client else "unknown"
    if peer in proxies:
        said = connection.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return said or peer
    return peer
