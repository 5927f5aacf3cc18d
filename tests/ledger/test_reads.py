"""What a trader starts from is read whole, or the entry is named that cannot be read."""

from pathlib import Path

import pytest

from novapulse.core.ports import Unwritable
from novapulse.ledger.journal import Ledger
from tests.ledger.conftest import MAIN, fact, intended, opened, write
from tests.ledger.damage import Unguarded

TEXTS = {
    "cut": ("'{\"client_order_id\":'", r"entry 2 \(order_acked\) in it is damaged"),
    "of other bytes": ("CAST(x'7b22ff227d' AS TEXT)", "an entry in it is damaged"),
}


@pytest.mark.parametrize(("text", "said"), TEXTS.values(), ids=TEXTS)
def test_an_entry_whose_text_is_damaged_is_named(tmp_path: Path, text: str, said: str) -> None:
    """A bug: a trader that starts from it said what a parser says, and not where."""
    place = tmp_path / "ledger.db"
    with opened(place) as ledger:
        write(ledger, intended("a"))
        write(ledger, fact("a"))
    with Unguarded(place) as connection:
        connection.execute(f"UPDATE event SET body = {text} WHERE seq = 2")
    with Ledger.open(place) as ledger:
        for reading in (lambda: ledger.restore(MAIN), lambda: list(ledger.records(MAIN))):
            with pytest.raises(Unwritable, match=f"{said}.*novapulse ledger audit") as told:
                reading()
            assert str(place) in str(told.value)
