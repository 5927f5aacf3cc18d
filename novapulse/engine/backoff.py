"""How long to wait before something that failed is tried again.

Invariant: the jitter is made from a name and a number, never drawn: the same life waits the same.
"""

import hashlib


class Backoff:
    """Waits that double from a least to a most, each shortened by up to half."""

    def __init__(self, least_s: float, most_s: float, name: str) -> None:
        """Begin with the least wait; `name` tells the jitter of one task from that of another."""
        self._least_s = least_s
        self._most_s = most_s
        self._name = name
        self.failures = 0

    def next_s(self) -> float:
        """Return how long to wait now, and count the failure."""
        whole = min(self._least_s * 2.0 ** min(self.failures, 60), self._most_s)
        self.failures += 1
        digest = hashlib.sha256(f"{self._name}\0{self.failures}".encode()).digest()
        return whole * (1.0 - int.from_bytes(digest[:4], "big") / 2**33)

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0
