"""What the help says of commands that look back: `novapulse explain` and `novapulse parity`."""

ABOUT_EXPLAIN = """\
Say why a bar was traded, or why not.

Name the run with the words that you gave to 'novapulse backtest', then the bar:
what an account decides depends on everything that it trades.

Without --at, --decision and --why-not it lists the last decisions of a ledger with their ids.
--decision ID makes a recorded decision of a ledger again, from ledger and lake, and
compares it byte by byte; exit 1 when it does not come out the same. --why-not tells
from a ledger on how many bars nothing was done, and why.
"""

ABOUT_PARITY = """\
Climb the ladder from the decision core to the session, rung by rung, with counts, and
with the cause of every difference: data, price, fill, fee, delay, gate, limits or restart.

  1  folding decisions one by one = the kernel of the backtest, bit for bit
  2  the whole engine in virtual time = the kernel, on every round trip
  3  the replay of a recorded session = the session, record by record
  4  with faults, the invariants hold: novapulse simulate

Without --session a session is recorded on the spot, with a late bar, a pause and a
restart in it. With it (the number of a session's first record, 'last', or the name that
`live --json` prints as session: then each account of that run is compared) the bars and
settings are the session's own, as it recorded them, and it is compared with its own
backtest as well. Exit 0 when every rung holds, 1 when one does not.
"""
