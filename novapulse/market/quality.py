"""How good recorded bars are: a report, never a repair.

Invariants:
- any columns are accepted, impossible ones too: nothing is changed, dropped or filled;
- rows are counted from 0, in the order given;
- gaps and spikes are looked for among the possible bars of regular sessions, in time order, each stamp once.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, Flags, Floats, Integers
from novapulse.market.calendars import CONTINUOUS, Calendar
from novapulse.market.spikes import SpikeFilter, SpikeSettings, Verdict, spikes

__all__ = [
    "GAP",
    "SPIKE",
    "GapKind",
    "Impossible",
    "QualityReport",
    "QualitySettings",
    "SpikeColumn",
    "SpikeFilter",
    "SpikeSettings",
    "Verdict",
    "report",
    "spikes",
]


_TINY = 1e-300


class GapKind(enum.IntEnum):
    """Why bars are missing, as far as bars can tell."""

    NO_TRADES = 0
    OUTAGE = 1
    MISSING_SESSIONS = 2


class SpikeColumn(enum.IntEnum):
    """Which price of a bar is out of bounds."""

    CLOSE = 0
    HIGH = 1
    LOW = 2


GAP = np.dtype([("after_ns", np.int64), ("before_ns", np.int64), ("bars", np.int64), ("kind", np.int8)])
SPIKE = np.dtype(
    [("row", np.int64), ("ts_close_ns", np.int64), ("column", np.int8), ("price", np.float64), ("scales", np.float64)]
)


class QualitySettings(BaseModel):
    """What counts as quiet, flat and too far.

    Attributes:
        quiet_minutes_max: Longest run of intraday bars without trades that is no outage.
        flat_run_bars_min: Shortest run of bars at one unchanged price that is reported.
        spike: How far a price may move.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quiet_minutes_max: int = Field(120, ge=0)
    flat_run_bars_min: int = Field(30, ge=2)
    spike: SpikeSettings = SpikeSettings()


@dataclass(frozen=True, slots=True)
class Impossible:
    """Rows that cannot be, all for one reason."""

    column: str
    what: str
    rows: Integers


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was found.

    Attributes:
        bars: Rows given.
        gaps: Records of `GAP`: closes around, bars missing, `GapKind`; in time order.
        session_breaks: Nights, weekends and holidays between neighbouring bars: no gaps.
        outside_sessions: Rows outside regular sessions.
        off_grid: Rows that are no close of the calendar's grid.
        unsorted: Rows earlier than the row before.
        duplicates: Rows whose stamp an earlier row has.
        impossible: Reasons and rows.
        spikes: Records of `SPIKE`: prices the filter rejected and nothing later confirmed.
        shifts: Rows at which a new level was confirmed (splits, crashes, openings).
        flat_runs: int64[M, 2], first row and length of runs at one unchanged price.
    """

    bars: int
    gaps: NDArray[np.void]
    session_breaks: int
    outside_sessions: Integers
    off_grid: Integers
    unsorted: Integers
    duplicates: Integers
    impossible: tuple[Impossible, ...]
    spikes: NDArray[np.void]
    shifts: Integers
    flat_runs: Integers

    def missing(self, kind: GapKind) -> int:
        """Return how many bars are missing in gaps of a kind."""
        return int(self.gaps["bars"][self.gaps["kind"] == kind].sum())

    def counts(self) -> dict[str, int]:
        """Return every finding as a number, by name."""
        gaps = {f"gaps_{kind.name.lower()}": int((self.gaps["kind"] == kind).sum()) for kind in GapKind}
        missing = {f"bars_missing_{kind.name.lower()}": self.missing(kind) for kind in GapKind}
        return (
            {"bars": self.bars}
            | gaps
            | missing
            | {
                "session_breaks": self.session_breaks,
                "outside_sessions": self.outside_sessions.size,
                "off_grid": self.off_grid.size,
                "unsorted": self.unsorted.size,
                "duplicates": self.duplicates.size,
                "impossible": sum(reason.rows.size for reason in self.impossible),
                "spikes": self.spikes.size,
                "shifts": self.shifts.size,
                "flat_runs": len(self.flat_runs),
            }
        )


def report(bars: BarColumns, market: Calendar, settings: QualitySettings | None = None) -> QualityReport:
    """Look at recorded bars.

    Args:
        bars: Columns of equal length; neither order nor values need be right, and numbers are not looked at.
        market: The instrument's calendar; it must have bars of this width.
        settings: What counts as quiet, flat and too far.

    Returns:
        The findings.

    Raises:
        CalendarError: The calendar has no bars of this width.
    """
    rules = settings or QualitySettings()
    stamps = bars.ts_close_ns
    order = np.argsort(stamps, kind="stable")
    repeated = np.zeros(stamps.size, np.bool_)
    repeated[order[1:]] = np.diff(stamps[order]) == 0
    reasons = _impossible(bars)
    impossible = np.zeros(stamps.size, np.bool_)
    for reason in reasons:
        impossible[reason.rows] = True
    regular = market.regular(stamps)
    off_grid = regular & ~market.on_grid(stamps, bars.timeframe_ns)
    usable = order[(regular & ~repeated & ~impossible & ~off_grid)[order]]
    numbers = market.numbers(stamps[usable], bars.timeframe_ns)
    found, shifts = _spikes(bars, usable, rules)
    return QualityReport(
        bars=stamps.size,
        gaps=_gaps(stamps[usable], numbers, bars.timeframe_ns, market, rules),
        session_breaks=int(((np.diff(numbers) == 1) & (np.diff(stamps[usable]) > bars.timeframe_ns)).sum()),
        outside_sessions=np.flatnonzero(~regular),
        off_grid=np.flatnonzero(off_grid),
        unsorted=np.flatnonzero(np.diff(stamps) < 0) + 1,
        duplicates=np.flatnonzero(repeated),
        impossible=reasons,
        spikes=found,
        shifts=shifts,
        flat_runs=_flat_runs(bars, usable, numbers, rules.flat_run_bars_min),
    )


def _impossible(bars: BarColumns) -> tuple[Impossible, ...]:
    found = []

    def note(column: str, what: str, bad: Flags) -> None:
        if bad.any():
            found.append(Impossible(column, what, np.flatnonzero(bad)))

    for name in ("open", "high", "low", "close", "volume"):
        values: Floats = getattr(bars, name)
        note(name, "not finite", ~np.isfinite(values))
        if name == "volume":
            note(name, "negative", values < 0)
        else:
            note(name, "not above zero", values <= 0)
    note("high", "below low", bars.high < bars.low)
    note("high", "below open or close", bars.high < np.maximum(bars.open, bars.close))
    note("low", "above open or close", bars.low > np.minimum(bars.open, bars.close))
    return tuple(found)


def _gaps(
    stamps: Integers, numbers: Integers, timeframe_ns: int, market: Calendar, rules: QualitySettings
) -> NDArray[np.void]:
    missing = np.diff(numbers) - 1
    at = np.flatnonzero(missing > 0)
    gaps = np.zeros(at.size, GAP)
    gaps["after_ns"], gaps["before_ns"], gaps["bars"] = stamps[at], stamps[at + 1], missing[at]
    quiet = (missing[at] * timeframe_ns <= rules.quiet_minutes_max * MINUTE_NS) & (timeframe_ns < DAY_NS)
    gaps["kind"] = np.where(quiet, GapKind.NO_TRADES, GapKind.OUTAGE)
    if market.name != CONTINUOUS:
        for gap in gaps:
            after_ns, before_ns = int(gap["after_ns"]), int(gap["before_ns"])
            cut_short = market.sessions_between(after_ns - 1, after_ns) == 0
            if market.sessions_between(after_ns, before_ns - 1) > cut_short:
                gap["kind"] = GapKind.MISSING_SESSIONS
    return gaps


def _spikes(bars: BarColumns, rows: Integers, rules: QualitySettings) -> tuple[NDArray[np.void], Integers]:
    if rows.size == 0:
        return np.zeros(0, SPIKE), rows
    stamps = bars.ts_close_ns[rows]
    close, high, low = (values[rows] for values in (bars.close, bars.high, bars.low))
    elapsed = np.ones(rows.size, np.int64)
    elapsed[1:] = -(-np.diff(stamps) // bars.timeframe_ns)
    verdicts, scales = spikes(close, elapsed, rules.spike)
    shifted = np.flatnonzero(verdicts == Verdict.SHIFTED)
    rejected = verdicts == Verdict.REJECTED
    for back in range(1, rules.spike.confirmations):
        rejected[np.maximum(shifted - back, 0)] = False
    accepted = np.maximum.accumulate(np.where(verdicts == Verdict.REJECTED, 0, np.arange(rows.size)))
    trusted = np.concatenate([[0], accepted[:-1]])
    before, waited = close[trusted], -(-(stamps - stamps[trusted]) // bars.timeframe_ns)
    reach = np.maximum(scales * np.sqrt(np.clip(waited, 1, rules.spike.elapsed_bars_max)), _TINY)
    moves = {
        SpikeColumn.CLOSE: np.abs(np.log(close / before)) / reach,
        SpikeColumn.HIGH: np.log(high / np.maximum(close, before)) / reach,
        SpikeColumn.LOW: np.log(np.minimum(close, before) / low) / reach,
    }
    parts = []
    for column, values in ((SpikeColumn.CLOSE, close), (SpikeColumn.HIGH, high), (SpikeColumn.LOW, low)):
        far = (moves[column] > rules.spike.reject_scales) & (scales > 0)
        at = np.flatnonzero(rejected if column is SpikeColumn.CLOSE else far)
        part = np.zeros(at.size, SPIKE)
        part["row"], part["ts_close_ns"], part["column"] = rows[at], stamps[at], column
        part["price"], part["scales"] = values[at], moves[column][at]
        parts.append(part)
    return np.sort(np.concatenate(parts), order=["ts_close_ns", "column"]), rows[shifted]


def _flat_runs(bars: BarColumns, rows: Integers, numbers: Integers, shortest: int) -> Integers:
    close = bars.close[rows]
    flat = (bars.high[rows] == bars.low[rows]) & (rows.size > 0)
    starts_run = np.ones(rows.size, np.bool_)
    starts_run[1:] = ~(flat[1:] & flat[:-1] & (close[1:] == close[:-1]) & (np.diff(numbers) == 1))
    first = np.flatnonzero(starts_run)
    lengths = np.diff(np.append(first, rows.size))
    long = (lengths >= shortest) & flat[first]
    return np.stack([rows[first[long]], lengths[long]], axis=1)
