"""A process that trades on paper and says after each move that it is done; its arguments: the file, the first move."""

import sys
from pathlib import Path

from novapulse.venues.simulated import PaperVenue
from tests.backtest.builders import bare_rules
from tests.venues.builders import exchange_of
from tests.venues.moves import act, script

MOVES = script(20_240, 400)


class NoClock:
    def now_ns(self) -> int:
        raise AssertionError("time comes by argument")


def opening():
    return exchange_of(bare_rules(participation_max=0.1))


def main(path: Path, first: int) -> None:
    venue = PaperVenue(opening, NoClock(), path=path)
    print("open", flush=True)
    for number in range(first, len(MOVES)):
        act(venue, number, MOVES[number])
        print(number, flush=True)
    venue.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
