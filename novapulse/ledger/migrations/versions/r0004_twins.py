"""Write every row that no event proves a second time, so that an audit sees when one of the two was damaged.

Triggers keep the twins: code of an older revision writes as it did and need not know of them.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_ACCOUNT = "exchange TEXT NOT NULL, account_id TEXT NOT NULL, "
_TWINS = {
    "ledger": ("one", "one {big}, ledger_id TEXT NOT NULL, created_ns {big}, revision {big}, oldest_revision {big}"),
    "asset": ("asset", "asset TEXT NOT NULL, scale {big}"),
    "hold_run": (
        "exchange, account_id, symbol, first_ns",
        _ACCOUNT + "symbol TEXT NOT NULL, first_ns {big}, last_ns {big}, reason {big}, bars {big}",
    ),
    "consumer": ("name", "name TEXT NOT NULL, cursor {big}, attempts {big}, next_ns {big}"),
    "dead_letter": (
        "consumer, seq",
        "consumer TEXT NOT NULL, seq {big}, ts_ns {big}, attempts {big}, error TEXT NOT NULL",
    ),
    "lease": (
        "exchange, account_id",
        _ACCOUNT + "epoch {big}, holder TEXT NOT NULL, renewed_ns {big}, expires_ns {big}, host TEXT",
    ),
}
"""Table -> its key, and the columns that are written twice: of the ledger's row those that no commit moves."""


_TABLE = "CREATE TABLE {twin} ({columns}, CONSTRAINT pk_{twin} PRIMARY KEY ({key}))"
_FILL = "INSERT INTO {twin} ({names}) SELECT {names} FROM {table}"
_ADD = "INSERT INTO {twin} ({names}) VALUES ({new});"
_REMOVE = {"OLD": "DELETE FROM {twin} WHERE {same_as_old};", "NEW": "DELETE FROM {twin} WHERE {same_as_new};"}

_SQLITE = (
    f"CREATE TRIGGER {{twin}}_insert AFTER INSERT ON {{table}} BEGIN {_REMOVE['NEW']} {_ADD} END",
    f"CREATE TRIGGER {{twin}}_update AFTER UPDATE{{of}} ON {{table}} BEGIN {_REMOVE['OLD']} {_ADD} END",
    f"CREATE TRIGGER {{twin}}_delete AFTER DELETE ON {{table}} BEGIN {_REMOVE['OLD']} END",
)
_POSTGRESQL = (
    "CREATE FUNCTION ledger_{twin}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF TG_OP <> 'INSERT' THEN {_REMOVE['OLD']} END IF; "
    f"IF TG_OP <> 'DELETE' THEN {_REMOVE['NEW']} {_ADD} END IF; RETURN NULL; END $$",
    "CREATE TRIGGER {twin} AFTER INSERT OR UPDATE{of} OR DELETE ON {table} FOR EACH ROW "
    "EXECUTE FUNCTION ledger_{twin}()",
)


def upgrade() -> None:
    """Create the twins, fill them, and let triggers keep them."""
    sqlite = op.get_context().dialect.name == "sqlite"
    big = "INTEGER NOT NULL" if sqlite else "BIGINT NOT NULL"
    for table, (key, columns) in _TWINS.items():
        names = [column.split()[0] for column in columns.split(", ")]
        parts = {
            "table": table,
            "twin": f"{table}_twin",
            "key": key,
            "columns": columns.format(big=big),
            "names": ", ".join(names),
            "new": ", ".join(f"NEW.{name}" for name in names),
            "of": " OF " + ", ".join(names) if table == "ledger" else "",
            "same_as_old": _same_key(key, "OLD"),
            "same_as_new": _same_key(key, "NEW"),
        }
        op.execute(_TABLE.format(**parts) + (" WITHOUT ROWID, STRICT" if sqlite else ""))
        for statement in (_FILL, *(_SQLITE if sqlite else _POSTGRESQL)):
            op.execute(statement.format(**parts))


def _same_key(key: str, row: str) -> str:
    return " AND ".join(f"{column} = {row}.{column}" for column in key.split(", "))
