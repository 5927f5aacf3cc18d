"""What can be configured: the settings of a backtest, and which bars and strategies it is about."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import timeframe_ns
from novapulse.core.instruments import canonical_symbol

SCHEMA_VERSION = 1

_EIGHT_PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT", "ADA/USDT", "DOT/USDT", "ATOM/USDT")


class DataSettings(BaseModel):
    """Which bars are looked at, and where a user's own strategies lie."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    exchange: str = Field("binance", description="Lower-case id of the exchange.")
    symbols: tuple[str, ...] = Field(
        _EIGHT_PAIRS, min_length=1, description="What is traded: BTC/USDT, FIL/USDT:USDT for a perpetual, AAPL."
    )
    timeframe: str = Field("1m", description="Width of a decision bar: a number and one of s, m, h, d.")
    strategies_folder: Path | None = Field(
        None, description="Folder of your own strategies, one file each; relative to this file. null for none."
    )

    @field_validator("exchange")
    @classmethod
    def _an_id(cls, exchange: str) -> str:
        if not exchange.isidentifier() or exchange != exchange.lower():
            raise ValueError(f"{exchange!r}: expected a lower-case id such as kraken")
        return exchange

    @field_validator("symbols", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        # The environment and the command line hold text: BTC/USDT, ETH/USDT.
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("symbols")
    @classmethod
    def _canonical(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        named = tuple(canonical_symbol(symbol) for symbol in symbols)
        twice = next((symbol for symbol in named if named.count(symbol) > 1), None)
        if twice:
            raise ValueError(f"{twice} stands there twice")
        return named

    @field_validator("timeframe")
    @classmethod
    def _a_width(cls, timeframe: str) -> str:
        timeframe_ns(timeframe)
        return timeframe


class Settings(BacktestSettings):
    """The whole configuration: a file of it names only what differs from the defaults."""

    schema_version: Literal[1] = Field(1, description="Which version of these settings a file was written for.")
    data: DataSettings = DataSettings()

    @property
    def hash(self) -> str:
        """Return the hash of what decides and fills: the name of a run does not change with where its bars lie."""
        return self.backtest.hash

    @property
    def backtest(self) -> BacktestSettings:
        """Return what decides and fills, without where the bars come from."""
        return BacktestSettings(**{name: getattr(self, name) for name in BacktestSettings.model_fields})


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, as `config/schema.json` publishes it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"novapulse:configuration:{SCHEMA_VERSION}",
        **Settings.model_json_schema(),
    }
