"""What a decision saw has words, whatever limited it."""

from novapulse.core.records import CAPS
from novapulse.parity.words import CAP_TEXT, LIMIT_TEXT


def test_every_cap_has_words_and_none_says_what_only_the_code_does() -> None:
    assert tuple(CAP_TEXT) == CAPS
    told = {*CAP_TEXT.values(), *LIMIT_TEXT.values()}
    assert not any(word in text.split() for text in told for word in ("gross", "group", "exposure"))
