"""Sessions of a ledger by the run of `novapulse live` that began them, as their recordings name it.

Invariants:
- a run begins a session for each of its accounts, and one more for an account that it started anew;
- a session that is recorded no more has its number alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from novapulse.market.recorder import heard_paths, read_header
from novapulse.parity.kept import Kept, KeptError, Session


def runs_of(sessions: Sequence[Session], folder: Path) -> dict[int, str]:
    """Return number of a session -> name of its run, of those that are recorded.

    Args:
        sessions: Of one ledger.
        folder: Of the recordings: one folder for each run, named like it.

    Raises:
        RecorderError: A recording is damaged.
    """
    found: dict[int, str] = {}
    for account in {one.account for one in sessions}:
        headers = [(path.parent.name, read_header(path)) for path in heard_paths(folder, account)]
        begun = sorted((int(one["behind_seq"]), run, one["ledger_id"]) for run, one in headers if "behind_seq" in one)
        for session in sessions:
            # A run had read the ledger up to there when it began; what comes behind is its own, up to the next one.
            own = [run for behind, run, of in begun if behind < session.first_seq and of == session.ledger_id]
            if session.account == account and own:
                found[session.first_seq] = own[-1]
    return found


def sessions_named(kept: Kept, name: str, folder: Path) -> list[Session]:
    """Return the sessions of a name: one by its number or as `last`, or all of a run by the run's name.

    Args:
        kept: The ledger.
        name: As somebody asks for it.
        folder: Of the recordings.

    Raises:
        KeptError: There is none of that name; it says which there are.
        RecorderError: A recording is damaged.
    """
    sessions = kept.sessions()
    if sessions and name == "last":
        return sessions[-1:]
    if numbered := [one for one in sessions if str(one.first_seq) == name]:
        return numbered
    runs = runs_of(sessions, folder)
    if found := [one for one in sessions if runs.get(one.first_seq) == name]:
        return found
    raise KeptError(f"no session {name} in {kept.place}: {_told(sessions, runs)}")


def _told(sessions: Sequence[Session], runs: Mapping[int, str]) -> str:
    if not sessions:
        return "there is none"
    listed = [
        f"{one.first_seq} ({one.account.account_id} on {one.account.exchange}"
        f"{f', of {runs[one.first_seq]}' if one.first_seq in runs else ''})"
        for one in sessions
    ]
    return f"there are {', '.join(listed)}"
