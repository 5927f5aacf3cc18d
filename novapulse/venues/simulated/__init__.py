"""A venue of our own: orders meet bars by the fill model of the backtest, over a book that can be kept in a file.

- `SimulatedExchange`: the venue's truth about one account; plain, synchronous, time by argument, no file.
- `Levers`: what a venue does of its own accord: the faults that a simulation plants.
- `PaperFile`: the exchange's state in a file, row by row, so that it outlives the trader.
- `PaperVenue`: both together behind `core.ports.Venue`.
"""

from novapulse.venues.simulated.book import ClientIds, Funds, Order, Refusal, VenueMode
from novapulse.venues.simulated.exchange import SimulatedExchange
from novapulse.venues.simulated.file import PaperFile, PaperFileError, print_of
from novapulse.venues.simulated.levers import Levers
from novapulse.venues.simulated.paper import PaperVenue

__all__ = [
    "ClientIds",
    "Funds",
    "Levers",
    "Order",
    "PaperFile",
    "PaperFileError",
    "PaperVenue",
    "Refusal",
    "SimulatedExchange",
    "VenueMode",
    "print_of",
]
