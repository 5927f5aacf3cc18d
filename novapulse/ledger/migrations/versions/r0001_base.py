"""Tables, and the triggers that keep facts as they are."""

from alembic import op

revision = "0001"
down_revision = None

_ACCOUNT = "exchange TEXT NOT NULL, account_id TEXT NOT NULL, "

_TABLES = {
    "ledger": "one {big}, ledger_id TEXT NOT NULL, created_ns {big}, revision {big}, oldest_revision {big}, "
    "head_seq {big}, head_hash {blob}, "
    "CONSTRAINT pk_ledger PRIMARY KEY (one), CONSTRAINT ck_ledger_one_row CHECK (one = 1)",
    "asset": "asset TEXT NOT NULL, scale {big}, "
    "CONSTRAINT pk_asset PRIMARY KEY (asset), CONSTRAINT ck_asset_scale CHECK (scale BETWEEN 0 AND 9)",
    "event": "seq {big}, ts_ns {big}, " + _ACCOUNT + "kind TEXT NOT NULL, body TEXT NOT NULL, hash {blob}, "
    "CONSTRAINT pk_event PRIMARY KEY (seq), CONSTRAINT ck_event_hash CHECK (length(hash) = 32)",
    "posting": "seq {big}, leg {big}, book TEXT NOT NULL, asset TEXT NOT NULL, amount {big}, "
    "CONSTRAINT pk_posting PRIMARY KEY (seq, leg), CONSTRAINT ck_posting_amount CHECK (amount <> 0), "
    "CONSTRAINT fk_posting_seq FOREIGN KEY (seq) REFERENCES event (seq) DEFERRABLE INITIALLY DEFERRED, "
    "CONSTRAINT fk_posting_asset FOREIGN KEY (asset) REFERENCES asset (asset)",
    "order_step": _ACCOUNT + "client_order_id TEXT NOT NULL, step {big}, seq {big}, closes {big}, "
    "CONSTRAINT pk_order_step PRIMARY KEY (exchange, account_id, client_order_id, step), "
    "CONSTRAINT ck_order_step_step CHECK (step = 0 OR step = seq), "
    "CONSTRAINT fk_order_step_seq FOREIGN KEY (seq) REFERENCES event (seq)",
    "fill_key": _ACCOUNT + "venue_trade_id TEXT NOT NULL, seq {big}, "
    "CONSTRAINT pk_fill_key PRIMARY KEY (exchange, account_id, venue_trade_id), "
    "CONSTRAINT fk_fill_key_seq FOREIGN KEY (seq) REFERENCES event (seq)",
    "balance": _ACCOUNT + "book TEXT NOT NULL, asset TEXT NOT NULL, amount {big}, "
    "CONSTRAINT pk_balance PRIMARY KEY (exchange, account_id, book, asset), "
    "CONSTRAINT ck_balance_hold CHECK (book <> 'hold' OR amount >= 0)",
    "checkpoint": _ACCOUNT + "ts_close_ns {big}, seq {big}, state {blob}, "
    "CONSTRAINT pk_checkpoint PRIMARY KEY (exchange, account_id)",
    "hold_run": _ACCOUNT + "symbol TEXT NOT NULL, first_ns {big}, last_ns {big}, reason {big}, bars {big}, "
    "CONSTRAINT pk_hold_run PRIMARY KEY (exchange, account_id, symbol, first_ns)",
    "consumer": "name TEXT NOT NULL, cursor {big}, attempts {big}, next_ns {big}, "
    "CONSTRAINT pk_consumer PRIMARY KEY (name)",
    "dead_letter": "consumer TEXT NOT NULL, seq {big}, ts_ns {big}, attempts {big}, error TEXT NOT NULL, "
    "CONSTRAINT pk_dead_letter PRIMARY KEY (consumer, seq)",
    "lease": _ACCOUNT + "epoch {big}, holder TEXT NOT NULL, renewed_ns {big}, expires_ns {big}, "
    "CONSTRAINT pk_lease PRIMARY KEY (exchange, account_id)",
}
_WITH_ROWID = {"ledger", "event"}
_FACTS = ("event", "posting", "order_step", "fill_key")

_VIEWS = {
    "client_order": "SELECT exchange, account_id, client_order_id, seq FROM order_step WHERE step = 0",
    "order_fact": "SELECT o.seq AS order_seq, s.seq FROM order_step o JOIN order_step s ON s.exchange = o.exchange "
    "AND s.account_id = o.account_id AND s.client_order_id = o.client_order_id WHERE o.step = 0",
    "order_open": "SELECT exchange, account_id, client_order_id, min(seq) AS seq FROM order_step "
    "GROUP BY exchange, account_id, client_order_id HAVING min(step) = 0 AND max(closes) = 0",
    "outbox": "SELECT seq FROM event WHERE seq > coalesce((SELECT min(cursor) FROM consumer), 0)",
}

_SQLITE_GUARDS = """
CREATE TRIGGER event_sealed BEFORE INSERT ON event
BEGIN SELECT RAISE(ABORT, 'event is not the next') WHERE NEW.seq <> 1 + ifnull((SELECT max(seq) FROM event), 0);
      SELECT RAISE(ABORT, 'postings do not sum to 0') WHERE EXISTS (SELECT 1 FROM posting p WHERE p.seq = NEW.seq
      AND (SELECT sum(q.amount) FROM posting q WHERE q.seq = NEW.seq AND q.asset = p.asset) <> 0); END;;
CREATE TRIGGER posting_first BEFORE INSERT ON posting
BEGIN SELECT RAISE(ABORT, 'posting of a sealed event') WHERE EXISTS (SELECT 1 FROM event WHERE seq = NEW.seq); END;;
CREATE TRIGGER order_step_once BEFORE INSERT ON order_step
BEGIN SELECT RAISE(ABORT, 'order step is there already') WHERE EXISTS (SELECT 1 FROM order_step
      WHERE exchange = NEW.exchange AND account_id = NEW.account_id AND client_order_id = NEW.client_order_id
      AND step = NEW.step); END;;
CREATE TRIGGER fill_key_once BEFORE INSERT ON fill_key
BEGIN SELECT RAISE(ABORT, 'venue trade id is there already') WHERE EXISTS (SELECT 1 FROM fill_key
      WHERE exchange = NEW.exchange AND account_id = NEW.account_id AND venue_trade_id = NEW.venue_trade_id); END;;
CREATE TRIGGER ledger_named BEFORE UPDATE OF ledger_id, created_ns ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger keeps its id'); END;;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger keeps its id'); END;;
CREATE TRIGGER lease_forward BEFORE UPDATE ON lease WHEN NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'the epoch of a lease goes forward only'); END;;
CREATE TRIGGER lease_stays BEFORE DELETE ON lease BEGIN SELECT RAISE(ABORT, 'a lease keeps its epoch'); END
"""

_POSTGRESQL_GUARDS = """
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$;;
CREATE FUNCTION ledger_event_sealed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NEW.seq <> 1 + coalesce((SELECT max(seq) FROM event), 0) THEN
    RAISE EXCEPTION 'event is not the next' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF EXISTS (SELECT 1 FROM posting WHERE seq = NEW.seq GROUP BY asset HAVING sum(amount) <> 0) THEN
    RAISE EXCEPTION 'postings do not sum to 0' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;;
CREATE FUNCTION ledger_posting_first() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF EXISTS (SELECT 1 FROM event WHERE seq = NEW.seq) THEN
    RAISE EXCEPTION 'posting of a sealed event' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;;
CREATE TRIGGER event_sealed BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION ledger_event_sealed();;
CREATE TRIGGER posting_first BEFORE INSERT ON posting FOR EACH ROW EXECUTE FUNCTION ledger_posting_first();;
CREATE TRIGGER ledger_named BEFORE UPDATE OF ledger_id, created_ns ON ledger FOR EACH ROW
EXECUTE FUNCTION ledger_refuse('the ledger keeps its id');;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger FOR EACH ROW
EXECUTE FUNCTION ledger_refuse('the ledger keeps its id');;
CREATE TRIGGER lease_forward BEFORE UPDATE ON lease FOR EACH ROW WHEN (NEW.epoch < OLD.epoch)
EXECUTE FUNCTION ledger_refuse('the epoch of a lease goes forward only');;
CREATE TRIGGER lease_stays BEFORE DELETE ON lease FOR EACH ROW
EXECUTE FUNCTION ledger_refuse('a lease keeps its epoch')
"""


def upgrade() -> None:
    """Create everything."""
    sqlite = op.get_context().dialect.name == "sqlite"
    types = {
        "big": "INTEGER NOT NULL" if sqlite else "BIGINT NOT NULL",
        "blob": "BLOB NOT NULL" if sqlite else "BYTEA NOT NULL",
    }
    for name, columns in _TABLES.items():
        kind = ("" if name in _WITH_ROWID else " WITHOUT ROWID,") + " STRICT" if sqlite else ""
        op.execute(f"CREATE TABLE {name} ({columns.format(**types)}){kind}")
    op.execute("CREATE INDEX ix_hold_run_last_ns ON hold_run (last_ns)")
    for statement in (_SQLITE_GUARDS if sqlite else _POSTGRESQL_GUARDS).split(";;"):
        op.execute(statement.strip())
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
    for name in _FACTS:
        for verb in ("UPDATE", "DELETE") if sqlite else ("UPDATE", "DELETE", "TRUNCATE"):
            each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
            refuse = (
                f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
                if sqlite
                else f"FOR EACH {each} EXECUTE FUNCTION ledger_refuse('{name} is append-only')"
            )
            op.execute(f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} {refuse}")
