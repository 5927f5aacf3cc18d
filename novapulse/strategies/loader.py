"""A user's own strategies: each `.py` file of a folder is one, and owes `Params`, `warmup_bars` and `votes`.

Invariants:
- the file's name is the strategy's name; a built-in name is refused, never replaced;
- files whose name begins with `_` are not strategies; nothing is written into the folder;
- a file that cannot be used stops the load with one sentence that names it.
"""

import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import cast

from novapulse.strategies import STRATEGIES
from novapulse.strategies.votes import Strategy, StrategyError, described, warmup_of

OWED = ("Params", "warmup_bars", "votes")


class _Loader(SourceFileLoader):
    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        """Keep no byte code: the folder belongs to the user."""


def load(folder: Path, built_in: Mapping[str, Strategy] = STRATEGIES) -> dict[str, Strategy]:
    """Load every strategy of a folder.

    Args:
        folder: Folder with one `.py` file per strategy; may be empty.
        built_in: Names that are taken.

    Returns:
        Name -> strategy, in order of name; the built-in ones are not among them.

    Raises:
        StrategyError: The folder is missing, or a file raises on import, lacks a name it owes, takes a built-in name or
            has settings that do not work without arguments.
    """
    if not folder.is_dir():
        raise StrategyError(f"strategy folder {folder} does not exist")
    return {file.stem: _loaded(file, built_in) for file in sorted(folder.glob("*.py")) if file.name[0] != "_"}


def _loaded(file: Path, built_in: Mapping[str, Strategy]) -> Strategy:
    name = file.stem
    if name in built_in:
        raise StrategyError(f"strategy file {file}: {name} is the name of a built-in strategy, rename the file")
    if not name.isidentifier():
        raise StrategyError(f"strategy file {file}: {name!r} is not a name, use letters, digits and underscores")
    module = _imported(file)
    missing = [owed for owed in OWED if not callable(getattr(module, owed, None))]
    if missing:
        raise StrategyError(f"strategy file {file}: it does not define {', '.join(missing)}")
    strategy = cast(Strategy, module)
    try:
        params = strategy.Params()
    except Exception as error:
        raise StrategyError(f"strategy file {file}: Params() raised {described(error)}") from error
    warmup_of(name, strategy, params)
    return strategy


def _imported(file: Path) -> ModuleType:
    full_name = f"novapulse_user_strategies.{file.stem}"
    module = ModuleType(full_name)
    module.__file__ = str(file)
    sys.modules[full_name] = module
    try:
        _Loader(full_name, str(file)).exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[full_name]
        raise StrategyError(f"strategy file {file}: importing it raised {described(error)}") from error
    return module
