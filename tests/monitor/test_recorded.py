"""Splits, reopened orders and alerts: whatever is shown of them is what the ledger's own queries say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from novapulse.core.messages import CommandReceived, Commit, OrderReported, Record
from novapulse.core.order_fold import Order
from novapulse.core.orders import VenueState
from novapulse.engine.opening import opening_record
from novapulse.ledger import statistics
from novapulse.ledger.alerts import alerts
from novapulse.ledger.journal import Ledger
from novapulse.ledger.queries import orders, reading, scales
from novapulse.monitor import read_home
from novapulse.monitor.home import Home
from novapulse.monitor.state import AccountState
from novapulse.monitor.values import exact
from tests.engine.harness import ACCOUNT, ORIGIN_NS
from tests.engine.scene import with_position
from tests.engine.test_late_evidence import Kept, ended
from tests.engine.test_splits import bracket_ends, close_of, quote, split
from tests.ledger.written import ACCOUNTS, SCALES, START_NS, Life, live_on, open_accounts

CENTS = Decimal("1e-6")


def opened() -> Kept:
    return with_position(Kept())


def split_in_between() -> Kept:
    scene = opened()
    scene.tick(0.0)
    price = close_of(scene)
    split(scene, 3, 2)
    bracket_ends(scene)
    quote(scene, price * 2 / 3)
    return scene


def reopened() -> Kept:
    scene, submit = ended("never placed")
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.LIVE)))
    name = submit.request.client_order_id
    scene.hear(CommandReceived(scene.wait(1), "c1", "acknowledge", {"alert": f"reopened:{name}"}, "ann"))
    scene.hear(OrderReported(scene.wait(1), scene.says(submit, VenueState.CANCELED)))
    return scene


@contextmanager
def growing(home: Path, scene: Kept) -> Iterator[Iterator[tuple[Commit, AccountState]]]:
    """Write what a scene committed, commit by commit, and read on after each."""
    with Ledger.open(home / "ledger.db", durable=False, now_ns=1) as ledger:
        ledger.register_assets(scene.desk.scales)
        ledger.take_lease(ACCOUNT, "test", ORIGIN_NS, 10**18)
        ledger.commit([(ACCOUNT, Commit((opening_record(scene.trader, ORIGIN_NS),)))])
        going_on = Home(home)

        def steps() -> Iterator[tuple[Commit, AccountState]]:
            for _, commit in scene.journal.commits:
                ledger.commit([(ACCOUNT, commit)])
                yield commit, going_on.look().accounts[0]

        yield steps()
        going_on.close()


@pytest.mark.parametrize("scene", [split_in_between, reopened])
def test_what_is_read_on_is_what_the_ledger_says_at_every_commit(tmp_path: Path, scene: Callable[[], Kept]) -> None:
    kinds = set[str]()
    with growing(tmp_path, scene()) as steps:
        for commit, state in steps:
            kinds |= {record.kind for record in commit.records}
            assert_as_the_ledger_says(tmp_path, state)
            assert state == read_home(tmp_path).accounts[0]
    assert kinds & {"split_applied", "order_reopened"}
    assert "split_applied" in kinds or {"alert_raised", "alert_acknowledged", "alert_cleared"} <= kinds


def assert_as_the_ledger_says(home: Path, state: AccountState) -> None:
    with reading(home / "ledger.db") as connection:
        digits = scales(connection)
        held = statistics.positions(connection, state.key)
        realized = sum((one.pnl for one in statistics.realised(connection, state.key)), Fraction(0))
        working = {row.order.client_order_id: row.order for row in orders(connection, state.key) if row.is_open}
        told = alerts(connection, state.key)
    quote_digits = digits[state.quote]
    assert state.realized_pnl == exact(realized / 10**quote_digits, quote_digits)
    assert {(one.symbol, one.is_ours): (one.qty, one.opened_ns) for one in state.positions} == {
        (one.instrument.symbol, one.is_ours): (exact(Fraction(one.units, 10**base), base), one.since_ns)
        for one in held
        for base in [digits[one.instrument.symbol.split("/")[0]]]
    }
    for one, row in zip(sorted(held, key=lambda one: (one.instrument, not one.is_ours)), state.positions, strict=True):
        if row.mark_price is not None:
            worth = Fraction(row.qty) * Fraction(row.mark_price)
            assert row.unrealized_pnl == exact(worth + one.money / 10**quote_digits, quote_digits)
    assert {one.client_order_id: one.status for one in state.orders} == {
        name: order.status.value for name, order in working.items() if may_fill(order)
    }
    shown = [(one.key, one.ts_ns, one.is_open, one.acknowledged_by, one.times, one.over_ns) for one in state.alerts]
    wanted = [
        (row.key, row.raised_ns, row.is_open, row.acknowledged_by, row.times, row.over_ns)
        for row in told
        if row.is_open or len(told) <= 50
    ]
    assert set(wanted) <= set(shown)
    assert len(shown) == sum(row.is_open for row in told) + min(50, sum(not row.is_open for row in told))


def may_fill(order: Order) -> bool:
    return order.is_risk or order.status.value == "INTENT"


def test_a_split_moves_no_money_and_restates_every_price(tmp_path: Path) -> None:
    before: AccountState | None = None
    with growing(tmp_path, split_in_between()) as steps:
        for commit, after in steps:
            if any(record.kind == "split_applied" for record in commit.records):
                break
            before = after
    assert before is not None
    (one,), (other,) = before.positions, after.positions
    ratio = Fraction(3, 2)
    assert Fraction(other.qty) == Fraction(one.qty) * ratio
    for was, now in ((one.entry_price, other.entry_price), (one.mark_price, other.mark_price)):
        assert was is not None
        assert now is not None
        assert float(now) == pytest.approx(float(was / ratio.numerator * ratio.denominator))
    assert other.unrealized_pnl == pytest.approx(one.unrealized_pnl, abs=CENTS)
    assert one.unrealized_r
    assert other.unrealized_r == pytest.approx(one.unrealized_r)
    assert after.equity == pytest.approx(before.equity, abs=CENTS)


def test_an_order_that_was_reopened_is_at_work_until_it_ends_again(tmp_path: Path) -> None:
    seen = []
    with growing(tmp_path, reopened()) as steps:
        for commit, state in steps:
            for record in commit.records:
                if record.kind in ("order_closed", "order_reopened"):
                    name = record.body["client_order_id"]
                    seen.append((record.kind, any(one.client_order_id == name for one in state.orders)))
    assert [is_working for kind, is_working in seen if kind == "order_reopened"] == [True]
    assert ("order_closed", True) not in seen


@pytest.mark.parametrize("seed", range(3))
def test_lives_with_splits_alerts_and_late_evidence_are_read_as_the_ledger_has_them(tmp_path: Path, seed: int) -> None:
    with Ledger.open(tmp_path / "ledger.db", durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, seed)
        going_on, found = Home(tmp_path), set[str]()
        for _ in range(14):
            for key, life in lives.items():
                live_on(journal, life)
                told = tuple(told_of(life))
                found |= {one.kind for one in told}
                journal.commit([(key, Commit(told, life.ts_ns, life.state()))])
            now = going_on.look()
            assert now.accounts == read_home(tmp_path).accounts
            for key in ACCOUNTS:
                assert_as_the_ledger_says(tmp_path, now.account(key.exchange, key.account_id))
        going_on.close()
    assert len(found) == 3


def told_of(life: Life) -> Iterator[Record]:
    rng = life.rng
    key = rng.choice(("halt", "feed", "disk"))
    yield life.record("alert_raised", {"severity": "critical", "key": key, "text": "x", "times": rng.choice((1, 1, 2))})
    if rng.random() < 0.5:
        yield life.record("alert_acknowledged", {"key": rng.choice((key, "halt")), "actor": "ann"})
    if rng.random() < 0.6:
        yield life.record("alert_cleared", {"key": rng.choice((key, "never raised")), "text": "well"})
