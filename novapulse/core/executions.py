"""The executions of one order: each counts once, until the venue takes it back.

Invariants:
- sums are the same in whatever order executions and busts become known, and however often;
- a provisional execution stands for the cumulative quantity in its id, and only for what the real ones do not cover.
"""

from novapulse.core.orders import Filled


def provisional_id(client_order_id: str, cumulative_units: int) -> str:
    """Return the id of the execution that stands in for unknown ones up to a cumulative quantity."""
    return f"inf:{client_order_id}:{cumulative_units}"


class Executions:
    """What is known to have been executed of one order.

    Attributes:
        fills: Venue trade id -> execution: all that are known, provisional ones and those taken back included.
        busted: Ids of executions that the venue took back, known here or not.
        conflicts: Ids that came with two contents.
        real_units: Sum of the real executions that stand.
        busted_units: Sum of those taken back: the venue's cumulative quantity may still have them.
        provisional_units: What rests on provisional ones alone.
    """

    __slots__ = ("_provisional", "busted", "busted_units", "conflicts", "fills", "provisional_units", "real_units")

    def __init__(self) -> None:
        self.fills: dict[str, Filled] = {}
        self.busted: set[str] = set()
        self.conflicts: set[str] = set()
        self.real_units = 0
        self.busted_units = 0
        self.provisional_units = 0
        self._provisional: list[tuple[int, Filled]] = []

    @property
    def filled_units(self) -> int:
        """What counts as executed."""
        return self.real_units + self.provisional_units

    @property
    def covered_units(self) -> int:
        """How far the executions reach into the venue's cumulative quantity: what was taken back included."""
        return self.real_units + self.busted_units + self.provisional_units

    def add(self, fill: Filled) -> bool:
        """Take in an execution; False when it says nothing new.

        Of two contents under one id the one with the larger quantity counts, and the conflict is kept. What moves no
        money (times, liquidity, reason) stays as it came first.
        """
        known = self.fills.get(fill.venue_trade_id)
        if known is None:
            self.fills[fill.venue_trade_id] = fill
            self._count(fill, 1)
            self._stand_in()
            return True
        if known == fill:
            return False
        if known == fill or _money(known) == _money(fill):
            return False
        is_first = fill.venue_trade_id not in self.conflicts
        self.conflicts.add(fill.venue_trade_id)
        if _money(fill) < _money(known):
            return is_first
        self._count(known, -1)
        self.fills[fill.venue_trade_id] = fill
        self._count(fill, 1)
        self._stand_in()
        return True

    def bust(self, venue_trade_id: str) -> bool:
        """Take an execution back; False when it was taken back already."""
        if venue_trade_id in self.busted:
            return False
        fill = self.fills.get(venue_trade_id)
        if fill is not None:
            self._count(fill, -1)
        self.busted.add(venue_trade_id)
        if fill is not None:
            self._count(fill, 1)
        self._stand_in()
        return True

    def counted(self) -> tuple[Filled, ...]:
        """Return the real executions that stand, in the venue's order."""
        real = (fill for name, fill in self.fills.items() if not fill.provisional and name not in self.busted)
        return tuple(sorted(real, key=lambda fill: (fill.ts_event_ns, fill.venue_trade_id)))

    def provisional_share(self, units: int) -> tuple[int, int]:
        """Return cash and fee units of the next provisional quantity that real executions take the place of.

        Args:
            units: Quantity of the real execution, at most `provisional_units`.
        """
        cash = fee = 0
        reached = self.real_units + self.busted_units
        for first, fill in self._provisional:
            low = max(reached, first)
            high = min(low + units, first + fill.qty_units)
            if high <= low:
                continue
            cash += _share(fill.cash_units, fill.qty_units, low - first, high - first)
            fee += _share(fill.fee_units, fill.qty_units, low - first, high - first)
            units -= high - low
        return cash, fee

    def _count(self, fill: Filled, sign: int) -> None:
        busted = fill.venue_trade_id in self.busted
        if busted:
            self.busted_units += sign * fill.qty_units
        elif fill.provisional:
            entry = (int(fill.venue_trade_id.rpartition(":")[2]) - fill.qty_units, fill)
            if sign > 0:
                self._provisional.append(entry)
                self._provisional.sort(key=lambda each: (each[0] + each[1].qty_units, each[0]))
            else:
                self._provisional.remove(entry)
        else:
            self.real_units += sign * fill.qty_units

    def _stand_in(self) -> None:
        reached = self.real_units + self.busted_units
        total = 0
        for first, fill in self._provisional:
            end = first + fill.qty_units
            total += max(0, end - max(reached, first))
            reached = max(reached, end)
        self.provisional_units = total


def _money(fill: Filled) -> tuple[int | str | bool, ...]:
    # Everything that moves money; the larger quantity first, so that of two versions it counts.
    amounts = (fill.qty_units, fill.cash_units, fill.price_units, fill.fee_units, int(fill.side))
    return (*amounts, fill.instrument.exchange, fill.instrument.symbol, not fill.provisional)


def _share(total: int, qty_units: int, first: int, last: int) -> int:
    return total * last // qty_units - total * first // qty_units
