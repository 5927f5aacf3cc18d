"""The terms of one order: what was asked, what was agreed, what the venue shows.

Invariants:
- an amendment is agreed when the venue took it, or shows its terms; a later one that is agreed supersedes it;
- while one is open, risk is counted at the larger quantity;
- the quantity of a bracket is the venue's to say: it follows the position.
"""

from novapulse.core.orders import Terms


class Amendments:
    """What is known about the terms of one order.

    Attributes:
        asked: Number -> terms that an amendment asks for.
        done: Numbers that the venue took.
        refused: Numbers that it refused.
    """

    __slots__ = ("_first_ns", "_last_ns", "_shown", "asked", "base", "done", "follows_position", "refused")

    def __init__(self) -> None:
        self.base: Terms | None = None
        self.follows_position = False
        self.asked: dict[int, Terms] = {}
        self.done: set[int] = set()
        self.refused: set[int] = set()
        self._first_ns: dict[Terms, int] = {}
        self._last_ns: dict[Terms, int] = {}
        self._shown: tuple[Terms, int, int] | None = None

    def show(self, terms: Terms, ts_ns: int) -> bool:
        """Take in terms that the venue shows; False when that is known."""
        # Nearly always they are the very terms that were shown last.
        if self._shown is not None and self._shown[0] is terms and self._shown[1] <= ts_ns <= self._shown[2]:
            return False
        first, last = self._first_ns.get(terms, ts_ns), self._last_ns.get(terms, ts_ns)
        is_news = terms not in self._last_ns or not first <= ts_ns <= last
        self._first_ns[terms], self._last_ns[terms] = first, last = min(first, ts_ns), max(last, ts_ns)
        self._shown = (terms, first, last)
        return is_news

    def agreed_number(self) -> int:
        """Return the number of the last amendment that is agreed; 0 for none."""
        return max((k for k in self.asked if k in self.done or (self._last_ns and self._is_shown(k))), default=0)

    def open_numbers(self) -> list[int]:
        """Return the numbers of the amendments that may still be agreed."""
        if not self.asked:
            return []
        agreed = self.agreed_number()
        return [number for number in self.asked if number > agreed and number not in self.refused]

    def terms(self) -> Terms:
        """Return the terms in force, as far as they are known."""
        agreed = self.agreed_number() if self.asked else 0
        ours = self._of(agreed)
        if not self._last_ns:
            return ours
        shown = self._latest()
        if self._matches(shown, ours):
            return shown if self.follows_position else ours
        asked = any(self._matches(shown, self._of(number)) for number in (0, *self.asked))
        newer = max((ns for terms, ns in self._last_ns.items() if self._matches(terms, ours)), default=None)
        if not asked and (agreed == 0 or (newer is not None and newer < self._last_ns[shown])):
            return shown
        if self.follows_position:
            return Terms(shown.qty_units, ours.limit_units, ours.stop_units, ours.target_units)
        return ours

    def worst_units(self) -> int:
        """Return the largest quantity that may be in force now."""
        return max([self.terms().qty_units, *(self.asked[number].qty_units for number in self.open_numbers())])

    def most_units(self) -> int:
        """Return the largest quantity that was ever legitimate: more than that was never asked for."""
        agreed = self.agreed_number() if self.asked else 0
        legitimate = [terms.qty_units for k, terms in self.asked.items() if k <= agreed or k not in self.refused]
        shown = [terms.qty_units for terms in self._last_ns] if self.follows_position else []
        return max([self._of(0).qty_units, *legitimate, *shown])

    def shown_units(self) -> int:
        """Return the largest quantity that the venue ever showed; 0 when it showed none."""
        return max((terms.qty_units for terms in self._last_ns), default=0)

    def _of(self, number: int) -> Terms:
        if number:
            return self.asked[number]
        assert self.base is not None, "the terms of an order that was never intended"
        return self.base

    def _latest(self) -> Terms:
        return max(self._last_ns, key=lambda terms: (self._last_ns[terms], _sortable(terms)))

    def _matches(self, shown: Terms, asked: Terms) -> bool:
        if self.follows_position:
            return _sortable(shown)[1:] == _sortable(asked)[1:]
        return shown == asked

    def _is_shown(self, number: int) -> bool:
        # Terms that were in force before prove nothing, unless the venue showed others in between.
        wanted = self.asked[number]
        last = max((ns for terms, ns in self._last_ns.items() if self._matches(terms, wanted)), default=None)
        if last is None or self.base is None:
            return False
        earlier = [k for k in (0, *self.asked) if k < number and self._matches(self._of(k), wanted)]
        if not earlier:
            return True
        between = [self.asked[k] for k in self.asked if max(earlier) < k < number]
        first = min(
            (ns for terms, ns in self._first_ns.items() if any(self._matches(terms, each) for each in between)),
            default=last,
        )
        return first < last


def _sortable(terms: Terms) -> tuple[int, int, int, int]:
    return terms.qty_units, terms.limit_units, terms.stop_units, terms.target_units
