"""What is known of all accounts, read from the ledger and the health document, and never written."""

from novapulse.monitor.home import read_home
from novapulse.monitor.hub import Hub, hub_of
from novapulse.monitor.state import AccountState, Overview, UnknownAccountError

__all__ = ["AccountState", "Hub", "Overview", "UnknownAccountError", "hub_of", "read_home"]
