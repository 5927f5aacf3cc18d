"""Puts the sources together and validates the whole once, so that an error can say where its value came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from novapulse.config import schema
from novapulse.config.accounts import account_name, checked, merged
from novapulse.config.contradictions import contradictions
from novapulse.config.places import CONFIG, home_folder
from novapulse.config.settings import AccountSettings, Settings
from novapulse.config.sources import ConfigError, Source, from_environment, from_file, put

DEFAULT = "default"

_FOLDER = ("data", "strategies_folder")


@dataclass(frozen=True)
class Loaded:
    """A configuration and where it came from.

    Attributes:
        settings: The effective settings.
        file: The file that was read, or None.
        file_named_by: Why it was this file, in words.
        places: Where each setting came from, by path; those not listed are defaults.
    """

    settings: Settings
    file: Path | None
    file_named_by: str
    places: Mapping[schema.Path, str]

    def place(self, path: schema.Path) -> str:
        """Return where a setting came from, in words."""
        return next((self.places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.places), DEFAULT)


def load(
    environment: Mapping[str, str],
    file: str | Path | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
) -> Loaded:
    """Load the configuration: defaults, then the file, then the environment, then options.

    Args:
        environment: Variables by name.
        file: The file to read; None looks for one as `find` does.
        options: Values of the command line by dotted path, each with the name of its option.

    Raises:
        ConfigError: A source cannot be read, names something unknown, or a value is impossible or contradicts another.
    """
    found, named_by = find(environment, file)
    defaults = Settings().model_dump()
    sources = [from_file(Settings, found, defaults)] if found else []
    sources.append(from_environment(Settings, environment, defaults))
    sources.append(_from_options(options or {}))
    tree: dict[str, Any] = defaults
    places: dict[schema.Path, str] = {}
    for source in sources:
        tree = merged(tree, source.tree)
        # What is replaced as a whole, such as the list of accounts, no longer comes from where its parts came from.
        places = {
            path: place
            for path, place in places.items()
            if not any(path[:n] in source.places for n in range(len(path)))
        }
        places |= {path: place for path, place in source.places.items() if not _is_mapping_at(source.tree, path)}
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as wrong:
        problems = [_sentence(error, places, sources, tree) for error in wrong.errors()]
        raise ConfigError("\n".join(dict.fromkeys(problems))) from wrong
    if clashes := list(contradictions(settings)):
        raise ConfigError(
            "\n".join(f"{_place(path, places, sources)}{schema.dotted(path)} {clash}" for path, clash in clashes)
        )
    _refuse_bad_accounts(settings, places, sources)
    return Loaded(_with_folder_beside(settings, places, found), found, named_by, places)


def find(environment: Mapping[str, str], file: str | Path | None = None) -> tuple[Path | None, str]:
    """Return the configuration file to read and who named it.

    In order: `file`, `NOVAPULSE_CONFIG`, `config/novapulse.yaml` in the working folder, `config.yaml` in the home
    folder; none of them is no error, the defaults are complete.

    Raises:
        ConfigError: A file that was named does not exist.
    """
    for named, by in ((file, "--config"), (environment.get(CONFIG), CONFIG)):
        if named:
            path = Path(named).expanduser()
            if path.is_dir():
                raise ConfigError(f"configuration {path}, named by {by}, is a folder: name the file in it")
            if not path.is_file():
                raise ConfigError(f"configuration {path}, named by {by}, does not exist")
            return path, by
    for path, by in (
        (Path("config") / "novapulse.yaml", "the working folder"),
        (home_folder(environment) / "config.yaml", "the home folder"),
    ):
        if path.is_file():
            return path, by
    return None, "no file was found"


def _from_options(options: Mapping[str, tuple[str, Any]]) -> Source:
    source = Source({})
    for name, (option, value) in options.items():
        if value is not None:
            put(source, tuple(name.split(".")), value, f"option {option}")
    return source


def _refuse_bad_accounts(settings: Settings, places: Mapping[schema.Path, str], sources: list[Source]) -> None:
    problems = [
        f"{_place(('accounts', str(number), 'overrides', *path), places, sources)}{sentence}"
        for number, account in enumerate(settings.accounts)
        for path, sentence in checked(settings, account)[1]
    ]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _is_mapping_at(tree: Mapping[str, Any], path: schema.Path) -> bool:
    value: Any = tree
    for key in path:
        if isinstance(value, list):
            # A list is replaced as a whole: what stands in it came from there, mappings too.
            return False
        value = value[key]
    return isinstance(value, Mapping) and bool(value)


def _sentence(
    error: ErrorDetails, places: Mapping[schema.Path, str], sources: list[Source], tree: Mapping[str, Any]
) -> str:
    names = [str(part) for part in error["loc"]]
    path = tuple(names)
    where = _place(path, places, sources)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    name = _readable(path, tree)
    if error["type"] == "missing":
        return f"{where}{name} is missing"
    if isinstance(error["input"], Mapping) and error["type"] == "value_error":
        return f"{where}{f'in {name}, ' if name else ''}{message}"
    if error["type"] == "extra_forbidden":
        fields = list(AccountSettings.model_fields) if len(path) == 3 and path[0] == "accounts" else []
        return f"{where}{name} is no setting{schema.nearest(path[-1], fields)}"
    if error["type"] == "value_error":
        return f"{where}{name}: {message}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{where}{name} is {_short(error['input'])}: expected settings such as 'key: value' below it"
    return f"{where}{name} is {_short(error['input'])}: {message.replace('Input', 'it', 1)}"


def _readable(path: schema.Path, tree: Mapping[str, Any]) -> str:
    if path[:1] != ("accounts",) or len(path) < 2:
        return schema.dotted(path)
    try:
        account = AccountSettings.model_construct(**tree["accounts"][int(path[1])])
        whose = account_name(account)
    except (AttributeError, LookupError, TypeError, ValueError):
        whose = f"account number {int(path[1]) + 1}"
    return f"{whose}: {schema.dotted(path[2:])}" if path[2:] else whose


def _place(path: schema.Path, places: Mapping[schema.Path, str], sources: list[Source]) -> str:
    known = [place for length in range(len(path), 0, -1) for place in [places.get(path[:length])] if place]
    if not known:
        # A contradiction inside a section: everything set in it may be its cause.
        known = [place for at, place in places.items() if at[: len(path)] == path]
    return f"{' and '.join(dict.fromkeys(known[:3]))}: " if known else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with_folder_beside(settings: Settings, places: Mapping[schema.Path, str], file: Path | None) -> Settings:
    folder = settings.data.strategies_folder
    if folder is None:
        return settings
    folder = folder.expanduser()
    if file is not None and places.get(_FOLDER, "").startswith(str(file)):
        folder = file.parent / folder
    return settings.model_copy(update={"data": settings.data.model_copy(update={"strategies_folder": folder})})
