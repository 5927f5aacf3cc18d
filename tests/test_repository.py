"""What the repository promises as a whole: one version, locks for everybody, nothing private, checks in force."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import novapulse

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("requirements.lock", "live.lock", "bootstrap.lock")
ENVIRONMENTS = [
    {
        "sys_platform": platform,
        "platform_machine": machine,
        "python_version": version,
        "python_full_version": f"{version}.2",
    }
    for platform, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
    for version in ("3.11", "3.12", "3.13")
]
RESEARCH_PACKAGES = {"matplotlib", "plotly", "raptorbt", "scikit-learn", "scipy", "ta-lib", "vectorbt", "vectorbt-rust"}

PRIVATE = {
    "a private key": r"-----BEGIN (\w+ )*PRIVATE KEY-----",
    "an access key": r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|sk_live_\w{10,}|xox[abposr]-[\w-]{10,}|AIza[\w-]{35})\b",
    "a password in an address": r"\b\w+://[^\s/:@{}<>]+:[^\s/:@{}<>]+@\w",
    "a path of one machine": r"(?<![\w.])/(home|Users)/[a-z]\w*/|(?<![\w.])/(root|work)/\w",
}
INDEX_HOST = r"https?://|files\.pythonhosted|pypi\.org|--(extra-)?index-url|--find-links|\bfile:/"


def repository_files() -> Iterator[Path]:
    """Every file that is tracked, or would be by `git add`."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout, so what belongs to it is not known")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            yield ROOT / name


def private_things(text: str) -> list[str]:
    return [f"{what}: {match[0]}" for what, pattern in PRIVATE.items() if (match := re.search(pattern, text))]


def pins(lock: str, environment: dict[str, str]) -> dict[str, Requirement]:
    """What a lock installs in an environment, by canonical name."""
    lines = (ROOT / lock).read_text("utf-8").replace("\\\n", "").splitlines()
    entries = [Requirement(line.partition("--hash=")[0]) for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(entry.name): entry
        for entry in entries
        if entry.marker is None or entry.marker.evaluate({**environment, "platform_python_implementation": "CPython"})
    }


def wanted(group: str, environment: dict[str, str]) -> list[Requirement]:
    """What pyproject.toml asks for in one of its groups, extras or (as `core`) for everybody."""
    project = PROJECT["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"], **PROJECT["dependency-groups"]}
    found: list[Requirement] = []
    for entry in groups[group]:
        if isinstance(entry, dict):
            found += wanted(entry["include-group"], environment)
        elif (requirement := Requirement(entry)).marker is None or requirement.marker.evaluate(environment):
            found.append(requirement)
    return found


def test_the_version_has_one_source() -> None:
    """R-67, V-1."""
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "novapulse/__init__.py"
    assert metadata.version("novapulse") == novapulse.__version__
    repeated = [
        file.relative_to(ROOT).as_posix()
        for file in repository_files()
        if file.suffix in {".py", ".toml", ".yaml", ".yml"} and novapulse.__version__ in file.read_text("utf-8")
    ]
    assert repeated == ["novapulse/__init__.py"]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['python_version']}-{e['platform_machine']}")
def test_locks_hold_what_the_project_asks_for(environment: dict[str, str]) -> None:
    """R-8: `just lock-check` shows with a resolver that they install; here, that nobody forgot `just lock`."""
    everything, live, bootstrap = (pins(lock, environment) for lock in LOCKS)
    for group, locked in (
        ("core", everything),
        ("research", everything),
        ("dev", everything),
        ("bench", everything),
        ("core", live),
        ("setup", live),
        ("bootstrap", bootstrap),
    ):
        for requirement in wanted(group, environment):
            pin = locked[canonicalize_name(requirement.name)]
            (version,) = (part.version for part in pin.specifier if part.operator == "==")
            assert requirement.specifier.contains(version), f"{requirement} is locked as {pin}"
    for locked in (live, bootstrap):
        assert {name: str(pin.specifier) for name, pin in locked.items()}.items() <= {
            name: str(pin.specifier) for name, pin in everything.items()
        }.items()


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['python_version']}-{e['platform_machine']}")
def test_the_live_lock_holds_no_research_package(environment: dict[str, str]) -> None:
    """R-4: what research needs never reaches a trading machine."""
    assert not pins("live.lock", environment).keys() & RESEARCH_PACKAGES


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_no_address(lock: str) -> None:
    """R-8: any index that serves the same files will do."""
    text = (ROOT / lock).read_text("utf-8")
    assert not re.search(INDEX_HOST, text)
    entries = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"\S+==\S+ ", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_nothing_private_lies_in_the_repository() -> None:
    found = {}
    for file in repository_files():
        name = file.relative_to(ROOT).as_posix()
        assert name != "uv.lock", "uv.lock records the addresses of one machine's index: commit requirements.lock"
        assert ".venv" not in file.parts
        if private := private_things(file.read_bytes().decode("utf-8", "replace")):
            found[name] = private
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN EC " + "PRIVATE KEY-----",
        "key = 'AKIA" + "ABCDEFGHIJKLMNOP'",
        "url = 'postgresql://nova:" + "pulse@localhost/ledger'",
        "path = '/home" + "/nova/data'",
        "data = Path('/work" + "/data')",
    ],
)
def test_private_things_are_recognised(text: str) -> None:
    assert private_things(text)
    assert not private_things("https://example.org/home/page user@example.org ~/.cache {user}://{name}:{word}@host")


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_scripts_can_be_started(script: str) -> None:
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR
    shell = "sh" if script == "run" else "bash"
    subprocess.run([shell, "-n", ROOT / script], check=True)


PLANTED_TESTS = {
    "an async test without a runner": "async def test_planted():\n    assert False\n",
    "a coroutine nobody awaits": (
        "import gc\n\nasync def work(): ...\n\ndef test_planted():\n    work()\n    gc.collect()\n"
    ),
    "a warning": "import warnings\n\ndef test_planted():\n    warnings.warn('old', DeprecationWarning)\n",
    "an unknown marker": "import pytest\n\n@pytest.mark.slwo\ndef test_planted(): ...\n",
}


@pytest.mark.parametrize("source", PLANTED_TESTS.values(), ids=PLANTED_TESTS)
def test_a_test_cannot_pass_by_accident(source: str, tmp_path: Path) -> None:
    """HS-017: the settings in force here turn every warning, and an async test that would never run, into a failure."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "test_planted.py").write_text(source)
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_planted.py"]
    result = subprocess.run(pytest_here, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}, result.stdout


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("S324", "import hashlib\n\nx = hashlib.md5(b'order')\n"),
        ("S307", "x = eval(input())\n"),
        ("S506", "import yaml\n\nx = yaml.load('a: 1', yaml.Loader)\n"),
        ("S602", "import subprocess\n\nsubprocess.run('ls', shell=True)\n"),
    ],
)
def test_security_rules_watch_the_package(rule: str, source: str) -> None:
    """V-16: weak hashes and their like are found wherever they would lie under novapulse/."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    result = subprocess.run(
        [*command, "--stdin-filename", "novapulse/venues/planted.py", "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert rule in result.stdout, result.stdout + result.stderr
