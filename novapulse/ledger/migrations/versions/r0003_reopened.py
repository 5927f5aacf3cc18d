"""Count an order as open again whose end was taken back.

A step of an order closes it (1), reopens it (-1), or does neither (0). Code of revision 2 never writes the -1, and goes
on as it did.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Let the last word of an order be the one that counts."""
    op.execute("DROP VIEW order_open")
    op.execute(
        "CREATE VIEW order_open AS SELECT exchange, account_id, client_order_id, min(seq) AS seq FROM order_step "
        "GROUP BY exchange, account_id, client_order_id "
        "HAVING min(step) = 0 AND max(closes * seq) <= max(-closes * seq)"
    )
