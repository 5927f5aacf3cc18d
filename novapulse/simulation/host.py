"""One account of a stormy world: its trader, its venue, and what is wrong with both at present."""

from dataclasses import dataclass, field

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.engine.configuration import Configuration
from novapulse.engine.last_close import LastClose
from novapulse.engine.opening import capital_units, new_trader
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record
from novapulse.simulation.durable import Durable
from novapulse.simulation.scene import Part, Scene
from novapulse.simulation.world import Link, Node
from novapulse.venues.simulated import ClientIds, Levers, SimulatedExchange

FOUND_OUT_NS = 10 * MINUTE_NS
"""After which a trader has to have found out what its venue keeps quiet: readings come in rhythm."""


@dataclass(slots=True)
class Ghost:
    """A trader that was overtaken and does not know it yet."""

    trader: Trader
    epoch: int
    events_left: int


@dataclass(slots=True)
class Host(Node):
    """One account.

    Attributes:
        part: What it trades and hears.
        levers: Its venue's.
        configured: What its traders are put together from.
        durable: What its ledger holds, indexed.
        silent_until_ns: Its stream says nothing up to then.
        stale_until_ns: No bar reaches it up to then.
        unquoted_until_ns: No good quote reaches it up to then.
        quoted_ns: Instrument -> when the last one did.
        refuses_brackets_until_ns: Its venue takes no bracket by itself up to then.
        missed: Closes in a row that it was not told of.
        last: The last close of its market.
        ghost: Its predecessor that was overtaken.
        in_flight: Client order id -> when a submission of it arrives that the venue would still take.
        splits: Instrument -> by what its market's prices are multiplied since it was split.
        closed_until_ns: Instrument -> its market shows no bar up to then.
        denied: Client order ids that its venue refused and took all the same.
        ledger_failed: Whether the last commit was not taken.
        failures: Restarts in a row that failed.
        wants_restart: Whether a start is scheduled.
        is_halted_for_good: Whether somebody has to look first: a ledger that lost data.
        untold: Instrument -> when an execution of it was taken back, while neither a word nor a reading told of it.
        beyond: Instrument -> the side to which a venue executed more than was held, and since when that is held.
        legs: Execution -> the other one, of two legs of a bracket that were together more than was held.
        flat_asked: What its operator asked for who wants nothing held, `flatten` or `kill`; empty when nobody does.
    """

    part: Part = field(kw_only=True)
    levers: Levers = field(kw_only=True)
    configured: Configuration = field(kw_only=True)
    durable: Durable = field(default_factory=Durable)
    silent_until_ns: int = 0
    stale_until_ns: int = 0
    missed: int = 0
    last: LastClose = field(default_factory=LastClose)
    unquoted_until_ns: int = 0
    quoted_ns: dict[InstrumentKey, int] = field(default_factory=dict)
    refuses_brackets_until_ns: int = 0
    ghost: Ghost | None = None
    in_flight: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    splits: dict[InstrumentKey, float] = field(default_factory=dict)
    closed_until_ns: dict[InstrumentKey, int] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    ledger_failed: bool = False
    wants_restart: bool = False
    is_halted_for_good: bool = False
    untold: dict[InstrumentKey, int] = field(default_factory=dict)
    beyond: dict[InstrumentKey, tuple[int, int]] = field(default_factory=dict)
    legs: dict[str, str] = field(default_factory=dict)
    flat_asked: str = ""

    def told_ns(self, now_ns: int) -> int:
        """Return what its machine's clock shows."""
        return now_ns + self.clock_ns

    def knows_again(self, client_order_id: str) -> bool:
        """Tell whether its venue makes no second order of an id: it never does, or not while the first lives."""
        orders = self.exchange.book.of_client(client_order_id)
        return self.exchange.client_ids is not ClientIds.OPEN or any(order.is_live for order in orders)

    def is_deceived(self, now_ns: int) -> bool:
        """Tell whether its venue did something that it denied or kept quiet, and the trader cannot know of it yet."""
        if self.trader is None:
            return False
        for key, since_ns in list(self.untold.items()):
            if now_ns - since_ns > FOUND_OUT_NS or self._has_been_told(key):
                del self.untold[key]
        return bool(self.untold) or any(self._is_hidden(self.trader, name) for name in self.denied)

    def untold_units(self, asset: str) -> int:
        """Return what came (> 0) or went of an asset and its trader has not read of yet, in the asset's units."""
        known = self.trader.desk.flows if self.trader is not None else {}
        flows = (flow for flow in self.exchange.holdings.flows if flow.asset == asset and not flow.new)
        return sum(flow.asset_units for flow in flows if flow.flow_id not in known)

    def _has_been_told(self, key: InstrumentKey) -> bool:
        # A comparison shows the holding as different, or somebody has accepted it since.
        assert self.trader is not None
        desk, row = self.trader.desk, self.trader.desk.rows[key]
        slot, base = self.exchange.slots[key], desk.instruments[row].base
        differs = slot.held_units + slot.stray_units != desk.books.held_units(row) + int(desk.books.foreign_units[row])
        return not differs or any(found.asset == base for found in desk.breaks.values())

    def _is_hidden(self, trader: Trader, name: str) -> bool:
        # An order that was denied lives, or has traded, and its trader has not heard of it.
        known, trades = trader.desk.order(name), self.exchange.holdings.trades
        booked = known.fills if known is not None else {}
        return any(
            (order.is_live and name not in trader.desk.orders)
            or any(trades[number].venue_trade_id not in booked for number in order.executions)
            for order in self.exchange.book.of_client(name)
        )


def trader_of(scene: Scene, part: Part) -> Trader:
    """Return a trader that has not traded yet."""
    return new_trader(
        part.key,
        part.instruments,
        scene.decides,
        scene.settings,
        scene.breakers,
        MINUTE_NS,
        scene.scales,
    )


def host_of(scene: Scene, part: Part, client_ids: ClientIds) -> Host:
    """Return an account whose trader is down."""
    first = part.instruments[0]
    exchange = SimulatedExchange(
        part.key,
        part.instruments,
        _rules_of(scene.decides, part.instruments),
        capital_units(scene.decides, first),
        scales=scene.scales,
        client_ids=client_ids,
    )
    exchange.follows_others = False
    configured = trader_of(scene, part).desk.configured
    return Host(part.key, None, exchange, Link(0, 0), part=part, levers=Levers(exchange), configured=configured)


def _rules_of(decides: BacktestSettings, instruments: tuple[Instrument, ...]) -> object:
    return rules_record(decides.risk, decides.execution, MINUTE_NS, instruments[0] if len(instruments) == 1 else None)


def client_ids_of(key: AccountKey, seed: int) -> ClientIds:
    """Return how the venue of an account treats a client order id that was used before."""
    if key.exchange == "kraken":
        return ClientIds.OPEN
    return ClientIds.FIRST if seed % 2 else ClientIds.ONCE
