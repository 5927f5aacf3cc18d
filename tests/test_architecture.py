"""The rules of the house, kept by reading the syntax tree of every file under novapulse/.

Who may import whom, what pure code may not touch, where numba and research packages may appear, how long a file or a
function may grow. The reader itself is tested on planted violations below.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "novapulse"

_PURE_MARKET_FILES = "book calendars facts quality resample ring sessions spikes".split()
PURE_MARKET = {f"market.{name}" for name in _PURE_MARKET_FILES}
# Pure packages and the packages each may import; `core`, `compiled` and the version are open to all.
PURE = {
    "core": set[str](),
    **{name: PURE_MARKET for name in PURE_MARKET},
    "signals": set[str](),
    "strategies": {"signals"},
    "confluence": {"signals", "strategies", *PURE_MARKET},
    "risk": set[str](),
    "execution": {"risk"},
    "stats": set[str](),
    "backtest": {"signals", "strategies", "confluence", "risk", "execution", "stats", *PURE_MARKET},
    "reconciliation": set[str](),
}
# The trader itself is pure; what runs it is not.
PURE["engine"] = {"strategies", "confluence", "risk", "execution", "backtest", "reconciliation", *PURE_MARKET}
# The part of research that every run goes through: it needs no research package, so the command line loads it at once.
_RUN_FILES = {
    f"research.{name}" for name in "analysis at_hand decision inputs running stress universe verdict warmth".split()
}
RUNS = {name: {*PURE, *_RUN_FILES, "market", "config", "research", "strategies.loader"} for name in _RUN_FILES}
# What runs the trader: it waits, logs and knows the clock, and sees adapters through ports alone.
_SHELL_FILES = "committer feed history lease_keeper orderly report requests runner supervisor timeline".split()
_ENGINE_SHELL = {f"engine.{name}" for name in _SHELL_FILES}
# The rest: `compiled` may ask `warmup` to call every kernel, and only that knows where they are.
SHELL = {
    "": set[str](),
    "brand": set[str](),
    "memory": set[str](),
    "locks": set[str](),
    "compiled": {"warmup"},
    "warmup": {*PURE, "market", "research", "parity"},
    "market": PURE_MARKET,
    # Adapters know the vocabulary, never each other; the simulated venue fills by the shared fill model.
    "ledger": {"locks"},
    "venues": set[str](),
    "venues.simulated": {"venues", "risk", "execution"},
    "ops": set[str](),
    "control": {"ledger", "ops"},
    # What people see of a trader: read beside it, never through it, and without its compiled core.
    "monitor": {"ledger", "ops", "market", *PURE_MARKET},
    **{name: {*PURE, *_ENGINE_SHELL, "ops"} for name in _ENGINE_SHELL},
    "simulation": {*PURE, "engine", "venues", "venues.simulated", "ledger", "market"},
    # Puts backtest, engine, venue and ledger side by side over the lake, as nothing below it can.
    "parity": {*PURE, "engine", "simulation", "venues", "venues.simulated", "ledger", "market"},
    "strategies.loader": {"signals", "strategies"},
    "config": set(PURE),
    **RUNS,
    "research": {*PURE, *RUNS, "market", "config", "strategies.loader"},
    "cli": {
        *{*PURE, *RUNS, "market", "config", "research", "strategies.loader"},
        *{"ledger", "venues", "venues.simulated", "ops", "control", "engine", "simulation", "parity", *_ENGINE_SHELL},
        *{"monitor", "server", "locks"},
    },
    # Puts sign-in, apps, REST and live stream together.
    "server": {
        *{*PURE, *RUNS, "market", "config", "research", "strategies.loader"},
        *{"ledger", "ops", "control", "monitor", "parity", "ui"},
    },
    # Shows what is known, proves the ledger, makes decisions again, and tells an admin what the audit holds.
    "ui": {
        *{*PURE, *RUNS, "market", "config", "research", "strategies.loader"},
        *{"monitor", "ledger", "parity", "control"},
    },
}
MAY_IMPORT = {**PURE, **SHELL}
OPEN_TO_ALL = {"", "brand", "core", "compiled", "memory"}
LIBRARIES_OF_PURE_CODE = {"numpy", "pydantic"}
# Holidays come from a library; both of its bounds are given, so that it does not ask for today's date.
MORE_LIBRARIES = {"market.sessions": {"exchange_calendars", "pandas"}}

# Says which calls of an adapter wait; it does none of the waiting.
MAY_WAIT = {"core.ports"}

RESEARCH_ONLY = set(
    "altair anywidget arch dask ipykernel jinja2 joblib marimo matplotlib nbval optuna papermill plotly quantstats "
    "raptorbt scipy skfolio skl2onnx sklearn statsmodels talib vectorbt".split()
)
MAY_USE_RESEARCH = {"research", "server", "ui"}

IMPURE_MODULES = set(
    "asyncio builtins ctypes fileinput getpass glob importlib io locale logging mmap multiprocessing os pathlib pickle "
    "random secrets select shelve shutil signal socket sqlite3 ssl structlog subprocess tempfile threading time urllib "
    "uuid zoneinfo".split()
)
IMPURE_BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__"}
CLOCK_METHODS = {"now", "utcnow", "today"}
NUMPY_FILES = {"load", "save", "savez", "savez_compressed", "loadtxt", "savetxt", "genfromtxt", "fromfile", "memmap"}
NUMPY_RANDOM_WITH_STATE = {"BitGenerator", "Generator", "PCG64", "Philox", "SeedSequence"}
NUMPY_TRANSCENDENTAL = set(
    "arccos arcsin arctan arctan2 cbrt cos cosh exp exp2 expm1 log log10 log1p log2 power sin sinh tan tanh".split()
)

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 80
SILENCED = re.compile(r"#.*(\bnoqa\b|type:\s*ignore|pragma:\s*no cover|\bTODO\b|\bFIXME\b|\bXXX\b)")


def module_of(path: str) -> str:
    """`risk/decide.py` -> `risk.decide`; a package's `__init__.py` is the package."""
    return path.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")


def owner_of(module: str) -> str:
    """The entry of the table that a module falls under: the longest that it starts with."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in MAY_IMPORT:
            return name
    return "" if module.startswith("__") else parts[0]


def dotted(node: ast.expr) -> str:
    """`np.random.rand` for the expression that reads so, `.rand` where it hangs on something else."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


class Reader(ast.NodeVisitor):
    """Collects what one file does against the rules."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.module = module_of(path)
        self.owner = owner_of(self.module)
        self.pure = self.owner in PURE
        self.loaded_late = False
        self.in_kernel = False
        self.found: list[str] = []
        if self.owner not in MAY_IMPORT:
            self.found.append(f"{path}: no rule for {self.owner!r}: say in MAY_IMPORT what it may import")

    def report(self, node: ast.AST, what: str) -> None:
        self.found.append(f"{self.path}:{getattr(node, 'lineno', 0)}: {what}")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            package = ["novapulse", *self.module.split(".")] if self.module else ["novapulse"]
            keep = len(package) - node.level + self.path.endswith("__init__.py")
            base = ".".join([*package[:keep], *([base] if base else [])])
        for alias in node.names:
            self.imported(node, f"{base}.{alias.name}")

    def imported(self, node: ast.stmt, name: str) -> None:
        top, _, rest = name.partition(".")
        if top == "novapulse":
            self.imported_ours(node, owner_of(rest) if rest else "")
            return
        if top in {"numba", "llvmlite"} and self.module != "compiled":
            self.report(node, f"imports {top}: only novapulse/compiled.py may")
        elif top == "argon2" and (self.module != "control.passwords" or not self.loaded_late):
            self.report(node, "imports argon2: only novapulse/control/passwords.py may, when it makes a hash")
        elif top in RESEARCH_ONLY and self.owner not in MAY_USE_RESEARCH:
            self.report(node, f"imports {top}: the live trader is installed without it")
        elif self.pure:
            self.imported_into_pure(node, top, name)

    def imported_ours(self, node: ast.stmt, target: str) -> None:
        if target not in {self.owner} | OPEN_TO_ALL | MAY_IMPORT.get(self.owner, set()):
            self.report(node, f"{self.owner} may not import {target}")
        if target in MAY_USE_RESEARCH and self.owner not in MAY_USE_RESEARCH and not self.loaded_late:
            self.report(node, f"imports {target} when it is loaded: import it inside the command that needs it")

    def imported_into_pure(self, node: ast.stmt, top: str, name: str) -> None:
        libraries = (
            {"numpy"} if self.owner == "core" else LIBRARIES_OF_PURE_CODE | MORE_LIBRARIES.get(self.owner, set())
        )
        loads_its_own_rooms_late = top == "importlib" and self.path.endswith("__init__.py")
        if top in IMPURE_MODULES and not loads_its_own_rooms_late:
            self.report(node, f"imports {top}: pure code has no clock, chance, files, environment or logs")
        elif top not in sys.stdlib_module_names | libraries:
            self.report(node, f"imports {top}: {self.owner} stands on {', '.join(sorted(libraries))} alone")
        elif name == "numpy.random" or (
            name.startswith("numpy.random.") and name.rsplit(".", 1)[1] not in NUMPY_RANDOM_WITH_STATE
        ):
            self.report(node, f"imports {name}: chance comes from a generator that is handed in")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            self.report(node, f"{node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}")
        if self.pure and self.module not in MAY_WAIT and isinstance(node, ast.AsyncFunctionDef):
            self.report(node, f"{node.name} is async")
        outside = self.loaded_late, self.in_kernel
        marks = {dotted(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list}
        self.loaded_late, self.in_kernel = True, self.in_kernel or bool(marks & {"kernel", "compiled.kernel"})
        self.generic_visit(node)
        self.loaded_late, self.in_kernel = outside

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        outside = self.loaded_late
        self.visit(node.test)
        self.loaded_late = outside or dotted(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in node.body:
            self.visit(statement)
        self.loaded_late = outside
        for statement in node.orelse:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        last = name.rsplit(".", 1)[-1]
        if self.in_kernel and name in {f"np.{function}" for function in NUMPY_TRANSCENDENTAL}:
            self.report(node, f"calls {name} in a kernel: math.{last} gives the same bits compiled and not")
        if self.pure and (
            name in IMPURE_BUILTINS
            or ("." in name and last in CLOCK_METHODS)
            or name in {f"{numpy}.{function}" for numpy in ("np", "numpy") for function in NUMPY_FILES}
            or last == "tofile"
        ):
            self.report(node, f"calls {name}: pure code has no clock, files or console")
        if self.pure and last == "default_rng" and not (node.args or node.keywords):
            self.report(node, "calls default_rng without a seed")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = dotted(node)
        is_global = re.fullmatch(r"(np|numpy)\.random\.(\w+)", name)
        if self.pure and is_global and is_global[2] not in NUMPY_RANDOM_WITH_STATE | {"default_rng"}:
            self.report(node, f"uses {name}: chance comes from a generator that is handed in")
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg == "fastmath":
            self.report(node.value, "asks for fastmath: compiled and uncompiled must give the same bits")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value == "fastmath":
            self.report(node, "names fastmath: compiled and uncompiled must give the same bits")


def violations(source: str, path: str) -> list[str]:
    """What a source would do against the rules if it lay at `novapulse/<path>`."""
    reader = Reader(path)
    reader.visit(ast.parse(source))
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        reader.found.append(f"{path}: {lines} lines, more than {FILE_LINES_MAX}")
    return reader.found + [f"{path}:{line}: {comment}" for line, comment in silencing_comments(source)]


def silencing_comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and SILENCED.search(token.string):
            yield token.start[0], token.string


def test_every_file_keeps_the_rules() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 5, "nothing was read"
    found = [
        violation
        for file in files
        for violation in violations(file.read_text("utf-8"), file.relative_to(PACKAGE).as_posix())
    ]
    assert not found, "\n".join(found)


PLANTED = {
    "a strategy known to risk": (
        "risk/decide.py",
        "from novapulse.strategies import keltner",
        "may not import strategies",
    ),
    "core leaning on signals": ("core/bars.py", "import novapulse.signals.trend", "core may not import signals"),
    "a later link of the chain": ("signals/view.py", "from novapulse import confluence", "may not import confluence"),
    "an impure neighbour": ("strategies/__init__.py", "from .loader import load", "may not import strategies.loader"),
    "a relative way out": ("risk/limits.py", "from ..market import lake", "risk may not import market"),
    "a relative way out of a package": ("risk/__init__.py", "from ..market.lake import Lake", "may not import market"),
    "a package without a rule": ("surprise/x.py", "", "no rule for 'surprise'"),
    "the clock": ("signals/trend.py", "import time", "imports time"),
    "the clock in a datetime": ("backtest/run.py", "x = datetime.datetime.now(tz)", "calls datetime.datetime.now"),
    "global chance": ("stats/resampling.py", "x = np.random.normal(size=3)", "uses np.random.normal"),
    "global chance by name": ("stats/resampling.py", "from numpy.random import normal", "imports numpy.random.normal"),
    "chance of the standard library": ("execution/fills.py", "from random import random", "imports random"),
    "a generator without a seed": ("stats/resampling.py", "g = np.random.default_rng()", "without a seed"),
    "asyncio": ("confluence/pipeline.py", "import asyncio", "imports asyncio"),
    "an async function": ("confluence/pipeline.py", "async def run(): ...", "run is async"),
    "a file": ("risk/sizing.py", "x = open('limits')", "calls open"),
    "a path": ("market/quality.py", "from pathlib import Path", "imports pathlib"),
    "a file of numpy": ("market/ring.py", "x = np.load('ring.npy')", "calls np.load"),
    "the environment": ("market/calendars.py", "from os import environ", "imports os"),
    "a log": ("execution/costs.py", "import logging", "imports logging"),
    "a log of structlog": ("execution/costs.py", "import structlog", "imports structlog"),
    "a hidden import": ("risk/decide.py", "from importlib import import_module", "imports importlib"),
    "a library in core": ("core/bars.py", "import polars as pl", "core stands on numpy alone"),
    "numba at large": ("signals/trend.py", "from numba import njit", "only novapulse/compiled.py may"),
    "V-11: a channel that reaches into the engine": (
        "control/router.py",
        "from novapulse.engine.trader import Trader",
        "control may not import engine",
    ),
    "passwords at large": ("control/people.py", "def f():\n    import argon2", "imports argon2"),
    "passwords at every start": ("control/passwords.py", "from argon2 import PasswordHasher", "imports argon2"),
    "fast mathematics": ("compiled.py", "f = numba.njit(cache=True, fastmath=True)", "asks for fastmath"),
    "fast mathematics in options": ("compiled.py", "options = {'fastmath': True}", "names fastmath"),
    "numpy's last bits in a kernel": (
        "signals/trend.py",
        "@kernel(inline=True)\ndef f(x):\n    return np.exp(x)",
        "math.exp",
    ),
    "vectorbt, however late": ("cli.py", "def run():\n    import vectorbt as vbt", "imports vectorbt"),
    "scikit-learn in the lake": ("market/lake.py", "from sklearn.svm import SVC", "imports sklearn"),
    "research at every start": ("cli.py", "from novapulse.research import bias", "when it is loaded"),
    "research where no type checker is meant": (
        "cli/bias.py",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from novapulse.research import bias",
        "when it is loaded",
    ),
    "a silenced linter": ("core/bars.py", "x = 1  # noqa: E501", "noqa"),
    "a silenced type checker": ("core/bars.py", "x = 1  # type: ignore[assignment]", "type: ignore"),
    "a promise": ("core/bars.py", "# TODO: later", "TODO"),
    "a long file": ("core/bars.py", "x = 1\n" * (FILE_LINES_MAX + 1), "451 lines"),
    "a long function": ("core/bars.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "f has 81 lines"),
}


@pytest.mark.parametrize(("path", "source", "expected"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(path: str, source: str, expected: str) -> None:
    found = violations(source, path)
    assert len(found) == 1, found
    assert expected in found[0]


HARMLESS = {
    "a package that loads its rooms late": (
        "backtest/__init__.py",
        "def __getattr__(name):\n    from importlib import import_module",
    ),
    "version": ("core/bars.py", "from novapulse import __version__"),
    "nouns and the compiler": ("risk/decide.py", "from novapulse.compiled import kernel\nfrom ..core import bars"),
    "the chain downwards": (
        "backtest/run.py",
        "from novapulse.risk.decide import decide\nfrom novapulse.confluence import run",
    ),
    "a sibling": ("strategies/keltner.py", "from . import votes\nfrom novapulse.strategies.votes import Votes"),
    "the loader from outside": ("research/bias.py", "from novapulse.strategies.loader import load"),
    "an argument named open": ("core/bars.py", "def f(open, now):\n    return open[0] + now"),
    "chance that is handed in": ("stats/resampling.py", "def f(g: np.random.Generator):\n    return g.normal()"),
    "chance with a seed": ("stats/resampling.py", "g = np.random.default_rng(seed)"),
    "numpy outside a kernel": ("signals/trend.py", "def f(x):\n    return np.exp(x)"),
    "research inside a command": ("cli.py", "def bias():\n    from novapulse.research import bias"),
    "research for the type checker": (
        "cli/bias.py",
        "if TYPE_CHECKING:\n    from novapulse.research.bias import BiasReport",
    ),
    "holidays of exchanges": ("market/sessions.py", "def load():\n    import exchange_calendars"),
    "research in research": ("research/rivals.py", "import vectorbt"),
    "words in a text": ("core/bars.py", "x = 'TODO # noqa'"),
}


@pytest.mark.parametrize(("path", "source"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert violations(source, path) == []
