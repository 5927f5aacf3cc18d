"""Where things lie on this machine: named by the environment, else the platform's user data folder."""

import sys
from collections.abc import Mapping
from pathlib import Path

HOME, DATA_DIR, CONFIG, REAL_MONEY = (
    "NOVAPULSE_HOME",
    "NOVAPULSE_DATA_DIR",
    "NOVAPULSE_CONFIG",
    "NOVAPULSE_REAL_MONEY",
)
RESERVED = (HOME, DATA_DIR, CONFIG, REAL_MONEY)

_RECORDED = "*_*_*.parquet"


def home_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder that holds NovaPulse's state; it need not exist yet."""
    if environment.get(HOME):
        return Path(environment[HOME]).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "novapulse"


def lake_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the lake.

    It is `NOVAPULSE_DATA_DIR` where that is set and holds no recorded files, else `lake` in the home folder.
    """
    named = environment.get(DATA_DIR)
    if named and not _has_recordings(Path(named).expanduser()):
        return Path(named).expanduser()
    return home_folder(environment) / "lake"


def sample_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the lake that holds generated bars only; it need not exist yet."""
    return home_folder(environment) / "sample-lake"


def recordings_folder(environment: Mapping[str, str]) -> Path | None:
    """Return a folder of recorded files (`exchange_SYMBOL_timeframe.parquet`), or None.

    It is `NOVAPULSE_DATA_DIR` where that holds some, else `shared/data` beside the checkout.
    """
    named = environment.get(DATA_DIR)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    candidates = [*([Path(named).expanduser()] if named else []), beside]
    return next((folder for folder in candidates if _has_recordings(folder)), None)


def _has_recordings(folder: Path) -> bool:
    return any(folder.glob(_RECORDED))
