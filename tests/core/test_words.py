"""A count and its noun, told alike everywhere."""

import pytest

from novapulse.core.words import counted


@pytest.mark.parametrize(("count", "told"), [(0, "0 starts"), (1, "1 start"), (2, "2 starts"), (2000, "2,000 starts")])
def test_one_alone_has_no_plural(count: int, told: str) -> None:
    assert counted(count, "start") == told
