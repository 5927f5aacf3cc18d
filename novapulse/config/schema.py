"""The names of all settings, read off the models: dotted paths, environment names, and what is nearest to a typo."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

Path = tuple[str, ...]

PREFIX, SEPARATOR = "NOVAPULSE_", "__"


def dotted(path: Path) -> str:
    """Return a path as people write it: `risk.sizing.risk_fraction`."""
    return ".".join(path)


def environment_name(path: Path) -> str:
    """Return the environment name of a path: `NOVAPULSE_RISK__SIZING__RISK_FRACTION`."""
    return PREFIX + SEPARATOR.join(path).upper()


def path_of(name: str) -> Path:
    """Return the path that an environment name spells, whether or not it exists."""
    return tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR))


def kind_at(model: type[BaseModel], path: Path) -> Any:
    """Return the type of the setting at a path, or None where there is none."""
    kind: Any = model
    for key in path:
        kind = _child(kind, key)
        if kind is None:
            return None
    return kind


def is_section(kind: Any) -> bool:
    """Return whether a type is a group of settings and no setting itself."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_mapping(kind: Any) -> bool:
    """Return whether a type is a mapping with keys of the user's choice."""
    return get_origin(kind) is dict


def leaves(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of each setting of a tree of mappings; an empty mapping is a value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def nearest(name: str, known: Iterator[str] | list[str]) -> str:
    """Return ` (nearest: NAME)` for the known name most like `name`, or nothing where none is like it."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (nearest: {near[0]})" if near else ""


def sections(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Yield the path of each group of settings of a tree of mappings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield (*path, key)
            yield from sections(value, (*path, key))


def _child(kind: Any, key: str) -> Any:
    if is_section(kind):
        field = kind.model_fields.get(key)
        return field.annotation if field else None
    return get_args(kind)[1] if is_mapping(kind) else None
