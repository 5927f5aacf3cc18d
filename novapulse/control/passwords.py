"""Passwords: which are good enough, and how they are kept.

Invariants:
- a password is kept as an argon2id hash alone, never cheaper than the floor;
- at most two hashes are made at once in a process: each takes tens of megabytes;
- the library is loaded when the first hash is made: the trader lives without it.
"""

import base64
import itertools
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novapulse.control.storage import ControlError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

CHARACTERS_MIN = 12
CHARACTERS_ADVISED = 15
CHARACTERS_MAX = 256

_KIB_MIN = 19_456
_WORK_MIN = 2 * _KIB_MIN
_AT_ONCE = threading.BoundedSemaphore(2)
_PATIENCE_S = 10.0
_DISTINCT_MIN = 5
_HASH = re.compile(r"\$argon2id\$v=19\$(m=\d+,t=\d+,p=\d+)\$")

# What is tried first everywhere, as far as it is long enough to be chosen at all.
_WELL_KNOWN = frozenset(
    "123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 123123123123 112233445566 "
    "121212121212 abcdefghijkl abcdefghijklm abcdef123456 abc123abc123 qwertyuiop12 qwertyuiop123 qwertyuiopas "
    "qwertyuiopasdf qwertyuiopasdfghjkl 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1qaz2wsx3edc 1qaz2wsx3edc4rfv "
    "zaq12wsxcde3 qazwsxedcrfv qwerty123456 qwerty1234567 123456qwerty asdfghjkl123 zxcvbnm12345 passwordpassword "
    "password1234 password12345 password123456 password123! password1234! password2024 password2025 password2026 "
    "p@ssw0rd1234 p@ssword1234 passw0rd1234 mypassword123 mypassword1234 administrator administrator1 admin1234567 "
    "admin12345678 adminadmin123 adminadminadmin letmein12345 letmeinletmein letmeinplease welcome12345 welcome123456 "
    "welcome2025! welcome2026! iloveyou1234 iloveyou12345 iloveyouforever iloveyousomuch changeme1234 changemechangeme "
    "changemenow1 changethispassword correcthorsebatterystaple thisisapassword "
    "thisismypassword trustno1trustno1 dragondragon superman1234 football1234 baseball1234 basketball12 "
    "monkeymonkey sunshine1234 princess1234 starwars1234 pokemon12345 liverpool123 manchester123 chelsea12345 "
    "michaeljackson letmein123456 default12345 testtesttest test12345678 testpassword secretsecret supersecret12 "
    "trading12345 bitcoin12345 bitcoinbitcoin satoshinakamoto tothemoon1234 hodlhodlhodl moneymoneymoney "
    "raspberry123 raspberrypi1 raspberrypi4 raspberrypi5 novapulse123 novapulse1234 novapulse2025 novapulse2026".split()
)


class WeakPasswordError(ControlError):
    """A password that is not good enough; the message says why, never what it was."""


class BusyError(ControlError):
    """Too many people sign in at this moment."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hash costs.

    Attributes:
        memory_kib: Memory, KiB.
        passes: Rounds over it.
        lanes: Threads.

    Raises:
        ControlError: It is cheaper than the floor: 19456 KiB in two passes, or as much in fewer.
    """

    memory_kib: int = 47_104
    passes: int = 1
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.memory_kib < _KIB_MIN or self.passes < 1 or self.lanes < 1 or self.memory_kib * self.passes < _WORK_MIN:
            raise ControlError(
                f"argon2 with {self.memory_kib} KiB x {self.passes} is below the floor: {_KIB_MIN} KiB x 2"
            )

    @property
    def parameters(self) -> str:
        """As a hash says it."""
        return f"m={self.memory_kib},t={self.passes},p={self.lanes}"


class Hasher:
    """Makes and checks hashes at one cost."""

    def __init__(self, cost: Cost | None = None) -> None:
        self.cost = cost or Cost()

    def hash(self, password: str) -> str:
        """Return the hash of a password.

        Raises:
            BusyError: Too many are made.
            ControlError: The library is not installed.
        """
        with _turn():
            return _library(self.cost).hash(_spelled(password))

    def matches(self, hashed: str | None, password: str, kept: Iterable[str] = ()) -> bool:
        """Return whether a password is the one of a hash, after work that is the same whatever the hash is.

        It is worked out once at each cost at which a hash is kept, against one that fits nothing but where the hash
        itself has that cost: neither a name that nobody has nor one whose hash is older is told by the time.

        Args:
            hashed: The hash; None for one that nothing fits.
            password: As it was typed.
            kept: Every hash that might have been compared instead.

        Raises:
            BusyError: Too many are checked.
            ControlError: The library is not installed.
        """
        library = _library(self.cost)
        from argon2.exceptions import VerificationError

        own = _parameters(hashed or "")
        costs = {_parameters(one) for one in kept} | {own}
        right = False
        with _turn():
            for cost in sorted(costs - {""} or {self.cost.parameters}):
                against = hashed if hashed and cost == own else _decoy(cost)
                with suppress(VerificationError):
                    right = (library.verify(against, _spelled(password)) and against is hashed) or right
        return right

    def is_outdated(self, hashed: str) -> bool:
        """Return whether a hash was made at another cost."""
        return _library(self.cost).check_needs_rehash(hashed)


def check_strength(password: str, name: str) -> None:
    """Refuse a password that is guessed soon. Nothing is asked of its characters but that there are enough.

    Args:
        password: The wish.
        name: Whose it is to be.

    Raises:
        WeakPasswordError: The message says why.
    """
    spelled = _spelled(password)
    folded = spelled.casefold()
    if len(spelled) < CHARACTERS_MIN:
        raise WeakPasswordError(
            f"a password has at least {CHARACTERS_MIN} characters; {CHARACTERS_ADVISED} and more are advised"
        )
    if len(spelled) > CHARACTERS_MAX:
        raise WeakPasswordError(f"a password has at most {CHARACTERS_MAX} characters")
    if folded.replace(" ", "") in _WELL_KNOWN:
        raise WeakPasswordError("that password is on every list of known ones: choose another")
    if len(set(folded)) < _DISTINCT_MIN or _is_a_run(folded):
        raise WeakPasswordError("that password repeats itself: choose another")
    if len(folded.replace(name.casefold(), "")) < CHARACTERS_MIN // 2:
        raise WeakPasswordError("that password is little more than the name: choose another")


def _is_a_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(text)}
    halves = any(text == text[:size] * (len(text) // size) for size in range(1, 5) if len(text) % size == 0)
    return len(steps) == 1 or halves


def _spelled(password: str) -> str:
    """The same characters, however a keyboard composed them; half a character becomes a mark."""
    whole = password.encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFKC", whole[: 4 * CHARACTERS_MAX])


def _parameters(hashed: str) -> str:
    """What a hash cost, as it says itself; empty for what is none of ours."""
    found = _HASH.match(hashed)
    return found[1] if found else ""


def _decoy(parameters: str) -> str:
    """A hash of a cost that no password has: checking against it takes as long as against a real one."""
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19${parameters}${salt}${digest}"


def _library(cost: Cost) -> "PasswordHasher":
    try:
        from argon2 import PasswordHasher
    except ImportError as missing:
        raise ControlError("passwords need argon2-cffi: install novapulse[server]") from missing
    return PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)


@contextmanager
def _turn() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE_S):
        raise BusyError("too many people sign in at this moment: try again")
    try:
        yield
    finally:
        _AT_ONCE.release()
