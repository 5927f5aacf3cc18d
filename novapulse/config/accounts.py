"""The settings of single accounts: the configuration, with what an account says differently merged over it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from novapulse.config import schema
from novapulse.config.contradictions import contradictions
from novapulse.config.places import REAL_MONEY
from novapulse.config.settings import OVERRIDABLE, AccountSettings, Settings
from novapulse.config.sources import ConfigError


def settings_of(settings: Settings, account: AccountSettings) -> Settings:
    """Return the configuration as one account sees it.

    Its exchange and symbols stand in `data`, its capital and overrides are merged in, and no other account is left:
    `.hash` names what decides in this account.

    Raises:
        ConfigError: An override names something unknown, or makes the whole impossible.
    """
    own, problems = checked(settings, account)
    if own is None:
        raise ConfigError("\n".join(dict.fromkeys(sentence for _, sentence in problems)))
    return own


def checked(settings: Settings, account: AccountSettings) -> tuple[Settings | None, list[tuple[schema.Path, str]]]:
    """Return the configuration as one account sees it, or None and what is wrong: the path below it, the sentence."""
    if problems := list(_unknown(account)):
        return None, problems
    tree = merged(settings.model_dump(), account.overrides)
    tree["data"] |= {"exchange": account.exchange, "symbols": account.symbols}
    tree["capital"] = settings.capital if account.capital is None else account.capital
    tree["accounts"] = ()
    try:
        own = Settings.model_validate(tree)
    except ValidationError as wrong:
        return None, [_sentence(account, error) for error in wrong.errors()]
    clashes = [(path, f"{account_name(account)}: {schema.dotted(path)} {clash}") for path, clash in contradictions(own)]
    return (None, clashes) if clashes else (own, [])


def check_mode(settings: Settings, environment: Mapping[str, str] | None = None) -> None:
    """Refuse to trade where that is not meant, or not possible.

    Args:
        settings: What is to run.
        environment: Where real money is confirmed; None for the process's own.

    Raises:
        ConfigError: It asks for real money.
    """
    confirm_money(settings, environment)
    if settings.mode != "paper":
        raise ConfigError(
            "mode is live, and this version has no connection to a real venue yet: use mode: paper, which trades on a "
            "simulated venue"
        )


def confirm_money(settings: Settings, environment: Mapping[str, str] | None = None) -> None:
    """Refuse real money that the environment does not confirm.

    Args:
        settings: What is to run.
        environment: Where real money is confirmed; None for the process's own.

    Raises:
        ConfigError: It is not confirmed.
    """
    if settings.mode == "paper":
        return
    said = (os.environ if environment is None else environment).get(REAL_MONEY, "")
    if said != "yes":
        raise ConfigError(
            f"mode is live, which trades with real money: that needs {REAL_MONEY}=yes in the environment too "
            f"(there it is {said!r}); mode: paper trades without money"
        )


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree with another laid over it: mappings key by key, everything else as a whole."""
    both = dict(below)
    for key, value in above.items():
        mappings = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = merged(both[key], value) if mappings else value
    return both


def account_name(account: AccountSettings) -> str:
    """Return how messages name an account."""
    return f"account {account.account_id} on {account.exchange}"


def _unknown(account: AccountSettings) -> Iterator[tuple[schema.Path, str]]:
    defaults = Settings().model_dump(include=set(OVERRIDABLE))
    known = [schema.dotted(at) for at, _ in schema.leaves(defaults)]
    known += [schema.dotted(at) for at in schema.sections(defaults)]
    whose, sections = account_name(account), ", ".join(OVERRIDABLE)
    for name, value in account.overrides.items():
        if name not in OVERRIDABLE:
            near = schema.nearest(name, list(OVERRIDABLE))
            yield (name,), f"{whose}: {name} is nothing that an account overrides{near}; it may override {sections}"
        elif not isinstance(value, Mapping):
            yield (name,), f"{whose}: {name} is {value!r}: expected settings such as 'key: value' below it"
        else:
            for path in _strangers({name: value}, ()):
                near = schema.nearest(schema.dotted(path), known)
                yield path, f"{whose}: {schema.dotted(path)} is no setting{near}"


def _strangers(tree: Mapping[str, Any], above: schema.Path) -> Iterator[schema.Path]:
    for key, value in tree.items():
        path = (*above, str(key))
        parent = schema.kind_at(Settings, above)
        if schema.is_section(parent) and key not in parent.model_fields:
            yield path
        elif isinstance(value, Mapping):
            yield from _strangers(value, path)


def _sentence(account: AccountSettings, error: ErrorDetails) -> tuple[schema.Path, str]:
    path = tuple(str(part) for part in error["loc"])
    name = schema.dotted(path)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if error["type"] == "value_error":
        return path, f"{account_name(account)}: {'in ' + name + ', ' if name else ''}{message}"
    return path, f"{account_name(account)}: {name} is {error['input']!r}: {message.replace('Input', 'it', 1)}"
