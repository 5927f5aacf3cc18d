"""Who sits at the shell of the machine: whoever owns the home folder is admin there, and nobody else is anything."""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from novapulse.control.roles import SCOPES, Principal, Role, Via

_ROOT = 0


def shell_principal(home: Path) -> Principal:
    """Return the operating system's user as a principal: an admin of a home folder that is theirs.

    Args:
        home: The home folder; it has to be there.

    Raises:
        OSError: It is not.
    """
    user_id = os.geteuid()
    if user_id in (_ROOT, home.stat().st_uid):
        return Principal(_user_name(user_id), Role.ADMIN, SCOPES[Role.ADMIN], Via.CLI)
    return Principal(_user_name(user_id), Role.VIEWER, frozenset(), Via.CLI)


def shell_source(environment: Mapping[str, str]) -> str:
    """Return where somebody at the shell sits: the far end of a remote login, else this machine."""
    return environment.get("SSH_CONNECTION", "").partition(" ")[0] or "this machine"


def _user_name(user_id: int) -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # A container's user may have no name.
        return str(user_id)
