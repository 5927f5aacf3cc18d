"""What the ledger explorer shows: one section at a time, each number with the entry that it stands on."""

import json
from decimal import Decimal
from typing import Any

import marimo as mo

from novapulse.core.amounts import from_units
from novapulse.core.instruments import AccountKey
from novapulse.ledger.audit import Audit
from novapulse.research.tearsheet.words import plus_exact
from novapulse.ui import panels
from novapulse.ui.markup import escape
from novapulse.ui.notebooks import explorer, layout, ledgers
from novapulse.ui.notebooks.explorer import Desk, Head
from novapulse.ui.notebooks.replay import moments_of
from novapulse.ui.notebooks.work import Came
from novapulse.ui.telling import about_of

Html = mo.Html

_FAULTS_SHOWN = 20
_BOOKS = {
    "cash": "free money",
    "hold": "reserved by open entry orders",
    "inventory": "what is held",
    "trading": "the other side of every trade",
    "fees": "paid to the venue",
    "capital": "brought in or taken out",
    "income": "interest and the like",
    "suspense": "differences nobody has explained",
    "dust": "too small to trade",
}


def cannot_open(desk: Desk) -> Html:
    """Return the page of a desk with nothing to look at."""
    return Html(panels.head("Ledger explorer", []) + panels.remarks([desk.problem or ""], "np-wrong"))


def header(desk: Desk, head: Head) -> Html:
    """Return the top of the page."""
    chips = [(f"ledger {head.ledger_id[:8]}", ""), ("read-only", "np-real")]
    return Html(
        panels.head("Ledger explorer", chips)
        + panels.remarks([f"as it stood at entry {head.seq:,}: {desk.place}"], "np-quiet")
    )


def settings_panel(account: Any, kinds: Any, until: Any, refresh: Any) -> Html:
    """Return the column of choices."""
    return layout.side(
        layout.group("Account", [account]),
        layout.group("Entries", [kinds, until]),
        f'<div class="np-field">{layout.html(refresh)}</div>',
        name="Choose",
    )


def figures(head: Head, proof: Came[Audit]) -> Html:
    """Return the ledger as a whole, as tiles."""
    proven = proof.result
    word = "not yet proven" if proven is None else "as written" if proven.ok else f"{proven.faulty:,} faults"
    said = "look under Proof" if proven is None else f"{proven.entries:,} entries, up to {proven.head_seq:,}"
    tone = "" if proven is None else "gain" if proven.ok else "loss"
    return layout.tiles(
        [
            ("Entries", f"{head.seq:,}", f"the last at {moments_of(head.ts_ns)}", ""),
            ("Accounts", str(len(head.accounts)), ", ".join(sorted({one.exchange for one in head.accounts})), ""),
            ("Head", head.hash[:10], "note it elsewhere: only it shows a past written anew", ""),
            ("Books", word, said, tone),
        ]
    )


def section(
    desk: Desk,
    chosen: str,
    account: AccountKey,
    entries: Any,
    found: Any,
    orders: Any,
    button: Any,
    noted: Any,
    proof: Came[Audit],
) -> Html:
    """Return the section that is chosen."""
    if chosen == "Balances":
        return balances_section(desk, account)
    if chosen == "Lots":
        return lots_section(desk, account)
    if chosen == "Orders":
        return orders_section(desk, account, orders, explorer.picked(orders, "Order"))
    if chosen == "Proof":
        return proof_section(button, noted, proof)
    return entries_section(entries, found, explorer.picked(entries, "Entry"))


def entries_section(table: Any, found: Any, chosen: int | None) -> Html:
    """Return the list of entries with the one that is chosen beside it."""
    one = next((entry for entry in found if entry.seq == chosen), None)
    beside = layout.card("Entry", "<p>Choose one.</p>") if one is None else _entry(one)
    is_cut = len(found) == explorer.ENTRIES_MAX
    newest = f"the newest {len(found):,} of the choice" if is_cut else f"{len(found):,} entries"
    return layout.grid(layout.card("Entries", table, note=newest), beside, widths="np-two-one")


def _entry(one: Any) -> Html:
    rows = [[leg.book, plus_exact(leg.amount), leg.asset] for leg in one.legs]
    legs = panels.table(("Book", "Amount", "Asset"), rows) if rows else "<p class='np-small'>No money moved.</p>"
    sums: dict[str, Decimal] = {}
    for leg in one.legs:
        sums[leg.asset] = sums.get(leg.asset, Decimal(0)) + leg.amount
    balanced = "its legs sum to 0 per asset" if rows and not any(sums.values()) else ""
    body = json.dumps(one.body, indent=1, sort_keys=True)
    return layout.card(
        f"Entry {one.seq:,}: {one.kind.replace('_', ' ')}",
        layout.pairs(
            {
                "When": moments_of(one.ts_ns),
                "Account": f"{one.account_id} on {one.exchange}",
                "About": about_of(one),
                "Chain up to here": f"{one.hash[:16]}…",
            }
        ),
        legs,
        '<details><summary class="np-small">Everything that was written</summary>'
        f'<pre class="np-body">{escape(body)}</pre></details>',
        note=balanced,
    )


def balances_section(desk: Desk, account: AccountKey) -> Html:
    """Return what lies in each book of the account."""
    found = explorer.balances_of(desk, account)
    rows = [[one.book.value, plus_exact(one.amount), one.asset, _BOOKS[one.book.value]] for one in found]
    sums: dict[str, Decimal] = {}
    for one in found:
        sums[one.asset] = sums.get(one.asset, Decimal(0)) + one.amount
    is_even = not any(sums.values())
    told = "All books together are 0 in every asset." if is_even else f"They do not sum to 0: {_listed(sums)}"
    return layout.card(
        f"Balances of {ledgers.account_name(account)}",
        panels.table(("Book", "Amount", "Asset", "What it is"), rows) if rows else "<p>Nothing lies in its books.</p>",
        panels.remarks([told], "np-quiet" if is_even else "np-wrong"),
    )


def lots_section(desk: Desk, account: AccountKey) -> Html:
    """Return what is held, by when and at which price it came in."""
    lots, scales, listings = explorer.lots_of(desk, account)
    rows, totals = [], dict[str, Decimal]()
    for key, is_ours, lot in lots:
        fact = listings[key]
        qty, cost = from_units(lot.units, scales[fact.base]), from_units(round(-lot.money), scales[fact.quote])
        totals[fact.base] = totals.get(fact.base, Decimal(0)) + qty
        rows.append(
            [
                key.symbol + ("" if is_ours else " (nobody's)"),
                plus_exact(qty),
                f"{layout.number(float(cost / qty))} {fact.quote}",
                f"{cost:f} {fact.quote}",
                moments_of(lot.execution.ts_ns),
                str(lot.execution.seq),
            ]
        )
    held = {one.asset: one.amount for one in explorer.balances_of(desk, account) if one.book.value == "inventory"}
    agree = all(held.get(name, Decimal(0)) == totals.get(name, Decimal(0)) for name in {*held, *totals})
    told = "The lots sum to what the books hold."
    if not agree:
        told = f"The books hold {_listed(held)}, the lots {_listed(totals)}: what came in otherwise has no lot."
    table = panels.table(("Market", "Quantity", "Price, fees paid", "Cost, fees paid", "Since", "Entry"), rows)
    return layout.card(
        f"Open lots of {ledgers.account_name(account)}",
        table if rows else "<p>Nothing is held.</p>",
        panels.remarks([told], "np-quiet" if agree else "np-warn"),
        note="first in, first out",
    )


def _listed(amounts: dict[str, Decimal]) -> str:
    return ", ".join(f"{amount:f} {name}" for name, amount in sorted(amounts.items())) or "nothing"


def orders_section(desk: Desk, account: AccountKey, table: Any, chosen: str | None) -> Html:
    """Return the orders, and the chosen one fact by fact."""
    steps = [] if chosen is None else explorer.story(desk, account, chosen)
    rows = [
        [
            moments_of(one.entry.ts_ns),
            one.entry.kind.replace("_", " "),
            one.status.replace("_", " ").lower(),
            f"{one.filled:f}",
            f"{one.leaves:f}",
            str(one.entry.seq),
        ]
        for one in steps
    ]
    base = explorer.base_of(desk, account, steps)
    named = f", {base}" if base else ""
    header = ("When", "Fact", "State after it", f"Filled{named}", f"Left{named}", "Entry")
    told = layout.told(panels.table(header, rows)) if rows else "<p>Choose an order.</p>"
    return layout.stack(
        layout.card("Orders", table, note="choose one to see its facts"),
        layout.card(f"Order {chosen[:12] if chosen else ''}", told, note="its state is the fold of these facts"),
    )


def proof_section(button: Any, noted: Any, came: Came[Audit]) -> Html:
    """Return the proof of the books, or the button that begins it."""
    told = panels.remarks([came.problem], "np-wrong") if came.problem else ""
    if came.result is None:
        said = (
            '<p class="np-small">Every hash and every leg is computed again, and every table that follows from them. '
            "The trader may go on meanwhile.</p>"
        )
        return layout.card("Proof", said, layout.html(noted), told, note=button)
    found = came.result
    word = f"{found.entries:,} entries, every one as it was written" if found.ok else f"{found.faulty:,} faults"
    faults = [[str(one.seq or "-"), one.where, one.what] for one in found.faults[:_FAULTS_SHOWN]]
    return layout.card(
        "Proof",
        layout.html(noted),
        told,
        panels.remarks([word], "" if found.ok else "np-wrong"),
        layout.told(panels.table(("Entry", "Where", "What"), faults)) if faults else "",
        layout.pairs({"Ledger": found.ledger_id, "Head": f"{found.head_seq:,} {found.head_hash}"}),
        '<p class="np-small">Note the head elsewhere: a chain that was made anew agrees with itself.</p>',
        note=button,
    )
