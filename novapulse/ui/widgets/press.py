"""The button that Python hears."""

from collections.abc import Callable
from typing import Any

import traitlets

from novapulse.ui.widgets.assets import asset
from novapulse.ui.widgets.live import Live


class Press(Live):
    """A button that is there only while it stands for something; `show` says what for.

    State: `text`, what stands on it; empty for no button.
    """

    _esm, _css = asset("press.js"), asset("press.css")
    framed = traitlets.Bool(False).tag(sync=True)
    stale_s = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, on_press: Callable[[], object], **shown: Any) -> None:
        """Begin without a button.

        Args:
            on_press: Called once for each press, while there is a button.
            shown: Traits.
        """
        self._on_press = on_press
        super().__init__(**shown)

    def show(self, text: str) -> None:
        """Show the button with a text, or none for an empty one."""
        self.show_state({"text": text})

    def _heard(self, sender: object, content: object, buffers: object) -> None:
        super()._heard(sender, content, buffers)
        # A page may send what it shows no button for.
        if isinstance(content, dict) and content.get("type") == "pressed" and self.state.get("text"):
            self._on_press()
