"""The breakers of one account: measurements in, restrictions out.

Invariants:
- a measurement is a number, or None where it could not be taken: unknown is never zero, never clears anything, and
  trips whatever must not trade blindly;
- a breaker that has tripped stays so until its value has come back to its clear level and its minimum time since the
  last bad value is over; one that is latched stays until an operator has ended it. Every halt is latched;
- the mode is the strictest of what the operator asked for and what is tripped: it loosens by a `Cleared` or by the
  operator, never by itself;
- what is measured of one instrument blocks entries of that instrument and nothing else;
- `state` and `restore` keep every bit.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import JSON, Record, Severity
from novapulse.core.records import Mode
from novapulse.engine.breaker_table import MEASURES, WINDOWS, Breaker, breakers_of
from novapulse.engine.settings import BreakerSettings

_SECOND_NS = 1_000_000_000
_DIGITS_MAX = 6

MODE_TEXT: dict[Mode, str] = {
    Mode.NORMAL: "normal",
    Mode.PAUSED: "paused",
    Mode.REDUCE_ONLY: "reduce only",
    Mode.HALTED: "halted",
}


class BreakerError(ValueError):
    """A measurement, a verb or a state that these breakers do not know."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """A breaker has tripped.

    Attributes:
        ts_ns: When.
        name: Of the breaker.
        instrument: Whose entries it blocks; None when it restricts the account.
        effect: What the account may do meanwhile.
        value: What was measured; None for unknown.
        text: What happened, in words.
    """

    ts_ns: int
    name: str
    instrument: InstrumentKey | None
    effect: Mode
    value: float | None
    text: str

    @property
    def severity(self) -> Severity:
        """How loud people are told."""
        return Severity.CRITICAL if self.effect == Mode.HALTED else Severity.WARNING

    def record(self) -> Record:
        """Return what the ledger keeps."""
        return Record("breaker_tripped", self.ts_ns, _body(self))


@dataclass(frozen=True, slots=True)
class Cleared:
    """A breaker restricts nothing any more. `by_operator` says who ended it; the rest as in `Tripped`."""

    ts_ns: int
    name: str
    instrument: InstrumentKey | None
    effect: Mode
    value: float | None
    text: str
    by_operator: bool = False

    def record(self) -> Record:
        """Return what the ledger keeps."""
        return Record("breaker_cleared", self.ts_ns, {**_body(self), "by_operator": self.by_operator})


Change = Tripped | Cleared


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What became of an operator's word: whether it was done, why not or what remains, and what it changed."""

    done: bool
    text: str
    changes: tuple[Change, ...] = ()


@dataclass(slots=True)
class _Trip:
    since_ns: int
    bad_ns: int  # the last bad value
    value: float | None


_Key = tuple[str, InstrumentKey | None]

_OPERATOR_MODES = {"pause": Mode.PAUSED, "reduce_only": Mode.REDUCE_ONLY, "halt": Mode.HALTED}
OPERATOR_VERBS = (*_OPERATOR_MODES, "resume", "resume_from_halt")


class Breakers:
    """All breakers of one account.

    Attributes:
        measured: The last value of everything that was measured of the account itself; None for unknown.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._breakers: dict[str, Breaker] = {}
        self._driven: dict[str, list[Breaker]] = {}
        self.use(settings)
        self._windows_ns = {name: round(getattr(settings, f"{name}_window_s") * _SECOND_NS) for name in WINDOWS}
        self._operator = Mode.NORMAL
        self._trips: dict[_Key, _Trip] = {}
        self._excused: set[_Key] = set()
        self._seen: dict[tuple[str, str], deque[int]] = {}
        self.measured: dict[str, float | None] = {}

    def use(self, settings: BreakerSettings) -> None:
        """Go by other levels from the next measurement on; what has tripped stays so until it clears by them.

        Args:
            settings: With the windows and the maxima of what is counted as they were.
        """
        self._breakers = {breaker.name: breaker for breaker in breakers_of(settings)}
        self._driven = {name: [] for name in MEASURES}
        for breaker in self._breakers.values():
            self._driven[breaker.measure].append(breaker)

    @property
    def mode(self) -> Mode:
        """What the account may do."""
        effects = (self._breakers[name].effect for name, instrument in self._trips if instrument is None)
        return max([self._operator, *effects])

    @property
    def operator_mode(self) -> Mode:
        """What the operator asked for."""
        return self._operator

    def measure(
        self, ts_ns: int, name: str, value: float | None, instrument: InstrumentKey | None = None
    ) -> list[Change]:
        """Take note of a measurement.

        Args:
            ts_ns: Now.
            name: What was measured, one of `MEASURES`.
            value: In the unit of its breakers; None (or NaN) where it could not be measured.
            instrument: Whose it is; None for the account.

        Returns:
            What it tripped and cleared.

        Raises:
            BreakerError: Nobody knows the name.
        """
        if value is not None and math.isnan(value):
            value = None
        if name not in self._driven:
            raise BreakerError(f"measurement {name!r}: expected one of {', '.join(MEASURES)}")
        if instrument is None:
            self.measured[name] = value
        changes = []
        for breaker in self._driven[name]:
            change = self._judged(breaker, ts_ns, value, instrument)
            if change is not None:
                changes.append(change)
        return changes

    def happened(self, ts_ns: int, name: str, subject: str = "") -> list[Change]:
        """Count something that is limited per time: `rejects`, `orders` or `task_failures` (subject: which task).

        Raises:
            BreakerError: Such things are not counted.
        """
        if name not in self._windows_ns:
            raise BreakerError(f"{name!r} is not counted: expected one of {', '.join(self._windows_ns)}")
        self._seen.setdefault((name, subject), deque(maxlen=self._kept(name))).append(ts_ns)
        return self._counted(ts_ns, name)

    def tick(self, ts_ns: int) -> list[Change]:
        """Let time pass: counts fall, and what is good again clears when its minimum time is over."""
        nothing_is_on = not (self._seen or self._trips or self._excused)
        if nothing_is_on and all(self.measured.get(name) == 0.0 for name in self._windows_ns):
            return []
        changes = [change for name in self._windows_ns for change in self._counted(ts_ns, name)]
        for (name, instrument), trip in list(self._trips.items()):
            breaker = self._breakers[name]
            if breaker.time_min_s > 0.0 and trip.value is not None and breaker.is_clear(trip.value):
                change = self._judged(breaker, ts_ns, trip.value, instrument)
                changes += [change] if change is not None else []
        return changes

    def blocks(self, instrument: InstrumentKey) -> str | None:
        """Return why an instrument may not be entered, or None. What restricts the whole account is in `mode`."""
        if not self._trips:
            return None
        texts = [
            self._text(self._breakers[name], of, trip.value)
            for (name, of), trip in self._trips.items()
            if of == instrument and self._breakers[name].effect != Mode.NORMAL
        ]
        return "; ".join(texts) or None

    def why(self, name: str) -> str | None:
        """Return in words why a breaker of the account is tripped; None while it is not."""
        trip = self._trips.get((name, None))
        return None if trip is None else self._text(self._breakers[name], None, trip.value)

    def reasons(self) -> list[str]:
        """Return everything that restricts or worries, in words, the strictest first."""
        own = [] if self._operator == Mode.NORMAL else [(self._operator, f"the operator: {MODE_TEXT[self._operator]}")]
        trips = [
            (self._breakers[name].effect, self._text(self._breakers[name], instrument, trip.value))
            for (name, instrument), trip in self._trips.items()
        ]
        return [text for _, text in sorted(own + trips, key=lambda reason: -reason[0])]

    def operator(self, ts_ns: int, verb: str) -> Obeyed:
        """Obey an operator.

        `pause`, `reduce_only` and `halt` only ever tighten. `resume` takes them back and ends latched breakers; it is
        refused while the account is halted, which only `resume_from_halt` ends. A breaker that was ended although its
        value is still bad trips again only after the value has been good; milder breakers of that value stay.

        Raises:
            BreakerError: Nobody knows the verb.
        """
        if verb in _OPERATOR_MODES:
            self._operator = max(self._operator, _OPERATOR_MODES[verb])
            return Obeyed(True, self._now_text())
        if verb not in OPERATOR_VERBS:
            raise BreakerError(f"verb {verb!r}: expected one of {', '.join(OPERATOR_VERBS)}")
        halted = self.mode == Mode.HALTED
        if verb == "resume" and halted:
            return Obeyed(False, f"{self._now_text()}: resume does not end a halt, resume-from-halt does")
        if verb == "resume_from_halt" and not halted:
            return Obeyed(False, f"there is no halt to resume from: {self._now_text()}")
        self._operator = Mode.NORMAL
        latched = [key for key in self._trips if self._breakers[key[0]].latched]
        changes = tuple(self._ended(ts_ns, key) for key in latched)
        return Obeyed(True, self._now_text(), changes)

    def forget(self, ts_ns: int, instrument: InstrumentKey) -> list[Change]:
        """End what restricts an instrument that is not traded any more, and return that."""
        self._excused = {key for key in self._excused if key[1] != instrument}
        changes: list[Change] = []
        for key in [key for key in self._trips if key[1] == instrument]:
            trip, breaker = self._trips.pop(key), self._breakers[key[0]]
            text = f"{_whose(breaker, instrument)} does not matter: it is not traded any more"
            changes.append(Cleared(ts_ns, breaker.name, instrument, breaker.effect, trip.value, text))
        return changes

    def state(self) -> dict[str, JSON]:
        """Return everything that `restore` needs, as JSON without floats."""
        return {
            "operator": int(self._operator),
            "trips": [
                [*_spelled(key), trip.since_ns, trip.bad_ns, _hex(trip.value)] for key, trip in self._trips.items()
            ],
            "excused": sorted((_spelled(key) for key in self._excused), key=str),
            "seen": [[name, subject, list(times)] for (name, subject), times in self._seen.items()],
        }

    def restore(self, state: Mapping[str, JSON]) -> None:
        """Go on from a state.

        Raises:
            BreakerError: It is no state of these breakers; nothing was changed.
        """
        try:
            operator = Mode(state["operator"])
            trips = {
                self._key(name, exchange, symbol): _Trip(int(since), int(bad), _unhex(value))
                for name, exchange, symbol, since, bad, value in state["trips"]
            }
            excused = {self._key(*spelled) for spelled in state["excused"]}
            seen = {
                (str(name), str(subject)): [int(time) for time in times]
                for name, subject, times in state["seen"]
                if name in self._windows_ns or _refuse(f"{name!r} is not counted")
            }
        except (KeyError, TypeError, ValueError) as wrong:
            raise BreakerError(f"this is no state of the breakers: {wrong}") from wrong
        self._operator, self._trips, self._excused = operator, trips, excused
        self._seen = {(name, subject): deque(times, maxlen=self._kept(name)) for (name, subject), times in seen.items()}

    def _judged(
        self, breaker: Breaker, ts_ns: int, value: float | None, instrument: InstrumentKey | None
    ) -> Change | None:
        bad = breaker.unknown_trips if value is None else breaker.is_bad(value)
        if not (bad or self._trips or self._excused):
            return None
        key = (breaker.name, instrument)
        good = value is not None and breaker.is_clear(value)
        trip = self._trips.get(key)
        if good:
            self._excused.discard(key)
        if trip is None:
            if not bad or key in self._excused:
                return None
            self._trips[key] = _Trip(ts_ns, ts_ns, value)
            text = self._text(breaker, instrument, value)
            return Tripped(ts_ns, breaker.name, instrument, breaker.effect, value, text)
        # A clock that was ahead has left a moment that is still to come: it counts as now.
        trip.bad_ns = ts_ns if bad else min(trip.bad_ns, ts_ns)
        trip.value = value if value is not None or bad else trip.value
        is_over = ts_ns - trip.bad_ns >= round(breaker.time_min_s * _SECOND_NS)
        if breaker.latched or not good or not is_over:
            return None
        del self._trips[key]
        text = f"{_whose(breaker, instrument)} is {_shown(value, breaker.unit)} again"
        return Cleared(ts_ns, breaker.name, instrument, breaker.effect, value, text)

    def _ended(self, ts_ns: int, key: _Key) -> Cleared:
        trip, breaker = self._trips.pop(key), self._breakers[key[0]]
        if trip.value is None or not breaker.is_clear(trip.value):
            self._excused.add(key)
        text = f"{breaker.name} was ended by the operator: {self._text(breaker, key[1], trip.value)}"
        return Cleared(ts_ns, breaker.name, key[1], breaker.effect, trip.value, text, by_operator=True)

    def _counted(self, ts_ns: int, name: str) -> list[Change]:
        most = 0
        for key in [key for key in self._seen if key[0] == name]:
            times = self._seen[key]
            while times and ts_ns - times[0] >= self._windows_ns[name]:
                times.popleft()
            most = max(most, len(times))
            if not times:
                del self._seen[key]
        return self.measure(ts_ns, name, float(most))

    def _kept(self, name: str) -> int:
        # One more than the limit is as good as any number above it: what is kept is bounded.
        return max(int(breaker.trip) for breaker in self._driven[name]) + 1

    def _key(self, name: str, exchange: str | None, symbol: str | None) -> _Key:
        if name not in self._breakers:
            _refuse(f"there is no breaker {name!r}")
        return name, None if exchange is None or symbol is None else InstrumentKey(exchange, symbol)

    def _now_text(self) -> str:
        why = "; ".join(self.reasons())
        return f"{MODE_TEXT[self.mode]}{f' ({why})' if why else ''}"

    def _text(self, breaker: Breaker, instrument: InstrumentKey | None, value: float | None) -> str:
        subject = _whose(breaker, instrument)
        if value is None:
            return f"{subject} is unknown"
        limit, shown = _figure(breaker.trip, breaker.unit, _DIGITS_MAX), _shown(value, breaker.unit, breaker.trip)
        if not breaker.is_bad(value):
            return f"{subject} was beyond {limit} and is {shown}"
        over = "beyond" if breaker.magnitude else "below" if breaker.below else "above"
        side = "at" if breaker.reaching and value == breaker.trip else over
        return f"{subject} is {shown}, {side} {limit}"


def _whose(breaker: Breaker, instrument: InstrumentKey | None) -> str:
    return breaker.subject if instrument is None else f"{breaker.subject} of {instrument}"


def _shown(value: float | None, unit: str, limit: float | None = None) -> str:
    """Show three digits of a value, and as many more as tell it from a limit."""
    if value is None:
        return "unknown"
    texts = [_figure(value, unit, digits) for digits in range(3, _DIGITS_MAX + 1)]
    at = None if limit is None or limit == value else _figure(limit, unit, _DIGITS_MAX)
    return next((text for text in texts if text != at), texts[-1])


def _figure(value: float, unit: str, digits: int) -> str:
    number, suffix = (value * 100, " %") if unit == "%" else (value, unit)
    if number == 0 or not math.isfinite(number):
        return f"{number:g}{suffix}"
    text = f"{number:,.{max(0, digits - 1 - math.floor(math.log10(abs(number))))}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{suffix}"


def _body(change: Change) -> dict[str, JSON]:
    instrument = change.instrument
    return {
        "name": change.name,
        "instrument": None if instrument is None else [instrument.exchange, instrument.symbol],
        "effect": change.effect.name.lower(),
        "value": _hex(change.value),
        "text": change.text,
    }


def _spelled(key: _Key) -> list[str | None]:
    name, instrument = key
    return [name, None, None] if instrument is None else [name, instrument.exchange, instrument.symbol]


def _hex(value: float | None) -> str | None:
    return None if value is None else float(value).hex()


def _unhex(text: str | None) -> float | None:
    return None if text is None else float.fromhex(text)


def _refuse(why: str) -> NoReturn:
    raise BreakerError(why)
