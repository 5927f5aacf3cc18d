"""Text on its way into a page of a notebook."""

import html

from novapulse.research.tearsheet.words import unparted


def escape(text: str) -> str:
    """Return a text as markup that says just that; its figures are not parted from their units."""
    return html.escape(unparted(text))
