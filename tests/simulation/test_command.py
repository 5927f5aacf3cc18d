"""`novapulse simulate`: what it prints, what it exits with, what it refuses."""

import json

import pytest

from novapulse.cli import main
from novapulse.simulation.faults import Fault
from novapulse.simulation.mutants import planted


def test_seeds_that_hold_exit_0_and_tell_their_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("simulate --seeds 0:2 --days 0.05 --faults none --json".split()) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["seeds"], result["failed"], result["violations"], result["faults_seen"]) == (2, [], [], {})
    assert result["seconds"] > 0
    assert result["seeds_per_hour"] > 0
    assert said.err.startswith("seeds 0:2")


def test_a_seed_that_breaks_exits_1_and_prints_the_command_that_lives_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with planted("hold never released"):
        assert main("simulate --seeds 3 --days 0.05 --faults crash".split()) == 1
    said = capsys.readouterr()
    assert "seed 3: ORD-7" in said.out
    assert "novapulse simulate --seeds 3:4 --days 0.05 --faults crash --pairs 4 --accounts 3" in said.out


def test_the_list_names_every_fault_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(fault.value in said for fault in Fault)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--seeds 5:5", "expected A:B"),
        ("--seeds x", "expected A:B"),
        ("--seeds 0 --faults thunder", "no such fault: thunder"),
        ("--seeds 0 --faults id_reuse", "id_reuse cannot be asked for"),
        ("--seeds 0 --days 0", "there is none"),
        ("--seeds 0 --processes 0", "expected 1 to 64"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    assert main(["simulate", *words.split()]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
