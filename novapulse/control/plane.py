"""Everything about people and commands of one home folder, put together."""

import time
from collections.abc import Callable
from pathlib import Path

from novapulse.control.acts import Acts
from novapulse.control.entrance import Entrance
from novapulse.control.keys import Keys
from novapulse.control.limits import Allowances
from novapulse.control.passwords import Hasher
from novapulse.control.people import People
from novapulse.control.roles import Role
from novapulse.control.router import Router
from novapulse.control.second_factor import SecondFactors
from novapulse.control.sessions import Sessions
from novapulse.control.storage import FILE, Storage


class ControlPlane:
    """The control plane of one home folder; safe to be used by many threads, each call is a transaction of its own.

    Attributes:
        home: The folder.
        storage: Its control.db.
        acts: The one door of every action.
        people: Who may sign in.
        entrance: The way in.
        sessions: Who is signed in.
        second_factors: What is asked for beside the password.
        keys: API keys.
        router: Commands for the trader.
        allowances: How often something may be tried.

    Raises:
        ControlError: control.db cannot be used.
    """

    def __init__(
        self,
        home: Path,
        *,
        hasher: Hasher | None = None,
        clock: Callable[[], int] = time.time_ns,
        second_factor_of: frozenset[Role] = frozenset(),
    ) -> None:
        self.home = home
        self.storage = Storage(home / FILE)
        self.acts = Acts(self.storage, clock, second_factor_of)
        hasher = hasher or Hasher()
        self.people = People(self.acts, hasher)
        self.entrance = Entrance(self.acts, hasher)
        self.sessions = Sessions(self.acts)
        self.second_factors = SecondFactors(self.acts)
        self.keys = Keys(self.acts)
        self.router = Router(self.acts, home)
        self.allowances = Allowances(self.storage, clock)
