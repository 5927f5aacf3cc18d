"""The brand, configured once: what pages, reports and shared pictures call themselves, and the mark they carry."""

NAME = "NovaPulse"
WORDMARK = "Nova<b>Pulse</b>"
"""The name as HTML."""

MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#2563eb"/>'
    '<path d="M5 18h6l3-9 5 15 3-9h5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>\n'
)
"""The mark as SVG: icon of pages, and of whatever is shared."""

WATERMARK = f"Made by {NAME}"
"""What stands on what leaves the house."""
