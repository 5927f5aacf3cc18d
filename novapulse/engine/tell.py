"""What a group of accounts is told at a close."""

from dataclasses import dataclass

from novapulse.core.records import Record


@dataclass(frozen=True, slots=True)
class Row:
    """Bars and signals of one close, in the order of the group's instruments.

    Attributes:
        bars: BAR[P].
        signals: SIGNAL[P].
        present: int64[P], 1 where the instrument closed; the rest of its row is not to be read.
        calibration: Id of the calibration that the signals count in.
    """

    bars: Record
    signals: Record
    present: Record
    calibration: str
