"""Say where the holder of a lease runs, and find the events of a kind without reading all.

Both are additions that code of revision 1 need not know: it writes leases without a host.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("lease", sa.Column("host", sa.Text, nullable=True))
    op.create_index("ix_event_kind", "event", ["kind", "exchange", "account_id", "seq"])
