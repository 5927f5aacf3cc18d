"""The second factor: codes that an app makes of a secret and the time (TOTP, RFC 6238), and others for when it is lost.

Invariants:
- a secret counts for nothing until a code has proven, within minutes, that the person's app has it;
- a code is good once: the step of the last one is kept, and only one of a later step is taken, in the transaction that
  it lets somebody in with, so that of many servers one takes it;
- recovery codes are kept as hashes, and each is good once. The secret is kept as it is, in a file that its owner alone
  can read; whoever reads it registers it first, so that no log shows it;
- the libraries are loaded when they are needed: the trader lives without them.
"""

import base64
import hmac
import io
import secrets
from dataclasses import dataclass
from sqlite3 import Connection
from typing import TYPE_CHECKING

from novapulse import brand
from novapulse.control import limits
from novapulse.control.acts import Acts, Done, Wish
from novapulse.control.limits import SECOND_FACTORS_BEGUN
from novapulse.control.people import end_sessions, find, hashed_token
from novapulse.control.roles import Principal
from novapulse.control.storage import ControlError
from novapulse.ops.masking import SECRETS

if TYPE_CHECKING:
    from pyotp import TOTP

STEP_S = 30
"""How long a code lasts, s."""

STEPS_AROUND = 1
"""How many steps a clock may be off, either way."""

PROVE_WITHIN_NS = 15 * 60 * 1_000_000_000
RECOVERY_CODES = 10

_CODE_CHARACTERS_MAX = 64
_SECRET_BYTES, _RECOVERY_BYTES = 20, 10
_GROUP = 4
_QR_QUIET = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """Somebody's second factor.

    Attributes:
        since_ns: When a code proved it, ns UTC.
        recovery_codes_left: How many recovery codes are still good.
    """

    since_ns: int
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A code that is right.

    Attributes:
        step: Which the app was at; None with a recovery code.
        code_hash: Of the recovery code; empty with the app's.
    """

    step: int | None
    code_hash: bytes = b""


class SecondFactors:
    """The second factors of one home folder; `Entrance` takes their codes."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def of(self, name: str) -> Factor | None:
        """Return somebody's; None where there is none that was proven."""
        with self._acts.storage.reading() as database:
            return factor_of(database, name)

    def begin(self, by: Principal, *, key: str = "", source: str = "") -> Done[str]:
        """Make a secret for who asks, and return it, this once; it counts when a code has proven it.

        Raises:
            Denied: `by` may not do that, or has to give the password once more.
            ControlError: There is a second factor already, or it was begun too often.
        """

        def work(database: Connection) -> str:
            now_ns = self._acts.clock()
            if factor_of(database, by.name) is not None:
                raise ControlError("you have a second factor: remove it before you set up another")
            # Each is masked for as long as the process lives.
            ruling = limits.take(database, SECOND_FACTORS_BEGUN, by.name, now_ns)
            if not ruling.allowed:
                raise ControlError(f"you have begun that too often: try again in {ruling.wait_s} s")
            secret = _registered(_random(_SECRET_BYTES))
            database.execute(
                "INSERT INTO second_factor (person, secret, made_ns) VALUES (?, ?, ?) ON CONFLICT (person) DO UPDATE "
                "SET secret = excluded.secret, made_ns = excluded.made_ns, last_step = -1",
                (by.name, secret, now_ns),
            )
            return secret

        return self._acts.run(by, Wish("begin_second_factor", key=key, source=source), work)

    def remove(self, by: Principal, *, key: str = "", source: str = "") -> Done[None]:
        """Take one's own away; one's other sessions end.

        Raises:
            Denied: `by` may not do that, or has to give password and code once more.
            ControlError: There is none.
        """

        def work(database: Connection) -> None:
            _remove(database, by.name, "you have no second factor")
            end_sessions(database, by.name, but=by.credential)

        return self._acts.run(by, Wish("remove_second_factor", key=key, source=source), work)

    def reset(self, by: Principal, name: str, *, key: str = "", source: str = "") -> Done[None]:
        """Take away that of somebody who has lost it; their sessions end.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is nobody of that name, or they have none.
        """

        def work(database: Connection) -> None:
            if find(database, name) is None:
                raise ControlError("there is nobody of that name")
            _remove(database, name, f"{name} has no second factor")
            end_sessions(database, name)

        return self._acts.run(by, Wish("reset_second_factor", arguments={"name": name}, key=key, source=source), work)


def factor_of(database: Connection, name: str) -> Factor | None:
    """Return somebody's second factor; None where there is none that was proven."""
    row = database.execute(
        "SELECT proven_ns, (SELECT count(*) FROM recovery_code WHERE recovery_code.person = second_factor.person "
        "AND used_ns IS NULL) FROM second_factor WHERE person = ? AND proven_ns IS NOT NULL",
        (name,),
    ).fetchone()
    return Factor(*row) if row else None


def check(database: Connection, name: str, code: str, now_ns: int) -> Fit | None:
    """Return how a code fits somebody's second factor; None where it does not, was used, or there is no such factor.

    Args:
        database: In the transaction in which `use` follows.
        name: Whose.
        code: As it was typed; blanks and hyphens do not count.
        now_ns: ns UTC.

    Raises:
        ControlError: The library is not installed.
    """
    row = database.execute(
        "SELECT secret, last_step FROM second_factor WHERE person = ? AND proven_ns IS NOT NULL", (name,)
    ).fetchone()
    if row is None:
        return None
    typed = _spelled(code)
    step = _step_of(row[0], row[1], typed, now_ns)
    if step is not None:
        return Fit(step)
    code_hash = hashed_token(typed)
    left = database.execute(
        "SELECT 1 FROM recovery_code WHERE person = ? AND code_hash = ? AND used_ns IS NULL", (name, code_hash)
    ).fetchone()
    return Fit(None, code_hash) if left else None


def use(database: Connection, name: str, fit: Fit, now_ns: int) -> None:
    """Use a code up, within the transaction in which it was checked."""
    if fit.step is not None:
        database.execute("UPDATE second_factor SET last_step = ? WHERE person = ?", (fit.step, name))
    else:
        database.execute(
            "UPDATE recovery_code SET used_ns = ? WHERE person = ? AND code_hash = ?", (now_ns, name, fit.code_hash)
        )


def enrol(database: Connection, name: str, code: str, now_ns: int) -> list[str]:
    """Let a secret count from now on, because a code proves it, and return recovery codes, which are told this once.

    Args:
        database: In a transaction that writes.
        name: Whose.
        code: As it was typed.
        now_ns: ns UTC.

    Raises:
        ControlError: The code is wrong, nothing waits to be proven (any more), or the library is not installed.
    """
    row = database.execute(
        "SELECT secret, last_step, made_ns FROM second_factor WHERE person = ? AND proven_ns IS NULL", (name,)
    ).fetchone()
    if row is None or now_ns - row[2] >= PROVE_WITHIN_NS:
        raise ControlError("no second factor waits for its first code: set one up again")
    step = _step_of(row[0], row[1], _spelled(code), now_ns)
    if step is None:
        raise ControlError("the code is wrong: type the one that your app shows now")
    database.execute("UPDATE second_factor SET proven_ns = ?, last_step = ? WHERE person = ?", (now_ns, step, name))
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    database.executemany(
        "INSERT INTO recovery_code (person, code_hash) VALUES (?, ?)",
        [(name, hashed_token(_spelled(one))) for one in codes],
    )
    return codes


def grouped(secret: str) -> str:
    """Return a secret in groups of four, as people type it."""
    return " ".join(secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP))


def address_of(secret: str, name: str) -> str:
    """Return the `otpauth:` address that an app takes a secret by.

    Raises:
        ControlError: The library is not installed.
    """
    return _totp(secret).provisioning_uri(name=name, issuer_name=brand.NAME)


def picture_of(address: str) -> str:
    """Return an address as a QR code, a picture in SVG; dark on light, with a quiet zone, as cameras want it.

    Raises:
        ControlError: The library is not installed.
    """
    try:
        import segno
    except ImportError as missing:
        raise ControlError("QR codes need segno: install novapulse[server]") from missing
    drawn = io.BytesIO()
    code = segno.make_qr(address, error="m")
    code.save(drawn, kind="svg", border=_QR_QUIET, dark="#0f172a", light="#fff", xmldecl=False, omitsize=True, nl=False)
    return drawn.getvalue().decode()


def _remove(database: Connection, name: str, otherwise: str) -> None:
    gone = database.execute("DELETE FROM second_factor WHERE person = ? AND proven_ns IS NOT NULL", (name,))
    if not gone.rowcount:
        raise ControlError(otherwise)
    database.execute("DELETE FROM recovery_code WHERE person = ?", (name,))


def _step_of(secret: str, last_step: int, typed: str, now_ns: int) -> int | None:
    """The step that a code belongs to; None where it is none of now, or of one that was used already."""
    totp = _totp(_registered(secret))
    now = now_ns // (STEP_S * 1_000_000_000)
    steps = range(max(now - STEPS_AROUND, 0), now + STEPS_AROUND + 1)
    # All of them: which one it was is not told by the time.
    right = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), typed.encode())]
    return next((step for step in right if step > last_step), None)


def _spelled(code: str) -> str:
    """A code without what people put between its characters, in upper case; half a character becomes a mark."""
    cut = code[:_CODE_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    return "".join(letter for letter in cut.upper() if not letter.isspace() and letter != "-")


def _recovery_code() -> str:
    plain = _random(_RECOVERY_BYTES)
    code = grouped(plain).replace(" ", "-")
    for one in (code, plain):
        SECRETS.register(one)
    return code


def _registered(secret: str) -> str:
    for one in (secret, grouped(secret)):
        SECRETS.register(one)
    return secret


def _random(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode()


def _totp(secret: str) -> "TOTP":
    try:
        from pyotp import TOTP
    except ImportError as missing:
        raise ControlError("second factors need pyotp: install novapulse[server]") from missing
    return TOTP(secret, interval=STEP_S)
