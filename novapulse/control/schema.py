"""What control.db holds, and which files are one.

Invariants:
- a file of something else, and one of a later version, are refused and stay as they are; one of an earlier version gets
  what it lacks and keeps what it holds;
- passwords, sessions, links, keys and recovery codes are there as hashes alone; the secret of a second factor is there
  as it is, as its codes are worked out from it;
- rows of the audit are neither changed nor taken away, and their numbers have no gap;
- the tables of the inbox are those of its first version: a trader that knows nothing of people works on.
"""

import sqlite3

VERSION = 3
APPLICATION_ID = 0x4E504354
"""Marks the file as ours ("NPCT")."""

_INBOX_TABLES = frozenset({"command", "answer"})

INBOX = """
CREATE TABLE IF NOT EXISTS command (
    seq INTEGER PRIMARY KEY,
    command_id TEXT NOT NULL UNIQUE,
    verb TEXT NOT NULL,
    exchange TEXT,
    account_id TEXT,
    arguments TEXT NOT NULL,
    actor TEXT NOT NULL,
    submitted_ns INTEGER NOT NULL,
    expires_ns INTEGER,
    taken_ns INTEGER,
    CHECK ((exchange IS NULL) = (account_id IS NULL))
) STRICT;
CREATE TABLE IF NOT EXISTS answer (
    command_id TEXT NOT NULL REFERENCES command (command_id),
    exchange TEXT NOT NULL,
    account_id TEXT NOT NULL,
    answered_ns INTEGER,
    done INTEGER,
    text TEXT,
    details TEXT,
    PRIMARY KEY (command_id, exchange, account_id)
) STRICT;
"""

PEOPLE = """
CREATE TABLE person (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password_hash TEXT,
    created_ns INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    disabled_ns INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE link (
    token_hash BLOB PRIMARY KEY,
    person TEXT REFERENCES person (name),
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    used_ns INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL REFERENCES person (name),
    csrf TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    step_up_until_ns INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_person ON session (person, created_ns);
CREATE TABLE api_key (
    prefix TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL,
    person TEXT NOT NULL REFERENCES person (name),
    label TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    used_ns INTEGER,
    revoked_ns INTEGER,
    networks TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX key_of_person ON api_key (person, created_ns);
CREATE TABLE allowance (
    key BLOB PRIMARY KEY,
    full_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX allowance_by_age ON allowance (full_ns);
"""

SECOND_FACTORS = """
CREATE TABLE second_factor (
    person TEXT PRIMARY KEY REFERENCES person (name),
    secret TEXT NOT NULL,
    made_ns INTEGER NOT NULL,
    proven_ns INTEGER,
    last_step INTEGER NOT NULL DEFAULT -1
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery_code (
    person TEXT NOT NULL REFERENCES person (name),
    code_hash BLOB NOT NULL,
    used_ns INTEGER,
    PRIMARY KEY (person, code_hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE challenge (
    token_hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person (name),
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX challenge_of_person ON challenge (person, created_ns);
"""

AUDIT = """
CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    actor TEXT NOT NULL,
    credential TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    exchange TEXT,
    account_id TEXT,
    arguments TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'denied', 'refused')),
    text TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    command_id TEXT NOT NULL,
    hash BLOB NOT NULL,
    CHECK ((exchange IS NULL) = (account_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX audit_by_key ON audit (actor, idempotency_key) WHERE outcome = 'done' AND idempotency_key <> '';
CREATE INDEX audit_of_entrance ON audit (actor, source, ts_ns)
    WHERE action IN ('sign_in', 'use_link') AND outcome = 'done';
"""

FROM_1 = "ALTER TABLE api_key ADD COLUMN networks TEXT NOT NULL DEFAULT ''"
"""What a file of version 1 lacks; one of version 2 lacks the second factors too."""

# A trigger's body has semicolons of its own, so that these stand apart.
TRIGGERS = (
    "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    "CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    "CREATE TRIGGER audit_has_no_gap BEFORE INSERT ON audit "
    "WHEN NEW.audit_id IS NOT (SELECT coalesce(max(audit_id), 0) + 1 FROM audit) "
    "BEGIN SELECT RAISE(ABORT, 'the audit has no gap'); END",
)


class SchemaError(ValueError):
    """The file is not a control.db of this version."""


def prepare(database: sqlite3.Connection) -> None:
    """Make the tables of a new file, add what one of an earlier version lacks, and refuse anything else.

    Raises:
        SchemaError: It belongs to another program, or to a later version of this one; nothing was changed.
        sqlite3.Error: It cannot be read or written.
    """
    if _version(database) == VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster.
        version = _version(database)
        if version == 0:
            _execute(database, INBOX + PEOPLE + SECOND_FACTORS + AUDIT)
            for trigger in TRIGGERS:
                database.execute(trigger)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if version == 1:
            database.execute(FROM_1)
        if version in (1, 2):
            _execute(database, SECOND_FACTORS)
        database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _execute(database: sqlite3.Connection, statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        database.execute(statement)


def _version(database: sqlite3.Connection) -> int:
    """The version of a file of ours; 0 for a new one, and for an inbox from before there were people."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version > VERSION:
            raise SchemaError(f"it is of version {version}, and this NovaPulse knows up to {VERSION}: update it")
        return int(version)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if application or version or not tables <= _INBOX_TABLES:
        raise SchemaError("it is a database of something else")
    return 0
