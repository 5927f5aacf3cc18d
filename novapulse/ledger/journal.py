"""The ledger as the trader writes it: one transaction for everything that follows from one event.

Invariants:
- a commit is whole or absent: records, postings, keys, balances, outbox, checkpoint and runs of bars stand or fall
  together, over all accounts that it names;
- nothing is written for an account whose lease, read inside the transaction, is not ours;
- events are numbered without a gap and chained; the head lies in the ledger and is read inside the transaction, so a
  commit that failed leaves nothing behind, in memory neither;
- a client order id and a venue's trade id are booked once per account, for ever;
- the hold of an account never falls below 0 and no balance leaves 64 bits;
- time is what the records say: a clock that steps back changes no order, the numbers do the ordering.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import sealed
from novapulse.core.messages import Commit
from novapulse.core.orders import Filled
from novapulse.core.ports import JournalError, Unwritable
from novapulse.core.postings import Book
from novapulse.ledger.drafts import Drafts, Rows, drafts_of, named, rows_of
from novapulse.ledger.files import BUSY_MS
from novapulse.ledger.opening import Place, bring_up, grow_log, open_storage, sqlite_notice
from novapulse.ledger.reads import Reads
from novapulse.ledger.schema import INT64_MAX, SCALE_MAX
from novapulse.ledger.storage import Storage


class Ledger(Reads):
    """The one writer of a ledger; implements `core.ports.Journal`. Safe to call from several threads.

    Attributes:
        notices: Sentences for the operator: what follows from the SQLite version, what was migrated.
    """

    def __init__(self, storage: Storage, notices: Sequence[str] = ()) -> None:
        super().__init__(storage)
        self.notices = tuple(notice for notice in notices if notice)
        self._doubt: tuple[int, bytes] | None = None
        self._known_balances: set[tuple[str, str, str, str]] = set()
        self._written_states: dict[AccountKey, tuple[int, bytes]] = {}

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        durable: bool = True,
        migrate: bool = True,
        busy_ms: int = BUSY_MS,
        now_ns: int | None = None,
        ledger_id: str = "",
    ) -> "Ledger":
        """Open a ledger for writing; create it where there is none, migrate an older one.

        Args:
            where: A path, `sqlite:///PATH`, `:memory:` or `postgresql://HOST/DATABASE`.
            durable: Whether a commit waits for the disk; False is for simulations.
            migrate: Whether an older schema may be changed.
            busy_ms: How long to wait for a foreign connection that holds the file.
            now_ns: Now, ns UTC; the system's clock by default.
            ledger_id: Name of a new ledger; drawn by default.

        Raises:
            Unwritable: Another process writes it, or it is damaged, read-only or not to be reached.
            SchemaError: Its schema is newer than this code, or older while somebody trades.
        """
        place = Place.of(where)
        storage = open_storage(place, durable=durable, busy_ms=busy_ms)
        try:
            said = bring_up(
                storage,
                place,
                now_ns=time.time_ns() if now_ns is None else now_ns,
                ledger_id=ledger_id or str(uuid.uuid4()),
                migrate=migrate,
            )
            if durable and place.path is not None:
                grow_log(storage)
            version = sqlite_notice() if place.path is not None else ""
            return cls(storage, (version, said))
        except storage.errors as error:
            failure = storage.failure(error)
            storage.close()
            raise failure from error
        except BaseException:
            storage.close()
            raise

    @property
    def gone(self) -> str:
        """Why nothing is written any more until it is opened anew; empty while it is not so."""
        return self.storage.gone

    def close(self) -> None:
        """End the connection; somebody else may write from now on."""
        with self._lock:
            self.storage.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Storage]:
        """Hold the storage for one transaction that writes; roll it back on any error.

        Raises:
            Unwritable: The storage did not take it.
            JournalError: A rule of the schema refused it.
        """
        with self._lock:
            try:
                self.storage.begin()
                yield self.storage
                self.storage.commit()
            except self.storage.errors as error:
                failure = self.storage.failure(error)
                self.storage.rollback()
                raise failure from error
            except BaseException:
                self.storage.rollback()
                raise

    # ---- Writing ----

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        """Write all of them, or none.

        Raises:
            Fenced: The lease of one of the accounts is not ours (any more).
            Unwritable: The storage did not take it; the message says why.
            JournalError: Something in it may not be written: a float, postings that do not balance, an id that is
                booked already, a hold below 0.
        """
        drafts = drafts_of(commits, self._scales)
        with self._lock:
            storage, rows = self.storage, None
            try:
                storage.begin()
                head_seq, head_hash = self._head_of_ours(commits)
                if self._doubt is not None:
                    self._settle_doubt()
                rows = rows_of(drafts, head_seq, head_hash)
                states = self._write(rows, drafts)
                self._end(rows)
            except storage.errors as error:
                failure = storage.failure(error)
                storage.rollback()
                if rows is not None and isinstance(error, storage.constraint_errors):
                    with suppress(*storage.errors):
                        failure = self._explained(rows, failure)
                raise failure from error
            except BaseException:
                storage.rollback()
                raise
            self._known_balances.update(rows.deltas)
            if self.storage.exclusive:
                self._written_states.update(states)

    def _head_of_ours(self, commits: Sequence[tuple[AccountKey, Commit]]) -> tuple[int, bytes]:
        """Lock and read the head, and refuse where one of the accounts is not ours."""
        execute, epochs = self.storage.execute, self.leases.epochs
        head: tuple[int, bytes] | None = None
        for account, _ in commits:
            here = (account.exchange, account.account_id)
            if head is None:
                head_seq, head_hash, epoch = execute(self._sql.head_and_epoch, here).fetchone()
                head = (head_seq, bytes(head_hash))
            else:
                row = execute(self._sql.epoch, here).fetchone()
                epoch = None if row is None else row[0]
            if epoch is None or epoch != epochs.get(account):
                raise self.leases.overtaken(account, self.leases.read(account))
        return head or self.head()

    def _write(self, rows: Rows, drafts: Drafts) -> dict[AccountKey, tuple[int, bytes]]:
        """Write everything, and return the states of accounts with their entries."""
        sql, execute, many = self._sql, self.storage.execute, self.storage.many
        if rows.event:
            if rows.posting:
                many(sql.add_posting, rows.posting)
            many(sql.add_event, rows.event)
            if rows.order_step:
                many(sql.add_order_step, rows.order_step)
            if rows.fill_key:
                many(sql.add_fill_key, rows.fill_key)
            if rows.deltas:
                unknown = rows.deltas.keys() - self._known_balances
                if unknown:
                    many(sql.add_balance, sorted(unknown))
                many(sql.move_balance, [(amount, *key) for key, amount in rows.deltas.items()])
            execute(sql.move_head, (rows.seq, rows.hash))
        states: dict[AccountKey, tuple[int, bytes]] = {}
        for account, commit, _ in drafts:
            here = (account.exchange, account.account_id)
            if commit.state or commit.ts_close_ns:
                before = states.get(account) or self._written_states.get(account)
                states[account] = self._put_checkpoint(account, commit, rows.last_seq.get(account, 0), before)
            if commit.holds:
                runs = [(*here, r.instrument.symbol, r.first_ns, r.last_ns, r.reason, r.bars) for r in commit.holds]
                many(sql.put_hold_run, runs)
        return states

    def _put_checkpoint(
        self, account: AccountKey, commit: Commit, seq: int, before: tuple[int, bytes] | None
    ) -> tuple[int, bytes]:
        here, state = (account.exchange, account.account_id), commit.state
        if not (state and seq):
            # Without records the state follows from those that it followed from before; without a state it is that one.
            seq, last = before or self._read_state(account)
            state = state or last
        state = sealed(state, account, commit.ts_close_ns, seq)
        self.storage.execute(self._sql.put_checkpoint, (*here, commit.ts_close_ns, seq, state))
        return seq, state

    def _read_state(self, account: AccountKey) -> tuple[int, bytes]:
        row = self.storage.execute(self._sql.read_checkpoint, (account.exchange, account.account_id)).fetchone()
        return (0, b"") if row is None else (row[1], bytes(row[2]))

    def _end(self, rows: Rows) -> None:
        if self._sql.notify and rows.event:
            self.storage.execute(self._sql.notify, (f"{self.ledger_id} {rows.seq}",))
        if self.storage.exclusive:
            self.storage.commit()
            return
        try:
            self.storage.commit()
        except self.storage.errors:
            # The answer may be what was lost. Only the ledger knows.
            if rows.event:
                self._doubt = (rows.seq, rows.hash)
                self.storage.rollback()
                self.storage.begin()
                if self._arrived():
                    self._doubt = None
                    self.storage.rollback()
                    return
                self._doubt = None
            raise

    def _arrived(self) -> bool:
        assert self._doubt is not None
        seq, wanted = self._doubt
        row = self.storage.execute(self._sql.find_hash, (seq,)).fetchone()
        return row is not None and bytes(row[0]) == wanted

    def _settle_doubt(self) -> None:
        if self._arrived():
            raise Unwritable(f"{self.place}: a commit that was given up did arrive: start anew from the ledger")
        self._doubt = None

    def _explained(self, rows: Rows, failure: JournalError) -> JournalError:
        """Name the key or the balance that the storage refused."""
        orders = [(exchange, account_id, key) for exchange, account_id, key, step, *_ in rows.order_step if not step]
        checks = (
            ("client order id", self._sql.find_client_order, orders),
            ("trade id", self._sql.find_fill, [key[:3] for key in rows.fill_key]),
        )
        for what, find, keys in checks:
            seen: set[tuple[str, str, str]] = set()
            for exchange, account_id, key in keys:
                row = self.storage.execute(find, (exchange, account_id, key)).fetchone()
                where = "twice in one commit" if row is None else f"booked already, by event {row[0]}"
                if row is not None or (exchange, account_id, key) in seen:
                    return JournalError(f"{what} {key} of {named(AccountKey(exchange, account_id))}: {where}")
                seen.add((exchange, account_id, key))
        for (exchange, account_id, book, asset), delta in rows.deltas.items():
            row = self.storage.execute(self._sql.read_balance, (exchange, account_id, book, asset)).fetchone()
            after = delta + (0 if row is None else row[0])
            where = f"{book} of {named(AccountKey(exchange, account_id))}"
            if book == Book.HOLD and after < 0:
                return JournalError(f"{where} would fall to {after} {asset}: more is released than was held")
            if not -INT64_MAX <= after <= INT64_MAX:
                return JournalError(f"{where} would become {after} {asset}, which does not fit 64 bits")
        return failure

    def register_assets(self, scales: Mapping[str, int]) -> None:
        """Give assets their scales; those that have theirs already keep it.

        Args:
            scales: Asset -> decimal digits that the ledger counts it in.

        Raises:
            JournalError: An asset has another scale already, or one that the ledger does not count in.
            Unwritable: The storage did not take it.
        """
        for asset, scale in scales.items():
            if type(scale) is not int or not 0 <= scale <= SCALE_MAX:
                raise JournalError(f"asset {asset}: scale {scale!r}, expected 0..{SCALE_MAX}")
            if not asset or any(character.isspace() for character in asset):
                raise JournalError(f"asset {asset!r}: expected a code without blanks")
        with self._lock:
            if all(self._scales.get(asset) == scale for asset, scale in scales.items()):
                return
            with self.transaction() as storage:
                storage.many(self._sql.add_asset, sorted(scales.items()))
                found: dict[str, int] = dict(storage.execute(self._sql.read_assets).fetchall())
                for asset, scale in scales.items():
                    if found[asset] != scale:
                        raise JournalError(f"asset {asset}: counted in {found[asset]} digits here, not in {scale}")
            self._scales = found

    def unbooked(self, account: AccountKey, found: Sequence[Filled]) -> list[Filled]:
        """Return those of some executions that the ledger lacks, in their order.

        Raises:
            Unwritable: The storage could not be read.
        """
        with self.reading() as storage:
            here = (account.exchange, account.account_id)
            asked = self._sql.find_fill
            return [one for one in found if storage.execute(asked, (*here, one.venue_trade_id)).fetchone() is None]

    def prune_hold_runs(self, before_ns: int) -> int:
        """Forget runs of bars that ended before a moment; return how many."""
        with self.transaction() as storage:
            return storage.execute(self._sql.prune_hold_runs, (before_ns,)).rowcount

    def shrink_log(self) -> None:
        """Copy the write-ahead log into the file and empty it; call it when nothing is to be done."""
        with self.reading() as storage:
            storage.shrink()

    # ---- Leases ----

    def take_lease(self, account: AccountKey, holder: str, now_ns: int, ttl_ns: int, host: str = "") -> int:
        """Take an account and return the epoch of the lease.

        Args:
            account: Which.
            holder: Name of this process, unique to it.
            now_ns: Now, ns UTC.
            ttl_ns: How long it lasts unless it is renewed.
            host: Where the holder runs.

        Raises:
            Fenced: Another holder has it; the message names it.
            Unwritable: The storage did not take it.
        """
        with self.transaction():
            epoch = self.leases.take(account, holder, host, now_ns, ttl_ns)
        self.leases.epochs[account] = epoch
        return epoch

    def renew_lease(self, account: AccountKey, now_ns: int, ttl_ns: int) -> None:
        """Let our lease last longer.

        Raises:
            Fenced: It is not ours any more.
            Unwritable: The storage did not take it.
        """
        with self.transaction():
            self.leases.renew(account, now_ns, now_ns + ttl_ns)

    def release_lease(self, account: AccountKey, now_ns: int) -> None:
        """Give our lease back.

        Raises:
            Fenced: It is not ours any more.
            Unwritable: The storage did not take it.
        """
        with self.transaction():
            self.leases.renew(account, now_ns, 0)
        del self.leases.epochs[account]
