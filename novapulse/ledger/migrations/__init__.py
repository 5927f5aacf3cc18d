"""Revisions of the schema, run by Alembic without a file of settings: `opening.migrate` hands the connection over.

Expand, then contract: a revision only adds what may stay empty; what became useless goes one release later, together
with a higher `schema.OLDEST_REVISION`. There is no way back but a backup.
"""
