"""What can be configured: a backtest, which bars and strategies it is about, and the accounts of the trader."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import timeframe_ns
from novapulse.core.instruments import AccountKey, canonical_symbol
from novapulse.engine.settings import BreakerSettings, TraderSettings

SCHEMA_VERSION = 1

_EIGHT_PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT", "ADA/USDT", "DOT/USDT", "ATOM/USDT")


FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

OVERRIDABLE = ("confluence", "risk", "execution", "breakers", "trader")
"""Sections that an account may override, deeply: what it does not name stays."""


def _an_id(exchange: str) -> str:
    if not exchange.isidentifier() or exchange != exchange.lower():
        raise ValueError(f"{exchange!r}: expected a lower-case id such as kraken")
    return exchange


def _a_name(account_id: str) -> str:
    # It is part of file names.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", account_id):
        raise ValueError(f"{account_id!r}: expected up to 32 lower-case letters, digits, - and _, such as main")
    return account_id


def _listed(value: Any) -> Any:
    # The environment and the command line hold text: BTC/USDT, ETH/USDT.
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _canonical(symbols: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(canonical_symbol(symbol) for symbol in symbols)
    twice = next((symbol for symbol in named if named.count(symbol) > 1), None)
    if twice:
        raise ValueError(f"{twice} stands there twice")
    return named


def _moment(value: Any) -> Any:
    # YAML makes dates of what looks like one.
    return value.isoformat() if isinstance(value, date | datetime) else value


def _a_moment(text: str | None) -> str | None:
    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError as wrong:
            raise ValueError(f"{text!r}: expected ISO 8601 such as 2024-01-31 or 2024-01-31T12:00Z") from wrong
    return text


ExchangeId = Annotated[str, AfterValidator(_an_id)]
Symbols = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_canonical)]
Moment = Annotated[str | None, BeforeValidator(_moment), AfterValidator(_a_moment)]


class DataSettings(BaseModel):
    """Which bars are looked at, and where a user's own strategies lie."""

    model_config = FROZEN

    exchange: ExchangeId = Field("binance", description="Lower-case id of the exchange.")
    symbols: Symbols = Field(
        _EIGHT_PAIRS, min_length=1, description="What is traded: BTC/USDT, FIL/USDT:USDT for a perpetual, AAPL."
    )
    timeframe: str = Field("1m", description="Width of a decision bar: a number and one of s, m, h, d.")
    strategies_folder: Path | None = Field(
        None, description="Folder of your own strategies, one file each; relative to this file. null for none."
    )

    @field_validator("timeframe")
    @classmethod
    def _a_width(cls, timeframe: str) -> str:
        timeframe_ns(timeframe)
        return timeframe


class FeedSettings(BaseModel):
    """Where the trader's bars come from, until it hears an exchange itself."""

    model_config = FROZEN

    source: Literal["recorded", "sample"] = Field(
        "recorded",
        description="Bars of the lake (filled from recorded files where it has none), or a generated market.",
    )
    speed: float = Field(0.0, ge=0, le=1e6, description="Bars per second; 0 for as fast as they are taken.")
    start: Moment = Field(
        None, description="Decide on bars that close after it, ISO 8601; those before only warm up. null: all."
    )
    end: Moment = Field(None, description="Decide on bars that close up to it, ISO 8601; null for the last there is.")


class ScanSettings(BaseModel):
    """Which series of the lake `novapulse scan` and the scanner judge, unless something else is asked for."""

    model_config = FROZEN

    exchange: ExchangeId | None = Field(None, description="Lower-case id of the exchange, such as us; null for all.")
    symbols: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        ("*",), min_length=1, description="Symbols or patterns such as BTC-*, as paths spell them; * for all."
    )
    timeframe: str | None = Field(None, description="Width of the bars, such as 1d; null for every width there is.")
    own_timeframe: bool = Field(
        False,
        description="Let strategies vote on those bars alone, without the slower timeframes of the confluence: years "
        "of daily bars are too few for them.",
    )

    @field_validator("timeframe")
    @classmethod
    def _a_width(cls, timeframe: str | None) -> str | None:
        if timeframe is not None:
            timeframe_ns(timeframe)
        return timeframe


class ServerSettings(BaseModel):
    """What `novapulse serve` asks of the people who come to it."""

    model_config = FROZEN

    second_factor: Literal["live", "always"] = Field(
        "live",
        description="When operators and admins must have a second factor before they may do anything: live for where "
        "real money is traded, always for on paper too.",
    )


class AccountSettings(BaseModel):
    """One account that the trader runs."""

    model_config = FROZEN

    exchange: ExchangeId = Field(description="Lower-case id of the exchange.")
    account_id: Annotated[str, AfterValidator(_a_name)] = Field(description="Name of the account there, such as main.")
    symbols: Symbols = Field(min_length=1, description="What it trades, all in one quote currency.")
    capital: float | None = Field(
        None, gt=0, le=1e12, description="Opening cash of a paper account; null for `capital` of the configuration."
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description=f"What differs for this account, in sections as above: {', '.join(OVERRIDABLE)}.",
    )

    @field_validator("symbols")
    @classmethod
    def _one_quote(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        quotes = {symbol: symbol.partition("/")[2].partition(":")[0] or "stock" for symbol in symbols}
        if len(set(quotes.values())) > 1:
            listed = ", ".join(f"{symbol} in {quote}" for symbol, quote in quotes.items())
            raise ValueError(f"an account has one quote currency, and these have several: {listed}")
        return symbols

    @property
    def key(self) -> AccountKey:
        """Exchange and account id."""
        return AccountKey(self.exchange, self.account_id)


class Settings(BacktestSettings):
    """The whole configuration: a file of it names only what differs from the defaults."""

    schema_version: Literal[1] = Field(1, description="Which version of these settings a file was written for.")
    mode: Literal["paper", "live"] = Field(
        "paper", description="paper: a simulated venue; live: real money, which NOVAPULSE_REAL_MONEY=yes must confirm."
    )
    data: DataSettings = DataSettings()
    accounts: tuple[AccountSettings, ...] = Field((), description="The accounts that the trader runs.")
    feed: FeedSettings = FeedSettings()
    scan: ScanSettings = ScanSettings()
    server: ServerSettings = ServerSettings()
    breakers: BreakerSettings = BreakerSettings()
    trader: TraderSettings = TraderSettings()

    @field_validator("accounts")
    @classmethod
    def _accounts_differ(cls, accounts: tuple[AccountSettings, ...]) -> tuple[AccountSettings, ...]:
        keys = [account.key for account in accounts]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise ValueError(f"account {twice.account_id} on {twice.exchange} stands there twice")
        return accounts

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
