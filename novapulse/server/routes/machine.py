"""What the program and its machine are: strategies, versions, room left, and the log's last lines.

Invariants:
- a line of the log is told as its file has it, masked once more by what this process knows to be secret;
- a name of the machine, of its people and of its folders is in no answer.
"""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path as Folder
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from novapulse import __version__
from novapulse.config import load
from novapulse.ops.masking import SECRETS
from novapulse.research.inputs import checked_strategies
from novapulse.server import answers
from novapulse.server.access import Caller, Needs, Reader
from novapulse.server.answers import Format, many, one
from novapulse.server.errors import NotFoundError
from novapulse.strategies import FAMILIES, Strategy

router = APIRouter(tags=["machine"])

LINES_MAX = 2_000
_TAIL_BYTES = 4 * 2**20
_LIBRARIES = ("numpy", "numba", "sqlalchemy", "fastapi", "marimo")


class StrategyAbout(BaseModel):
    """A strategy that can vote, and what the configuration gives it: a weight of 0 takes no part."""

    name: str
    family: str
    about: str
    weight: float
    warmup_bars: int


class StrategyWhole(StrategyAbout):
    """With the parameters in force, and the JSON schema of what they may be."""

    parameters: dict[str, Any]
    parameters_schema: dict[str, Any]


class SystemInfo(BaseModel):
    """The machine that the server runs on. What cannot be measured is null, never 0."""

    version: str
    python: str
    system: str
    machine: str
    cpus: int | None
    load_1m: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_total_bytes: int
    disk_free_bytes: int
    libraries: dict[str, str]


class LogLine(BaseModel):
    """A line of a log, masked; `level` is empty where the line names none."""

    level: str
    line: str


@router.get("/strategies", responses=many(StrategyAbout))
def strategies(caller: Reader, format: Format = "json") -> Response:
    """List the strategies there are, built-in ones and one's own."""
    return answers.rows([_about(*each) for each in _known(caller)], "strategies", format)


@router.get("/strategies/{strategy}", responses=one(StrategyWhole))
def one_strategy(strategy: Annotated[str, Path(max_length=80)], caller: Reader) -> Response:
    """Tell one strategy with its parameters."""
    found = {each[0]: each for each in _known(caller)}
    if strategy not in found:
        raise NotFoundError(f"no strategy {strategy}: there are {', '.join(found)}")
    _, module, _, params = found[strategy]
    more = {"parameters": params.model_dump(mode="json"), "parameters_schema": module.Params.model_json_schema()}
    return answers.value(_about(*found[strategy]) | more)


@router.get("/sysinfo", responses=one(SystemInfo))
def sysinfo(caller: Reader) -> Response:
    """Tell what the machine is, how much room is left on it, and which versions run."""
    disk, memory = shutil.disk_usage(caller.parts.home), _memory()
    return answers.value(
        {
            "version": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "load_1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "memory_total_bytes": memory.get("MemTotal"),
            "memory_available_bytes": memory.get("MemAvailable"),
            "disk_total_bytes": disk.total,
            "disk_free_bytes": disk.free,
            "libraries": {name: _version(name) for name in _LIBRARIES},
        }
    )


@router.get("/logs", responses=many(LogLine))
def logs(
    caller: Annotated[Caller, Depends(Needs("read_audit"))],
    last: Annotated[int, Query(ge=1, le=LINES_MAX)] = 100,
    of: Annotated[Literal["trader", "errors"], Query(description="`errors` for those alone.")] = "trader",
    format: Format = "json",
) -> Response:
    """List the last lines of the trader's log, oldest first, masked; for admins alone."""
    path = caller.parts.home / "logs" / f"{of}.log"
    if not path.is_file():
        raise NotFoundError(f"no trader has written {of}.log here yet")
    return answers.rows([_line(each) for each in tail(path, last)], f"{of}-log", format)


def tail(path: Folder, last: int) -> list[str]:
    """Return the last whole lines of a file, oldest first, of at most its last 4 MB."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return (lines[1:] if size > _TAIL_BYTES else lines)[-last:]


def _line(text: str) -> dict[str, str]:
    masked = SECRETS.masked_text(text)
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    return {"level": str(told.get("level", "")) if isinstance(told, dict) else "", "line": masked}


def _known(caller: Caller) -> list[tuple[str, Strategy, float, Any]]:
    loaded = load(os.environ, caller.parts.config)
    confluence = loaded.settings.confluence
    return [
        (name, module, float(confluence.weights.get(name, 0.0)), module.Params(**confluence.parameters.get(name, {})))
        for name, module in checked_strategies(loaded, lambda _: None).items()
    ]


def _about(name: str, module: Strategy, weight: float, params: Any) -> dict[str, Any]:
    return {
        "name": name,
        "family": FAMILIES.get(name, ""),
        "about": (module.__doc__ or "").strip().partition("\n")[0],
        "weight": weight,
        "warmup_bars": module.warmup_bars(params),
    }


def _memory() -> dict[str, int]:
    """Return what the kernel says of its memory, bytes; nothing where it does not say."""
    try:
        lines = Folder("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {name: int(said.split()[0]) * 1024 for name, _, said in (line.partition(":") for line in lines) if said}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
