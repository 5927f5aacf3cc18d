"""A small market that trades often: three days of two coins in a lake, its kernel run, and one recorded session."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from novapulse.backtest import Result
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.market.lake import Lake
from novapulse.market.recorder import SESSIONS
from novapulse.market.sample import sample_market
from novapulse.parity.kept import Kept, new_ledger
from novapulse.parity.ladder import Stretch, kernel_of, stretch_of
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Played, Script, play
from novapulse.parity.recorded import record_heard
from novapulse.simulation.scene import instrument_of, trading_settings
from novapulse.strategies import STRATEGIES

COINS = ("BTC", "ETH")
BARS = 3 * 1440


@dataclass(frozen=True)
class Small:
    """What the tests of this folder share, only to be read."""

    lake: Lake
    stretch: Stretch
    kernel: Result


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    market = sample_market(COINS, BARS, seed=4)
    bars: dict[InstrumentKey, BarColumns] = {}
    facts = {}
    for coin in COINS:
        one = instrument_of("kraken", coin, float(market[coin].close[0]))
        facts[one.key] = one
        lake.append("kraken", one.symbol, "1m", on_grid(market[coin], float(one.tick)), source="a test")
        bars[one.key] = lake.bars("kraken", one.symbol, "1m")
    stretch = stretch_of("kraken", bars, facts, trading_settings(), STRATEGIES)
    return Small(lake, stretch, kernel_of(stretch))


def on_grid(bars: BarColumns, tick: float) -> BarColumns:
    prices = [np.maximum(np.round(getattr(bars, name) / tick), 1.0) * tick for name in ("open", "high", "low", "close")]
    return BarColumns.checked(bars.ts_close_ns, *prices, bars.volume, timeframe_ns=MINUTE_NS)


@pytest.fixture(scope="session")
def played(small: Small) -> Callable[..., Played]:
    """Run the engine over the small market, with a script."""

    def run(script: Script | None = None, stretch: Stretch | None = None) -> Played:
        one = stretch or small.stretch
        return play(one.key, one.configuration, one.ticks, MemoryJournal(), script)

    return run


@pytest.fixture(scope="session")
def record(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Script], Path]:
    """Record a session in a new ledger and return its file."""

    def run(script: Script) -> Path:
        path = tmp_path_factory.mktemp("ledger") / "ledger.db"
        one = small.stretch
        ledger = new_ledger(path, one.key, one.configuration.scales, int(one.ticks.ts_close_ns[0]) - MINUTE_NS)
        try:
            heard = play(one.key, one.configuration, one.ticks, MemoryJournal((), ledger), script).ticks
        finally:
            ledger.close()
        with Kept(path) as kept:
            record_heard(path.parent / SESSIONS, "20260101T000000-1", kept.ledger_id, one.key, heard)
        return path

    return run


@pytest.fixture(scope="session")
def recorded(small: Small, record: Callable[[Script], Path]) -> Path:
    """A session in which something of everything happened; only to be read."""
    from novapulse.parity.ladder import eventful

    return record(eventful(small.stretch.ticks))


@pytest.fixture
def kept(recorded: Path) -> Kept:
    return Kept(recorded)
