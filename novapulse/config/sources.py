"""Where settings come from: the text of a file, the environment, options. Each becomes a tree that knows its places."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from novapulse.config import schema
from novapulse.config.places import RESERVED

YAML_SUFFIXES = (".yaml", ".yml")


class ConfigError(ValueError):
    """A configuration that cannot be used: one sentence per problem, each naming the file and line or the variable."""


@dataclass(frozen=True)
class Source:
    """Settings from one place.

    Attributes:
        tree: Nested mappings of values.
        places: Where each path was set, in words.
    """

    tree: dict[str, Any]
    places: dict[schema.Path, str] = field(default_factory=dict)


def from_file(model: type[BaseModel], file: Path, defaults: Mapping[str, Any]) -> Source:
    """Read a YAML file.

    Raises:
        ConfigError: It cannot be read, is no YAML mapping, has a key twice or one that nobody knows.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        why = wrong.strerror if isinstance(wrong, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"configuration {file} cannot be read: {why}") from wrong
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        places = {path: f"{file}, line {line}" for path, line in _lines(node, file)}
        tree = loader.construct_document(node) if node is not None else {}
    except yaml.YAMLError as wrong:
        raise ConfigError(f"{file}{_mark(wrong)}: not valid YAML, {_problem(wrong)}") from wrong
    except (ValueError, RecursionError) as wrong:
        raise wrong if isinstance(wrong, ConfigError) else ConfigError(f"{file}: not valid YAML, {wrong}") from wrong
    finally:
        loader.dispose()
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected settings such as 'capital: 10000', got {type(tree).__name__}")
    _refuse_unknown_keys(model, tree, places, defaults)
    return Source(tree, places)


def from_environment(model: type[BaseModel], environment: Mapping[str, str], defaults: Mapping[str, Any]) -> Source:
    """Take the settings that the environment names.

    Raises:
        ConfigError: A name under the prefix is no setting, or a value cannot be read.
    """
    source = Source({})
    for name in sorted(environment):
        if not name.startswith(schema.PREFIX) or name in RESERVED:
            continue
        path = schema.path_of(name)
        kind = schema.kind_at(model, path)
        if kind is None:
            known = [schema.environment_name(path) for path, _ in schema.leaves(defaults)]
            raise ConfigError(f"environment variable {name} is no setting{schema.nearest(name, [*known, *RESERVED])}")
        if schema.is_section(kind):
            example = next(known for known, _ in schema.leaves(defaults) if known[: len(path)] == path)
            raise ConfigError(
                f"environment variable {name} names a section and no setting, as "
                f"{schema.environment_name(example)} would"
            )
        put(source, path, _value(kind, environment[name], name), f"environment variable {name}")
    return source


def put(source: Source, path: schema.Path, value: Any, place: str) -> None:
    """Set one value of a source."""
    tree = source.tree
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
    source.places[path] = place


def _value(kind: Any, text: str, name: str) -> Any:
    if kind is str or not text.strip():
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise ConfigError(f"environment variable {name} cannot be read: {_problem(wrong)}") from wrong


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "anchors are not used here", self.peek_event().start_mark)
        return super().compose_node(parent, index)


def _lines(node: Any, file: Path, path: schema.Path = ()) -> Iterator[tuple[schema.Path, int]]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            if isinstance(item, yaml.MappingNode):
                yield (*path, str(number)), item.start_mark.line + 1
                yield from _lines(item, file, (*path, str(number)))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            raise ConfigError(f"{file}, line {line}: expected a name before the colon, got {key_node.value!r}")
        key = key_node.value
        here = (*path, key)
        if key in seen:
            raise ConfigError(
                f"{file}, line {line}: {schema.dotted(here)} stands there twice, first in line {seen[key]}"
            )
        seen[key] = line
        yield here, line
        yield from _lines(value_node, file, here)


def _refuse_unknown_keys(
    model: type[BaseModel],
    tree: Mapping[str, Any],
    places: Mapping[schema.Path, str],
    defaults: Mapping[str, Any],
) -> None:
    for path in places:
        parent = schema.kind_at(model, path[:-1])
        if schema.is_section(parent) and path[-1] not in parent.model_fields:
            known = [schema.dotted(at) for at, _ in schema.leaves(defaults)]
            known += [schema.dotted(at) for at in schema.sections(defaults)]
            siblings = [name for name in known if name.startswith(schema.dotted(path[:-1]))]
            near = schema.nearest(schema.dotted(path), siblings) or schema.nearest(path[-1], list(parent.model_fields))
            raise ConfigError(f"{places[path]}: {schema.dotted(path)} is no setting{near}")


def _mark(wrong: yaml.YAMLError) -> str:
    mark = getattr(wrong, "problem_mark", None)
    return f", line {mark.line + 1}" if mark is not None else ""


def _problem(wrong: yaml.YAMLError) -> str:
    return " ".join(str(getattr(wrong, "problem", None) or wrong).split())
