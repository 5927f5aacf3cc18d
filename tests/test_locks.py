"""A file is one process's at a time, and says whose."""

import os
from pathlib import Path

import pytest

from novapulse.locks import HeldError, holder_of, take


def test_a_file_is_had_by_one_at_a_time_and_says_by_whom(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert holder_of(path) == ""
    handle = take(path, " at http://127.0.0.1:1")
    mine = f"process {os.getpid()} at http://127.0.0.1:1"
    assert holder_of(path) == mine
    with pytest.raises(HeldError) as held:
        take(path, " somewhere else")
    assert held.value.holder == mine
    os.close(handle)
    assert holder_of(path) == ""
    again = take(path)
    assert holder_of(path) == f"process {os.getpid()}"
    os.close(again)


def test_a_holder_that_said_nothing_of_itself_is_another_process(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    handle = take(path)
    os.ftruncate(handle, 0)
    assert holder_of(path) == "another process"
    os.close(handle)


def test_a_place_that_is_not_there_is_no_holder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "nowhere" / "one.lock")
