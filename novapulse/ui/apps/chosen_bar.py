"""What is said of a bar that was chosen on a chart: what was decided on it, or why nothing was."""

from typing import Any

from novapulse.core.ports import JournalError
from novapulse.monitor import AccountState, UnknownAccountError
from novapulse.monitor.history import BarState, HoldState, of_bar
from novapulse.ui.apps.frame import Page
from novapulse.ui.apps.tables import decision_link, moment
from novapulse.ui.widgets import Candles


class ChosenBar:
    """Answers on a chart; the account is that of the latest reading."""

    def __init__(self, page: Page, account: AccountState, symbol: str, widget: Candles) -> None:
        """Answer from now on.

        Args:
            page: Which shows the chart.
            account: Whose decisions.
            symbol: Of which instrument.
            widget: The chart.
        """
        self._page, self._account, self._symbol, self._widget = page, account, symbol, widget
        page.on_account(self._follow)
        widget.on_choice(self._answer)

    def _follow(self, account: AccountState) -> None:
        self._account = account

    def _answer(self, ts_close_ns: int) -> None:
        self._widget.show_answer(answers(self._page, self._account, self._symbol, ts_close_ns))


def answers(page: Page, account: AccountState, symbol: str, ts_close_ns: int) -> list[dict[str, Any]]:
    """Return sentences about a bar: a decision leads to its explanation, a bar without one says why.

    Args:
        page: Which shows them.
        account: Whose decisions.
        symbol: Of which instrument.
        ts_close_ns: Close of the bar, ns UTC.
    """
    at = f"{moment(ts_close_ns)} UTC"
    try:
        found = of_bar(page.home, account.key, symbol, ts_close_ns)
    except (JournalError, UnknownAccountError) as wrong:
        return [{"text": f"{at}: {wrong}"}]
    if found.decisions:
        return [
            {
                "text": f"{at}: {' '.join(filter(None, (one.action.lower(), one.side)))}, {one.why}",
                "href": decision_link(page, account, one.decision_id),
            }
            for one in found.decisions
        ]
    return [{"text": f"{at}: {_why_none(found, account, symbol, ts_close_ns)}"}]


def _why_none(found: BarState, account: AccountState, symbol: str, ts_close_ns: int) -> str:
    if found.hold is not None:
        return f"nothing was done, {found.hold.why} ({_stretch(found.hold)})"
    now = next((one for one in account.votes if one.symbol == symbol), None)
    if now is not None and now.why_not and now.why_not_since_ns is not None and now.why_not_since_ns <= ts_close_ns:
        since = f"so on every bar since {moment(now.why_not_since_ns)} UTC"
        return f"nothing was done, {now.why_not} ({since})"
    return "the ledger has no decision of this bar, and no reason why there is none: nobody decided then"


def _stretch(hold: HoldState) -> str:
    if hold.bars == 1:
        return "on this bar alone"
    return f"so on {hold.bars:,} bars, {moment(hold.first_ns)} to {moment(hold.last_ns)} UTC"
