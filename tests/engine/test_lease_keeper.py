import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.ports import Fenced
from novapulse.engine.lease_keeper import LeaseKeeper
from tests.engine.harness import ACCOUNT, SECOND_NS
from tests.engine.shell import Leases

OTHER = AccountKey("kraken", "second")


def test_an_account_that_another_process_has_is_not_taken_and_the_others_are_given_back() -> None:
    book = Leases()
    book.held[OTHER] = "process 7 on pi"
    keeper = LeaseKeeper(book, "we", "here", 30 * SECOND_NS, lambda: 0)
    with pytest.raises(Fenced, match="second at kraken is traded by process 7 on pi"):
        keeper.take([ACCOUNT, OTHER])
    assert book.held == {OTHER: "process 7 on pi"}
    assert keeper.every_s == 10


def test_an_account_that_was_overtaken_is_named_and_the_rest_are_renewed() -> None:
    book = Leases()
    keeper = LeaseKeeper(book, "we", "here", 30 * SECOND_NS, lambda: 0)
    keeper.take([ACCOUNT, OTHER])
    del book.held[OTHER]
    assert keeper.renew() == {OTHER: "second at kraken was overtaken"}
    assert keeper.renew() == {}
    assert keeper.release()
    assert book.held == {}
