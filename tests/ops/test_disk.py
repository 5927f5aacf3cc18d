"""Free disk: measured where a path will lie, and unknown where it cannot be."""

import shutil
from pathlib import Path

import pytest

from novapulse.ops.disk import free_bytes, free_fraction


def test_it_is_measured_where_a_path_will_lie(tmp_path: Path) -> None:
    free = free_fraction(tmp_path / "not" / "there" / "yet")
    assert free is not None
    assert 0 <= free <= 1


@pytest.mark.parametrize(("total", "free", "expected"), [(1000, 100, 0.1), (1000, 0, 0.0), (0, 0, None)])
def test_it_is_the_share_that_is_free(
    total: int, free: int, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(total, total - free, free))
    assert free_fraction(tmp_path) == expected
    assert free_bytes(tmp_path) == free


def test_a_disk_that_cannot_be_asked_is_unknown_and_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Path) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(shutil, "disk_usage", gone)
    assert free_fraction(tmp_path) is None
    assert free_bytes(tmp_path) is None
