"""What no single section can tell: settings of several sections that no run can have together."""

from collections.abc import Iterator

from novapulse.config.schema import Path
from novapulse.config.settings import Settings
from novapulse.confluence.settings import SureFireSettings
from novapulse.core.bars import timeframe_ns

_MS_NS = 1_000_000


def contradictions(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the path of each setting that contradicts another, and the sentence about it."""
    latency_ms, timeframe = settings.execution.latency_ms, settings.data.timeframe
    if round(latency_ms * _MS_NS) >= timeframe_ns(timeframe):
        yield (
            ("execution", "latency_ms"),
            f"is {latency_ms:g}: an order would reach the market after the next bar of {timeframe}",
        )
    needed, count = settings.confluence.sure_fire.strategies_min, len(settings.confluence.shares)
    # Whoever switches strategies off needs no word about a label: the shipped minimum stays allowed.
    if needed > count and needed != SureFireSettings().strategies_min:
        have = "has" if count == 1 else "have"
        yield (
            ("confluence", "sure_fire", "strategies_min"),
            f"is {needed}, and only {count} of the strategies {have} a weight: nothing could ever be called sure-fire",
        )
    calibration = settings.confluence.calibration
    if calibration.diversification_default > calibration.diversification_max:
        yield (
            ("confluence", "calibration", "diversification_default"),
            f"is {calibration.diversification_default:g}, above diversification_max "
            f"({calibration.diversification_max:g}): it could never be used",
        )
