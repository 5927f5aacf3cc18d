"""The rows that no event proves, compared with the twin that the database wrote of each.

Invariants:
- a row and its twin are written by one statement, of whatever code: a bit that is changed, a row that is gone, added or
  swapped in one of the two is seen. What somebody writes through the triggers is a row that was written;
- which of the two is as it was written is not known, so a fault tells both.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from sqlalchemy import Connection, Table, and_, or_, select

from novapulse.ledger.projections import Check
from novapulse.ledger.schema import TWINS, TWINS_SINCE
from novapulse.ledger.walk import FAULTS_KEPT, Fault


def twin_checks(revision: int) -> Mapping[str, Check]:
    """Return what is to be checked by table; nothing for a schema that has no twins yet."""
    if revision < TWINS_SINCE:
        return {}
    return {table.name: partial(_check, table=table, twin=twin) for table, twin in TWINS.items()}


def _check(connection: Connection, table: Table, twin: Table) -> Iterator[Fault]:
    keys = [column.name for column in twin.primary_key]
    rest = [column.name for column in twin.c if column.name not in keys]
    same = and_(*(table.c[name] == twin.c[name] for name in keys))
    differ = or_(twin.c[keys[0]].is_(None), *(table.c[name].is_distinct_from(twin.c[name]) for name in rest))
    both = select(*(table.c[name] for name in (*keys, *rest)), *(twin.c[name] for name in (keys[0], *rest)))
    for row in connection.execute(both.select_from(table.outerjoin(twin, same)).where(differ).limit(FAULTS_KEPT)):
        ours, (key_there, *theirs) = row[: len(keys) + len(rest)], row[len(keys) + len(rest) :]
        told = _told(ours[: len(keys)])
        if key_there is None:
            yield Fault(None, table.name, f"has {told}, which {twin.name} lacks")
            continue
        for name, here, there in zip(rest, ours[len(keys) :], theirs, strict=True):
            if here != there:
                yield Fault(None, f"{table.name}.{name}", f"of {told} is {here!r}, {twin.name} has {there!r}")
    lost = select(*(twin.c[name] for name in keys)).select_from(twin.outerjoin(table, same))
    for row in connection.execute(lost.where(table.c[keys[0]].is_(None)).limit(FAULTS_KEPT)):
        yield Fault(None, table.name, f"lacks {_told(row)}, which {twin.name} has")


def _told(key: tuple[object, ...]) -> str:
    return " ".join(map(str, key))
