"""A trader of one instrument whose venue is the test."""

from dataclasses import replace
from typing import TypeVar

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.messages import (
    CommandReceived,
    Effect,
    FillReported,
    OrderReported,
    Outcome,
    Snapshot,
    SnapshotRead,
    Started,
    Submit,
    SubmitEnded,
)
from novapulse.core.orders import Filled, OrderStatus, Seen, VenueState
from novapulse.engine.settings import TraderSettings
from tests.engine.harness import (
    ORIGIN_NS,
    SECOND_NS,
    decides,
    noisy_ticks,
    trader_of,
)

AnyScene = TypeVar("AnyScene", bound="Scene")


class Scene:
    """A trader of one instrument whose venue is the test."""

    symbols: tuple[str, ...] = ("BTC/USD",)

    def __init__(
        self,
        settings: TraderSettings | None = None,
        chosen: BacktestSettings | None = None,
        *,
        has_quotes: bool = False,
        shortable: bool = False,
    ) -> None:
        chosen = chosen or decides()
        self.trader = trader_of(self.symbols, chosen, settings, has_quotes=has_quotes, shortable=shortable)
        self.desk = self.trader.desk
        self.ticks = noisy_ticks(self.symbols, bars=40)
        self.ts_ns = ORIGIN_NS
        self.row = 0
        self.effects: list[Effect] = []
        self.kept: list[Effect] = []
        self.hear(Started(self.ts_ns))
        self.hear(SnapshotRead(self.ts_ns, self.snapshot()))

    def snapshot(self, orders=(), fills=()) -> Snapshot:
        cash = int(self.desk.books.account[0].cash_units)
        held = int(self.desk.books.positions[0].qty_units + self.desk.books.foreign_units[0])
        return Snapshot(self.ts_ns, self.ts_ns, orders, fills, "0/0", {"USD": cash, "BTC": held}, (), self.ts_ns)

    def hear(self, event) -> list[Effect]:
        self.effects = self.trader.handle(event)
        self.kept += self.effects
        return self.effects

    def tick(self, *consensus: float) -> list[Effect]:
        event = self.ticks.event(self.row, 0)
        signals = event.signals.copy()
        signals["consensus"] = consensus or 0.0
        signals["atr"] = 3.0
        self.ts_ns = event.ts_close_ns
        self.row += 1
        return self.hear(replace(event, ts_ns=self.ts_ns, signals=signals))

    def touch(self) -> list[Effect]:
        """Let a bar close that lies beyond the stop as a whole."""
        event = self.ticks.event(self.row, 0)
        bars, signals = event.bars.copy(), event.signals.copy()
        position = self.desk.books.positions[0]
        for name in ("open", "high", "low", "close"):
            bars[name] = round(float(position.stop_price) - 0.5 * int(position.direction), 2)
        signals["consensus"] = 0.0
        self.ts_ns = event.ts_close_ns
        self.row += 1
        return self.hear(replace(event, ts_ns=self.ts_ns, bars=bars, signals=signals))

    def wait(self, seconds: float) -> int:
        self.ts_ns += round(seconds * SECOND_NS)
        return self.ts_ns

    def sent(self, kind: type) -> list:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def enter(self) -> Submit:
        self.tick(10.0)
        (submit,) = self.sent(Submit)
        return submit

    def accept(self, submit: Submit, venue_id: str = "V1") -> None:
        self.hear(SubmitEnded(self.wait(0.2), submit.request.client_order_id, 1, Outcome.ACCEPTED, venue_id))

    def status(self, submit: Submit) -> OrderStatus:
        order = self.desk.order(submit.request.client_order_id)
        assert order is not None
        return order.status


def opened(settings: TraderSettings | None = None, chosen: BacktestSettings | None = None) -> Scene:
    """Return a scene with a position and its bracket."""
    return with_position(Scene(settings, chosen))


def with_position(scene: AnyScene) -> AnyScene:
    """Let a scene enter a position whose bracket stands."""
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    return scene


def fill_entry(scene: Scene, submit: Submit, units: int) -> None:
    request = submit.request
    price = request.terms.limit_units
    cash = price * units * 10**2
    fill = Filled(
        request.client_order_id,
        "V1",
        f"T{units}",
        request.instrument,
        request.side,
        units,
        price,
        cash,
        0,
        0,
        scene.ts_ns,
    )
    scene.hear(FillReported(scene.wait(0.1), fill))


def close_by_hand(scene: Scene, price_units: int = 10_000) -> Submit:
    """Let an operator close what is held, and the venue carry that out."""
    scene.hear(CommandReceived(scene.wait(1), "close", "close", {"symbol": scene.symbols[0]}, "ops"))
    (submit,) = scene.sent(Submit)
    scene.accept(submit, "V9")
    request = submit.request
    sold = replace(request, terms=replace(request.terms, limit_units=price_units))
    fill_entry(scene, replace(submit, request=sold), request.terms.qty_units)
    return submit
