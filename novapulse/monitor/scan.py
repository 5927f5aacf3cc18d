"""Every instrument of every account in one list, as the last reading has them: nothing is computed anew."""

from dataclasses import dataclass

from novapulse.monitor.state import AccountState, InstrumentState, Overview
from novapulse.monitor.values import Value


@dataclass(frozen=True, slots=True)
class ScanRow(Value):
    """An instrument of an account.

    Attributes:
        exchange: Whose.
        account_id: Whose.
        mode: What the account may do; None while unknown.
        healthy: Whether the account is.
        proven: Whether this is so now, or was so when the ledger could last be read.
        instrument: Its votes and its state.
    """

    exchange: str
    account_id: str
    mode: str | None
    healthy: bool
    proven: bool
    instrument: InstrumentState


def rows(
    overview: Overview,
    *,
    exchange: str = "",
    account_id: str = "",
    states: tuple[str, ...] = (),
    consensus_min: float = 0.0,
    text: str = "",
) -> tuple[ScanRow, ...]:
    """Return the instruments that fit, those with the strongest consensus first, unknown ones last.

    Args:
        overview: A reading.
        exchange: Only this one; empty for all.
        account_id: Only accounts of this name; empty for all.
        states: Only these, such as `("long", "short")`; all by default.
        consensus_min: Smallest size of the consensus, 0..20.
        text: Only symbols that hold it, in capitals or not.

    Raises:
        UnknownAccountError: Exchange and account id are both given, and there is no such account.
    """
    accounts: tuple[AccountState, ...] = overview.accounts
    if exchange and account_id:
        accounts = (overview.account(exchange, account_id),)
    found = [
        ScanRow(one.exchange, one.account_id, one.mode, one.healthy, one.proven, instrument)
        for one in accounts
        if exchange in ("", one.exchange) and account_id in ("", one.account_id)
        for instrument in one.votes
        if (not states or instrument.state in states)
        and _strength(instrument) >= consensus_min
        and text.upper() in instrument.symbol.upper()
    ]
    return tuple(sorted(found, key=_order))


def _strength(one: InstrumentState) -> float:
    return 0.0 if one.consensus is None else abs(one.consensus)


def _order(row: ScanRow) -> tuple[bool, float, str, str, str]:
    one = row.instrument
    return one.consensus is None, -_strength(one), row.exchange, row.account_id, one.symbol
