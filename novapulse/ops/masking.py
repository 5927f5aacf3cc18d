"""Keeps secrets out of everything that is written down: by the name they stand under, and by their value.

Invariants:
- whoever reads a secret registers its value first; from then on it is masked wherever it appears, also inside other
  text, as JSON or Python writes it, encoded for a URL or in base64;
- a value under a name such as `api_key` or `password` is masked whatever it is;
- what is too short to be found without spoiling ordinary words is refused, not passed over.
"""

import base64
import json
import re
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

MASK = "***"
LENGTH_MIN = 6

_NAMES = "(?:secret|password|passwd|passphrase|token|credential|cookie|signature)s?|authorization|auth"
_PAIRS = "(?:api|private|secret|access)[ _-]?keys?|api[ _-]?sign"
_SCHEMES = "bearer|basic|token|digest|negotiate|apikey"
# A text within JSON within JSON has its quotes escaped, once or more.
_QUOTE = r"(?P<quote>\\*[\"'])"
_IN_TEXT = re.compile(
    rf"(?i)(?P<name>(?:\b|_)(?:{_NAMES}|{_PAIRS})(?:\\*[\"'])?\s*[:=]\s*)"
    rf"(?:{_QUOTE}.*?(?P=quote)|(?P<scheme>(?:{_SCHEMES})\s+)?[^\s,;&\"'}})\]]+|\\*[\"'][^\r\n]*)"
)
_COOKIES = re.compile(r"(?i)(\b(?:set-)?cookie:\s*)[^\r\n\"']+")
_IN_ADDRESS = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
_SECRET_NAME = re.compile(rf"(?:^|[_\s.-])(?:{_NAMES}|{_PAIRS})(?:$|[_\s.-])")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DEPTH_MAX = 8


class Secrets:
    """The values that must never be seen; safe to be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._is_new = False
        self._pattern: re.Pattern[str] | None = None

    def register(self, value: str) -> None:
        """Mask a value from now on; a key of several lines also line by line.

        Raises:
            ValueError: It is too short to be masked.
        """
        value = value.strip()
        if len(value) < LENGTH_MIN:
            raise ValueError(f"a secret of {len(value)} characters cannot be masked: expected at least {LENGTH_MIN}")
        lines = value.splitlines()
        parts = [value, *(line.strip() for line in lines if len(line.strip()) >= 2 * LENGTH_MIN and len(lines) > 1)]
        spellings = set().union(*map(_spellings, parts))
        with self._lock:
            # The pattern is made when something is masked next: many may be registered before.
            self._is_new = self._is_new or not spellings <= self._values
            self._values |= spellings

    def masked(self, text: str) -> str:
        """Return a text without the registered values."""
        pattern = self._found()
        return pattern.sub(MASK, text) if pattern else text

    def _found(self) -> re.Pattern[str] | None:
        if self._is_new:
            with self._lock:
                longest_first = sorted(self._values, key=lambda text: (-len(text), text))
                self._pattern = re.compile("|".join(map(re.escape, longest_first)))
                self._is_new = False
        return self._pattern

    def masked_text(self, text: str) -> str:
        """Return a text without the registered values, nor what stands behind `password=` or in `scheme://name:...@`."""
        text = _IN_ADDRESS.sub(rf"\1{MASK}", _COOKIES.sub(rf"\1{MASK}", self.masked(text)))
        return _IN_TEXT.sub(_hidden, text)

    def masked_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields without secrets, by name and by value, however deep."""
        return {self.masked(str(key)): self._field(key, value, 0) for key, value in values.items()}

    def _field(self, key: Any, value: Any, depth: int) -> Any:
        return MASK if isinstance(key, str) and is_secret_name(key) else self._anything(value, depth)

    def _anything(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value if self.masked(str(value)) == str(value) else MASK
        if isinstance(value, str):
            return self.masked_text(value)
        if depth < _DEPTH_MAX:
            if isinstance(value, Mapping):
                return {self.masked(str(k)): self._field(k, v, depth + 1) for k, v in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self._anything(one, depth + 1) for one in value]
        return self.masked_text(value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value))


def is_secret_name(name: str) -> bool:
    """Return whether what stands under a name is a secret: `api_key`, `apiKey`, `X-Auth-Token`."""
    return _SECRET_NAME.search(_HUMP.sub("_", name).lower()) is not None


SECRETS = Secrets()
"""The secrets of this process: whatever reads one registers it here."""


def _hidden(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['name']}{quote}{found['scheme'] or ''}{MASK}{quote}"


def _spellings(value: str) -> set[str]:
    plain = base64.b64encode(value.encode()).decode()
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {urllib.parse.quote(value, safe=""), urllib.parse.quote(value), urllib.parse.quote_plus(value)}
    forms |= {plain, plain.rstrip("="), base64.urlsafe_b64encode(value.encode()).decode()}
    return {form for form in forms if len(form) >= LENGTH_MIN}
