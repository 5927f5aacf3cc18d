"""Security headers of every answer, and the nonce by which a page's own scripts are told from planted ones.

Invariants:
- every answer has a content security policy; scripts never run from text in the page;
- our own pages run what carries the nonce of the answer and nothing else, and so with styles; marimo's pages also load
  scripts from this server and need inline styles, and only they get them: where an app is not answered, ours is shown;
- what is not a named asset is never kept by a browser or a proxy;
- no other site may read an answer, whatever an application allows.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.server.frontend import Joined, pointed_to

_COMMON = (
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "object-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
_PLAIN = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_YEAR = "max-age=31536000; includeSubDomains"
_SCRIPT = b'<script data-marimo="true"'


def page_policy(nonce: str) -> str:
    """Return the policy of our own pages."""
    own = ("default-src 'none'", f"script-src 'nonce-{nonce}'", f"style-src 'nonce-{nonce}'", "base-uri 'none'")
    return "; ".join((*own, *_COMMON))


def app_policy(nonce: str) -> str:
    """Return the policy of marimo's pages: inline styles, workers and blobs on top."""
    more = (
        "default-src 'self'",
        f"script-src 'self' 'nonce-{nonce}'",
        "style-src 'self' 'unsafe-inline'",
        "worker-src 'self' blob:",
        "base-uri 'self'",
    )
    return "; ".join((*more, *_COMMON))


def nonce_of(scope: MutableMapping[str, Any]) -> str:
    """Return the nonce of a request's answer."""
    return str(scope["state"]["nonce"])


class SecurityHeaders:
    """Lays the headers over every answer of an application.

    Args:
        app: What answers.
        apps_path: Where marimo's pages are.
        assets_path: Where marimo's own files are, for all its pages.
        https: Whether browsers come by TLS only, and are to be told to keep it so.
        joined: The script that marimo's pages load in place of many; None for nothing.
    """

    def __init__(
        self, app: ASGIApp, apps_path: str, assets_path: str, *, https: bool, joined: Joined | None = None
    ) -> None:
        self._app = app
        self._apps_path = apps_path.rstrip("/") + "/"
        self._assets_path = assets_path
        self._https = https
        self._joined = joined

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        is_app = scope["path"].startswith(self._apps_path)
        stamp = _Stamp(nonce, self._assets_path, self._joined, send) if is_app else None

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_asset = is_app and "/assets/" in scope["path"] and message["status"] == 200
                is_theirs = is_app and message["status"] < 400
                self._head(MutableHeaders(scope=message), nonce, is_app=is_theirs, is_asset=is_asset)
            await (stamp.send(message) if stamp else send(message))

        await self._app(scope, receive, headed)

    def _head(self, headers: MutableHeaders, nonce: str, *, is_app: bool, is_asset: bool) -> None:
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]
        headers["content-security-policy"] = app_policy(nonce) if is_app else page_policy(nonce)
        for name, value in _PLAIN.items():
            headers[name] = value
        if self._https:
            headers["strict-transport-security"] = _YEAR
        if is_asset and headers.get("content-type", "").partition(";")[0] != "text/html":
            # Their names hold their content.
            headers["cache-control"] = "private, max-age=31536000, immutable"
        else:
            headers["cache-control"] = "no-store"


class _Stamp:
    """Writes the nonce into the inline scripts of a marimo page, and where marimo's own files are."""

    def __init__(self, nonce: str, assets_path: str, joined: Joined | None, send: Send) -> None:
        self._nonce = nonce.encode()
        self._assets_path = assets_path
        self._joined = joined
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                # It is sent when the whole page is known.
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
            return
        await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = bytes(self._body).replace(_SCRIPT, b'<script nonce="' + self._nonce + b'" data-marimo="true"')
        body = pointed_to(body, self._assets_path, self._joined)
        headers = MutableHeaders(scope=start)
        for name in ("etag", "last-modified"):
            if name in headers:
                del headers[name]
        headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
