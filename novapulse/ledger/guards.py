"""The schema of a ledger as it lies there, compared with the one that its revision makes.

Invariants:
- the revision stands in two places, Alembic's and the ledger's, and both say the same;
- every guard is there. In a file every table, index, trigger and view is spelled as the migrations spell it, and no
  trigger is there beside them: one that was made toothless is a fault like one that is gone.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, select, text

from novapulse.ledger.opening import definitions
from novapulse.ledger.schema import OLDEST_REVISION, REVISION, guards, ledger
from novapulse.ledger.walk import Fault


def check_revision(connection: Connection) -> Iterator[Fault]:
    """Yield what contradicts the revision that the ledger says it has."""
    noted = connection.execute(text("SELECT version_num FROM alembic_version ORDER BY 1")).scalars().all()
    for row in connection.execute(select(ledger)):
        if list(noted) != [f"{row.revision:04d}"]:
            what = f"is {row.revision}, alembic_version says {' and '.join(map(str, noted)) or 'nothing'}"
            yield Fault(None, "ledger.revision", what)
        oldest = min(row.revision, OLDEST_REVISION)
        is_known = row.revision <= REVISION
        if row.oldest_revision != oldest if is_known else not 1 <= row.oldest_revision <= row.revision:
            expected = f"{oldest} was" if is_known else f"1 to {row.revision} were"
            yield Fault(None, "ledger.oldest_revision", f"is {row.oldest_revision} where {expected} expected")


def check_guards(connection: Connection) -> Iterator[Fault]:
    """Yield what protects the rows and is gone, or is not what it was."""
    is_file = connection.dialect.name == "sqlite"
    revision = connection.execute(select(ledger.c.revision)).scalars().first() or 0
    there = _definitions(connection) if is_file else dict.fromkeys(_enabled(connection), ("trigger", ""))
    wanted = guards(revision, connection.dialect.name)
    for name, danger in wanted.items():
        if name not in there:
            yield Fault(None, f"trigger {name}", f"is gone: {danger}")
    if not is_file or not 1 <= revision <= REVISION:
        return
    made = definitions(revision)
    for name, (kind, spelled) in made.items():
        if name in there:
            if there[name] != (kind, spelled):
                yield Fault(None, f"{kind} {name}", f"is not what revision {revision} makes")
        elif name not in wanted:
            yield Fault(None, f"{kind} {name}", "is gone")
    for name, (kind, _) in there.items():
        if kind == "trigger" and name not in made:
            yield Fault(None, f"trigger {name}", f"is none that revision {revision} makes")


def _definitions(connection: Connection) -> dict[str, tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: (kind, spelled) for name, kind, spelled in rows}


def _enabled(connection: Connection) -> list[str]:
    names = connection.exec_driver_sql(
        "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE t.tgenabled <> 'D' AND c.relnamespace = current_schema()::regnamespace"
    )
    return list(names.scalars())
