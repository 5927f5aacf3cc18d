"""One page of the dashboards, looked at in Chromium and watched meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 90.0

KNOWN = ("Executing inline script violates the following Content Security Policy directive 'script-src 'self' 'nonce-",)
"""What may be said of a page once: marimo tries a script that our policy does not let run, and needs it for nothing."""

_DRAWN = """() => {
  const within = (root) => [...root.querySelectorAll("*")].flatMap(
    (one) => [one, ...(one.shadowRoot ? within(one.shadowRoot) : [])]);
  const asked = within(document).filter((one) => one.localName === "marimo-anywidget");
  const drawn = (one) => within(one.shadowRoot ?? one).find((part) => part.classList.contains("npw"));
  return asked.length > 0 && asked.map(drawn).every((one) => one
    && (!one.classList.contains("npw-hold") || one.querySelector("button")));
}"""
_CAME = ", ".join(f".outcome.{kind}" for kind in ("yes", "no", "doubt", "flat", "open"))
_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Looked:
    """A page that is open."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.excuses: tuple[str, ...] = ()
        self._address = address
        self._known = list(KNOWN)
        page.on("console", self._said)
        page.on("pageerror", lambda wrong: self.complaints.append(str(wrong)))
        page.on("request", lambda asked: self._asked(asked.url))
        page.on("websocket", lambda opened: self._asked(opened.url.replace("ws://", "http://", 1)))

    def _said(self, message: Any) -> None:
        if message.type != "error":
            return
        known = next((one for one in self._known if message.text.startswith(one)), None)
        if known is None:
            self.complaints.append(message.text)
        else:
            self._known.remove(known)

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self._address}/", "data:", "blob:")):
            self.complaints.append(f"asked for {url}")

    def wait_drawn(self) -> None:
        """Wait until every widget of the page is drawn."""
        self.page.wait_for_function(_DRAWN)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.page.evaluate(_OVERFLOW))

    def is_dark(self) -> bool:
        """Whether light stands on dark."""
        return bool(self.page.evaluate("() => document.body.classList.contains('dark')"))

    def widget(self, label: str) -> Any:
        """The widget of a label."""
        return self.page.locator(f'.npw[aria-label="{label}"]')

    def account(self, name: str) -> Any:
        """An account of the strip, such as "kraken · main"; or the "Trader"."""
        return self.widget("Trader and accounts").locator(".one", has=self.page.get_by_text(name, exact=True))

    def tile(self, label: str) -> Any:
        """The key figure of a label."""
        return self.page.locator(".npw-tiles .tile", has=self.page.locator(".label").get_by_text(label, exact=True))

    def holds(self) -> Any:
        """Every button that acts, but for those of the bar that is in reach on a phone."""
        return self.page.locator(".npw-hold:not(.compact) button")

    def hold(self, label: str, kind: str, times: int = 3) -> str:
        """Hold a button until what came of it is of this kind, and how that is headed.

        What the page does not know is pressed again.
        """
        widget = self.page.locator(f'.npw-hold:not(.compact)[aria-label="{label}"]')
        button = widget.locator("button:not(.away)")
        for _ in range(times):
            button.scroll_into_view_if_needed()
            button.hover()
            self.page.mouse.down()
            widget.locator("button.held").wait_for()
            widget.locator("button:not(.held):not(.away)").wait_for()
            self.page.mouse.up()
            came = widget.locator(_CAME)
            came.wait_for()
            classes = str(came.get_attribute("class")).split()
            if kind in classes:
                return str(widget.locator(".outcome strong").inner_text())
            assert {"doubt", "open"} & set(classes), f"instead of {kind}: {came.inner_text()}"
        raise AssertionError(f"held {times} times, it is not {kind}: {came.inner_text()}")

    def reach(self) -> Any:
        """The bar that keeps what cannot wait in reach on a phone."""
        return self.page.locator(".np-reach")


@contextmanager
def looking(
    context: Any, address: str, path: str, width: int = 1440, height: int = 900, mode: str = "light"
) -> Iterator[Looked]:
    """Open a page; it must not complain, and must not ask for anything from anywhere else."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=mode)
    looked = Looked(page, address)
    try:
        page.goto(f"{address}{path}")
        yield looked
    finally:
        page.close()
    complaints = [one for one in looked.complaints if not any(words in one for words in looked.excuses)]
    assert complaints == [], complaints
