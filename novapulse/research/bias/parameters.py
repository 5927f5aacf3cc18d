"""Parameter sets that a search may choose, drawn from the bounds of a strategy's fields, the same ones every time."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_TRIES = 20
_BOUNDS = {"Ge", "Gt", "Le", "Lt"}


def chance_of(*names: object) -> np.random.Generator:
    """Return a generator that depends on these names only."""
    digest = hashlib.sha256("|".join(str(name) for name in names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def draws(name: str, params: Any, count: int) -> Iterator[tuple[str, Any]]:
    """Yield parameter sets other than the defaults: every whole number at its smallest, at its largest, then by chance.

    Args:
        name: The strategy's name: the only seed.
        params: Its `Params`; anything but a pydantic model has no bounds and yields nothing.
        count: Sets wanted; combinations that the model refuses are drawn again, and left out when that does not help.

    Yields:
        What differs from the defaults, as words; the parameters.
    """
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        return
    bounds = {key: range_ for key, field in params.model_fields.items() if (range_ := _range(field))}
    whole = {key: range_ for key, range_ in bounds.items() if isinstance(range_[0], int)}
    chance = chance_of(name, "parameters")
    wanted = [{key: range_[end] for key, range_ in whole.items()} for end in (0, 1)][:count]
    for number in range(count):
        for _ in range(_TRIES):
            values = wanted[number] if number < len(wanted) else _drawn(bounds, chance)
            try:
                yield ", ".join(f"{key}={value}" for key, value in values.items()), params(**values)
            except ValidationError:
                if number < len(wanted):
                    break
                continue
            break


def _range(field: FieldInfo) -> tuple[int, int] | tuple[float, float] | None:
    default = field.default
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    limits = {kind: _number(bound) for bound in field.metadata if (kind := type(bound).__name__) in _BOUNDS}
    low = limits.get("Ge", limits.get("Gt", min(default / 2, default * 2)))
    high = limits.get("Le", limits.get("Lt", max(default / 2, default * 2)))
    if isinstance(default, int):
        return int(low) + ("Gt" in limits), int(high) - ("Lt" in limits)
    inside = 1e-6 * (high - low)
    return float(low) + inside * ("Gt" in limits), float(high) - inside * ("Lt" in limits)


def _number(bound: object) -> float:
    return float(getattr(bound, type(bound).__name__.lower()))


def _drawn(
    bounds: Mapping[str, tuple[int, int] | tuple[float, float]], chance: np.random.Generator
) -> dict[str, int | float]:
    return {key: _one(low, high, chance) for key, (low, high) in bounds.items()}


def _one(low: int | float, high: int | float, chance: np.random.Generator) -> int | float:
    # Evenly in the logarithm where a range spans magnitudes: a search tries 5 and 10 as readily as 100 and 200.
    share = float(chance.random())
    value = low * math.exp(share * math.log(high / low)) if low > 0 else low + share * (high - low)
    return min(max(round(value), low), high) if isinstance(low, int) else round(value, 6)
