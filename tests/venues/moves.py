"""What can be done to a venue, drawn by hypothesis or from a seed, and what it is like afterwards."""

import random
from typing import Any

from hypothesis import strategies as st

from novapulse.core.orders import Side, Terms
from novapulse.core.ports import Rejected, Unavailable
from novapulse.venues.simulated import Levers, PaperVenue, SimulatedExchange, VenueMode
from tests.backtest.builders import MINUTE_NS, bar_of
from tests.venues.builders import BTC, at, bracket, guarded, leave

Move = tuple[Any, ...]

PRICES, UNITS = st.integers(90, 110), st.integers(1, 3000)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("abcd"), PRICES, UNITS),
        st.tuples(st.just("market"), st.sampled_from("efgh"), UNITS),
        st.tuples(st.just("leave"), st.sampled_from("ijkl"), UNITS),
        st.tuples(st.just("guard"), st.sampled_from("mn"), PRICES, UNITS),
        st.tuples(st.just("cancel"), st.sampled_from("abcdefghijkl")),
        st.tuples(st.just("amend"), st.sampled_from("abcd"), PRICES, UNITS),
        st.tuples(st.just("bar"), PRICES, st.integers(0, 6), st.integers(0, 30)),
        st.tuples(st.just("bar"), PRICES, st.integers(0, 6), st.integers(0, 30)),
        st.tuples(st.just("maintenance")),
        st.tuples(st.just("late cancels"), st.integers(0, 2)),
        st.tuples(st.just("deposit"), st.sampled_from(["USD", "BTC", "ETH"]), st.integers(-5, 5)),
        st.tuples(st.just("by hand"), UNITS),
        st.tuples(st.just("bust"), st.integers(0, 5)),
        st.tuples(st.just("wait")),
    ),
    max_size=40,
)


def script(seed: int, count: int) -> list[Move]:
    """Return moves drawn from a seed, the same in every process."""
    rng = random.Random(seed)

    def move() -> Move:
        price, units = rng.randint(95, 105), rng.randint(1, 3000)
        verb = rng.choice("submit market leave guard cancel amend bar bar bar bar by_hand deposit bust late".split())
        return {
            "submit": ("submit", rng.choice("abcd"), price, units),
            "market": ("market", rng.choice("efgh"), units),
            "leave": ("leave", rng.choice("ijkl"), units),
            "guard": ("guard", rng.choice("mn"), price, units),
            "cancel": ("cancel", rng.choice("abcdefgh")),
            "amend": ("amend", rng.choice("abcd"), price, units),
            "bar": ("bar", price, rng.randint(0, 6), rng.randint(0, 30)),
            "by_hand": ("by hand", units),
            "deposit": ("deposit", rng.choice(["USD", "BTC", "ETH"]), rng.randint(-5, 5)),
            "bust": ("bust", rng.randint(0, 5)),
            "late": ("late cancels", rng.randint(0, 2)),
        }[verb]

    return [move() for _ in range(count)]


def act(venue: SimulatedExchange | PaperVenue, minute: int, move: Move) -> None:
    """Do one move half a minute after `minute`; a refusal is an answer like any other."""
    now = at(minute + 0.5)
    paper = venue if isinstance(venue, PaperVenue) else None
    exchange = venue.exchange if isinstance(venue, PaperVenue) else venue
    verb, *rest = move
    try:
        if verb == "bar":
            price, swing, volume = rest
            bar = bar_of(price, price + swing, price - swing, price, volume, at(minute + 1))
            if paper is None:
                exchange.on_bar(BTC, bar, at(minute + 1))
            else:
                paper.play([(BTC, bar)], at(minute + 1))
        elif verb in ("submit", "market", "leave", "guard"):
            request = requested(verb, rest, now)
            paper.place(request, now) if paper else exchange.submit(request, now)
        elif verb == "cancel":
            paper.withdraw(rest[0], now) if paper else exchange.cancel(rest[0], now)
        elif verb == "amend":
            terms = Terms(rest[2], 100 * rest[1])
            paper.change(rest[0], terms, now) if paper else exchange.amend(rest[0], terms, now)
        else:
            pull(exchange, verb, rest, now)
            if paper is not None:
                paper.keep()
    except (Rejected, Unavailable):
        pass


def requested(verb: str, rest: list[Any], now: int) -> Any:
    if verb == "submit":
        return guarded(rest[0], float(rest[1]), rest[2], expires_ns=now + 5 * MINUTE_NS, notional_max_units=2 * 10**10)
    if verb == "market":
        return guarded(rest[0], units=rest[1])
    if verb == "leave":
        return leave(rest[0], units=rest[1])
    return bracket(rest[0], stop=float(rest[1] - 10), target=float(rest[1]), units=rest[2])


def pull(exchange: SimulatedExchange, verb: str, rest: list[Any], now: int) -> None:
    levers = Levers(exchange)
    if verb == "maintenance":
        levers.set_mode(VenueMode.ONLINE if exchange.mode != VenueMode.ONLINE else VenueMode.MAINTENANCE)
    elif verb == "late cancels":
        levers.delay_cancels(rest[0] * MINUTE_NS)
    elif verb == "deposit":
        asset, amount = rest
        if asset == "USD" or amount > 0:
            levers.flow("transfer", asset, amount, now)
    elif verb == "by hand":
        levers.trade(BTC, Side.BUY, rest[0], 10_000, now)
    elif verb == "bust":
        trades, _ = exchange.fills_after(0)
        if rest[0] < len(trades) and trades[rest[0]].side is Side.SELL:
            levers.bust(trades[rest[0]].venue_trade_id, now)
    else:
        exchange.advance(now)


def whole(exchange: SimulatedExchange) -> tuple[Any, ...]:
    """Return all that an exchange is, but for what its stream has yet to say."""
    slot, holdings = exchange.slots[BTC], exchange.holdings
    names = ("qty_units", "qty", "direction", "entry_price", "entered_units", "entry_units")
    return (
        [order_of(order) for order in exchange.book.by_number.values()],
        [order.number for order in slot.live],
        exchange.book.made,
        holdings.trades_made,
        dict(holdings.trades),
        sorted(holdings.busted),
        list(holdings.flows),
        exchange.balances(),
        (holdings.cash_units, holdings.frozen_units, float(holdings.record.cash)),
        (slot.last_close_ns, slot.last_price, slot.stray_units),
        [slot.position[name].item() for name in names],
        (exchange.mode, exchange.cancel_delay_ns),
    )


def order_of(order: Any) -> tuple[Any, ...]:
    return (
        order.seen(),
        order.request,
        order.active_ns,
        order.trigger,
        order.target_fixed,
        order.cancel_ns,
        list(order.executions),
    )
