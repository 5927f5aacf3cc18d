"""Limits that an operator changed: what counts, what is configured, and who said so, out of the ledger alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from novapulse.core.messages import CommandReceived
from novapulse.engine.opening import opening_record
from novapulse.ledger.reads import Entry
from novapulse.monitor import read_home
from novapulse.monitor.fold import AccountFold
from novapulse.monitor.limits import Level, limits_of
from novapulse.monitor.rows import LimitChangeState
from tests.engine.harness import ACCOUNT, ORIGIN_NS, decides
from tests.engine.test_late_evidence import Kept


def folded(scene: Kept) -> AccountFold:
    fold = AccountFold(ACCOUNT, scene.desk.scales)
    records = [opening_record(scene.trader, ORIGIN_NS), *scene.journal.records()]
    for seq, record in enumerate(records, 1):
        fold.take(Entry(seq, record))
    return fold


def say(scene: Kept, what: str, actor: str) -> int:
    """Say it and return the moment."""
    scene.hear(CommandReceived(scene.wait(1), f"c-{actor}", "limits", {"set": what}, actor))
    return scene.ts_ns


@pytest.fixture
def changed() -> tuple[Kept, int, int]:
    scene = Kept()
    first = say(scene, "daily_loss_max_fraction=0.02,positions_max=2", "web:ann")
    return scene, first, say(scene, "positions_max=3,daily_loss_halt_fraction=0.04", "cli:bob")


def test_the_fold_tells_each_change_with_the_entry_that_made_it(changed: tuple[Kept, int, int]) -> None:
    scene, first, second = changed
    fold = folded(scene)
    assert len({one.seq for one in fold.limit_changes}) == 2
    assert [replace(one, seq=0) for one in fold.limit_changes] == [
        LimitChangeState(0, second, "daily_loss_halt_fraction", "breakers", 0.04, 0.05, "c-cli:bob", "cli:bob"),
        LimitChangeState(0, first, "daily_loss_max_fraction", "limits", 0.02, 0.05, "c-web:ann", "web:ann"),
        LimitChangeState(0, second, "positions_max", "limits", 3.0, 8, "c-cli:bob", "cli:bob"),
    ]
    assert fold.risk["limits"]["daily_loss_max_fraction"] == 0.02
    assert fold.risk["breakers"]["daily_loss_halt_fraction"] == 0.04
    assert fold.risk["limits"]["gross_exposure_max_fraction"] == 0.5
    expected = decides(
        limits={**decides().risk.limits.model_dump(), "daily_loss_max_fraction": 0.02, "positions_max": 3}
    )
    assert fold.settings_hash == scene.desk.settings_hash == expected.hash


def test_a_restart_keeps_them_and_a_reset_ends_them(changed: tuple[Kept, int, int]) -> None:
    scene, *_ = changed
    scene.start_anew()
    assert len(folded(scene).limit_changes) == 3
    say(scene, "all=configured", "web:ann")
    fold = folded(scene)
    assert fold.limit_changes == ()
    assert fold.settings_hash == decides().hash
    assert fold.risk["limits"]["positions_max"] == 8


def test_a_meter_says_what_counts_what_is_configured_and_who_changed_it(
    left_home: Path, changed: tuple[Kept, int, int]
) -> None:
    fold = folded(changed[0])
    account = replace(
        read_home(left_home).account("kraken", "main"),
        risk=fold.risk,
        limit_changes=fold.limit_changes,
        day_pnl_fraction=-0.025,
    )
    meters = {one.name: one for one in limits_of(account)}
    loss, exposure = meters["daily_loss_max_fraction"], meters["gross_exposure_max_fraction"]
    assert (loss.level, loss.limit, loss.configured) == (Level.OVER, 0.02, 0.05)
    assert (loss.changed_by, loss.changed_ns, loss.command_id) == ("web:ann", changed[1], "c-web:ann")
    assert loss.changed_seq == next(one.seq for one in fold.limit_changes if one.name == loss.name)
    assert (exposure.configured, exposure.changed_by, exposure.changed_ns) == (None, "", None)
    assert all(not one.changed_by for one in limits_of(account, account.risk)), "limits of somebody else's choice"
