"""The settings of a backtest: one typed object that command line, notebook, tests and the live trader share."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from novapulse.confluence.settings import ConfluenceSettings
from novapulse.execution.settings import ExecutionSettings
from novapulse.risk.settings import RiskSettings


class BacktestSettings(BaseModel):
    """What is decided (confluence, risk), how it is carried out (execution) and with how much money."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    capital: float = Field(10_000.0, gt=0, le=1e12, description="Opening cash, in the quote currency.")
    confluence: ConfluenceSettings = ConfluenceSettings()
    risk: RiskSettings = RiskSettings()
    execution: ExecutionSettings = ExecutionSettings()

    @cached_property
    def hash(self) -> str:
        """Return the sha256 of the canonical JSON of these settings (16 hex digits): the name that decisions carry."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields otherwise; it has a name of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("hash", None)
        return copied
