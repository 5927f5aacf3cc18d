"""Whether the secrets of a home folder are good enough for the mode it runs in."""

import ipaddress
import os
import stat

from novapulse.control.passwords import Cost
from novapulse.control.people import count_admins
from novapulse.control.plane import ControlPlane
from novapulse.control.storage import ControlError

REAL_MONEY = "live"


def secrets_problem(mode: str, plane: ControlPlane, *, host: str, https: bool) -> str | None:
    """Return why a server may not start, in one sentence; None when it may.

    Args:
        mode: `paper` or `live`; only real money asks for everything.
        plane: The control plane.
        host: The address it would listen at.
        https: Whether browsers reach it by HTTPS alone.

    Returns:
        The first thing that is missing.
    """
    file = plane.storage.path
    if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{file} can be read by others: chmod 600 {file}"
    if not https and not is_loopback(host):
        return f"passwords would travel in the clear to {host}: listen at 127.0.0.1, or behind a proxy with HTTPS"
    if mode != REAL_MONEY:
        return None
    if os.stat(file.parent).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write into {file.parent}: chmod go-w {file.parent}"
    with plane.storage.reading() as database:
        if not count_admins(database):
            return "there is no admin yet: 'novapulse people link' prints the way in"
        hashes = database.execute(
            "SELECT name, password_hash FROM person WHERE password_hash IS NOT NULL AND disabled_ns IS NULL"
        ).fetchall()
    weak = next((name for name, hashed in hashes if not _is_dear(hashed)), None)
    return f"the password of {weak} is kept too cheaply: make a new one" if weak else None


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_dear(hashed: str) -> bool:
    try:
        _, kind, _, cost, *_ = hashed.split("$")
        memory_kib, passes, lanes = (int(part.partition("=")[2]) for part in cost.split(","))
        Cost(memory_kib, passes, lanes)
    except (ControlError, ValueError):
        return False
    return kind == "argon2id"
