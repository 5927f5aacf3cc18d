"""Loading a user's strategies: one that works is a strategy like any other, one that does not is named."""

from pathlib import Path

import numpy as np
import pytest

from novapulse.signals.regimes import Thresholds
from novapulse.strategies import StrategyError, evaluate
from novapulse.strategies.loader import load
from tests.strategies.markets import after_quiet, market

GOOD = """
from dataclasses import dataclass

import numpy as np

from novapulse.strategies import Votes


@dataclass(frozen=True)
class Params:
    span_bars: int = 10


def warmup_bars(params):
    return 25 * params.span_bars


def votes(indicators, params):
    lead = (indicators.close - indicators.ema(params.span_bars)) / indicators.atr(14)
    return Votes.made(10 * lead, 0.5, warmup_bars(params))
"""


def written(folder: Path, name: str, text: str) -> Path:
    """Write a strategy file and return its folder."""
    (folder / name).write_text(text)
    return folder


def test_a_file_that_owes_nothing_is_a_strategy(tmp_path: Path) -> None:
    written(tmp_path, "_helpers.py", "raise RuntimeError('not a strategy')")
    strategies = load(written(tmp_path, "mine.py", GOOD))
    assert list(strategies) == ["mine"]
    mine = strategies["mine"]
    votes = evaluate(mine, market(after_quiet([0.3])), mine.Params(), Thresholds())
    assert votes.forecast[-1] > 0
    assert not votes.forecast[:250].any()
    assert np.all(votes.confidence[250:] == 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_helpers.py", "mine.py"]


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        pytest.param("bad.py", "x = 1 / 0", r"importing it raised ZeroDivisionError.*line 1", id="raises"),
        pytest.param("bad.py", "def votes(:", r"importing it raised SyntaxError", id="syntax"),
        pytest.param("bad.py", "raise SystemExit(3)", r"importing it raised SystemExit", id="exits"),
        pytest.param("bad.py", "import nowhere_to_be_found", r"ModuleNotFoundError", id="import"),
        pytest.param("bad.py", "class Params: ...", r"does not define warmup_bars, votes", id="lacks names"),
        pytest.param("keltner.py", GOOD, r"keltner is the name of a built-in strategy", id="built-in name"),
        pytest.param("my-own.py", GOOD, r"'my-own' is not a name", id="not a name"),
        pytest.param("bad.py", GOOD.replace(" = 10", ""), r"Params\(\) raised TypeError", id="no defaults"),
        pytest.param("bad.py", GOOD.replace("return 25 *", "return 0.5 *"), r"warmup_bars returned 5.0", id="warm-up"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, text: str, cause: str) -> None:
    with pytest.raises(StrategyError, match=cause) as refused:
        load(written(tmp_path, name, text))
    assert name.removesuffix(".py") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="no-such-folder does not exist"):
        load(tmp_path / "no-such-folder")
