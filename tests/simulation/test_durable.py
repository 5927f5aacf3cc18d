"""What a simulated ledger tells a restart of the executions that a venue may tell again."""

from novapulse.core.facts import kind_of, to_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Record
from novapulse.core.orders import Filled, Intended, OrderRequest, OrderType, Role, Side, Terms
from novapulse.simulation.durable import Durable

ACCOUNT, BTC = AccountKey("kraken", "main"), InstrumentKey("kraken", "BTC/USD")


def intended(name: str) -> Record:
    terms = Terms(9, 100)
    request = OrderRequest(name, ACCOUNT, BTC, f"d-{name}", Role.ENTRY, Side.BUY, OrderType.LIMIT, terms, 1)
    return recorded(Intended(name, request))


def executed(name: str, trade: str, happened_ns: int) -> Record:
    return recorded(Filled(name, f"V{name}", trade, BTC, Side.BUY, 1, 100, 100, 0, 0, happened_ns))


def recorded(fact: Filled | Intended) -> Record:
    return Record(kind_of(fact), 1, to_body(fact))


def test_the_newest_executions_are_told_by_the_venues_time_and_not_in_the_order_they_were_booked() -> None:
    durable = Durable()
    durable.add_all([intended("a"), intended("b"), intended("c")])
    # The newest of all was heard first; then came two, long over, that had been missed.
    durable.add_all([executed("c", "T9", 900), executed("a", "T1", 100), executed("b", "T2", 200)])
    told = durable.recent_facts(2)
    assert {fact.venue_trade_id for fact in told if isinstance(fact, Filled)} >= {"T9", "T2"}


def test_all_facts_of_an_order_are_told_when_one_of_its_executions_is() -> None:
    durable = Durable()
    durable.add_all([intended("a"), executed("a", "T1", 100), intended("b")])
    durable.add_all([executed("b", f"U{number}", 200 + number) for number in range(3)])
    durable.add(executed("a", "T2", 300))
    told = durable.recent_facts(1)
    assert [fact.venue_trade_id for fact in told if isinstance(fact, Filled) and fact.client_order_id == "a"] == [
        "T1",
        "T2",
    ]
    assert [fact.client_order_id for fact in told if isinstance(fact, Intended)] == ["a"]


def test_a_ledger_without_executions_tells_of_its_orders() -> None:
    durable = Durable()
    durable.add(intended("a"))
    assert [fact.client_order_id for fact in durable.recent_facts(4)] == ["a"]
