"""Which limits of risk an operator may change while the trader runs, and what is in force then.

Invariants:
- what is in force is the configuration with the changed limits in it, checked as a configuration is, as a whole: what
  does not fit is refused with the limit and its bound, and changes nothing;
- the hash that decisions carry is that of what is in force: a decision names the limits that it was taken under, and
  made again under others it does not come out;
- only what forbids, caps or restricts can be changed. What a decision is made of cannot: it is the same for as long as
  a trader runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from novapulse.engine.configuration import Configuration
from novapulse.engine.settings import BreakerSettings
from novapulse.risk.settings import GateSettings, LimitSettings, RiskSettings, SizingSettings, StopSettings

_Model = TypeVar("_Model", bound=BaseModel)

CONFIGURED = "configured"
"""Instead of a number: back to what the configuration says."""

ALL = "all"
"""Instead of a name: every changed limit."""

BREAKERS = "breakers"

_SIZING = (
    "risk_fraction",
    "position_notional_max",
    "position_fraction_max",
    "cash_fraction_max",
    "volatility_weight_max",
)
_OF_BREAKERS = (
    "daily_loss_reduce_only_fraction",
    "daily_loss_halt_fraction",
    "daily_loss_clear_fraction",
    "drawdown_share_max",
    "drawdown_share_clear",
)
SECTION_OF: Mapping[str, str] = {
    **dict.fromkeys(_SIZING, "sizing"),
    **dict.fromkeys(LimitSettings.model_fields, "limits"),
    **dict.fromkeys(_OF_BREAKERS, BREAKERS),
}
"""Name of a limit -> section of the settings that it stands in: of `risk`, or `breakers`."""

_FIXED: Mapping[str, str] = {
    **dict.fromkeys(StopSettings.model_fields, "stops and targets go with the positions that were opened under them"),
    **dict.fromkeys(GateSettings.model_fields, "it says what is wanted, not how much may be risked"),
    **dict.fromkeys(("entry_forecast_min", "exit_forecast_min"), "it says what is wanted, not how much may be risked"),
    **dict.fromkeys(SizingSettings.model_fields, "it says how a size is measured, not how large it may be"),
    **dict.fromkeys(
        BreakerSettings.model_fields,
        "it watches market, venue and machine, and what it has counted or timed so far was kept for the old one",
    ),
}


class LimitError(ValueError):
    """A limit that cannot be so: the message names it and its bound."""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that an operator changed.

    Attributes:
        value: Number as text, to the bit.
        command_id: Command that set it.
        actor: Who said so.
        ts_ns: When.
    """

    value: str
    command_id: str
    actor: str
    ts_ns: int


def value_of(configuration: Configuration, name: str) -> str:
    """Return a limit of a configuration as text, to the bit."""
    section = SECTION_OF[name]
    found = configuration.breakers if section == BREAKERS else getattr(configuration.decides.risk, section)
    return repr(getattr(found, name))


def in_force(configuration: Configuration, values: Mapping[str, str]) -> Configuration:
    """Return what counts: a configuration with some limits otherwise.

    Args:
        configuration: As configured.
        values: Name of a limit -> number as text.

    Raises:
        LimitError: A limit cannot be changed, or has a value that no configuration could have.
    """
    if not values:
        return configuration
    risk, breakers = configuration.decides.risk.model_dump(), configuration.breakers.model_dump()
    for name, text in values.items():
        section = _section(name)
        (breakers if section == BREAKERS else risk[section])[name] = _number(name, text)
    decides = configuration.decides.model_copy(update={"risk": _checked(RiskSettings, risk)})
    return replace(configuration, decides=decides, breakers=_checked(BreakerSettings, breakers))


def changed_by(
    configured: Configuration, changes: Mapping[str, LimitChange], wish: str, new: LimitChange
) -> dict[str, LimitChange]:
    """Return which limits are otherwise than configured after a wish; who set one to what it is stays who did.

    Args:
        configured: As configured.
        changes: Limits that are otherwise so far.
        wish: `name=number` or `name=configured`, separated by commas; `all=configured` for every one.
        new: Who wishes, and when; its value does not matter.

    Raises:
        LimitError: It cannot be read, or what would be in force is no configuration.
    """
    wanted = _wanted(changes, wish, new)
    found = in_force(configured, {name: one.value for name, one in wanted.items()})
    limits = {}
    for name, one in wanted.items():
        value, old = value_of(found, name), changes.get(name)
        if value != value_of(configured, name):
            limits[name] = old if old is not None and old.value == value else replace(one, value=value)
    return limits


def _wanted(changes: Mapping[str, LimitChange], wish: str, new: LimitChange) -> dict[str, LimitChange]:
    asked = dict(_pairs(wish))
    together = asked.pop(ALL, None)
    if together not in (None, CONFIGURED):
        raise LimitError(f"{ALL} is {together}: all limits together only go back, by {ALL}={CONFIGURED}")
    wanted = {} if together == CONFIGURED else dict(changes)
    for name, text in asked.items():
        _section(name)
        wanted.pop(name, None)
        if text != CONFIGURED:
            wanted[name] = replace(new, value=text)
    return wanted


def _pairs(wish: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for part in wish.split(","):
        name, _, text = (one.strip() for one in part.partition("="))
        if name in seen:
            raise LimitError(f"{name} is named twice")
        seen.add(name)
        yield name, text


def _section(name: str) -> str:
    if name in SECTION_OF:
        return SECTION_OF[name]
    listed = ", ".join(SECTION_OF)
    if name in _FIXED:
        raise LimitError(
            f"{name} cannot be changed while the trader runs: {_FIXED[name]}. Set it in the configuration and start "
            f"the trader anew; what can be changed is {listed}"
        )
    raise LimitError(f"there is no limit {name!r}: expected one of {listed}")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LimitError(f"{name} is {text!r}: expected a number, or {CONFIGURED!r}") from None


def _checked(model: type[_Model], tree: Mapping[str, object]) -> _Model:
    try:
        return model.model_validate(tree)
    except ValidationError as wrong:
        raise LimitError("; ".join(_sentences(wrong))) from wrong


def _sentences(wrong: ValidationError) -> Iterator[str]:
    for error in wrong.errors():
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "value_error":
            yield message
        else:
            yield f"{error['loc'][-1]} is {error['input']:g}: {message.replace('Input', 'it', 1)}"
