"""All settings of a run in groups, those that differ from the defaults marked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from novapulse.research.tearsheet.words import plain


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        path: Dotted name.
        name: Last part of it.
        value: As it is written in a configuration file.
        default: The default where the value differs from it, else None.
        description: What it does, in words.
    """

    path: str
    name: str
    value: str
    default: str | None
    description: str


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that stand together."""

    title: str
    settings: list[Setting]


def sections(settings: BaseModel) -> list[Section]:
    """Return all settings by section."""
    grouped: dict[str, list[Setting]] = {}
    for one in _leaves(settings, type(settings)(), ()):
        grouped.setdefault(one.path.rpartition(".")[0], []).append(one)
    return [Section(_title(path), found) for path, found in grouped.items()]


def changed(groups: list[Section]) -> list[Setting]:
    """Return the settings that differ from the defaults."""
    return [one for group in groups for one in group.settings if one.default is not None]


def _title(path: str) -> str:
    return (
        ", ".join(plain(part) if number == 0 else part.replace("_", " ") for number, part in enumerate(path.split(".")))
        or "Account"
    )


def _leaves(value: Any, default: Any, path: tuple[str, ...], description: str = "") -> Iterator[Setting]:
    if isinstance(value, BaseModel):
        for name, about in type(value).model_fields.items():
            below = getattr(default, name, None)
            yield from _leaves(getattr(value, name), below, (*path, name), about.description or "")
    elif isinstance(value, Mapping) and value:
        known = default if isinstance(default, Mapping) else {}
        for key, part in value.items():
            yield from _leaves(part, known.get(key), (*path, str(key)), description)
    else:
        differs = value != default
        yield Setting(".".join(path), path[-1], written(value), written(default) if differs else None, description)


def written(value: Any) -> str:
    """Return a value as it is written in a configuration file; None means off or left to its rule."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ", ".join(written(part) for part in value) or "none"
    return "none" if value == {} else str(value)
