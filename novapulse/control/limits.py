"""How often something may be tried, counted for all processes of a home folder together (GCRA in control.db).

Invariants:
- a key has one row: the moment at which its allowance is full again. A row whose moment has passed means the same as
  no row, and goes;
- there are never more than `ROWS_MAX` rows: when too many keys are at work, those nearest to full are forgotten;
- a clock that was set back makes nobody wait longer than an empty allowance does.
"""

import hashlib
import ipaddress
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from novapulse.control.storage import Storage, UnusableError

ROWS_MAX = 20_000
FLOOD_ENDS_S = 60.0
"""Without a refusal, s."""

_SWEPT_AT_ONCE = 100
_SUBJECTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many at once, and then one after another.

    Attributes:
        name: Keeps the keys of different limits apart.
        burst: How many at once, >= 1.
        period_ns: In which an empty allowance fills up, ns.
    """

    name: str
    burst: int
    period_ns: int

    @property
    def every_ns(self) -> int:
        """Between two when the allowance is used up, ns."""
        return self.period_ns // self.burst


_MINUTE_NS = 60 * 1_000_000_000
SIGN_IN_BY_NAME = Limit("sign in by name", 5, 15 * _MINUTE_NS)
SIGN_IN_BY_ADDRESS = Limit("sign in by address", 5, 15 * _MINUTE_NS)
LINK_BY_ADDRESS = Limit("link by address", 10, 15 * _MINUTE_NS)
SECOND_FACTORS_BEGUN = Limit("second factors begun", 10, 15 * _MINUTE_NS)
COMMANDS = Limit("commands", 60, _MINUTE_NS)
READS = Limit("reads", 600, _MINUTE_NS)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether something may be tried.

    Attributes:
        wait_ns: For how long not, ns; 0 for now.
    """

    wait_ns: int

    @property
    def allowed(self) -> bool:
        """Whether it may."""
        return self.wait_ns == 0

    @property
    def wait_s(self) -> int:
        """How long to wait, whole seconds, rounded up."""
        return -(-self.wait_ns // 1_000_000_000)


class Flood:
    """Counts refusals of one subject in a row, so that a flood of them is told in a few words. Kept in memory.

    Args:
        clock: Tells the time, s; it never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        # Subject -> how many, and when the last of them came, s.
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def refused(self, subject: str) -> int:
        """Count a refusal, and return how many there were where that is worth telling: 1, 2, 4, 8 ...; else 0.

        One that comes a minute after the last is the first again.
        """
        now_s = self._clock()
        with self._lock:
            count, last_s = self._counts.pop(subject, (0, now_s))
            count = count + 1 if now_s - last_s < FLOOD_ENDS_S else 1
            self._counts[subject] = count, now_s
            if len(self._counts) > _SUBJECTS_MAX:
                self._counts.popitem(last=False)
        return count if count & (count - 1) == 0 else 0

    def over(self, subject: str) -> None:
        """Forget the refusals of a subject: it was let in."""
        with self._lock:
            self._counts.pop(subject, None)


class Allowances:
    """The allowances of one home folder, each use in a transaction of its own."""

    def __init__(self, storage: Storage, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        # Subject -> uses that this process took and has not given out yet, and until when they count.
        self._at_hand: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def take(self, limit: Limit, subject: str) -> Ruling:
        """Use one of an allowance, if there is one.

        Raises:
            ControlError: control.db cannot be used: then nothing is allowed.
        """
        with self._storage.writing() as database:
            return take(database, limit, subject, self._clock())

    def take_cheaply(self, limit: Limit, subject: str) -> Ruling:
        """Use one of an allowance that is asked for all the time, such as reads: taken from control.db by handfuls.

        A handful is a twentieth of the burst, so that those who share an allowance differ by no more than that each. It
        keeps for as long as an empty allowance takes to fill up, so that who comes now and then loses nothing of it.
        While control.db cannot be written, each process gives its handfuls out by itself: whoever looks at a trader in
        trouble is not turned away.
        """
        key, now_ns, handful = _key(limit, subject), self._clock(), max(1, limit.burst // 20)
        if self._use_at_hand(key, now_ns):
            return Ruling(0)
        # Written without the lock: who waits for the disk holds up nobody who has some at hand.
        try:
            with self._storage.writing(briefly=True) as database:
                ruling = take(database, limit, subject, now_ns, handful)
        except UnusableError:
            ruling = Ruling(0)
        if ruling.allowed and handful > 1:
            self._keep_at_hand(key, handful - 1, now_ns, limit.period_ns)
        return ruling

    def _use_at_hand(self, key: bytes, now_ns: int) -> bool:
        with self._lock:
            left, until_ns = self._at_hand.pop(key, (0, 0))
            if not left or now_ns >= until_ns:
                return False
            self._at_hand[key] = left - 1, until_ns
            return True

    def _keep_at_hand(self, key: bytes, count: int, now_ns: int, kept_ns: int) -> None:
        with self._lock:
            left, until_ns = self._at_hand.pop(key, (0, 0))
            self._at_hand[key] = count + (left if now_ns < until_ns else 0), now_ns + kept_ns
            while len(self._at_hand) > _SUBJECTS_MAX:
                self._at_hand.popitem(last=False)


def take(database: sqlite3.Connection, limit: Limit, subject: str, now_ns: int, count: int = 1) -> Ruling:
    """Use some of an allowance, if there is enough of it, within a transaction that writes.

    Args:
        database: In a transaction that writes.
        limit: Which.
        subject: Whose, such as `address_key(...)`.
        now_ns: ns UTC.
        count: How many, 1..burst.
    """
    key = _key(limit, subject)
    found = database.execute("SELECT full_ns FROM allowance WHERE key = ?", (key,)).fetchone()
    empty_ns = now_ns + limit.burst * limit.every_ns
    kept_ns = found[0] if found else now_ns
    full_ns = min(max(kept_ns, now_ns), empty_ns)
    next_ns = full_ns + count * limit.every_ns
    wait_ns = max(0, next_ns - empty_ns)
    if not wait_ns:
        _put(database, key, next_ns)
        _sweep(database, now_ns)
    elif kept_ns > empty_ns:
        # The clock was set back. Any other refusal writes nothing: a flood of them keeps nobody from the disk.
        _put(database, key, full_ns)
    return Ruling(wait_ns)


def give_back(database: sqlite3.Connection, limit: Limit, subject: str) -> None:
    """Give back what was taken last, because it was used well, within a transaction that writes."""
    database.execute("UPDATE allowance SET full_ns = full_ns - ? WHERE key = ?", (limit.every_ns, _key(limit, subject)))


def forget(database: sqlite3.Connection, limit: Limit, subject: str) -> None:
    """Fill an allowance up, within a transaction that writes."""
    database.execute("DELETE FROM allowance WHERE key = ?", (_key(limit, subject),))


def address_key(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 that one IPv6 line has; other text as it is."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def _key(limit: Limit, subject: str) -> bytes:
    return hashlib.sha256(f"{limit.name}\0{subject}".encode("utf-8", "surrogatepass")).digest()


def _put(database: sqlite3.Connection, key: bytes, full_ns: int) -> None:
    database.execute(
        "INSERT INTO allowance (key, full_ns) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET full_ns = excluded.full_ns",
        (key, full_ns),
    )


def _sweep(database: sqlite3.Connection, now_ns: int) -> None:
    database.execute(
        "DELETE FROM allowance WHERE key IN (SELECT key FROM allowance WHERE full_ns <= ? ORDER BY full_ns LIMIT ?)",
        (now_ns, _SWEPT_AT_ONCE),
    )
    (count,) = database.execute("SELECT count(*) FROM allowance").fetchone()
    if count > ROWS_MAX:
        database.execute(
            "DELETE FROM allowance WHERE key IN (SELECT key FROM allowance ORDER BY full_ns LIMIT ?)",
            (count - ROWS_MAX,),
        )
