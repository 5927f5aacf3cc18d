"""marimo's own scripts, styles and fonts: one address for all apps, compressed once.

marimo serves them below every app. A browser takes another address for another file, and would fetch and compile six
megabytes again for each app it opens. They are public files of a package, so no session is asked for.

A page of marimo loads some 290 scripts before it draws anything. `just marimo-files` joins them into one, which lies in
`marimo_files`; each of them is still to be had under its own name, and passes on what the joined one holds. Where
another marimo is installed than the one that was joined, pages load marimo's own scripts, one by one.
"""

import gzip
import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

_COMPRESSIBLE = frozenset({".js", ".css", ".svg", ".json", ".map"})
_LEVEL = 5
_LOADED_BEFORE = re.compile(rb'<link rel="preload"[^>]*>')
_SCRIPT_BEFORE = re.compile(rb'\s*<link rel="modulepreload"[^>]*>')


@dataclass(frozen=True, slots=True)
class Joined:
    """The scripts of a page in one.

    Attributes:
        script: Name of the file.
        packed: What is in it, by gzip.
        entry: The script that a page of marimo begins with, and this one stands for.
        styles: Style sheets that a page of an app would ask for later.
        parts: The scripts that are in it, each as one that passes its names on.
    """

    script: str
    packed: bytes
    entry: str
    styles: tuple[str, ...]
    parts: Mapping[str, bytes]

    def pointed(self, page: bytes) -> bytes:
        """Return a page of marimo that loads this script in place of all that are in it."""
        page = _SCRIPT_BEFORE.sub(b"", page)
        page = page.replace(f'"./assets/{self.entry}"'.encode(), f'"./assets/{self.script}"'.encode())
        links = "".join(f'<link rel="stylesheet" crossorigin href="./assets/{name}">' for name in self.styles)
        return page.replace(b"</head>", f"{links}</head>".encode(), 1)


class Frontend:
    """Answers requests for marimo's files.

    Args:
        folder: Where they are, flat.
        joined: What a page loads in place of many of them; None for nothing.
    """

    def __init__(self, folder: Path, joined: Joined | None = None) -> None:
        self.joined = joined
        self._files: Mapping[str, Path] = {file.name: file for file in folder.iterdir() if file.is_file()}
        self._parts = joined.parts if joined else {}
        self._compressed = {joined.script: joined.packed} if joined else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        name = str(scope["path"]).rpartition("/")[2]
        is_there = name in self._files or name in self._compressed
        if scope["type"] != "http" or not is_there or scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("there is no such file", 404)(scope, receive, send)
            return
        await self._answer(name, Headers(scope=scope))(scope, receive, send)

    def _answer(self, name: str, asked: Headers) -> Response:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if Path(name).suffix not in _COMPRESSIBLE:
            return Response(self._content(name), media_type=kind)
        varies = {"vary": "accept-encoding"}
        if "gzip" not in asked.get("accept-encoding", ""):
            return Response(self._content(name), media_type=kind, headers=varies)
        body = self._compressed.get(name)
        if body is None:
            body = self._compressed[name] = gzip.compress(self._content(name), _LEVEL, mtime=0)
        return Response(body, media_type=kind, headers=varies | {"content-encoding": "gzip"})

    def _content(self, name: str) -> bytes:
        if name in self._parts:
            return self._parts[name]
        return self._files[name].read_bytes() if name in self._files else gzip.decompress(self._compressed[name])


def frontend_of_marimo() -> Frontend:
    """Return marimo's files as they are installed, with the joined script where it was made of these."""
    import marimo

    installed = Path(marimo.__file__).parent / "_static"
    return Frontend(installed / "assets", joined_of((installed / "index.html").read_bytes()))


def joined_of(page: bytes) -> Joined | None:
    """Return the joined script of marimo's page; None where it was made of another marimo.

    Args:
        page: As it is in the package: it names its scripts, whose names hold their content.
    """
    folder = files("novapulse.server") / "marimo_files"
    told = json.loads((folder / "joined.json").read_text("utf-8"))
    if told["page"] != sha256(page).hexdigest():
        return None
    script, exported = told["script"], told["exported"]
    parts = {name: _passing_on(number, exported[name], script) for number, name in enumerate(sorted(exported))}
    packed = (folder / f"{script}.gz").read_bytes()
    return Joined(script, packed, told["entry"], tuple(told["styles"]), parts)


def _passing_on(number: int, names: list[str], script: str) -> bytes:
    return f"export{{{','.join(f'm{number}_{name} as {name}' for name in names)}}}from'./{script}';\n".encode()


def pointed_to(page: bytes, path: str, joined: Joined | None = None) -> bytes:
    """Let a page of an app take marimo's files from a common path, such as `/apps/assets`, and none before it wants it.

    marimo lets every page load a megabyte of pictures and fonts at once, before its scripts; ours show none of them.

    Args:
        page: As marimo answers it.
        path: Where its files are.
        joined: What it loads in place of many of them; None for nothing.
    """
    page = _LOADED_BEFORE.sub(b"", page)
    if joined is not None:
        page = joined.pointed(page)
    return page.replace(b'"./assets/', b'"' + path.encode() + b"/")
