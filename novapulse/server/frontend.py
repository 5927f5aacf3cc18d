"""marimo's own scripts, styles and fonts: one address for all apps, compressed once.

marimo serves them below every app. A browser takes another address for another file, and would fetch and compile six
megabytes again for each app it opens. They are public files of a package, so no session is asked for.
"""

import gzip
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

_COMPRESSIBLE = frozenset({".js", ".css", ".svg", ".json", ".map"})
_LEVEL = 5
_LOADED_BEFORE = re.compile(rb'<link rel="preload"[^>]*>')


class Frontend:
    """Answers requests for marimo's files.

    Args:
        folder: Where they are, flat.
    """

    def __init__(self, folder: Path) -> None:
        self._files: Mapping[str, Path] = {file.name: file for file in folder.iterdir() if file.is_file()}
        self._compressed: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        name = str(scope["path"]).rpartition("/")[2]
        file = self._files.get(name)
        if scope["type"] != "http" or file is None or scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("there is no such file", 404)(scope, receive, send)
            return
        await self._answer(file, Headers(scope=scope))(scope, receive, send)

    def _answer(self, file: Path, asked: Headers) -> Response:
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if file.suffix not in _COMPRESSIBLE:
            return Response(file.read_bytes(), media_type=kind)
        varies = {"vary": "accept-encoding"}
        if "gzip" not in asked.get("accept-encoding", ""):
            return Response(file.read_bytes(), media_type=kind, headers=varies)
        body = self._compressed.get(file.name)
        if body is None:
            body = self._compressed[file.name] = gzip.compress(file.read_bytes(), _LEVEL, mtime=0)
        return Response(body, media_type=kind, headers=varies | {"content-encoding": "gzip"})


def frontend_of_marimo() -> Frontend:
    """Return marimo's files as they are installed."""
    import marimo

    return Frontend(Path(marimo.__file__).parent / "_static" / "assets")


def pointed_to(page: bytes, path: str) -> bytes:
    """Let a page of an app take marimo's files from a common path, such as `/apps/assets`, and none before it wants it.

    marimo lets every page load a megabyte of pictures and fonts at once, before its scripts; ours show none of them.
    """
    page = _LOADED_BEFORE.sub(b"", page)
    return page.replace(b'"./assets/', b'"' + path.encode() + b"/")
