"""What the parity page says of all rungs together is what each of them says."""

import pytest

from novapulse.parity.ladder import Rung
from novapulse.ui.notebooks.parity import verdict


def rung(number: int, holds: bool | None, in_deed: bool = False) -> Rung:
    return Rung(number, "compared", holds, {}, is_same_in_deed=in_deed)


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        ((rung(1, True), rung(2, True)), ("live = backtest, to the bit", "np-real")),
        (
            (rung(1, True), rung(2, False, True), rung(3, False, True)),
            ("live = backtest in every deed; 2, 3 not to the bit in what was noticed when", "np-real"),
        ),
        ((rung(1, True), rung(2, False)), ("they differ", "np-warn")),
        ((rung(1, True), rung(2, None)), ("they differ", "np-warn")),
    ],
)
def test_to_the_bit_is_said_of_what_is_so_to_the_bit(rungs: tuple[Rung, ...], said: tuple[str, str]) -> None:
    """A bug: a rung that was the same in its deeds alone was called the same to the bit."""
    assert verdict(rungs) == said
