"""What strategies said of the last closes of an account, made again from ledger and lake.

Invariant: wherever the ledger has the consensus of one of these closes, with a decision, what is made again is the same
to the bit; else there is no answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from novapulse.confluence import pipeline
from novapulse.confluence.forecasts import forecasts_by_strategy
from novapulse.confluence.plan import prepare
from novapulse.core.bars import Floats, Integers, format_ns, timeframe_text
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import SIGNAL
from novapulse.engine.configuration import Configuration
from novapulse.engine.ticks import decoded
from novapulse.market.lake import Lake
from novapulse.parity.kept import Kept, KeptError, Session
from novapulse.parity.sessions import bars_of, configuration_of
from novapulse.signals.regimes import LABELS
from novapulse.strategies import Strategy

BARS_MAX = 400_000
"""Bars of all instruments together that are worked through for it: seconds on a small machine."""


@dataclass(frozen=True, slots=True)
class VotesAgain:
    """Votes on N closes of one instrument.

    Attributes:
        ts_close_ns: int64[N], ascending; closes at which something was warm enough to vote.
        regimes: Label of the market's state at each.
        consensus: float64[N], -20..20.
        forecasts: Strategy -> float64[N], -20..20.
        compared: Decisions among them whose consensus the ledger has.
    """

    ts_close_ns: Integers
    regimes: tuple[str, ...]
    consensus: Floats
    forecasts: Mapping[str, Floats]
    compared: int


def configuration_for(kept: Kept, account: AccountKey) -> tuple[Configuration, int, int]:
    """Return what an account runs with, and the closes, ns, after which and up to which it did so without a change.

    Raises:
        KeptError: It never ran, or its configuration was not kept.
    """
    sessions = kept.sessions(account)
    if not sessions:
        raise KeptError(f"{account.account_id} on {account.exchange} has no session yet")
    last: Session = sessions[-1]
    since_ns = last.until_ns
    for one in reversed(sessions):
        if one.configuration != last.configuration:
            break
        # The first one of all decided nothing before it began.
        since_ns = one.ts_close_ns or one.started_ns
    return configuration_of(last), since_ns, last.until_ns


def votes_again(
    kept: Kept, account: AccountKey, symbol: str, lake: Lake, strategies: Mapping[str, Strategy], last: int
) -> VotesAgain:
    """Make the votes on the last closes of an instrument again.

    Args:
        kept: The ledger.
        account: Whose.
        symbol: Canonical symbol of what it trades.
        lake: Where the bars are.
        strategies: By name, the user's own included.
        last: At most so many closes, > 0.

    Raises:
        KeptError: It was not kept what the account ran with, there are too many bars, or what is made again is not
            what was decided on.
        DataError: The lake does not hold the bars.
        StrategyError: A strategy cannot be used.
    """
    configuration, since_ns, until_ns = configuration_for(kept, account)
    key = InstrumentKey(account.exchange, symbol)
    _refuse_long(configuration, lake)
    bars = bars_of(configuration, lake, until_ns)
    if key not in bars:
        raise KeptError(f"{account.account_id} on {account.exchange} does not trade {symbol}")
    settings = configuration.decides.confluence
    plan = prepare(settings, strategies)
    columns, calibrations = pipeline.signals(bars, settings, strategies)
    said, own = columns[key], bars[key]
    count = min(last, int((own.ts_close_ns > since_ns).sum()))
    if count == 0:
        raise KeptError(f"the lake has no bar of {key} that {account.account_id} has decided on")
    forecasts = forecasts_by_strategy(own, plan, calibrations, key, last=count)
    tail = said[len(said) - count :]
    warm = tail.warm
    found = VotesAgain(
        own.ts_close_ns[len(own) - count :][warm],
        tuple(LABELS[code] for code in tail.regime[warm].tolist()),
        tail.consensus[warm],
        dict(zip(plan.names, forecasts[:, warm], strict=True)),
        0,
    )
    return _compared(found, kept, account, key)


def _refuse_long(configuration: Configuration, lake: Lake) -> None:
    timeframe = timeframe_text(configuration.timeframe_ns)
    history = configuration.history
    keys = set(history.instruments if history else (one.key for one in configuration.instruments))
    there = [one for one in lake.series() if InstrumentKey(one.exchange, one.symbol) in keys]
    total = sum(one.bars for one in there if one.timeframe == timeframe)
    if total > BARS_MAX:
        raise KeptError(f"{total:,} bars would be worked through for it, and at most {BARS_MAX:,} are")


def _compared(found: VotesAgain, kept: Kept, account: AccountKey, key: InstrumentKey) -> VotesAgain:
    compared = 0
    for entry in kept.records(account, kinds={"decision_taken"}):
        body: Mapping[str, Any] = entry.record.body
        ts_ns, inputs = int(body["ts_close_ns"]), body["inputs"]
        row = int(np.searchsorted(found.ts_close_ns, ts_ns))
        is_there = row < found.ts_close_ns.size and int(found.ts_close_ns[row]) == ts_ns
        if inputs is None or not is_there or InstrumentKey(*body["instrument"]) != key:
            continue
        signal = decoded(inputs["signal"], SIGNAL)
        if float(signal.consensus) != float(found.consensus[row]) or LABELS[signal.regime] != found.regimes[row]:
            raise KeptError(f"the votes on {key} at {format_ns(ts_ns)}, made again, are not those that were decided on")
        compared += 1
    return VotesAgain(found.ts_close_ns, found.regimes, found.consensus, found.forecasts, compared)
