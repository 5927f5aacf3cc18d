"""What people were told, out of the ledger: when, how loud, of which account, and whether it is over.

Invariant: an alert is one row from the record that raised it to the record that ended it; one that was raised once more
because nobody acknowledged it is the same row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Severity
from novapulse.ledger.queries import accounts, records

KINDS = ("alert_raised", "alert_acknowledged", "alert_cleared")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert.

    Attributes:
        account: Whose.
        key: Names what was wrong.
        severity: How loud.
        text: What people were told first.
        raised_ns: When, ns UTC.
        times: How often it was raised: 2 when nobody acknowledged it in time.
        acknowledged_ns: When somebody acknowledged it; None for not yet.
        acknowledged_by: Who did; empty for nobody.
        over_ns: When it was over; None while it is open.
        over_text: Why it was over; empty while it is open.
    """

    account: AccountKey
    key: str
    severity: Severity
    text: str
    raised_ns: int
    times: int = 1
    acknowledged_ns: int | None = None
    acknowledged_by: str = ""
    over_ns: int | None = None
    over_text: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.over_ns is None


def alerts(connection: Connection, account: AccountKey | None = None, *, since_ns: int = 0) -> tuple[AlertRow, ...]:
    """Return what is open, and what was raised lately, oldest first.

    Args:
        connection: From `queries.reading`.
        account: Whose; None for those of all accounts.
        since_ns: What was raised before this is left out, unless it is open.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    chosen = accounts(connection) if account is None else (account,)
    found = [row for key in chosen for row in _of(connection, key) if row.is_open or row.raised_ns >= since_ns]
    return tuple(sorted(found, key=lambda row: (row.raised_ns, row.account, row.key)))


def _of(connection: Connection, account: AccountKey) -> Iterator[AlertRow]:
    there: dict[str, AlertRow] = {}
    for entry in records(connection, account, KINDS):
        body, ts_ns = entry.record.body, entry.record.ts_ns
        key = str(body["key"])
        row = there.get(key)
        if entry.record.kind == "alert_raised":
            times = int(body.get("times", 1))
            if row is not None and times > 1:
                there[key] = replace(row, times=times)
                continue
            if row is not None:
                yield replace(row, over_ns=ts_ns, over_text="it was raised anew")
            there[key] = AlertRow(account, key, Severity(body["severity"]), str(body["text"]), ts_ns)
        elif row is not None and entry.record.kind == "alert_acknowledged":
            there[key] = replace(row, acknowledged_ns=ts_ns, acknowledged_by=str(body["actor"]))
        elif row is not None:
            yield replace(there.pop(key), over_ns=ts_ns, over_text=str(body["text"]))
    yield from there.values()
