"""The ledger explorer without a browser: states follow facts, lots sum to the books, texts stay texts."""

from dataclasses import replace
from pathlib import Path

import pytest

from novapulse.ledger import queries
from novapulse.ui.notebooks import explorer, explorer_view
from novapulse.ui.notebooks.explorer import Desk
from novapulse.ui.telling import about_of


@pytest.fixture
def desk(traded_home: Path) -> Desk:
    return explorer.open_desk()


def test_an_orders_last_state_is_the_ledgers_and_every_fact_is_there(desk: Desk):
    account = explorer.head_of(desk).accounts[0]
    with queries.reading(desk.place) as connection:
        orders = list(queries.orders(connection, account))
    for row in orders[:20]:
        steps = explorer.story(desk, account, row.order.client_order_id)
        assert steps[-1].status == row.order.status.value
        assert steps[0].entry.kind == "order_intended"
        assert [one.entry.seq for one in steps] == sorted(one.entry.seq for one in steps)
    assert {one.order.status.value for one in orders} >= {"FILLED"}


def test_quantities_of_orders_name_their_asset(desk: Desk):
    """A bug: an order of 0.004 said nothing of what."""
    head = explorer.head_of(desk)
    table = explorer.orders_table(desk, head.accounts[0], head)
    rows = table.data
    assert table._component_args["text-justify-columns"] == {"Quantity": "right", "Filled": "right"}
    for name in ("Quantity", "Filled"):
        assert [said.split()[1] for said in rows[name]] == [symbol.partition("/")[0] for symbol in rows["Market"]]
    shown = explorer_view.orders_section(desk, head.accounts[0], "", rows["Order"][0]).text
    base = rows["Market"][0].partition("/")[0]
    assert f"<th>Filled, {base}</th><th>Left, {base}</th>" in shown


def test_lots_sum_to_what_the_books_hold(desk: Desk):
    for account in explorer.head_of(desk).accounts:
        lots, _, listings = explorer.lots_of(desk, account)
        held = {one.asset: one.units for one in explorer.balances_of(desk, account) if one.book.value == "inventory"}
        sums: dict[str, int] = {}
        for key, _, lot in lots:
            base = listings[key].base
            sums[base] = sums.get(base, 0) + lot.units
        assert sums == held
        page = explorer_view.lots_section(desk, account).text
        assert "np-quiet" in page
        assert all(f"\xa0{listings[key].quote}</td>" in page for key, _, _ in lots), "price and cost say in what"


def test_up_to_an_entry_is_what_was_known_then(desk: Desk):
    head = explorer.head_of(desk)
    found = explorer.entries_of(desk, head.accounts[0], (), head.seq // 2)
    assert found[0].seq <= head.seq // 2
    assert {one.kind for one in explorer.entries_of(desk, head.accounts[0], ("fill_booked",), head.seq)} == {
        "fill_booked"
    }


def test_an_entry_is_told_as_the_journal_tells_it(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """A bug: the explorer said "enter consensus" where the journal gave the reason in words."""
    shown: list[dict[str, object]] = []
    monkeypatch.setattr(explorer, "_table", lambda rows, **_: shown.extend(rows))
    head = explorer.head_of(desk)
    found = explorer.entries_of(desk, head.accounts[0], ("decision_taken",), head.seq)
    explorer.entries_table(found)
    assert [row["Says"] for row in shown] == [about_of(one) for one in found]
    assert list(shown[0])[:2] == ["Entry", "What"], "a phone shows the first two"
    assert list(shown[0])[-1] == "Moved", "long, and beside the table leg by leg"
    assert any("the consensus is strong enough" in str(row["Says"]) for row in shown)


def test_what_others_wrote_stays_text(desk: Desk):
    head = explorer.head_of(desk)
    one = replace(explorer.entries_of(desk, head.accounts[0], (), head.seq)[0], body={"text": "<script>x</script>"})
    page = explorer_view.entries_section("", (one,), one.seq).text
    assert "<script" not in page
    assert "&lt;script&gt;" in page
