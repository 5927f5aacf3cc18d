"""Settings as widgets, and widgets as settings: ranges and help come from the settings' own classes.

Invariants:
- a widget that nobody touched changes nothing, so an untouched form is the configuration itself, to its hash;
- what is wrong with a form is one sentence per problem, each naming its key; nothing is raised.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import marimo as mo
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from novapulse.config import Settings
from novapulse.config.contradictions import contradictions
from novapulse.confluence.plan import prepare
from novapulse.confluence.settings import ConfluenceError
from novapulse.strategies import FAMILIES, Strategy

Element = mo.ui.dictionary
Values = Mapping[str, Any]
Kind = Literal["slider", "number", "choice", "switch", "optional", "numbers"]

_WEIGHT, _SWITCH = "weight:", "on:"
_WEIGHT_STEP = 0.01


@dataclass(frozen=True)
class Control:
    """One setting that a page offers.

    Attributes:
        key: Dotted path in the settings.
        label: What it is called on the page.
        kind: Which widget it gets; `optional` is a number or nothing, `numbers` a list of them.
        step: Step of a slider or a number, as shown.
        usual: Where a slider starts and ends unless its bounds or its value reach less far or farther, as shown.
        per: What one unit of the setting is shown as: 100 for percent.
    """

    key: str
    label: str
    kind: Kind = "slider"
    step: float = 0.1
    usual: tuple[float, float] = (0.0, 10.0)
    per: float = 1.0


GROUPS: dict[str, tuple[Control, ...]] = {
    "When to trade": (
        Control("risk.entry_forecast_min", "Enter from a consensus of", step=0.25, usual=(0.25, 20.0)),
        Control("risk.exit_forecast_min", "Leave at an opposite consensus of", step=0.25, usual=(0.25, 20.0)),
        Control("confluence.timeframe_multiples", "Timeframes, in bars", "numbers"),
        Control("confluence.timeframe_weights", "Weight of each timeframe", "numbers"),
        Control("confluence.agreement_multipliers", "Factor when 1, 2, ... agree", "numbers"),
        Control("confluence.tilt.fraction", "Weights follow success, %", step=5, usual=(0.0, 50.0), per=100),
    ),
    "Size and limits": (
        Control("capital", "Opening cash", "number", step=1000),
        Control("risk.sizing.risk_fraction", "Risk per trade, % of equity", step=0.05, usual=(0.05, 5.0), per=100),
        Control("risk.sizing.position_notional_max", "Largest position, cash (0: no cap)", "number", step=100),
        Control("risk.sizing.position_fraction_max", "Largest position, % of equity", step=1, usual=(0, 200), per=100),
        Control(
            "risk.limits.gross_exposure_max_fraction", "All positions, % of equity", step=5, usual=(0, 400), per=100
        ),
        Control("risk.limits.group_exposure_max_fraction", "One group, % of equity", step=5, usual=(0, 400), per=100),
        Control("risk.limits.positions_max", "Open positions (0: no limit)", "number", step=1),
        Control(
            "risk.limits.daily_loss_max_fraction", "Pause after a daily loss of, %", step=0.5, usual=(0, 20), per=100
        ),
        Control(
            "risk.limits.drawdown_max_fraction", "No size left at a drawdown of, %", step=1, usual=(0, 60), per=100
        ),
    ),
    "Stops and targets": (
        Control("risk.stops.stop_atr", "Stop, in average ranges", step=0.1, usual=(0.1, 10.0)),
        Control("risk.stops.target_atr", "Target, in average ranges (0: none)", step=0.1, usual=(0.0, 20.0)),
        Control("risk.stops.breakeven_r", "Stop to break-even after, R (0: off)", step=0.1, usual=(0.0, 5.0)),
        Control("risk.stops.trail_start_r", "Trail from, R", step=0.1, usual=(0.0, 10.0)),
        Control("risk.stops.trail_r", "Trailing distance, R (0: off)", step=0.1, usual=(0.0, 10.0)),
        Control("risk.stops.time_stop_bars", "Close after, bars (0: off)", "number", step=1),
    ),
    "Orders and costs": (
        Control("execution.entry_order", "Entries", "choice"),
        Control("execution.exit_order", "Exits", "choice"),
        Control("execution.target_order", "Targets", "choice"),
        Control("execution.maker_fee_bps", "Maker fee, bps (empty: the market's own)", "optional"),
        Control("execution.taker_fee_bps", "Taker fee, bps (empty: the market's own)", "optional"),
        Control("execution.half_spread_bps", "Half the spread, bps", step=0.1, usual=(0.0, 20.0)),
        Control("execution.slippage_bps", "Slippage, bps", step=0.1, usual=(0.0, 30.0)),
        Control("execution.touch_probability", "A touched limit fills, %", step=5, usual=(0.0, 100.0), per=100),
        Control("execution.latency_ms", "Latency, ms", "number", step=50),
    ),
}
"""What a backtest page offers, by group; the weights of the strategies come before them."""

CONTROLS = {control.key: control for group in GROUPS.values() for control in group}


def elements(settings: Settings, strategies: Mapping[str, Strategy]) -> Element:
    """Return a widget for every control and every strategy, at the values of the settings."""
    widgets: dict[str, Any] = {}
    weights = settings.confluence.weights
    for name in strategies:
        weight = float(weights.get(name, 0.0))
        widgets[_SWITCH + name] = mo.ui.switch(weight > 0, label=spoken(name))
        widgets[_WEIGHT + name] = mo.ui.slider(
            0.0, max(1.0, weight), _WEIGHT_STEP, weight, show_value=True, full_width=True
        )
    for control in CONTROLS.values():
        widgets[control.key] = widget(control, value_at(settings, control.key))
    return mo.ui.dictionary(widgets)


def names_of(name: str) -> tuple[str, str]:
    """Return the keys of a strategy's switch and of its weight in a form."""
    return _SWITCH + name, _WEIGHT + name


def spoken(name: str) -> str:
    """Return a strategy's name as people say it: `rsi_mean_reversion` -> `RSI mean reversion`."""
    words = [word.upper() if word in ("rsi", "vwap") else word for word in name.split("_")]
    return " ".join([words[0] if words[0].isupper() else words[0].capitalize(), *words[1:]])


def family_of(name: str) -> str:
    """Return what a strategy believes in, in a word; `own` for a user's own."""
    return FAMILIES.get(name, "own")


def read(
    values: Values, settings: Settings, strategies: Mapping[str, Strategy], data: Values | None = None
) -> tuple[Settings | None, list[str]]:
    """Return the settings that a form says, or what is wrong with it.

    Args:
        values: What the widgets hold, by key, as `elements` made them.
        settings: The configuration that the form began with.
        strategies: Those that have a weight in the form.
        data: What of `settings.data` is another one, by key.
    """
    tree = settings.model_dump()
    tree["data"] |= data or {}
    problems = [*_put_weights(tree, values, settings, strategies), *put(tree, values, settings, CONTROLS.values())]
    if problems:
        return None, problems
    try:
        read_settings = Settings.model_validate(tree)
    except ValidationError as wrong:
        return None, complaints(wrong)
    clashes = [f"{'.'.join(path)} {clash}" for path, clash in contradictions(read_settings)]
    if not clashes:
        try:
            prepare(read_settings.confluence, strategies)
        except ConfluenceError as wrong:
            clashes = [f"confluence.{wrong}"]
    return (None, clashes) if clashes else (read_settings, [])


def field_at(key: str) -> FieldInfo:
    """Return the field of the settings that a dotted path names."""
    *parents, last = key.split(".")
    model: Any = Settings
    for parent in parents:
        model = model.model_fields[parent].annotation
    field: FieldInfo = model.model_fields[last]
    return field


def value_at(settings: BaseModel, key: str) -> Any:
    """Return the value that a dotted path names."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Return the smallest and largest value that a field's own constraints allow, None where there is none."""
    low = high = None
    for rule in field.metadata:
        low = next((getattr(rule, name) for name in ("ge", "gt") if getattr(rule, name, None) is not None), low)
        high = next((getattr(rule, name) for name in ("le", "lt") if getattr(rule, name, None) is not None), high)
    return low, high


def widget(control: Control, value: Any) -> Any:
    """Return the widget of a setting, at a value."""
    field = field_at(control.key)
    if control.kind == "choice":
        return mo.ui.dropdown(list(get_args(field.annotation)), value, label=control.label, full_width=True)
    if control.kind == "switch":
        return mo.ui.switch(value, label=control.label)
    if control.kind in ("optional", "numbers"):
        return mo.ui.text(_text(value), label=control.label, full_width=True)
    if control.kind == "number":
        return mo.ui.number(value=value * control.per, step=control.step, label=control.label, full_width=True)
    low, high = _range(control, field, value * control.per)
    return mo.ui.slider(
        low, high, control.step, value * control.per, label=control.label, show_value=True, full_width=True
    )


def _range(control: Control, field: FieldInfo, shown: float) -> tuple[float, float]:
    low, high = control.usual
    least, most = bounds(field)
    low = low if least is None else max(low, least * control.per)
    high = high if most is None else min(high, most * control.per)
    return min(low, shown), max(high, shown)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(f"{part:.15g}" for part in value) if isinstance(value, Sequence) else f"{value:.15g}"


def _put_weights(
    tree: dict[str, Any], values: Values, settings: Settings, strategies: Mapping[str, Strategy]
) -> Iterator[str]:
    weights = tree["confluence"]["weights"]
    for name in strategies:
        switch, slider = names_of(name)
        configured = settings.confluence.weights.get(name, 0.0)
        weight = values[slider]
        if not values[switch]:
            weight = 0.0
        elif weight == 0.0:
            yield f"{spoken(name)} is switched on with weight 0: give it a weight, or switch it off"
        if round(weight, 6) != round(configured, 6):
            weights[name] = round(weight, 6)
    if not any(weights.values()):
        yield "confluence.weights are all zero: switch at least one strategy on"


def put(tree: dict[str, Any], values: Values, settings: BaseModel, among: Iterable[Control]) -> Iterator[str]:
    """Put what a form says into a dumped configuration, where it differs from the settings.

    Args:
        tree: Changed in place.
        values: What the widgets hold, by key.
        settings: The configuration that the form began with.
        among: The controls of the form.

    Yields:
        What is wrong, one sentence each.
    """
    for control in among:
        configured = value_at(settings, control.key)
        try:
            value = _value(control, values[control.key])
        except ValueError as wrong:
            yield f"{control.key}, {control.label.split(' (')[0].lower()}: {wrong}"
            continue
        if not _is_same(control, value, configured):
            *parents, last = control.key.split(".")
            branch = tree
            for parent in parents:
                branch = branch[parent]
            branch[last] = value


def _value(control: Control, shown: Any) -> Any:
    if control.kind in ("choice", "switch"):
        return shown
    if control.kind == "optional":
        return _number(shown) if str(shown).strip() else None
    if control.kind == "numbers":
        parts = [part for part in str(shown).replace(";", ",").split(",") if part.strip()]
        if not parts:
            raise ValueError("it is empty, expected numbers such as 1, 5, 15")
        return tuple(_number(part) for part in parts)
    if shown is None:
        raise ValueError("it is empty, expected a number")
    return round(float(shown) / control.per, 10)


def _number(text: Any) -> float:
    try:
        return float(str(text).strip())
    except ValueError:
        raise ValueError(f"{str(text).strip()!r} is not a number") from None


def _is_same(control: Control, value: Any, configured: Any) -> bool:
    if control.kind in ("slider", "number"):
        return math.isclose(value, configured, rel_tol=1e-9, abs_tol=1e-9)
    if control.kind == "numbers":
        return tuple(value) == tuple(configured)
    is_equal: bool = value == configured
    return is_equal


def complaints(wrong: ValidationError) -> list[str]:
    """Return what is wrong with values, one sentence per problem, each naming its key."""
    return list(dict.fromkeys(_sentence(error) for error in wrong.errors()))


def _sentence(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{name}: {message}" if name else message
    shown = error["input"]
    return (
        f"{name} is {shown:g}: {message.replace('Input', 'it', 1)}"
        if isinstance(shown, float)
        else f"{name} is {shown!r}: {message.replace('Input', 'it', 1)}"
    )
