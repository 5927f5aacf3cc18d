"""What the ledger takes and gives back, the same on every storage."""

import json
import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Commit, HoldRun, Record
from novapulse.core.orders import Filled, Side
from novapulse.core.ports import Fenced, JournalError
from novapulse.core.postings import Book, Posting, move
from novapulse.ledger import chain
from novapulse.ledger.journal import Ledger
from novapulse.ledger.schema import INT64_MAX
from tests.ledger.conftest import MAIN, OTHER, closed, contents, fact, filled, intended, noted, opened, write
from tests.ledger.written import Life

BTC = InstrumentKey("kraken", "BTC/USD")


def chain_of(ledger: Ledger) -> bytes:
    """The hash of the last event, made anew from the rows."""
    with ledger.reading() as storage:
        events = storage.execute(
            "SELECT seq, ts_ns, exchange, account_id, kind, body, hash FROM event ORDER BY seq"
        ).fetchall()
        legs = storage.execute("SELECT seq, book, asset, amount FROM posting ORDER BY seq, leg").fetchall()
    last = chain.genesis(ledger.ledger_id)
    for number, (seq, ts_ns, exchange, account_id, kind, body, kept) in enumerate(events, 1):
        assert seq == number
        own = [tuple(leg[1:]) for leg in legs if leg[0] == seq]
        last = chain.link(last, seq, chain.canonical_bytes(ts_ns, exchange, account_id, kind, body, own))
        assert bytes(kept) == last
    return last


def test_records_come_back_as_they_were_written_and_chained(ledger: Ledger) -> None:
    records = [intended("a"), fact("a"), filled("t1", "a"), closed("a", ts_ns=-3), noted("Köln \u2028 \x00 \\ 🜚")]
    for record in records:
        write(ledger, record)
    assert [entry.record for entry in ledger.records(MAIN)] == records
    assert [entry.seq for entry in ledger.records(MAIN)] == [1, 2, 3, 4, 5]
    assert ledger.head() == (5, chain_of(ledger))


def test_the_head_of_a_new_ledger_is_its_name(ledger: Ledger) -> None:
    assert ledger.head() == (0, chain.genesis(ledger.ledger_id))


def test_two_ledgers_have_two_names() -> None:
    with Ledger.open(":memory:") as one, Ledger.open(":memory:") as other:
        assert one.ledger_id != other.ledger_id
    with Ledger.open(":memory:", ledger_id="L") as named:
        assert named.ledger_id == "L"


def test_records_are_read_by_account_by_kind_and_behind_a_number(ledger: Ledger) -> None:
    for name in "abc":
        write(ledger, intended(name), noted(name), fact(name))
        write(ledger, noted(f"other {name}"), account=OTHER)
    texts = [entry.record.body["text"] for entry in ledger.records(OTHER)]
    assert texts == ["other a", "other b", "other c"]
    kinds = [e.record.kind for e in ledger.records(MAIN, kinds=["order_acked", "alert_raised"], after_seq=4)]
    assert kinds == ["alert_raised", "order_acked"] * 2
    assert [e.seq for e in ledger.records(MAIN, kinds=["alert_raised"])] == [2, 6, 10]
    assert list(ledger.records(MAIN, kinds=[])) == []


def test_a_long_history_is_read_whole(ledger: Ledger) -> None:
    records = tuple(intended(str(number)) if number % 3 else noted(str(number)) for number in range(2500))
    write(ledger, *records)
    assert tuple(entry.record for entry in ledger.records(MAIN)) == records
    assert len(list(ledger.records(MAIN, kinds=["order_intended"]))) == sum(1 for n in range(2500) if n % 3)


def test_what_is_written_while_one_reads_is_for_the_next_reader(ledger: Ledger) -> None:
    write(ledger, noted("a"))
    reading = ledger.records(MAIN)
    write(ledger, noted("b"))
    assert [entry.record.body["text"] for entry in reading] == ["a"]


def test_balances_are_the_sums_of_the_postings(ledger: Ledger) -> None:
    write(ledger, intended("a", hold=7), filled("t", "a", units=3, cash=2), closed("a", hold=7))
    write(ledger, intended("b", hold=4), account=OTHER)
    assert ledger.restore(MAIN).balances == {
        (Book.CASH, "USD"): -2,
        (Book.INVENTORY, "BTC"): 3,
        (Book.TRADING, "BTC"): -3,
        (Book.TRADING, "USD"): 2,
    }
    assert ledger.restore(OTHER).balances == {(Book.CASH, "USD"): -4, (Book.HOLD, "USD"): 4}


def test_a_restart_gets_the_last_state_what_came_after_and_the_facts_of_open_orders(ledger: Ledger) -> None:
    write(ledger, intended("a"), intended("b"), state=b"early", close=10)
    write(ledger, intended("c"), closed("b"), state=b"late", close=20)
    write(ledger, noted("not ours"), account=OTHER)
    write(ledger, fact("a"), fact("b"), noted("behind the state"))
    write(ledger, close=30)
    found = ledger.restore(MAIN)
    assert (found.state, found.ts_close_ns, found.seq) == (b"late", 30, 4)
    assert [e.record for e in found.entries] == [fact("a"), fact("b"), noted("behind the state")]
    assert [e.record for e in found.open_facts] == [intended("a"), intended("c"), fact("a")]


def test_what_was_traded_starts_from_its_last_state_or_not_at_all(ledger: Ledger) -> None:
    started, stopped = Record("session_started", 5, {}), Record("session_stopped", 9, {})
    write(ledger, noted("opened"))
    ledger.restore(MAIN).check()
    write(ledger, started)
    with pytest.raises(ValueError, match="main' on kraken is missing, and entry 2 says that it was traded"):
        ledger.restore(MAIN).check()
    state = Life(MAIN, random.Random()).state()
    write(ledger, noted("traded"), state=state, close=10)
    write(ledger, state=state, close=20)
    write(ledger, stopped, close=30)
    found = ledger.restore(MAIN)
    found.check()
    assert (found.ts_close_ns, found.seq) == (30, 3)
    for other in (replace(found, seq=2), replace(found, ts_close_ns=20), replace(found, account=OTHER)):
        with pytest.raises(ValueError, match="cannot be relied on: its seal is broken"):
            other.check()
    write(ledger, noted("traded on"))
    with pytest.raises(ValueError, match=r"ends at entry 3, before entry 5 \(alert_raised\) was written"):
        ledger.restore(MAIN).check()


def test_an_account_without_a_past_starts_from_nothing(ledger: Ledger) -> None:
    found = ledger.restore(AccountKey("kraken", "new"))
    assert (found.ts_close_ns, found.state, found.seq) == (0, b"", 0)
    assert (found.entries, found.open_facts, found.balances) == ((), (), {})


def test_a_late_fact_does_not_open_a_closed_order_again(ledger: Ledger) -> None:
    write(ledger, intended("a"), closed("a"))
    write(ledger, filled("late", "a"), closed("a", hold=0))
    assert ledger.restore(MAIN).open_facts == ()


def test_an_order_that_was_reopened_is_restored_until_it_ends_again(ledger: Ledger) -> None:
    reopened = Record("order_reopened", 10, {"client_order_id": "a"}, move("USD", 3, Book.CASH, Book.HOLD))
    write(ledger, intended("a"), fact("a"), closed("a"), intended("b"))
    write(ledger, fact("a", "order_seen"), reopened)
    found = ledger.restore(MAIN)
    assert [entry.record.body["client_order_id"] for entry in found.open_facts] == ["a", "a", "b", "a"]
    assert found.balances[Book.HOLD, "USD"] == 8
    write(ledger, closed("a", hold=3))
    found = ledger.restore(MAIN)
    assert [entry.record.body["client_order_id"] for entry in found.open_facts] == ["b"]
    assert found.balances[Book.HOLD, "USD"] == 5


def test_one_commit_over_several_accounts_is_one_transaction(ledger: Ledger) -> None:
    write(ledger, intended("taken"), account=OTHER)
    before = contents(ledger)
    with pytest.raises(JournalError, match="taken"):
        ledger.commit([(MAIN, Commit((intended("a"),), 5, b"s")), (OTHER, Commit((intended("taken"),)))])
    assert contents(ledger) == before
    ledger.commit([(MAIN, Commit((intended("a"),), 5, b"m")), (OTHER, Commit((noted(),), 6, b"o"))])
    assert ledger.head()[0] == 3
    assert (ledger.restore(MAIN).seq, ledger.restore(OTHER).seq) == (2, 3)
    assert (ledger.restore(MAIN).state, ledger.restore(OTHER).state) == (b"m", b"o")


def test_a_group_of_commits_writes_what_they_would_have_written_alone() -> None:
    commits = [(MAIN if n % 3 else OTHER, Commit((intended(str(n)), noted()), n, b"%d" % n)) for n in range(30)]
    seen = []
    for size in (1, 7, 30):
        with opened(":memory:", "me", MAIN, OTHER) as ledger:
            with ledger.transaction() as storage:
                storage.execute("DELETE FROM checkpoint")
            for first in range(0, 30, size):
                ledger.commit(commits[first : first + size])
            tables = contents(ledger)
            seen.append((tables["posting"], tables["balance"], [row[:6] for row in tables["event"]]))
            assert ledger.head()[1] == chain_of(ledger)
            assert ledger.restore(MAIN).state == b"29"
    assert seen[0] == seen[1] == seen[2]


def test_executions_that_are_booked_are_told_from_those_that_are_not(ledger: Ledger) -> None:
    write(ledger, filled("T1"), filled("T3"))
    write(ledger, filled("T4"), account=OTHER)
    found = [Filled("", "V", name, BTC, Side.BUY, 1, 1, 1, 0, 0, 1) for name in ("T1", "T2", "T3", "T4")]
    assert [one.venue_trade_id for one in ledger.unbooked(MAIN, found)] == ["T2", "T4"]
    assert ledger.unbooked(MAIN, []) == []


def test_runs_of_bars_are_kept_until_they_are_pruned(ledger: Ledger) -> None:
    runs = tuple(HoldRun(BTC, 2, first, first + 5, 6) for first in (0, 10, 20))
    ledger.commit([(MAIN, Commit((), holds=runs))])
    ledger.commit([(MAIN, Commit((), holds=(HoldRun(BTC, 2, 20, 29, 10),)))])
    assert ledger.prune_hold_runs(before_ns=16) == 2
    assert contents(ledger)["hold_run"] == [("kraken", "main", "BTC/USD", 20, 29, 2, 10)]


def test_a_clock_that_steps_back_changes_no_order(ledger: Ledger) -> None:
    for ts_ns in (100, 50, -1, 75):
        write(ledger, noted(ts_ns=ts_ns))
    assert [(e.seq, e.record.ts_ns) for e in ledger.records(MAIN)] == [(1, 100), (2, 50), (3, -1), (4, 75)]
    assert ledger.head()[1] == chain_of(ledger)


UNACCEPTABLE: dict[str, tuple[Record, str]] = {
    "a float": (Record("a", 1, {"x": {"y": [1, 2.5]}}), r"body\.x\.y\[1\]: 2\.5 is a float"),
    "a float among floats' texts": (Record("a", 1, {"x": (1.0).hex(), "z": 0.0}), r"body\.z: 0\.0 is a float"),
    "not a number": (Record("a", 1, {"x": float("nan")}), r"body\.x: nan is a float"),
    "a decimal": (Record("a", 1, {"x": Decimal(1)}), r"body\.x: .* is Decimal"),
    "bytes": (Record("a", 1, {"x": b"1"}), r"body\.x: b'1' is bytes"),
    "a set": (Record("a", 1, {"x": [{1}]}), r"body\.x\[0\]: \{1\} is set"),
    "a number as a key": (Record("a", 1, {"x": {1: 2}}), r"body\.x: key 1 is int"),
    "half a character": (Record("a", 1, {"x": "\ud800"}), "surrogates"),
    "a kind with blanks": (Record("Not a kind", 1, {}), "snake-case"),
    "a time that is a float": (Record("a", 1.5, {}), r"ts_ns 1\.5"),
    "a time beyond 64 bits": (Record("a", 2**63, {}), "no time"),
    "legs that do not balance": (noted(postings=(Posting(Book.CASH, "USD", 5),)), "off by 5 USD"),
    "legs that balance across assets": (
        noted(postings=(Posting(Book.CASH, "USD", 5), Posting(Book.CASH, "BTC", -5))),
        "off by -5 BTC, 5 USD",
    ),
    "a leg of nothing": (noted(postings=(Posting(Book.CASH, "USD", 0),)), "moves nothing"),
    "a leg that is a float": (noted(postings=move("USD", 1.0, Book.CASH, Book.HOLD)), "float, expected an integer"),
    "a leg that is a truth value": (noted(postings=move("USD", True, Book.CASH, Book.HOLD)), "bool, expected an inte"),
    "a leg beyond 64 bits": (noted(postings=move("USD", 2**63, Book.CASH, Book.FEES)), "does not fit 64 bits"),
    "an unknown asset": (noted(postings=move("DOGE", 1, Book.CASH, Book.FEES)), "DOGE .* not registered"),
    "an intent without an id": (Record("order_intended", 1, {}), r"body\.client_order_id is ''"),
    "an id that is a number": (Record("order_acked", 1, {"client_order_id": 5}), r"body\.client_order_id is 5"),
    "a fill without a trade": (Record("fill_booked", 1, {"venue_trade_id": None}), r"body\.venue_trade_id is None"),
    "a hold that is released twice": (closed("x", hold=6), "hold of main at kraken would fall to -1 USD"),
    "an order that is intended twice": (intended("held"), "client order id held of main at kraken: .* by event 1"),
    "a trade that is booked twice": (filled("t"), "trade id t of main at kraken: .* by event 2"),
    "more cash than 64 bits": (noted(postings=move("USD", INT64_MAX, Book.FEES, Book.CASH)), "does not fit 64 bits"),
}


@pytest.mark.parametrize(("record", "expected"), UNACCEPTABLE.values(), ids=UNACCEPTABLE)
def test_what_may_not_be_written_is_refused_by_name_and_leaves_nothing_behind(
    ledger: Ledger, record: Record, expected: str
) -> None:
    write(ledger, intended("held"), filled("t"), noted(postings=move("USD", INT64_MAX, Book.CAPITAL, Book.CASH)))
    before, head = contents(ledger), ledger.head()
    with pytest.raises(JournalError, match=expected):
        write(ledger, noted("first"), record, state=b"never", close=99)
    assert contents(ledger) == before
    assert ledger.head() == head
    write(ledger, noted("next"))
    assert ledger.head() == (4, chain_of(ledger))


def test_a_key_that_comes_twice_in_one_commit_is_refused(ledger: Ledger) -> None:
    with pytest.raises(JournalError, match="client order id a of main at kraken: twice in one commit"):
        write(ledger, intended("a"), intended("a"))
    with pytest.raises(JournalError, match="trade id t of main at kraken: twice in one commit"):
        write(ledger, filled("t"), filled("t"))


def test_the_same_key_of_another_account_is_another_key(ledger: Ledger) -> None:
    for account in (MAIN, OTHER):
        write(ledger, intended("a"), filled("t"), account=account)
    assert ledger.head()[0] == 4


def test_a_hold_may_pass_through_zero_inside_one_commit(ledger: Ledger) -> None:
    write(ledger, intended("a", hold=5))
    write(ledger, closed("a", hold=5), intended("b", hold=3))
    assert ledger.restore(MAIN).balances[Book.HOLD, "USD"] == 3


def test_nothing_is_written_without_a_lease(ledger: Ledger) -> None:
    stranger = AccountKey("kraken", "nobody")
    for commit in (Commit((noted(),)), Commit((), 5, b"state"), Commit(())):
        with pytest.raises(Fenced, match="nobody at kraken: this process holds no lease"):
            ledger.commit([(MAIN, commit), (stranger, commit)])
    assert ledger.head()[0] == 0
    assert contents(ledger)["checkpoint"] == []


def test_an_asset_keeps_its_scale(ledger: Ledger) -> None:
    ledger.register_assets({"USD": 8, "ETH": 9})
    assert ledger.assets == {"BTC": 8, "ETH": 9, "USD": 8}
    for scales, expected in (
        ({"USD": 2}, "asset USD: counted in 8 digits here, not in 2"),
        ({"SOL": 5, "ETH": 8}, "asset ETH: counted in 9 digits"),
        ({"SOL": 10}, "scale 10, expected 0..9"),
        ({"SOL": -1}, "scale -1"),
        ({"S OL": 1}, "without blanks"),
    ):
        with pytest.raises(JournalError, match=expected):
            ledger.register_assets(scales)
    assert ledger.assets == {"BTC": 8, "ETH": 9, "USD": 8}


def test_a_ledger_that_is_opened_again_goes_on_where_it_was(lasting: str) -> None:
    with opened(lasting) as ledger:
        write(ledger, intended("a"), state=b"one", close=1)
        head, name, before = ledger.head(), ledger.ledger_id, ledger.restore(MAIN)
    with opened(lasting) as ledger:
        assert (ledger.head(), ledger.ledger_id) == (head, name)
        assert ledger.restore(MAIN) == before
        assert ledger.assets == {"BTC": 8, "USD": 8}
        with pytest.raises(JournalError, match="client order id a"):
            write(ledger, intended("a"))
        write(ledger, fact("a"))
        assert ledger.head() == (2, chain_of(ledger))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(
    body=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), JSON_VALUES, max_size=6),
    amounts=st.lists(st.integers(-(2**62), 2**62).filter(bool), max_size=4),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_and_any_balanced_legs_come_back_the_same(body: dict[str, Any], amounts: list[int]) -> None:
    body = {key: value for key, value in body.items() if key not in ("client_order_id", "venue_trade_id")}
    legs = tuple(leg for amount in amounts for leg in move("USD", amount, Book.TRADING, Book.FEES))
    with opened(":memory:") as ledger:
        balance = sum(amounts)
        if abs(balance) > INT64_MAX or sum(map(abs, amounts)) > INT64_MAX:
            return
        write(ledger, Record("anything", 5, body, legs))
        (entry,) = ledger.records(MAIN)
        assert entry.record == Record("anything", 5, json.loads(json.dumps(body)), legs)
        assert ledger.head()[1] == chain_of(ledger)
        assert ledger.restore(MAIN).balances.get((Book.FEES, "USD"), 0) == balance


@pytest.mark.parametrize("seed", range(5))
def test_balances_and_open_orders_follow_from_the_facts_after_any_history(seed: int) -> None:
    chance = random.Random(seed)
    holds: dict[str, int] = {}
    with opened(":memory:") as ledger:
        for number in range(300):
            name, amount = f"o{number}", chance.randint(1, 10**6)
            if holds and chance.random() < 0.4:
                done = chance.choice(sorted(holds))
                records = [closed(done, hold=holds.pop(done))]
            else:
                holds[name] = amount
                records = [intended(name, hold=amount), fact(name, "order_attempted")]
            if chance.random() < 0.2:
                with pytest.raises(JournalError):
                    write(ledger, *records, intended("o0"), *([intended("o0")] if number == 0 else []))
            write(ledger, *records)
        found = ledger.restore(MAIN)
        assert found.balances.get((Book.HOLD, "USD"), 0) == sum(holds.values())
        assert {entry.record.body["client_order_id"] for entry in found.open_facts} == set(holds)
        assert ledger.head()[1] == chain_of(ledger)
