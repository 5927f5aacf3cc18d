"""What a session ran with, as one text in its first record: enough to run it again without any file but the lake.

Invariants:
- `parsed(text)` gives back what `text` was made of, every number to the bit, every decimal as it was written, and every
  mapping in its order;
- the hash that decisions carry is the hash of the `decides` part.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import Record
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.execution.rules import rules_record
from novapulse.market.facts import from_json, to_json


@dataclass(frozen=True, slots=True)
class History:
    """Which bars the signals were learned from.

    Attributes:
        instruments: All whose bars the calibrations saw, sorted: those of every account that shares the signals.
        first_close_ns: The first bar's close.
    """

    instruments: tuple[InstrumentKey, ...]
    first_close_ns: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a trader is put together from.

    Attributes:
        instruments: What it trades, sorted, at the fees that count.
        decides: Capital, confluence, risk and execution.
        settings: How the trader goes about its work.
        breakers: Limits of the circuit breakers.
        timeframe_ns: Width of a decision bar.
        scales: Asset -> decimal digits in the ledger.
        history: Where its signals come from; None where nobody said.
        spread_by_model: Whether its venue fills by a spread of its configuration and no quotes come: then the spread is
            known by that; else it is not before quotes tell it.
    """

    instruments: tuple[Instrument, ...]
    decides: BacktestSettings
    settings: TraderSettings
    breakers: BreakerSettings
    timeframe_ns: int
    scales: Mapping[str, int]
    history: History | None = None
    spread_by_model: bool = False

    @property
    def rules(self) -> Record:
        """Return what `decide` and the tactics go by: RULES.

        Raises:
            ValueError: A fixed quantity is set that the instruments cannot trade.
        """
        single = self.instruments[0] if len(self.instruments) == 1 else None
        return rules_record(self.decides.risk, self.decides.execution, self.timeframe_ns, single)

    @property
    def text(self) -> str:
        """Return it as JSON; keys keep their order."""
        values = {
            "instruments": [to_json(instrument) for instrument in self.instruments],
            "decides": self.decides.model_dump(mode="json"),
            "trader": self.settings.model_dump(mode="json"),
            "breakers": self.breakers.model_dump(mode="json"),
            "timeframe_ns": self.timeframe_ns,
            "scales": dict(self.scales),
            "spread_by_model": self.spread_by_model,
            "history": None
            if self.history is None
            else {
                "instruments": [[key.exchange, key.symbol] for key in self.history.instruments],
                "first_close_ns": self.history.first_close_ns,
            },
        }
        return json.dumps(values, separators=(",", ":"), allow_nan=False)


def parsed(text: str) -> Configuration:
    """Return the configuration of a text.

    Raises:
        ValueError: The text is not one, or of a version that has other settings.
    """
    try:
        values = json.loads(text)
        history = values["history"]
        return Configuration(
            instruments=tuple(from_json(one) for one in values["instruments"]),
            decides=BacktestSettings.model_validate(values["decides"]),
            settings=TraderSettings.model_validate(values["trader"]),
            breakers=BreakerSettings.model_validate(values["breakers"]),
            timeframe_ns=int(values["timeframe_ns"]),
            scales={asset: int(scale) for asset, scale in values["scales"].items()},
            history=None
            if history is None
            else History(
                tuple(InstrumentKey(*parts) for parts in history["instruments"]), int(history["first_close_ns"])
            ),
            # Sessions of before said whether quotes come, the first ones nothing: all of them were on paper.
            spread_by_model=bool(values.get("spread_by_model", not values.get("has_quotes", False))),
        )
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError(f"the configuration of the session cannot be read: {wrong!r}") from wrong
