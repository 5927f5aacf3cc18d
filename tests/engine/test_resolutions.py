"""Money and coins that come or go without a trade: neither profit nor loss, on that day and on every later one."""

from dataclasses import replace

import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.core.messages import CommandReceived, Commit, Flow, SnapshotRead
from novapulse.core.records import Mode
from novapulse.engine import memory
from novapulse.risk.limits import daily_loss
from novapulse.risk.sizing import drawdown
from tests.engine.harness import ORIGIN_NS, trader_of
from tests.engine.scene import Scene, opened

FIRST_DAY_NS = ORIGIN_NS // DAY_NS * DAY_NS + DAY_NS


def close_at(scene: Scene, day: int, minute: int = 1) -> None:
    """Let a bar close on a day, counted from the first whole one, at the price of the last one."""
    event = scene.ticks.event(scene.row, 0)
    bars, signals, last = event.bars.copy(), event.signals.copy(), scene.desk.books.last_bars[0]
    scene.ts_ns = FIRST_DAY_NS + day * DAY_NS + minute * MINUTE_NS
    if last.close > 0.0:
        bars[0] = last
    bars["ts_close_ns"], signals["consensus"], signals["atr"] = scene.ts_ns, 0.0, 3.0
    scene.hear(replace(event, ts_ns=scene.ts_ns, ts_close_ns=scene.ts_ns, bars=bars, signals=signals))


def moves(scene: Scene, asset: str, units: int) -> None:
    """Let the venue show a movement, by its row and its balance."""
    flow = Flow(f"F{scene.ts_ns}", "deposit" if units > 0 else "withdrawal", asset, units, scene.wait(30))
    shown = scene.snapshot()
    balances = {**shown.balances, asset: shown.balances[asset] + units}
    scene.hear(SnapshotRead(scene.ts_ns, replace(shown, balances=balances, flows=(flow,))))


def lose(scene: Scene, share: float) -> None:
    scene.desk.books.move_cash(-round(share * int(scene.desk.books.account[0].cash_units)))


def dollars(scene: Scene, amount: int) -> int:
    return amount * 10 ** scene.desk.scales["USD"]


def losses(scene: Scene) -> tuple[float, float]:
    account = scene.desk.books.account[0]
    return float(daily_loss(account)), float(drawdown(account))


@pytest.mark.parametrize("amount", [-4000, 10_000])
def test_money_is_no_loss_and_no_profit_when_the_peak_is_taken_from_the_days_before(amount: int) -> None:
    scene = Scene()
    for day in range(3):
        close_at(scene, day)
    moves(scene, "USD", dollars(scene, amount))
    for day in (2, 3, 4, 170):
        close_at(scene, day, minute=9)
        assert losses(scene) == (0.0, 0.0)
        assert float(scene.desk.books.account[0].equity) == 10_000 + amount
    assert scene.desk.books.mode is Mode.NORMAL


def test_a_loss_is_what_it_was_behind_a_deposit_and_a_new_day() -> None:
    scene = Scene()
    close_at(scene, 0)
    lose(scene, 0.15)
    close_at(scene, 1)
    moves(scene, "USD", dollars(scene, 10_000))
    for day in (1, 2, 3):
        close_at(scene, day, minute=9)
        account = scene.desk.books.account[0]
        assert float(account.equity_peak) - float(account.equity) == pytest.approx(1500.0)


def test_days_that_nobody_traded_have_no_peak_whatever_comes() -> None:
    scene = Scene()
    close_at(scene, 0)
    close_at(scene, 5)
    moves(scene, "USD", dollars(scene, 10_000))
    assert sorted(set(scene.desk.books.account[0].day_peaks.tolist())) == [0.0, 20_000.0]


def with_coins() -> Scene:
    scene = opened()
    close_at(scene, 0)
    return scene


def asset_units(scene: Scene, qty_units: int) -> int:
    return qty_units * 10 ** (scene.desk.scales["BTC"] - scene.desk.instruments[0].qty_scale)


@pytest.mark.parametrize("share", [1, 2])
def test_coins_of_a_position_that_are_taken_out_are_no_loss(share: int) -> None:
    scene = with_coins()
    before, equity = losses(scene), float(scene.desk.books.account[0].equity)
    held, price = scene.desk.books.held_units(0), float(scene.desk.books.positions[0].mark_price)
    gone = held // share
    moves(scene, "BTC", -asset_units(scene, gone))
    assert scene.desk.books.held_units(0) == held - gone
    close_at(scene, 0, minute=9)
    worth = gone / 10 ** scene.desk.instruments[0].qty_scale * price
    assert float(scene.desk.books.account[0].equity) == pytest.approx(equity - worth)
    assert losses(scene) == pytest.approx(before, abs=1e-4)
    close_at(scene, 1)
    assert losses(scene) == pytest.approx((0.0, before[1]), abs=1e-4)


def test_coins_that_are_nobodys_move_no_marks() -> None:
    scene = with_coins()
    marks = scene.desk.books.account[0].copy()
    moves(scene, "BTC", asset_units(scene, 20_000))
    assert scene.desk.books.foreign_units[0] == 20_000
    moves(scene, "BTC", -asset_units(scene, 20_000))
    assert scene.desk.books.account[0] == marks


def test_a_difference_of_coins_that_a_person_adopts_is_no_loss() -> None:
    scene = with_coins()
    before = losses(scene)
    shown = scene.snapshot()
    less = {**shown.balances, "BTC": 0}
    for _ in range(3):
        scene.hear(SnapshotRead(scene.wait(10), replace(shown, balances=less)))
    scene.hear(CommandReceived(scene.wait(1), "c", "adopt", {"order": "D13:BTC"}, "ops"))
    assert scene.desk.books.held_units(0) == 0
    close_at(scene, 0, minute=9)
    assert losses(scene) == pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize("asset", ["USD", "BTC"])
def test_a_restarted_trader_knows_what_came_and_went(asset: str) -> None:
    scene = with_coins()
    close_at(scene, 1)
    lose(scene, 0.01)
    close_at(scene, 2)
    went = {"USD": dollars(scene, 4000), "BTC": asset_units(scene, scene.desk.books.held_units(0))}
    moves(scene, asset, -went[asset])
    state = [effect.state for effect in scene.kept if isinstance(effect, Commit) and effect.state][-1]
    again = trader_of(scene.symbols).desk
    memory.unpack(again, state, scene.desk.orders.values())
    assert again.books.packed() == scene.desk.books.packed()
    account = scene.desk.books.account[0]
    assert float(account.day_peaks[account.day_index]) < 10_000.0
