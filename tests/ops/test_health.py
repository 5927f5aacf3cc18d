"""The health document (R-64, HS-005): every account is in it, the worst one decides, and an old one is not healthy."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from novapulse.core.records import Mode
from novapulse.ops import health
from novapulse.ops.health import EVERY_S, STALE_S, AccountHealth, document, read, write

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
GOOD = (
    AccountHealth("kraken", "second", Mode.NORMAL, last_bar_age_s=12.5, equity="2500.00"),
    AccountHealth("coinbase", "main", Mode.PAUSED, notes=("the operator: paused",)),
    AccountHealth("kraken", "main", Mode.NORMAL, open_orders=2, unknown_orders=1),
)


def written(tmp_path: Path, accounts: Any = GOOD, **more: Any) -> Path:
    path = tmp_path / "health.json"
    known = {"now_ns": NOW, "ledger_id": "a1", "ledger_place": "/data/ledger.db", "version": "4"}
    write(path, document(accounts, **{**known, **more}))
    return path


def test_a_healthy_trader_lists_every_account_by_its_two_fields(tmp_path: Path) -> None:
    verdict = read(written(tmp_path), NOW + SECOND)
    assert verdict.healthy
    assert [(one["exchange"], one["account_id"], one["healthy"]) for one in verdict.accounts] == [
        ("coinbase", "main", True),
        ("kraken", "main", True),
        ("kraken", "second", True),
    ]
    assert verdict.document["ledger"] == {"id": "a1", "place": "/data/ledger.db"}
    assert verdict.document["mode"] == "paused"
    assert verdict.document["bars"] == "", "what is not said is not said to be of now"


@pytest.mark.parametrize("sick", range(3))
def test_one_sick_account_makes_the_whole_sick_wherever_it_stands(sick: int, tmp_path: Path) -> None:
    accounts = [
        AccountHealth(one.exchange, one.account_id, Mode.HALTED, reasons=("the stream is down",)) if i == sick else one
        for i, one in enumerate(GOOD)
    ]
    verdict = read(written(tmp_path, accounts), NOW)
    assert not verdict.healthy
    whose = f"account {GOOD[sick].account_id} on {GOOD[sick].exchange}"
    assert verdict.reasons == (f"{whose} is not healthy: the stream is down",)
    assert [one["healthy"] for one in verdict.accounts].count(False) == 1
    assert verdict.document["mode"] == "halted"


def test_a_document_ages(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert read(path, NOW + int(STALE_S * SECOND)).healthy
    old = read(path, NOW + int(STALE_S * SECOND) + 1)
    assert not old.healthy
    assert "the last sign of life is 5 s old" in old.reasons[0]
    assert "3 d old" in read(path, NOW + 3 * 86_400 * SECOND).reasons[0]
    assert "ahead of this clock" in read(path, NOW - 60 * SECOND).reasons[0]


def test_what_a_stopped_trader_left_behind_is_not_healthy(tmp_path: Path) -> None:
    verdict = read(written(tmp_path, running=False), NOW + SECOND)
    assert not verdict.healthy
    assert verdict.reasons == ("the trader was stopped 1 s ago",)
    assert [one["healthy"] for one in verdict.accounts] == [False] * 3


def test_a_document_says_nothing_a_few_writes_after_the_last_one() -> None:
    assert 3 * EVERY_S <= STALE_S <= 5 * EVERY_S


def test_what_lies_on_a_full_disk_is_not_healthy_whatever_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 4096, 4096))
    verdict = read(path, NOW + SECOND)
    assert (verdict.healthy, verdict.reasons) == (False, (f"the disk of {tmp_path} is full: 4,096 bytes are free",))


def test_a_trader_without_accounts_is_not_healthy(tmp_path: Path) -> None:
    verdict = read(written(tmp_path, ()), NOW)
    assert not verdict.healthy
    assert verdict.reasons == ("the trader runs no account",)


def test_what_is_wrong_with_the_trader_as_a_whole_counts(tmp_path: Path) -> None:
    verdict = read(written(tmp_path, reasons=["the ledger cannot be written"]), NOW)
    assert (verdict.healthy, verdict.reasons) == (False, ("the ledger cannot be written",))


_REST = '"healthy": true, "reasons": [], "running": true'
DAMAGED = {
    "empty": "",
    "half of one": '{"healthy": true, "accounts": [',
    "no JSON object": "[1, 2]",
    "no text": "\udcff",
    "without accounts": f'{{{_REST}, "heartbeat_ns": 1}}',
    "with an account that says nothing": f'{{{_REST}, "heartbeat_ns": 1, "accounts": [{{}}]}}',
    "with a heartbeat of words": f'{{{_REST}, "heartbeat_ns": "now", "accounts": []}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_document_is_not_healthy_and_says_so(content: str, tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    verdict = read(path, NOW)
    assert not verdict.healthy
    assert "is damaged" in verdict.reasons[0]
    json.dumps(verdict.json())


def test_a_missing_or_unreadable_document_is_not_healthy(tmp_path: Path) -> None:
    assert "no trader has written" in read(tmp_path / "health.json", NOW).reasons[0]
    assert "cannot be read" in read(tmp_path, NOW).reasons[0]


def test_a_document_that_claims_health_for_a_sick_account_is_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path, [AccountHealth("kraken", "main", Mode.NORMAL, reasons=("sick",))])
    lying = json.loads(path.read_text()) | {"healthy": True}
    path.write_text(json.dumps(lying))
    assert not read(path, NOW).healthy


def test_a_write_that_fails_leaves_the_last_document_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(health.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path, ())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["health.json"]


def test_numbers_that_json_has_no_word_for_become_unknown(tmp_path: Path) -> None:
    account = AccountHealth("kraken", "main", Mode.NORMAL, last_bar_age_s=math.inf, more={"lag_s": math.nan})
    (one,) = read(written(tmp_path, [account]), NOW).accounts
    assert (one["last_bar_age_s"], one["more"]) == (None, {"lag_s": None})
