"""The tables of the ledger: one schema for SQLite and PostgreSQL.

Invariants:
- facts are `event`, `posting`, `order_step` and `fill_key`: rows are added, never changed or removed (triggers of the
  migrations raise), and `event.seq` has no gaps;
- postings are written before the event they belong to; the event seals them: the database refuses an event whose
  postings do not sum to 0 per asset, and a posting for an event that is there already;
- `balance`, `checkpoint` and the head in `ledger` are projections: all but the checkpoint's state can be made again
  from the facts;
- `hold_run` is telemetry with retention, `consumer` and `dead_letter` are the way out, `lease` is who may write. What
  no event proves of these, of `asset` and of the one row of `ledger` is written a second time, into the table's twin:
  by triggers, so that code that knows of no twin keeps it as well. A column that such a table gets, its twin gets too;
- amounts are integers in units of 10^-scale of their asset (`asset.scale`), times are ns UTC, text is never a label of
  two things: an account is `exchange` and `account_id`.

Migrations expand first and contract a release later: a revision adds tables, indexes and columns that may stay empty,
so that code one revision older goes on writing. `ledger.oldest_revision` says which code still may.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    text,
)

REVISION = 4
"""Revision of the schema that this code writes; Alembic's name of it is four digits."""

OLDEST_REVISION = 1
"""Oldest code that may write a ledger of this revision."""

TWINS_SINCE = 4
"""Revision that added the twins of rows that no event proves."""

SCALE_MAX = 9
"""Decimal digits of an asset: a 64-bit integer then still counts nine billion of it."""

INT64_MAX = 2**63 - 1

_BIG = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _big(name: str, *constraints: ForeignKey) -> Column[int]:
    return Column(name, _BIG, *constraints, nullable=False, autoincrement=False)


def _text(name: str, *constraints: ForeignKey) -> Column[str]:
    return Column(name, Text, *constraints, nullable=False)


def _account() -> tuple[Column[str], Column[str]]:
    return _text("exchange"), _text("account_id")


ledger = Table(
    "ledger",
    metadata,
    _big("one"),
    _text("ledger_id"),
    _big("created_ns"),
    _big("revision"),
    _big("oldest_revision"),
    _big("head_seq"),
    Column("head_hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("one"),
    CheckConstraint("one = 1", name="one_row"),
    sqlite_strict=True,
)

asset = Table(
    "asset",
    metadata,
    _text("asset"),
    _big("scale"),
    PrimaryKeyConstraint("asset"),
    CheckConstraint(f"scale BETWEEN 0 AND {SCALE_MAX}", name="scale"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    _big("seq"),
    _big("ts_ns"),
    *_account(),
    _text("kind"),
    _text("body"),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("seq"),
    CheckConstraint("length(hash) = 32", name="hash"),
    sqlite_strict=True,
)
STEPS = (
    "order_intended order_attempted order_acked order_refused order_unclear order_seen cancel_asked cancel_refused "
    "amend_asked amend_done amend_refused"
).split()
"""Kinds that are many and are found by their order: no index by kind holds them, a query by one reads everything."""

BY_KIND = " AND ".join(f"kind <> '{kind}'" for kind in STEPS)
"""What a query has to say, word for word, beside `kind = ...`, for SQLite to use the index by kind; `NOT IN` would cost
every commit the making of a set."""

by_kind = Index(
    "ix_event_kind",
    event.c.kind,
    event.c.exchange,
    event.c.account_id,
    event.c.seq,
    sqlite_where=text(BY_KIND),
    postgresql_where=text(BY_KIND),
)

posting = Table(
    "posting",
    metadata,
    _big("seq", ForeignKey("event.seq", deferrable=True, initially="DEFERRED")),
    _big("leg"),
    _text("book"),
    _text("asset", ForeignKey("asset.asset")),
    _big("amount"),
    PrimaryKeyConstraint("seq", "leg"),
    CheckConstraint("amount <> 0", name="amount"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

order_step = Table(
    "order_step",  # every event that names an order; step 0 is its intent, which no second event can have
    metadata,
    *_account(),
    _text("client_order_id"),
    _big("step"),  # 0 for order_intended, else `seq`
    _big("seq", ForeignKey("event.seq")),
    _big("closes"),  # 1 for order_closed, -1 for order_reopened, else 0
    PrimaryKeyConstraint("exchange", "account_id", "client_order_id", "step"),
    CheckConstraint("step = 0 OR step = seq", name="step"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

fill_key = Table(
    "fill_key",
    metadata,
    *_account(),
    _text("venue_trade_id"),
    _big("seq", ForeignKey("event.seq")),
    PrimaryKeyConstraint("exchange", "account_id", "venue_trade_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

balance = Table(
    "balance",
    metadata,
    *_account(),
    _text("book"),
    _text("asset"),
    _big("amount"),
    PrimaryKeyConstraint("exchange", "account_id", "book", "asset"),
    CheckConstraint("book <> 'hold' OR amount >= 0", name="hold"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

checkpoint = Table(
    "checkpoint",
    metadata,
    *_account(),
    _big("ts_close_ns"),
    _big("seq"),  # the state follows from the events up to here
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("exchange", "account_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

hold_run = Table(
    "hold_run",
    metadata,
    *_account(),
    _text("symbol"),
    _big("first_ns"),
    _big("last_ns"),
    _big("reason"),
    _big("bars"),
    PrimaryKeyConstraint("exchange", "account_id", "symbol", "first_ns"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("ix_hold_run_last_ns", hold_run.c.last_ns)

consumer = Table(
    "consumer",
    metadata,
    _text("name"),
    _big("cursor"),  # every event up to here is delivered, or lies in dead_letter
    _big("attempts"),  # at the event behind the cursor
    _big("next_ns"),  # not before
    PrimaryKeyConstraint("name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

dead_letter = Table(
    "dead_letter",
    metadata,
    _text("consumer"),
    _big("seq"),
    _big("ts_ns"),
    _big("attempts"),
    _text("error"),
    PrimaryKeyConstraint("consumer", "seq"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

lease = Table(
    "lease",
    metadata,
    *_account(),
    _big("epoch"),  # grows with every holder, never falls
    _text("holder"),
    _big("renewed_ns"),
    _big("expires_ns"),  # 0: released
    Column("host", Text, nullable=True),  # since revision 2; where the holder runs
    PrimaryKeyConstraint("exchange", "account_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


def _twin(table: Table, *names: str) -> Table:
    columns = [Column(name, table.c[name].type, nullable=table.c[name].nullable, autoincrement=False) for name in names]
    key = PrimaryKeyConstraint(*table.primary_key.columns.keys())
    return Table(f"{table.name}_twin", metadata, *columns, key, sqlite_strict=True, sqlite_with_rowid=False)


TWINS = {
    ledger: _twin(ledger, "one", "ledger_id", "created_ns", "revision", "oldest_revision"),
    **{table: _twin(table, *table.columns.keys()) for table in (asset, hold_run, consumer, dead_letter, lease)},
}
"""Table -> its twin; of the ledger's row what no commit moves."""


def of_kind(*kinds: str) -> ColumnElement[bool]:
    """Return the condition that an event is of one of some kinds, spelled so that the index by kind is used."""
    wanted = event.c.kind.in_(kinds)
    return wanted if set(kinds) & set(STEPS) else and_(wanted, text(BY_KIND))


FACTS = (event, posting, order_step, fill_key)
"""Tables that only grow."""

_GUARDS = {
    "event_sealed": "an event may follow that is not the next, or whose postings do not sum to 0",
    "posting_first": "postings may be added to an event that is sealed",
    "ledger_named": "the ledger may get another id",
    "ledger_stays": "the ledger's head may be deleted",
    "lease_forward": "the epoch of a lease may go back",
    "lease_stays": "a lease may be deleted",
} | {f"{table.name}_no_{verb}": f"{table.name} is not protected" for table in FACTS for verb in ("update", "delete")}
"""Triggers of every storage, and what may happen without them."""

_SQLITE_GUARDS = {
    "order_step_once": "a step of an order may be written twice",
    "fill_key_once": "an execution may be booked twice",
}
"""Triggers that say in SQLite what keys of tables say elsewhere."""


def guards(revision: int, dialect: str) -> dict[str, str]:
    """Return the triggers that a ledger of a revision has, and what may happen without each."""
    is_file = dialect == "sqlite"
    found = _GUARDS | (_SQLITE_GUARDS if is_file else {})
    if revision >= TWINS_SINCE:
        suffixes = ("_insert", "_update", "_delete") if is_file else ("",)
        found |= {
            f"{twin.name}{end}": f"{table.name} may change alone" for table, twin in TWINS.items() for end in suffixes
        }
    return found


views = MetaData()
"""Views: what the tables above say under the names in which it is asked for."""

client_order = Table("client_order", views, *_account(), _text("client_order_id"), _big("seq"))
"""Orders of ours; `seq` is their order_intended."""

order_fact = Table("order_fact", views, _big("order_seq"), _big("seq"))
"""Events that name an order of ours; `order_seq` is its order_intended."""

order_open = Table("order_open", views, *_account(), _text("client_order_id"), _big("seq"))
"""Orders of ours that have not ended, or were reopened since; `seq` is their order_intended."""

outbox = Table("outbox", views, _big("seq"))
"""Events that some consumer may not have yet: an event is its own outbox row, written in the one transaction."""
