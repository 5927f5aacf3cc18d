"""Colours that mean something are told apart by everybody: simulated after Machado, Oliveira and Fernandes (2009).

The matrices are theirs for full dichromacy, on linear light. Distances are those of OKLab, in which 0.02 is just about
seen side by side.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import novapulse.ui.widgets
from novapulse.core.bars import Floats
from novapulse.signals.regimes import LABELS
from novapulse.ui import theme

APART = 0.09
MODES: tuple[theme.Mode, ...] = ("light", "dark")
SIGHTS = {
    "trichromacy": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def seen(color: str, sight: str) -> Floats:
    """A colour as it looks to somebody, in OKLab."""
    coded = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    light = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    simulated = np.clip(np.array(SIGHTS[sight]) @ light, 0.0, 1.0)
    lab: Floats = np.array(TO_OKLAB) @ np.cbrt(np.array(TO_CONES) @ simulated)
    return lab


def near(colors: dict[str, str], sight: str) -> dict[tuple[str, str], float]:
    """The pairs that look too much alike, with their distance."""
    found = {}
    for one, other in itertools.combinations(colors, 2):
        distance = float(np.linalg.norm(seen(colors[one], sight) - seen(colors[other], sight)))
        if distance < APART:
            found[one, other] = round(distance, 3)
    return found


def chosen(mode: theme.Mode, *names: str) -> dict[str, str]:
    return {name: theme.PALETTE[mode][name] for name in names}


def test_the_simulation_confuses_what_is_confused() -> None:
    assert np.allclose(seen("#ffffff", "trichromacy"), [1, 0, 0], atol=1e-4)
    for sight in SIGHTS:
        assert np.allclose(seen("#808080", sight), seen("#808080", "trichromacy"), atol=1e-3), "greys stay grey"
    pair = {"violet": "#7c3aed", "blue": "#2563eb"}
    assert near(pair, "trichromacy") == {}
    assert near(pair, "deuteranopia"), "the regime and the gain that could not be told apart"


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("mode", MODES)
class TestApart:
    def test_regimes_from_each_other_and_from_gain_and_loss(self, mode: theme.Mode, sight: str) -> None:
        """Gain and loss are also long and short, bid and ask, target and stop."""
        assert tuple(theme.REGIMES[mode]) == LABELS
        assert near({**chosen(mode, "gain", "loss"), **theme.REGIMES[mode]}, sight) == {}

    def test_runs_from_each_other_and_from_gain_and_loss(self, mode: theme.Mode, sight: str) -> None:
        runs = {str(at): color for at, color in enumerate(theme.COMPARED[mode])}
        assert near({**chosen(mode, "accent", "loss"), **runs}, sight) == {}
        assert theme.PALETTE[mode]["accent"] == theme.PALETTE[mode]["gain"]

    def test_severities(self, mode: theme.Mode, sight: str) -> None:
        found = near(chosen(mode, "gain", "warn", "loss", "muted"), sight)
        assert set(found) <= {("gain", "muted")}, "fine and unknown are told apart by sign and word, as below"


def test_every_severity_has_a_sign_and_a_word_of_its_own() -> None:
    source = (Path(novapulse.ui.widgets.__file__).parent / "src" / "level.ts").read_text("utf-8")
    known = re.findall(r'(\w+): \{ mark: "(.)", word: "(\w+)" \}', source)
    assert {name for name, _, _ in known} == {"ok", "near", "over", "unknown"}
    assert len({mark for _, mark, _ in known}) == len({word for _, _, word in known}) == len(known)


@pytest.mark.parametrize("mode", MODES)
def test_a_wilder_regime_stands_out_more(mode: theme.Mode) -> None:
    panel = seen(theme.PALETTE[mode]["panel"], "trichromacy")[0]
    for low in (0, 3):
        away = [abs(seen(theme.REGIMES[mode][name], "trichromacy")[0] - panel) for name in LABELS[low : low + 3]]
        assert away == sorted(away)
