"""A strategy's parameters as widgets: names, bounds and defaults come from its own `Params`.

Invariant: a form that nobody touched gives the parameters it began with.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

import marimo as mo
from pydantic import BaseModel, ValidationError

from novapulse.ui import controls

_SLIDER_STEPS = 200
_WRITTEN = {word.lower(): word for word in ("ATR", "ATRs", "ADX", "RSI", "VWAP", "EMA", "MACD")}
_FAR = 8.0
"""A slider reaches no farther than this many times its default where bounds are wider; a typed default always fits."""


class Parameter(NamedTuple):
    """One field of `Params`.

    Attributes:
        name: Its name.
        default: What it begins with.
        low: Smallest value a slider gives; None for none.
        high: Largest.
        choices: What it may be, where that is a list.
        help: What its author says of it.
    """

    name: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    help: str = ""


def parameters_of(params: type[Any], given: Mapping[str, Any]) -> list[Parameter]:
    """Return the fields of a strategy's `Params`, a pydantic model or a dataclass; of anything else none.

    Args:
        params: The class.
        given: What the configuration says of them.
    """
    if isinstance(params, type) and issubclass(params, BaseModel):
        made = params(**given)
        return [
            _bounded(
                name,
                getattr(made, name),
                controls.bounds(field),
                get_args(field.annotation) if get_origin(field.annotation) is Literal else (),
                field.description or "",
            )
            for name, field in params.model_fields.items()
        ]
    if dataclasses.is_dataclass(params):
        instance = params(**given)
        return [
            _bounded(field.name, getattr(instance, field.name), (None, None)) for field in dataclasses.fields(params)
        ]
    return []


def _bounded(
    name: str,
    value: Any,
    limits: tuple[float | None, float | None],
    choices: tuple[Any, ...] = (),
    help_text: str = "",
) -> Parameter:
    if choices or isinstance(value, bool) or not isinstance(value, int | float):
        return Parameter(name, value, choices=choices, help=help_text)
    low, high = limits
    reach = _FAR * abs(value) or 10.0
    least = low if low is not None else min(0.0, value)
    most = min(high, reach) if high is not None else reach
    return Parameter(name, value, min(least, value), max(most, value), help=help_text)


def form_of(params: type[Any], given: Mapping[str, Any]) -> Any:
    """Return a widget for every parameter, as configured."""
    return mo.ui.dictionary({one.name: _widget(one) for one in parameters_of(params, given)})


def _widget(one: Parameter) -> Any:
    label = label_of(one.name)
    if one.choices:
        return mo.ui.dropdown(list(one.choices), one.default, label=label, full_width=True, allow_select_none=False)
    if isinstance(one.default, bool):
        return mo.ui.switch(one.default, label=label)
    if one.low is None or one.high is None:
        return mo.ui.text(str(one.default), label=label, full_width=True)
    step = 1 if isinstance(one.default, int) else _step(one.high - one.low)
    return mo.ui.slider(
        one.low, one.high, step, one.default, label=label, show_value=True, full_width=True, debounce=False
    )


def label_of(name: str) -> str:
    """Return a parameter's name as people say it: `range_rsi_gate` -> `Range RSI gate`."""
    words = [_WRITTEN.get(word, word) for word in name.split("_")]
    return " ".join([words[0] if words[0] in _WRITTEN.values() else words[0].capitalize(), *words[1:]])


def _step(span: float) -> float:
    return float(10 ** math.floor(math.log10(span / _SLIDER_STEPS))) * 2 if span > 0 else 0.1


def read(
    params: type[Any], given: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[Any | None, dict[str, Any], list[str]]:
    """Return the parameters that a form says.

    Args:
        params: The strategy's `Params`.
        given: What the configuration says of them.
        values: What the widgets hold, by name.

    Returns:
        The parameters, or None; those that somebody named, by name; what is wrong, in sentences.
    """
    changed = dict(given)
    for one in parameters_of(params, given):
        value = values.get(one.name, one.default)
        if isinstance(one.default, int) and not isinstance(one.default, bool) and isinstance(value, float):
            value = round(value)
        if isinstance(value, float):
            value = round(value, 10)
        if value != one.default:
            changed[one.name] = value
    try:
        return params(**changed), changed, []
    except ValidationError as wrong:
        return None, changed, controls.complaints(wrong)
    except Exception as wrong:
        # A user's own Params may raise whatever it likes: it is said, and nothing else happens.
        return None, changed, [f"Params({', '.join(changed)}): {' '.join(str(wrong).split())}"]
