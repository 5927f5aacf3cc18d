"""How full the disk is."""

import shutil
from pathlib import Path


def free_fraction(path: Path) -> float | None:
    """Return the share of the disk that is free where a path lies or will lie, or None where it cannot be measured."""
    there = next((place for place in (path, *path.absolute().parents) if place.exists()), None)
    if there is None:
        return None
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
