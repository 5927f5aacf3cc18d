"""The built scripts and styles of the widgets, as text.

Invariants:
- what is read is what `just assets` built: assets/manifest.json names the SHA-256 of every file and of its sources;
- a widget gets its script as text, never as a path: a path would be watched for changes, and the watcher would keep
  every widget of every session for ever.
"""

from functools import cache
from importlib.resources import files


@cache
def asset(name: str) -> str:
    """Return the text of a built file.

    Args:
        name: Such as `tiles.js`.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return (files("novapulse.ui.widgets") / "assets" / name).read_text("utf-8")
