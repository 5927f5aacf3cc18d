"""The auditor can fail: a world that is fine is damaged, and the invariant that says so is the right one."""

from collections.abc import Callable

import pytest

from novapulse.core.messages import Commit, Record
from novapulse.core.order_fold import Order
from novapulse.core.orders import (
    Attempted,
    Intended,
    OrderStatus,
    Seen,
    VenueState,
)
from novapulse.simulation import at_rest, on_alerts, on_closes
from novapulse.simulation.auditor import INVARIANTS, Auditor, Broken
from novapulse.simulation.host import Host
from novapulse.simulation.scene import scene_of
from novapulse.simulation.seeds import world_of
from novapulse.simulation.storm import StormyWorld
from tests.simulation.damages import desk_of, holding, last_entry
from tests.simulation.damages_at_rest import AT_REST
from tests.simulation.damages_on_the_way import ON_THE_WAY

Look = Callable[[Auditor, Host], None]

DAMAGE = AT_REST | ON_THE_WAY


@pytest.fixture
def world() -> StormyWorld:
    made = world_of(scene_of(0.05), 0, frozenset())
    made.run()
    return made


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told_under_the_right_name(world: StormyWorld, what: str) -> None:
    name, damage = DAMAGE[what]
    with pytest.raises(Broken) as caught:
        damage(world)
    assert caught.value.violation.invariant == name, caught.value.violation
    assert caught.value.violation.text


def settling(world: StormyWorld, *, is_taken_back: bool, is_told: bool) -> Host:
    """Return an account with an entry that the venue filled, in whose records the executions are missing."""
    host, submit = last_entry(world)
    name, desk = submit.request.client_order_id, desk_of(host)
    known = desk.closed.pop(name)
    order = desk.orders[name] = Order(name)
    for fact in (
        Intended(name, submit.request),
        Attempted(name, 1, 1),
        Seen(name, known.venue_order_id, VenueState.FILLED, known.filled_units, 1),
    ):
        order.add(fact)
    assert order.status is OrderStatus.SETTLING
    if is_taken_back:
        host.exchange.holdings.busted.update(known.fills)
    if is_told:
        host.durable.add(Record("break_found", 1, {"key": f"D6:{name}"}))
    return host


@pytest.mark.parametrize(("look", "name"), [(at_rest.sys_11_healthy, "SYS-11"), (at_rest.ord_14_no_orphan, "ORD-14")])
@pytest.mark.parametrize("is_taken_back", [False, True])
@pytest.mark.parametrize("is_told", [False, True])
def test_an_order_settles_in_a_calm_only_while_its_difference_is_open_and_its_executions_were_taken_back(
    world: StormyWorld, look: Look, name: str, is_taken_back: bool, is_told: bool
) -> None:
    host = settling(world, is_taken_back=is_taken_back, is_told=is_told)
    if is_taken_back and is_told:
        look(world.auditor, host)
        host.durable.add(Record("break_resolved", 1, {"key": next(iter(host.durable.breaks))}))
    with pytest.raises(Broken) as caught:
        look(world.auditor, host)
    assert caught.value.violation.invariant == name
    assert "SETTLING" in caught.value.violation.text


def test_the_audience_of_the_outbox_is_given_again_what_it_took_before_it_died(world: StormyWorld) -> None:
    assert world.auditor.relay.again > 0
    assert world.auditor.relay.last == world.disk.ledger.head()[0]


def test_there_is_a_damage_for_every_invariant() -> None:
    """But for two that have their own: ORD-13 in the crash sweep, and SYS-4, which is looked at together with ORD-8."""
    assert INVARIANTS.keys() - {name for name, _ in DAMAGE.values()} == {"ORD-13", "SYS-4"}


def test_every_invariant_of_both_lists_has_a_sentence() -> None:
    wanted = {f"{part}-{number}" for part in ("ORD", "SYS") for number in range(1, 15)}
    assert wanted <= set(INVARIANTS)
    assert all(text and text[0].islower() for text in INVARIANTS.values())


def test_a_commit_without_records_is_not_looked_at(world: StormyWorld) -> None:
    before = world.hosts[0].durable.records
    world.auditor.wrote(world.hosts[0], Commit(()))
    assert world.hosts[0].durable.records == before


def test_of_two_legs_in_one_commit_the_one_that_is_written_last_is_too_many(world: StormyWorld) -> None:
    host = world.hosts[0]
    one, other = list(host.durable.trades)[:2]
    host.legs |= {one: other, other: one}
    first, last = (Record("fill_booked", 1, host.durable.trades[trade]) for trade in (other, one))
    told = Record("alert_raised", 1, {"key": f"excess:{one}"})
    on_alerts.check(world.auditor, host, Commit((first, last, told)))
    with pytest.raises(Broken, match=f"execution {other} of order"):
        on_alerts.check(world.auditor, host, Commit((last, first, told)))


def test_what_the_venue_takes_no_order_over_needs_no_stop_and_is_no_excess(world: StormyWorld) -> None:
    host, held = holding(world)
    host.beyond[held.instrument.key] = (1 if held.held_units > 0 else -1, 0)
    held.record["qty_min_units"] = abs(held.held_units) + 1
    held.live.clear()
    on_closes.check_excess(world.auditor, host)
    at_rest.sys_6_guarded(world.auditor, host)
    assert not host.beyond
