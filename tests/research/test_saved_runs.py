"""Saved runs: whole or not at all, and one that is broken does not hide the others."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from novapulse.core.bars import DAY_NS
from novapulse.research import saved_runs
from novapulse.research.saved_runs import SavedRun, SavedRunError, daily, delete, listed, load, save

RUN = SavedRun(
    name="Slow <b>trend</b> / BTC",
    saved_at="2026-03-23T12:10:00Z",
    data_hash="ab" * 32,
    data={"exchange": "binance", "symbols": ["BTC/USDT"], "timeframe": "1m", "bars": 3},
    settings_hash="0123456789abcdef",
    settings={"capital": 10_000.0},
    summary={"total_return": 0.1, "sharpe": None, "trades": 3.0},
    day_ts_ns=[DAY_NS, 2 * DAY_NS],
    equity=[10_000.0, 11_000.0],
)


def test_what_is_saved_comes_back(tmp_path: Path):
    kept = save(tmp_path / "runs", RUN)
    assert load(tmp_path / "runs" / kept.file) == kept
    assert kept == SavedRun(**{**vars(RUN), "file": kept.file})
    assert kept.file == "20260323121000_slow-b-trend-b-btc_01234567.json"


def test_two_runs_of_one_name_and_second_are_both_kept(tmp_path: Path):
    files = {save(tmp_path, RUN).file for _ in range(3)}
    assert len(files) == 3
    assert len(listed(tmp_path)[0]) == 3


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_runs.os, "replace", full)
    with pytest.raises(SavedRunError, match="No space left"):
        save(tmp_path, RUN)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON text"),
        ("[]", "is not a run of version 1"),
        ('{"version": 2}', "is not a run of version 1"),
        ('{"version": 1}', "data is missing"),
        (json.dumps({"version": 1, **{k: v for k, v in vars(RUN).items() if k != "file"}, "equity": [1.0]}), "equity"),
    ],
)
def test_a_broken_file_is_named_and_the_others_are_listed(tmp_path: Path, text: str, said: str):
    kept = save(tmp_path, RUN)
    (tmp_path / "broken.json").write_text(text)
    runs, complaints = listed(tmp_path)
    assert runs == [kept]
    assert len(complaints) == 1
    assert "broken.json" in complaints[0]
    assert said in complaints[0]


def test_no_folder_is_no_runs(tmp_path: Path):
    assert listed(tmp_path / "nowhere") == ([], [])


def test_only_a_saved_run_can_be_deleted(tmp_path: Path):
    kept = save(tmp_path / "runs", RUN)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    for file in ("../secret.json", str(secret), "", "gone.json"):
        with pytest.raises(SavedRunError, match="there is no saved run"):
            delete(tmp_path / "runs", file)
    assert secret.exists()
    delete(tmp_path / "runs", kept.file)
    assert listed(tmp_path / "runs") == ([], [])


def test_a_curve_is_thinned_to_the_last_tick_of_each_day():
    """A bar that closes at midnight belongs to the day that ends there."""
    stamps = np.array([1, DAY_NS - 1, DAY_NS, DAY_NS + 1, 3 * DAY_NS, 3 * DAY_NS + 5])
    days, equity = daily(stamps, np.arange(6.0))
    assert days.tolist() == [DAY_NS, DAY_NS + 1, 3 * DAY_NS, 3 * DAY_NS + 5]
    assert equity.tolist() == [2.0, 3.0, 4.0, 5.0]
