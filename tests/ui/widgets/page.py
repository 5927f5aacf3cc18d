"""A page of this machine that holds widgets as marimo does: each in a shadow root, under a strict security policy.

The model is a stand-in: what Python would send is delivered with `tell`, what a widget says back is in `said`.
"""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import novapulse.ui
from novapulse.ui.widgets import Live

ORIGIN = "http://nova.test"
CSS = (Path(novapulse.ui.__file__).parent / "desk.css").read_text("utf-8")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self'"

HTML = """<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>widgets</title><link rel="stylesheet" href="/desk.css"><link rel="icon" href="/icon">
<script src="/mount.js"></script>
<style>body { margin: 0; padding: 14px; } #all { display: grid; gap: 14px; }</style></head>
<body><div id="all"></div></body></html>"""

MOUNT = (Path(__file__).parent / "mount.js").read_text("utf-8")


class WidgetPage:
    """One browser page; widgets are added, told things and looked at."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_page(viewport={"width": 1440, "height": 900})
        self.problems: list[str] = []
        self.answers: dict[str, Callable[[Any], None]] = {}
        self._files: dict[str, tuple[str, str]] = {
            "/": (HTML, "text/html"),
            "/mount.js": (MOUNT, "text/javascript"),
            "/desk.css": (CSS, "text/css"),
            "/icon": ("", "image/png"),
        }
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.route("**/*", self._answer)
        self.page.goto(f"{ORIGIN}/")

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def _answer(self, route: Any) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path in self.answers:
            self.answers[path](route)
        elif path in self._files:
            body, kind = self._files[path]
            route.fulfill(body=body, content_type=kind, headers={"Content-Security-Policy": POLICY})
        else:
            self.problems.append(f"asked for {route.request.url}")
            route.abort()

    def add(self, name: str, widget: Live, **traits: Any) -> None:
        """Draw a widget, with its traits as Python set them."""
        self._files |= {
            f"/{name}.js": (widget._esm, "text/javascript"),
            f"/{name}.css": (widget._css, "text/css"),
        }
        shown = {key: value for key, value in widget.get_state().items() if not key.startswith("_")}
        self.page.evaluate(
            "(args) => window.mount(...args)", [name, f"/{name}.js", f"/{name}.css", plain({**shown, **traits})]
        )

    def change(self, name: str, trait: str, value: Any) -> None:
        """Give a widget another value of a trait."""
        self.page.evaluate("([name, trait, value]) => models[name].change(trait, value)", [name, trait, plain(value)])

    def clear(self) -> None:
        """Close all widgets, and take the pointer away from where they were."""
        self.page.mouse.move(0, 0)
        self.page.evaluate(
            "() => { for (const model of Object.values(models)) model.close?.();"
            " models = {}; document.getElementById('all').replaceChildren(); }"
        )
        self.answers = {}

    def send(self, name: str, message: Mapping[str, Any]) -> None:
        """Deliver a message of Python's to a widget."""
        self.page.evaluate("([name, message]) => models[name].fire('msg:custom', message)", [name, plain(message)])

    def tell(self, name: str, state: Mapping[str, Any], seq: int = 1, age_ms: int = 0) -> None:
        """Deliver a state."""
        self.send(name, {"type": "state", "seq": seq, "age_ms": age_ms, "state": state})

    def look(self, width: int, height: int, mode: str) -> None:
        """Make the page as wide as a desk or a phone, light or dark."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", mode == "dark")

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the screen."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))


def plain(value: Any) -> Any:
    """Return what a page can be handed: bytes become base64, tuples lists."""
    return json.loads(json.dumps(value, default=_as_text))


def _as_text(value: Any) -> Any:
    return {"base64": base64.b64encode(bytes(value)).decode()} if isinstance(value, bytes | memoryview) else str(value)
