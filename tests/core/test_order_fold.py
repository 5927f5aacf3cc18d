import random
from dataclasses import replace

import pytest

from novapulse.core.orders import (
    TERMINAL,
    AbsenceProved,
    Acked,
    Attempted,
    Busted,
    CancelAsked,
    Fact,
    OrderStatus,
    Refused,
    Side,
    Terms,
    Unclear,
)
from tests.core.order_stories import (
    CANCELED,
    CID,
    DONE,
    LIVE,
    OPEN,
    SENT,
    STORIES,
    fill,
    fold,
    intended,
    seen,
    stand_in,
    state_of,
)
from tests.core.random_venue import RandomVenue

PERMUTATIONS = 100


def shuffled(facts: tuple[Fact, ...] | list[Fact], seed: int) -> list[Fact]:
    rng = random.Random(seed)
    mixed = [*facts, *rng.choices(facts, k=rng.randrange(len(facts) + 1))]
    rng.shuffle(mixed)
    return mixed


@pytest.mark.parametrize("name", STORIES)
def test_a_story_ends_as_told(name):
    story, order = STORIES[name], fold(STORIES[name].facts)
    assert (order.status, order.filled_units, order.terms) == (story.status, story.filled, story.terms)


@pytest.mark.parametrize("name", STORIES)
def test_neither_order_nor_repetition_of_facts_changes_the_state(name):
    facts = STORIES[name].facts
    expected = state_of(fold(facts))
    for seed in range(PERMUTATIONS):
        assert state_of(fold(shuffled(facts, seed))) == expected, f"seed {seed}"


def test_neither_order_nor_repetition_changes_the_state_of_random_lives():
    for seed in range(400):
        facts = RandomVenue(random.Random(seed)).live()
        expected = state_of(fold(facts))
        for again in range(5):
            assert state_of(fold(shuffled(facts, again))) == expected, f"seed {seed}, permutation {again}"


def test_a_fact_that_says_nothing_new_leaves_no_trace_and_what_is_recorded_rebuilds_the_order():
    for seed in range(400):
        facts = shuffled(RandomVenue(random.Random(seed)).live(), seed)
        order, recorded = fold([]), []
        for fact in facts:
            before = state_of(order)
            if order.add(fact):
                recorded.append(fact)
            else:
                assert state_of(order) == before, f"seed {seed}: {fact}"
        assert state_of(fold(recorded)) == state_of(order), f"seed {seed}"
        assert not any(order.add(fact) for fact in recorded), f"seed {seed}"


def test_executed_quantity_falls_by_busts_alone_and_the_reported_one_never():
    for seed in range(400):
        order, filled, reported = fold([]), 0, 0
        for fact in shuffled(RandomVenue(random.Random(seed)).live(), seed):
            order.add(fact)
            assert order.seen_units >= reported
            assert order.filled_units >= filled or isinstance(fact, Busted), f"seed {seed}: {fact}"
            filled, reported = order.filled_units, order.seen_units


def test_an_order_that_ended_has_evidence_and_owes_nothing():
    for seed in range(400):
        order = fold([])
        for fact in RandomVenue(random.Random(seed)).live():
            order.add(fact)
            assert (order.evidence != "") == (order.undisputed_status in TERMINAL)
            if order.is_terminal:
                assert (order.leaves_units, order.risk_units, order.missing_units, order.is_risk) == (0, 0, 0, False)
                assert order.has_venue_evidence or order.status in (OrderStatus.REJECTED, OrderStatus.NEVER_PLACED)


def test_silence_and_a_cancel_request_end_nothing():
    silent = fold([*SENT, Unclear(CID, 1), CancelAsked(CID, 1), CancelAsked(CID, 2)])
    assert silent.status is OrderStatus.UNKNOWN
    assert silent.is_risk
    assert silent.risk_units == 10


def test_an_attempt_that_follows_a_refusal_is_not_rejected():
    order = fold([*SENT, Refused(CID, 1, "nonce"), Attempted(CID, 2, 2)])
    assert order.status is OrderStatus.SENDING


def test_a_refusal_starts_with_the_code_of_the_venue():
    assert fold([*SENT, Refused(CID, 1, "post_only", "would cross")]).evidence == "post_only: would cross"
    assert fold([*SENT, Refused(CID, 1, "post_only")]).evidence == "post_only"


def test_why_an_order_ended_is_told_by_the_strongest_evidence():
    assert "cannot have it" in fold([*SENT, Unclear(CID, 1), AbsenceProved(CID)]).evidence
    assert "never sent" in fold([intended(), AbsenceProved(CID, True)]).evidence
    assert "CANCELED with 0" in fold([*OPEN, seen(CANCELED, 0)]).evidence
    assert "10 units cover" in fold([*OPEN, fill("a", 10)]).evidence


def test_while_an_amendment_is_open_risk_is_counted_at_the_larger_quantity():
    for name, worst in (
        ("an amendment on its way", 10),
        ("filled to the old quantity while a larger one is asked for", 14),
    ):
        assert fold(STORIES[name].facts).worst_units == worst
    waiting = fold(STORIES["filled to the old quantity while a larger one is asked for"].facts)
    assert (waiting.worst_units, waiting.leaves_units, waiting.risk_units) == (14, 0, 4)


def test_what_is_left_of_an_order_that_the_venue_ended_is_what_is_not_booked():
    order = fold([*OPEN, fill("a", 3), seen(CANCELED, 5)])
    assert (order.missing_units, order.leaves_units, order.risk_units) == (2, 2, 2)


def test_a_bracket_that_waits_for_its_entry_is_a_risk_and_another_intent_is_none():
    assert fold(STORIES["a bracket that waits for its entry"].facts).is_risk
    assert not fold([intended()]).is_risk


def test_a_disputed_order_stays_a_risk_although_it_ended():
    order = fold([*OPEN, fill("a", 11)])
    assert (order.status, order.undisputed_status) == (OrderStatus.DISPUTED, OrderStatus.FILLED)
    assert order.is_risk
    assert not order.is_terminal


def test_a_dispute_that_was_settled_is_not_settled_for_what_comes_after_it():
    settled = list(STORIES["a settled excess"].facts)
    assert fold(settled).status is OrderStatus.FILLED
    assert fold([*settled, fill("c", 1)]).disputes == ("executed 12 of 10 units",)


def test_the_first_id_that_was_acknowledged_is_the_order_and_the_other_is_named():
    order = fold([*SENT, Acked(CID, "V5"), seen(LIVE, 0, venue_id="V2")])
    assert order.venue_order_id == "V5"
    assert order.disputes == ("the venue has it twice: V2, V5",)


def test_a_second_version_that_moves_no_money_is_no_conflict():
    order = fold([*OPEN, fill("a", 4)])
    assert not order.add(replace(fill("a", 4), ts_event_ns=99, liquidity=1))
    assert order.status is OrderStatus.PARTIALLY_FILLED


def test_the_cash_of_a_stand_in_is_given_back_to_the_unit_however_the_real_executions_are_cut():
    odd = replace(stand_in(7, 7), cash_units=1003, fee_units=11)
    for cuts in ((7,), (1, 6), (2, 2, 3), (1,) * 7):
        order, cash, fee = fold([*OPEN, odd, seen(LIVE, 7)]), 0, 0
        for number, units in enumerate(cuts):
            share = order.provisional_share(units)
            cash, fee = cash + share[0], fee + share[1]
            order.add(fill(f"r{number}", units))
        assert (cash, fee, order.provisional_units, order.filled_units) == (1003, 11, 0, 7), cuts


def test_the_executions_that_count_leave_out_stand_ins_and_what_was_taken_back():
    order = fold([*OPEN, fill("b", 2, ts_ns=9), fill("a", 3, ts_ns=4), fill("c", 1), stand_in(8, 2), Busted(CID, "c")])
    assert [each.venue_trade_id for each in order.counted_fills] == ["a", "b"]
    assert set(order.fills) == {"a", "b", "c", stand_in(8, 2).venue_trade_id}


def test_a_fact_of_another_order_is_a_bug_and_says_so():
    with pytest.raises(AssertionError, match="was given to order"):
        fold([]).add(Acked("someone else", "V1"))


def test_an_order_that_was_never_intended_has_no_request():
    order = fold([fill("a", 3)])
    assert not order.is_intended
    assert order.status is OrderStatus.PARTIALLY_FILLED
    with pytest.raises(AssertionError, match="never intended"):
        _ = order.request


def test_a_bracket_that_shrank_is_over_when_the_venue_says_so():
    touched = list(STORIES["a bracket that was touched"].facts)[:-1]
    assert fold(touched).status is OrderStatus.SETTLING
    grown = fold([*touched, seen(LIVE, 7, 8, Terms(9, 0, 89, 121))])
    assert grown.status is OrderStatus.PARTIALLY_FILLED
    assert grown.add(fill("b", 2, side=Side.SELL))
    assert grown.add(seen(DONE, 9, 11))
    assert grown.status is OrderStatus.FILLED
