"""What a paper trader trades on: recorded bars of its exchanges, their facts, and the signals of its accounts.

Invariants:
- accounts that trade the same instruments by the same confluence share their signals; what another account trades
  never changes them;
- bars before the feed's start only warm up: nothing is decided on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from novapulse.cli.console import UsageError
from novapulse.config import AccountSettings, Loaded, Settings, settings_of
from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.plan import prepare
from novapulse.core.bars import BarColumns, Flags, Integers, timeframe_ns
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.records import BAR, SIGNAL
from novapulse.engine.configuration import History
from novapulse.engine.rows import Ticks, ticks_of
from novapulse.engine.votes import Past
from novapulse.market.lake import Lake
from novapulse.market.spelling import stamp_ns
from novapulse.research.at_hand import provide
from novapulse.strategies import Strategy

Tell = Callable[[str], None]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Recording:
    """Bars of one exchange, tick by tick; their signals are empty.

    Attributes:
        ticks: The bars.
        numbers: int64[N, P], ordinals on the calendar's grid.
        made: bool[N, P], made for intervals without trades.
    """

    ticks: Ticks
    numbers: Integers
    made: Flags

    def after(self, ts_ns: int) -> "Recording":
        """Return what closes after a moment."""
        first = int(np.searchsorted(self.ticks.ts_close_ns, ts_ns, side="right"))
        return Recording(self.ticks.after(ts_ns), self.numbers[first:], self.made[first:])


@dataclass(frozen=True)
class Said:
    """Signals that some accounts share.

    Attributes:
        ticks: Bars and signals behind the feed's start.
        calibrations: What they count in.
        history: Which bars they were learned from.
        past: Those bars, from which the votes of any close can be made.
    """

    ticks: Ticks
    calibrations: tuple[Calibration, ...]
    history: History
    past: Past


@dataclass(frozen=True)
class AccountPlan:
    """One account as it is to run."""

    key: AccountKey
    settings: Settings
    instruments: tuple[Instrument, ...]
    said: Said


@dataclass(frozen=True)
class Market:
    """Everything that the accounts trade on.

    Attributes:
        accounts: In the order of the configuration.
        recordings: By exchange.
        is_sample: Whether the bars were generated.
        timeframe_ns: Width of a bar.
    """

    accounts: tuple[AccountPlan, ...]
    recordings: Mapping[str, Recording]
    is_sample: bool
    timeframe_ns: int

    @property
    def first_close_ns(self) -> int:
        """The first close of any exchange."""
        return min(int(one.ticks.ts_close_ns[0]) for one in self.recordings.values())

    @property
    def last_close_ns(self) -> int:
        """The last close of any exchange."""
        return max(int(one.ticks.ts_close_ns[-1]) for one in self.recordings.values())


def read_market(
    loaded: Loaded, lake: Lake, strategies: Mapping[str, Strategy], tell: Tell, told: Told, signals_told: Told
) -> Market:
    """Bring the bars of all accounts together and compute their signals.

    Args:
        loaded: The configuration.
        lake: Where bars are looked for first.
        strategies: By name.
        tell: Given the sentence that says which bars these are.
        told: Called with (files or symbols done, all of them).
        signals_told: Called with (bars done, all of them).

    Raises:
        UsageError: There is no account, or no bar in the range asked for.
        InputError: An account's symbol has no bars.
        DataError: A file is damaged.
    """
    settings = loaded.settings
    if not settings.accounts:
        raise UsageError(
            "there is no account to trade: name some under accounts: as config/paper.yaml does, or use it with --config"
        )
    wanted = {account.exchange: set[str]() for account in settings.accounts}
    for account in settings.accounts:
        wanted[account.exchange].update(account.symbols)
    timeframe = settings.data.timeframe
    is_sample = settings.feed.source == "sample"
    found = provide(lake, wanted, timeframe, tell, told, sample=is_sample)
    start = None if found.is_sample else settings.feed.start
    end = None if found.is_sample else settings.feed.end
    start_ns, end_ns = stamp_ns(start), stamp_ns(end)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise UsageError(f"feed.end ({end}) is not after feed.start ({start}): no bar closes in between")
    bars = {
        InstrumentKey(exchange, symbol): found.lake.bars(exchange, symbol, timeframe, None, end)
        for exchange, symbols in sorted(wanted.items())
        for symbol in sorted(symbols)
    }
    _refuse_empty(bars, settings, start, end)
    facts = {key: found.lake.instrument(key.exchange, key.symbol) for key in bars}
    start_ns = stamp_ns(start) or 0
    said: dict[tuple[object, ...], Said] = {}
    plans = []
    for account in settings.accounts:
        own = settings_of(settings, account)
        keys = tuple(sorted(InstrumentKey(account.exchange, symbol) for symbol in account.symbols))
        name = (keys, own.confluence.model_dump_json())
        if name not in said:
            said[name] = _said({key: bars[key] for key in keys}, own, strategies, start_ns, signals_told)
        plans.append(AccountPlan(account.key, own, tuple(facts[key] for key in keys), said[name]))
    recordings = {
        exchange: recording_of(
            {key: columns.between(start_ns, None) for key, columns in bars.items() if key.exchange == exchange}
        )
        for exchange in sorted(wanted)
    }
    return Market(tuple(plans), recordings, found.is_sample, timeframe_ns(timeframe))


def _said(
    bars: Mapping[InstrumentKey, BarColumns],
    own: Settings,
    strategies: Mapping[str, Strategy],
    start_ns: int,
    told: Told,
) -> Said:
    columns, calibrations = pipeline.signals(bars, own.confluence, strategies, progress=told)
    rest = {key: one.between(start_ns, None) for key, one in bars.items()}
    ticks = ticks_of(
        rest, {key: columns[key][len(bars[key]) - len(rest[key]) :] for key in bars}, [row.id for row in calibrations]
    )
    first_close_ns = min(int(one.ts_close_ns[0]) for one in bars.values())
    learned = tuple(calibrations)
    past = Past(prepare(own.confluence, strategies), dict(bars), learned)
    return Said(ticks, learned, History(tuple(sorted(bars)), first_close_ns), past)


def recording_of(bars: Mapping[InstrumentKey, BarColumns]) -> Recording:
    """Lay bars out tick by tick, without signals."""
    keys = tuple(sorted(bars))
    stamps = np.unique(np.concatenate([bars[key].ts_close_ns for key in keys]))
    shape = (stamps.size, len(keys))
    rows, present = np.zeros(shape, BAR), np.zeros(shape, np.int64)
    numbers, made = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    for column, key in enumerate(keys):
        at = np.searchsorted(stamps, bars[key].ts_close_ns)
        present[at, column] = 1
        numbers[at, column] = bars[key].number
        made[at, column] = bars[key].made
        for name in BAR.names or ():
            rows[name][at, column] = getattr(bars[key], name)
    ticks = Ticks(keys, stamps, rows, np.zeros((stamps.size, 0), SIGNAL), present, ("",) * stamps.size)
    return Recording(ticks, numbers, made)


def _refuse_empty(
    bars: Mapping[InstrumentKey, BarColumns], settings: Settings, start: str | None, end: str | None
) -> None:
    start_ns = stamp_ns(start) or 0
    for key, columns in bars.items():
        if len(columns.between(start_ns, None)) == 0:
            limits = [f"after {start}" if start else "", f"up to {end}" if end else ""]
            whose = ", ".join(_named(one) for one in settings.accounts if _trades(one, key))
            raise UsageError(
                f"no {settings.data.timeframe} bar of {key} closes {' and '.join(filter(None, limits))}, and {whose} "
                "trades it: feed.start and feed.end say what is played"
            )


def _trades(account: AccountSettings, key: InstrumentKey) -> bool:
    return account.exchange == key.exchange and key.symbol in account.symbols


def _named(account: AccountSettings) -> str:
    return f"account {account.account_id} on {account.exchange}"
