"""The votes before a desk was opened, made again from ledger and lake beside the page, and kept for a while.

Invariant: they are shown only where they are the same, to the bit, as everything that ledger and readings say of them.
"""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import structlog

from novapulse.config import load
from novapulse.core.instruments import AccountKey
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.voted import Voted
from novapulse.parity.kept import Kept
from novapulse.parity.votes_again import configuration_for, votes_again
from novapulse.research.inputs import checked_strategies, lake_with
from novapulse.ui.jobs import Job, Reporter

_log = structlog.get_logger("novapulse.ui")

FRESH_S = 300.0
"""How long what was made is good enough for the next reader; later closes are heard from the trader."""

_KEPT_MAX = 24
_Whose = tuple[Path, AccountKey, str]


@dataclass(frozen=True, slots=True)
class _Begun:
    at_s: float
    job: Job[dict[int, Voted]]


_jobs: "OrderedDict[_Whose, _Begun]" = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()


def earlier_votes(
    home: Path, account: AccountKey, symbol: str, last: int, config: Path | None = None
) -> Job[dict[int, Voted]]:
    """Return the work of making the votes on the last closes again: begun now, or not long ago.

    Args:
        home: Folder of the trader's state.
        account: Whose votes.
        symbol: Of what.
        last: At most so many closes.
        config: File of the settings that name our own strategies; None for the usual place.
    """
    key, now_s = (home, account, symbol), time.monotonic()
    with _lock:
        known = _jobs.get(key)
        if known is None or (known.job.is_over and now_s - known.at_s > FRESH_S):
            known = _jobs[key] = _Begun(now_s, Job(lambda told: _made_again(home, account, symbol, last, config, told)))
        _jobs.move_to_end(key)
        while len(_jobs) > _KEPT_MAX:
            _jobs.popitem(last=False)
        return known.job


def _made_again(
    home: Path, account: AccountKey, symbol: str, last: int, config: Path | None, told: Reporter
) -> dict[int, Voted]:
    told.phase("waiting for other votes to be made")
    with _one_at_a_time, Kept(home / LEDGER_FILE) as kept:
        told.phase("making votes again from bars and entries")
        configuration, _, _ = configuration_for(kept, account)
        lake = lake_with((one.key for one in configuration.instruments), configuration.timeframe_ns)
        strategies = checked_strategies(load(os.environ, config), _log.info)
        found = votes_again(kept, account, symbol, lake, strategies, last)
    names, rows = tuple(found.forecasts), zip(*(one.tolist() for one in found.forecasts.values()), strict=True)
    return {
        ts_ns: Voted(regime, consensus, dict(zip(names, row, strict=True)))
        for ts_ns, regime, consensus, row in zip(
            found.ts_close_ns.tolist(), found.regimes, found.consensus.tolist(), rows, strict=True
        )
    }
