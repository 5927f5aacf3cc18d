"""What a live start tells its trader of the executions that a venue may tell again."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from novapulse.cli import live_session
from novapulse.cli.live_session import breaker_settings, recent_facts
from novapulse.config import Settings
from novapulse.core.facts import kind_of, to_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Record
from novapulse.core.orders import Filled, Intended, OrderRequest, OrderType, Role, Side, Terms

ACCOUNT, BTC = AccountKey("kraken", "main"), InstrumentKey("kraken", "BTC/USD")
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Kept:
    """A ledger of one account: record after record, numbered from 1."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def head(self) -> tuple[int, str]:
        return len(self._records), ""

    def records(self, key: AccountKey, kinds: Sequence[str], after: int = 0) -> Iterator[SimpleNamespace]:
        for record in self._records[after:]:
            if key == ACCOUNT and record.kind in kinds:
                yield SimpleNamespace(record=record)


def intended(name: str, ts_ns: int) -> Record:
    request = OrderRequest(name, ACCOUNT, BTC, f"d-{name}", Role.ENTRY, Side.BUY, OrderType.LIMIT, Terms(9, 100), 1)
    fact = Intended(name, request)
    return Record(kind_of(fact), ts_ns, to_body(fact))


def executed(name: str, happened_s: int, booked_s: int) -> Record:
    fact = Filled(name, f"V{name}", f"T{happened_s}", BTC, Side.BUY, 1, 100, 100, 0, 0, happened_s * SECOND_NS)
    return Record(kind_of(fact), booked_s * SECOND_NS, to_body(fact))


def trades(records: Sequence[Record], fills: int) -> set[str]:
    return {fact.venue_trade_id for fact in recent_facts(Kept(records), ACCOUNT, fills) if isinstance(fact, Filled)}


def test_what_was_heard_late_does_not_push_out_what_happened_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "_EVENTS_READ", 3)
    newest = [intended("n", 1000 * SECOND_NS), executed("n", 1000, 1000)]
    # Behind it, in the order of booking, come executions that are hours older: a venue tells the newest again.
    late = [intended("l", 1001 * SECOND_NS), *(executed("l", number, 1002) for number in (1, 2))]
    assert "T1000" in trades([*newest, *late], 2)


def test_a_history_that_reaches_back_far_enough_is_not_read_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "_EVENTS_READ", 4)
    old = [intended("o", 1), executed("o", 1, 1)] * 20
    recent = [intended("a", 900 * SECOND_NS), executed("a", 1000, 1000), intended("b", 1), executed("b", 1001, 1001)]
    assert trades([*old, *recent], 2) == {"T1000", "T1001"}


def test_a_window_that_cuts_an_order_in_two_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "_EVENTS_READ", 2)
    records = [intended("a", SECOND_NS), *(executed("a", 1000 + number, 1000 + number) for number in range(3))]
    facts = recent_facts(Kept(records), ACCOUNT, 2)
    assert [type(fact) for fact in facts] == [Intended, Filled, Filled, Filled]


@pytest.mark.parametrize(("pace", "bars"), [(1.0, 3.0), (30.0, 3.0), (600.0, 50.0)])
def test_a_machine_that_pauses_for_a_moment_makes_no_bars_stale_that_are_played_fast(pace: float, bars: float) -> None:
    plan: Any = SimpleNamespace(settings=Settings())
    assert breaker_settings(plan, MINUTE_NS, pace).bar_age_bars_max == bars
