"""What tests of the live trader share: a home that has bars, and what is asked of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.killing import (
    ACCOUNTS,
    configuration,
)

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Outcome

BARS = 200
KEYS = [(one["exchange"], one["account_id"]) for one in ACCOUNTS]


class NoHooks:
    """Crash hooks would take those of the test run away; processes of their own have real ones."""

    def __init__(self, *_: object) -> None:
        return

    def watch(self, loop: object) -> None:
        return

    def close(self) -> None:
        return


def live(cli: "Cli", home: Path, *words: str) -> dict[str, Any]:
    outcome = cli("live", "--config", home / "config.yaml", "--json", *words)
    assert outcome.code == 0, outcome
    said: dict[str, Any] = json.loads(outcome.out)
    return said


def configure(home: Path, **changes: Any) -> None:
    (home / "config.yaml").write_text(yaml.safe_dump({**configuration(BARS), **changes}))


def refused(outcome: "Outcome", code: int, *named: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "bug of ours" not in outcome.err
    for part in named:
        assert part in outcome.err, outcome.err
