"""How full the disk is."""

import shutil
from pathlib import Path


def free_fraction(path: Path) -> float | None:
    """Return the share of the disk that is free where a path lies or will lie, or None where it cannot be measured."""
    free, total = _free_of(path)
    return None if free is None or not total else free / total


def free_bytes(path: Path) -> int | None:
    """Return the bytes that are free where a path lies or will lie, or None where that cannot be measured."""
    return _free_of(path)[0]


def _free_of(path: Path) -> tuple[int | None, int]:
    there = next((place for place in (path, *path.absolute().parents) if place.exists()), None)
    if there is None:
        return None, 0
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return None, 0
    return usage.free, usage.total
