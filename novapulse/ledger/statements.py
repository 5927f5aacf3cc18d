"""Every statement that the journal runs, with `?` for its arguments, spelled once per storage.

The hot path goes to the driver with these constants: building statements per commit would cost more than the commit.
"""

from dataclasses import dataclass, fields

from novapulse.ledger.schema import BY_KIND
from novapulse.ledger.storage import Storage

_PARTS = {
    "here": "exchange = ? AND account_id = ?",
    "lease": "exchange = ? AND account_id = ? AND expires_ns <> 0",
    "event": "e.seq, e.ts_ns, e.kind, e.body",
    "leg": "p.seq, p.book, p.asset, p.amount",
    "legs": "posting p JOIN event e ON e.seq = p.seq",
    "range": "e.exchange = ? AND e.account_id = ? AND e.seq > ? AND e.seq <= ?",
    "kind": f"e.kind = ? AND {BY_KIND}",
    "open": "seq FROM order_step WHERE exchange = ? AND account_id = ? AND client_order_id IN (SELECT client_order_id "
    "FROM order_step WHERE exchange = ? AND account_id = ? GROUP BY client_order_id "
    "HAVING max(closes * seq) <= max(-closes * seq))",
}


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements by what they do; the columns they name are those of the oldest schema that this code may write."""

    head: str = "SELECT head_seq, head_hash FROM ledger"
    head_and_epoch: str = "SELECT head_seq, head_hash, (SELECT epoch FROM lease WHERE {lease}) FROM ledger"
    move_head: str = "UPDATE ledger SET head_seq = ?, head_hash = ?"
    epoch: str = "SELECT epoch FROM lease WHERE {lease}"
    add_posting: str = "INSERT INTO posting (seq, leg, book, asset, amount) VALUES (?, ?, ?, ?, ?)"
    add_event: str = (
        "INSERT INTO event (seq, ts_ns, exchange, account_id, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    add_order_step: str = (
        "INSERT INTO order_step (exchange, account_id, client_order_id, step, seq, closes) VALUES (?, ?, ?, ?, ?, ?)"
    )
    add_fill_key: str = "INSERT INTO fill_key (exchange, account_id, venue_trade_id, seq) VALUES (?, ?, ?, ?)"
    add_balance: str = (
        "INSERT INTO balance (exchange, account_id, book, asset, amount) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING"
    )
    move_balance: str = "UPDATE balance SET amount = amount + ? WHERE {here} AND book = ? AND asset = ?"
    put_checkpoint: str = (
        "INSERT INTO checkpoint (exchange, account_id, ts_close_ns, seq, state) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (exchange, account_id) DO UPDATE SET ts_close_ns = excluded.ts_close_ns, seq = excluded.seq, "
        "state = excluded.state"
    )
    put_hold_run: str = (
        "INSERT INTO hold_run (exchange, account_id, symbol, first_ns, last_ns, reason, bars) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (exchange, account_id, symbol, first_ns) DO UPDATE "
        "SET last_ns = excluded.last_ns, reason = excluded.reason, bars = excluded.bars"
    )
    prune_hold_runs: str = "DELETE FROM hold_run WHERE last_ns < ?"
    notify: str = ""

    find_client_order: str = "SELECT seq FROM order_step WHERE {here} AND client_order_id = ? AND step = 0"
    find_fill: str = "SELECT seq FROM fill_key WHERE {here} AND venue_trade_id = ?"
    find_hash: str = "SELECT hash FROM event WHERE seq = ?"
    read_balance: str = "SELECT amount FROM balance WHERE {here} AND book = ? AND asset = ?"
    read_balances: str = "SELECT book, asset, amount FROM balance WHERE {here} AND amount <> 0 ORDER BY 1, 2"
    read_checkpoint: str = "SELECT ts_close_ns, seq, state FROM checkpoint WHERE {here}"
    read_events: str = "SELECT {event} FROM event e WHERE {range} ORDER BY e.seq LIMIT ?"
    read_legs: str = "SELECT {leg} FROM {legs} WHERE {range} ORDER BY p.seq, p.leg"
    read_events_of_kind: str = "SELECT {event} FROM event e WHERE {kind} AND {range} ORDER BY e.seq LIMIT ?"
    read_legs_of_kind: str = "SELECT {leg} FROM {legs} WHERE {kind} AND {range} ORDER BY p.seq, p.leg"
    read_events_of_step: str = "SELECT {event} FROM event e WHERE e.kind = ? AND {range} ORDER BY e.seq LIMIT ?"
    read_legs_of_step: str = "SELECT {leg} FROM {legs} WHERE e.kind = ? AND {range} ORDER BY p.seq, p.leg"
    read_open_events: str = "SELECT {event} FROM event e WHERE e.seq IN (SELECT {open}) ORDER BY e.seq"
    read_open_legs: str = "SELECT {leg} FROM posting p WHERE p.seq IN (SELECT {open}) ORDER BY p.seq, p.leg"
    read_assets: str = "SELECT asset, scale FROM asset"
    add_asset: str = "INSERT INTO asset (asset, scale) VALUES (?, ?) ON CONFLICT DO NOTHING"

    @classmethod
    def of(cls, storage: Storage) -> "Statements":
        """Return the statements as a storage spells them."""
        texts = {field.name: storage.prepare(str(field.default).format(**_PARTS)) for field in fields(cls)}
        if storage.dialect == "postgresql":
            # One writer at a time over all hosts: the head's row is held until the transaction ends.
            texts["head"] += " FOR UPDATE"
            texts["head_and_epoch"] += " FOR UPDATE OF ledger"
            texts["notify"] = "SELECT pg_notify('novapulse_ledger', %s)"
        return cls(**texts)
