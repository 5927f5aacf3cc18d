"""Several accounts in one world: the same pair on the same exchange, and nothing of one ever reaches the other."""

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Record
from novapulse.execution.rules import rules_record
from novapulse.simulation.world import Link, Node, Timeline, World
from novapulse.venues.simulated import SimulatedExchange
from tests.engine.harness import ORIGIN_NS, MemoryJournal, decides, noisy_ticks, trader_of

ACCOUNTS = {AccountKey("kraken", "main"): ["BTC/USD", "ETH/USD"], AccountKey("kraken", "second"): ["BTC/USD"]}


def played(accounts: dict[AccountKey, list[str]]) -> dict[AccountKey, list[Record]]:
    """Return each account's records after the same market."""
    ticks, journal = noisy_ticks(["BTC/USD", "ETH/USD"], bars=300), MemoryJournal()
    world = World(Timeline(ORIGIN_NS), journal)
    for key, symbols in accounts.items():
        trader = trader_of(symbols, account=key)
        desk = trader.desk
        rules = rules_record(decides().risk, decides().execution, MINUTE_NS)
        cash = int(desk.books.account[0].cash_units)
        node = Node(key, trader, SimulatedExchange(key, desk.instruments, rules, cash, scales=desk.scales), Link(2, 1))
        world.add(node)
        world.start(node)
        world.play(node, ticks.of([instrument.key for instrument in desk.instruments]))
    world.timeline.run(int(ticks.ts_close_ns[-1]) + MINUTE_NS)
    return {key: [r for owner, commit in journal.commits if owner == key for r in commit.records] for key in accounts}


def test_accounts_that_share_a_pair_do_exactly_what_each_would_do_alone():
    together = played(ACCOUNTS)
    for key, symbols in ACCOUNTS.items():
        assert together[key] == played({key: symbols})[key]
        assert any(record.kind == "round_trip_closed" for record in together[key])


def test_no_id_of_one_account_is_an_id_of_the_other():
    together = played(ACCOUNTS)
    ids = [{r.body["client_order_id"] for r in records if "client_order_id" in r.body} for records in together.values()]
    assert ids[0]
    assert not ids[0] & ids[1]
