"""A clock that is set while a trader lives."""

from pathlib import Path
from typing import Any

from novapulse.cli.live_chores import _Measurements


def test_a_clock_that_was_set_is_told_to_every_account(monkeypatch: Any, tmp_path: Path) -> None:
    class Runner:
        said: list[tuple[str, float | None]]

        def __init__(self) -> None:
            self.said = []

        def condition(self, name: str, value: float | None, text: str = "") -> None:
            self.said.append((name, value))

    class Stub:
        home = tmp_path

        def __init__(self) -> None:
            self.runners = {number: Runner() for number in range(2)}

    stub = Stub()
    measure = _Measurements(stub, stub)
    measure._watch.jump_ns = iter([None, -300_000_000_000]).__next__
    measure()
    measure()
    for runner in stub.runners.values():
        assert [name for name, _ in runner.said] == ["disk_free", "disk_free", "clock_step"]
        assert runner.said[-1] == ("clock_step", -300.0)
