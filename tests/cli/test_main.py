"""The command as a process: fast help, one version, exit codes, and no traceback whatever happens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import novapulse
from novapulse.cli import config as config_command
from novapulse.cli import console
from novapulse.core.ports import JournalError
from tests.cli.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("demo", "data", "backtest", "bias", "explain", "config")


def process(*words: str, home: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    return subprocess.run(
        [sys.executable, "-m", "novapulse.cli", *words],
        env=kept | {"PYTHONPATH": str(ROOT), "NOVAPULSE_HOME": str(home)} | more,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_command_and_loads_no_library() -> None:
    code = (
        "import sys; from novapulse.cli import main; main(['--help']); "
        "print([name for name in ('numpy', 'numba', 'polars', 'pydantic', 'yaml', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"\n    {name} " in done.stdout


def test_there_is_one_version(cli: Cli) -> None:
    """R-67."""
    assert cli("--version").out == f"novapulse {novapulse.__version__}\n"


@pytest.mark.parametrize("words", [(), ("data",), ("config",), ("backtset",), ("data", "remove")])
def test_wrong_words_are_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "novapulse" in outcome.err


@pytest.mark.parametrize("words", [(name,) for name in COMMANDS] + [("data", "import"), ("config", "check")])
def test_every_command_has_help(cli: Cli, words: tuple[str, ...]) -> None:
    outcome = cli(*words, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: novapulse")


def test_a_process_refuses_with_code_2(tmp_path: Path) -> None:
    done = process("backtest", "--capital", "0", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "novapulse: option --capital: capital is '0': it should be greater than 0\n"
    done = process("backtest", home=tmp_path, NOVAPULSE_CAPITOL="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "NOVAPULSE_CAPITOL" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_a_sentence_and_a_report(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a secret of ours")

    monkeypatch.setattr(config_command, "load", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = cli("config", "check")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Traceback" not in outcome.err
    report = outcome.err.strip().rpartition(" ")[2]
    assert "KeyError: 'a secret of ours'" in Path(report).read_text()


def test_the_password_of_a_ledger_is_in_no_word_of_ours(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "postgresql://ann:{}@db.example/ledger".format("kettle%20seven")
    monkeypatch.setattr("sys.argv", ["novapulse", "ledger", "audit", "--ledger", address])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def refused(where: str, **_: object) -> None:
        raise JournalError(f"{where}: no answer to kettle seven")

    monkeypatch.setattr("novapulse.ledger.audit.audit", refused)
    outcome = cli("ledger", "audit", "--ledger", address)
    assert outcome.code != 0
    assert "no answer to ***" in outcome.err

    def broken(where: str, **_: object) -> None:
        raise KeyError(f"kettle seven {where}")

    monkeypatch.setattr("novapulse.ledger.audit.audit", broken)
    outcome = cli("ledger", "audit", "--ledger", address)
    report = Path(outcome.err.strip().rpartition(" ")[2]).read_text()
    for text in (outcome.err, report):
        assert "kettle" not in text
    assert "KeyError" in report
    short = cli("ledger", "audit", "--ledger", address.replace("kettle%20seven", "abc"))
    assert short.code == 2
    assert "the password of the server" in short.err


def test_the_operating_system_is_quoted(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "lake")

    monkeypatch.setattr(config_command, "load", full)
    outcome = cli("config", "check")
    assert (outcome.code, outcome.err) == (1, "novapulse: lake: No space left on device\n")


def test_a_full_disk_without_a_file_name_is_told_with_its_place(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config_command, "load", full)
    monkeypatch.setattr("novapulse.ops.disk.free_bytes", lambda place: 0 if place == home else 10**9)
    outcome = cli("config", "check")
    assert (outcome.code, outcome.err) == (1, f"novapulse: {home}: No space left on device\n")


@pytest.mark.parametrize("words", [("people", "list"), ("control", "pause", "--all"), ("ledger", "backup")])
def test_a_home_that_cannot_be_written_is_a_failure_and_no_wrong_usage(
    words: tuple[str, ...], cli: Cli, home: Path
) -> None:
    home.mkdir()
    (home / "ledger.db").write_bytes(b"")
    # Nothing can be made where something of another kind stands in the way, also by root.
    (home / "control.db").mkdir()
    (home / "backups").write_text("")
    assert cli(*words).code == 1


def test_an_interrupt_ends_quietly(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_command, "load", stopped)
    assert (cli("config", "check").code, cli("config", "check").err) == (130, "novapulse: interrupted\n")


def test_the_schema_is_printed_as_json(cli: Cli) -> None:
    assert json.loads(cli("config", "schema").out)["title"] == "Settings"


def test_a_check_names_each_setting_its_value_and_its_source(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("capital: 5\n")
    monkeypatch.setenv("NOVAPULSE_RISK__SIZING__RISK_FRACTION", "0.01")
    values = json.loads(cli("config", "check", "--config", file, "--json").out)
    settings = values["settings"]
    assert values["file"] == str(file)
    assert settings["capital"] == {"value": 5.0, "from": f"{file}, line 1", "environment": "NOVAPULSE_CAPITAL"}
    assert settings["risk.sizing.risk_fraction"]["value"] == 0.01
    assert settings["risk.sizing.risk_fraction"]["from"].endswith("NOVAPULSE_RISK__SIZING__RISK_FRACTION")
    assert settings["data.timeframe"]["from"] == "default"
    text = cli("config", "check", "--config", file).out
    assert f"configuration: {file} (--config)" in text


def test_progress_is_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("work") as told:
        for done in range(101):
            told(done, 100)
    assert capsys.readouterr().err.splitlines() == ["work: 25%", "work: 50%", "work: 75%"]
