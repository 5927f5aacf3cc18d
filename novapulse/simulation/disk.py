"""The ledger of one seed, in memory, and what can be wrong with the disk below it.

Invariants:
- what `commit` returned for is durable; what it raised for was not written;
- the one exception is planted on purpose: an old copy that was put back.
"""

from collections.abc import Sequence

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit
from novapulse.core.ports import Fenced, Unwritable
from novapulse.ledger.journal import Ledger
from novapulse.ledger.lease import Leases
from novapulse.ledger.opening import Place, open_storage
from novapulse.ledger.reads import RestoredAccount
from novapulse.ledger.storage import SqliteStorage
from novapulse.simulation.faults import Fault
from novapulse.simulation.marks import Marks
from novapulse.simulation.plan import FaultPlan
from novapulse.simulation.scene import Scene

FOR_EVER_NS = 10**18


class Disk:
    """Where the accounts of one process write.

    Attributes:
        ledger: In memory, not durable beyond the seed.
        full_until_ns: It takes nothing up to then.
        copy: An older state of it; empty for none.
    """

    def __init__(self, scene: Scene, plan: FaultPlan, marks: Marks, place: str = ":memory:") -> None:
        """Make an empty ledger that knows the scene's assets, in memory or in a file."""
        self.plan = plan
        self.marks = marks
        self.full_until_ns = 0
        self.copy = b""
        self.now_ns = plan.begin_ns
        self.ledger = Ledger.open(place, durable=False, now_ns=plan.begin_ns, ledger_id=f"seed {plan.seed}")
        self.ledger.register_assets(scene.scales)

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        """Write all of them, or none; see `core.ports.Journal`."""
        if self.now_ns < self.full_until_ns:
            raise Unwritable("no space left on device")
        if self.plan.is_stormy(self.now_ns):
            rate = self.plan.rates.get(Fault.LEDGER_LOCKED, 0.0)
            if rate and self.plan.chance.happens(Fault.LEDGER_LOCKED, rate):
                self.marks.saw(Fault.LEDGER_LOCKED)
                raise Unwritable("database is locked")
        self.ledger.commit(commits)

    def restore(self, account: AccountKey) -> RestoredAccount:
        """Return what a trader of an account starts from."""
        return self.ledger.restore(account)

    def take_lease(self, account: AccountKey, holder: str, now_ns: int) -> None:
        """Let a process have an account; whoever had it before is overtaken."""
        self.ledger.leases.epochs.pop(account, None)
        self.ledger.take_lease(account, holder, now_ns, FOR_EVER_NS)

    def overtake(self, account: AccountKey, holder: str, now_ns: int) -> int:
        """Let another process take an account without this one hearing of it; return its epoch."""
        with self.ledger.transaction():
            return Leases(self.ledger.storage).take(account, holder, "", now_ns, FOR_EVER_NS)

    def is_fenced(self, account: AccountKey, commit: Commit, epoch: int) -> bool:
        """Tell whether a process that holds an epoch is refused when it commits; nothing may be written then."""
        epochs = self.ledger.leases.epochs
        ours, epochs[account] = epochs[account], epoch
        try:
            self.ledger.commit([(account, commit)])
        except Fenced:
            return True
        finally:
            epochs[account] = ours
        return False

    def take_copy(self) -> None:
        """Keep the ledger as it is now."""
        storage = self.ledger.storage
        assert isinstance(storage, SqliteStorage)
        self.copy = storage.connection.serialize()

    def put_copy_back(self) -> bool:
        """Be as old as the copy; False when there is none."""
        if not self.copy:
            return False
        storage = open_storage(Place.of(":memory:"), durable=False)
        assert isinstance(storage, SqliteStorage)
        storage.connection.deserialize(self.copy)
        self.ledger.close()
        self.ledger, self.copy = Ledger(storage), b""
        return True
