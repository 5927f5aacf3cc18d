"""What was really reached: `sometimes` marks of faults, write points and ways of recovery."""

from collections import Counter

from novapulse.simulation.faults import Fault


class Marks:
    """Counts of one seed, or of many together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def saw(self, fault: Fault) -> None:
        """A fault happened to something."""
        self.counts[f"fault {fault.value}"] += 1

    def reached(self, what: str) -> None:
        """A way of recovery, or a point of the program, was reached."""
        self.counts[what] += 1

    def add(self, counts: "Counter[str] | dict[str, int]") -> None:
        """Take over the counts of another seed."""
        self.counts.update(counts)
