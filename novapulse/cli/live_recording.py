"""What a session records of itself: the bars as they came, and what each account was told.

Invariant: a disk that fails ends a recording, not the trading.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import structlog

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.engine.gather import Arrival, Problem, Rejection
from novapulse.engine.tell import Row
from novapulse.market.recorder import HeardRecorder, Seen, SessionRecorder, heard_path, recording_path

_log = structlog.get_logger("novapulse.live")


class Keepers:
    """Makes the recordings of one session."""

    def __init__(self, folder: Path, session: str, facts: Mapping[str, Any], stack: ExitStack) -> None:
        """Remember where, what every file says of itself, and who closes them."""
        self._folder = folder
        self._session = session
        self._facts = facts
        self._stack = stack

    def of_exchange(self, exchange: str, keys: Sequence[InstrumentKey]) -> "BarsKeeper":
        """Return what keeps the bars of an exchange as they come.

        Raises:
            OSError: The file cannot be made.
        """
        path = recording_path(self._folder, self._session, exchange)
        recorder = SessionRecorder(path, keys, [str(one) for one in Problem], {"exchange": exchange, **self._facts})
        self._stack.callback(recorder.close)
        return BarsKeeper(recorder)

    def of_account(
        self, account: AccountKey, keys: Sequence[InstrumentKey], beginning: Mapping[str, Any]
    ) -> Callable[[Row], None]:
        """Return what keeps the closes that an account is told.

        Args:
            account: Whose.
            keys: Its instruments, sorted.
            beginning: What the session found; see `parity.recorded.Beginning`.

        Raises:
            OSError: The file cannot be made.
        """
        whose = {"exchange": account.exchange, "account_id": account.account_id}
        recorder = HeardRecorder(
            heard_path(self._folder, self._session, account), keys, {**whose, **beginning, **self._facts}
        )
        self._stack.callback(recorder.close)
        return _HeardKeeper(recorder).heard


class BarsKeeper:
    """Writes what a feed saw."""

    def __init__(self, recorder: SessionRecorder) -> None:
        """Take an open recording."""
        self._recorder: SessionRecorder | None = recorder

    def saw(self, arrivals: Sequence[Arrival], rejections: Sequence[Rejection]) -> None:
        """Keep bars in the order in which they came, with what was wrong with them."""
        if self._recorder is None:
            return
        problems = {id(one.arrival): str(one.problem) for one in rejections}
        try:
            self._recorder.write(
                [
                    Seen(one.ts_ns, one.instrument, one.bar, one.number, one.made, problems.get(id(one), ""))
                    for one in arrivals
                ]
            )
        except OSError as wrong:
            _give_up(self._recorder.path, wrong)
            self._recorder = None


class _HeardKeeper:
    def __init__(self, recorder: HeardRecorder) -> None:
        self._recorder: HeardRecorder | None = recorder

    def heard(self, row: Row) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.write(row.bars, row.signals, row.present, row.calibration)
        except OSError as wrong:
            _give_up(self._recorder.path, wrong)
            self._recorder = None


def _give_up(path: Path, wrong: OSError) -> None:
    _log.error("the session is not recorded any more", file=str(path), error=str(wrong))
