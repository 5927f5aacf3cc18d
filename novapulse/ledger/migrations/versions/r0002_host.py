"""Say where the holder of a lease runs, and find events of a rare kind without reading all.

Both are additions that code of revision 1 need not know: it writes leases without a host.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BY_KIND = (
    "kind NOT IN ('order_intended', 'order_attempted', 'order_acked', 'order_refused', 'order_unclear', 'order_seen', "
    "'cancel_asked', 'cancel_refused', 'amend_asked', 'amend_done', 'amend_refused')"
)


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("lease", sa.Column("host", sa.Text, nullable=True))
    op.execute(f"CREATE INDEX ix_event_kind ON event (kind, exchange, account_id, seq) WHERE {_BY_KIND}")
