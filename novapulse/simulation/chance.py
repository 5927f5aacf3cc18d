"""Chance as a function: hash(seed, site, how often it was asked there). Nothing here keeps a generator's state.

Invariants:
- the same seed asked the same questions at each site gives the same answers, whatever other sites ask;
- a site that is asked once more or once less changes no other site.
"""

import hashlib

_MASK = (1 << 64) - 1
_ROLLS = 2.0**53
_STEP = 0x9E3779B97F4A7C15
"""Between two throws of a site: that of splitmix64."""


class Chance:
    """The dice of one seed."""

    def __init__(self, seed: int) -> None:
        """Begin at the first throw of every site."""
        self.seed = seed
        self._sites: dict[str, int] = {}

    def bits(self, site: str) -> int:
        """Return the next 64 bits of a site."""
        value = self._sites.get(site)
        if value is None:
            digest = hashlib.blake2b(f"{self.seed}\0{site}".encode(), digest_size=8).digest()
            value = int.from_bytes(digest, "big")
        self._sites[site] = (value + _STEP) & _MASK
        # The finalizer of splitmix64: every bit of the input reaches every bit of the output.
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        return value ^ (value >> 31)

    def roll(self, site: str) -> float:
        """Return the next number of a site in [0, 1)."""
        return (self.bits(site) >> 11) / _ROLLS

    def happens(self, site: str, probability: float) -> bool:
        """Tell whether something of a probability happens this time."""
        return probability > 0.0 and self.bits(site) >> 11 < probability * _ROLLS

    def between(self, site: str, low: int, high: int) -> int:
        """Return a whole number in [low, high]."""
        return low + self.bits(site) % (high - low + 1)
