"""The candles of one instrument of an account, kept current: bars as they close, fills, levels, regimes and votes.

Invariants:
- a bar is shown once it has closed and was recorded, and no bar twice;
- a regime and a vote stand only at bars for which a reading had them, be it later, or at which they could be made again
  from ledger and lake: nothing is filled in between;
- what is made again is shown only if it is, to the bit, what readings had wherever they had something.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.core.bars import BarColumns, Floats
from novapulse.market.storage import DataError
from novapulse.monitor import AccountState
from novapulse.monitor.bars import NoBarsError, bars_of
from novapulse.monitor.state import InstrumentState
from novapulse.monitor.voted import Memory, Voted
from novapulse.ui.jobs import Job
from novapulse.ui.widgets import Candles

BARS_SHOWN = 720
_ONE_BY_ONE_MAX = 5
_LANE = "consensus"


class Chart:
    """Candles of an instrument.

    Attributes:
        widget: What draws them.
        problem: Why there are none, in words; empty where there are.
        timeframe_ns: Width of a bar.
    """

    def __init__(
        self,
        home: Path,
        account: AccountState,
        symbol: str,
        widget: Candles,
        memory: Memory | None = None,
        earlier: Job[dict[int, Voted]] | None = None,
    ) -> None:
        """Read the last bars and show them.

        Args:
            home: Folder of the trader's state.
            account: Whose fills, levels and votes are shown.
            symbol: Of the instrument.
            widget: To show them on.
            memory: What was voted at earlier closes.
            earlier: Makes those votes again that nobody heard.
        """
        self.widget = widget
        self.problem = ""
        self._home, self._exchange, self._symbol = home, account.exchange, symbol
        self._seen: dict[int, Voted] = {}
        self._strategies: tuple[str, ...] = ()
        self._earlier = earlier
        self._first_ns = self._last_ns = 0
        self.timeframe_ns = 0
        self._last_bar: tuple[float, ...] = ()
        try:
            bars = bars_of(home, account.exchange, symbol, last=BARS_SHOWN)
        except (NoBarsError, DataError) as wrong:
            self.problem = str(wrong)
            return
        self._seen |= {} if memory is None else memory.closes(account.exchange, account.account_id, symbol)
        self._note(account)
        self._begin(bars)

    def show(self, account: AccountState) -> None:
        """Show what a reading says: more bars where there are, and what happened on them."""
        if self.problem:
            return
        noted, is_more = self._note(account), self._note_missed(account)
        is_more |= self._take_earlier()
        instrument = _instrument(account, self._symbol)
        if is_more or self._names() != self._strategies:
            # Votes on earlier bars, or a lane more: what is drawn begins anew.
            self._more(anew=True)
        elif instrument is not None and (instrument.price_ns or 0) > self._last_ns:
            self._more()
        elif noted == self._last_ns:
            # The vote of a bar that stood there before it.
            self._draw(self._last_bar)
        self.widget.show_fills(self._fills(account))
        self.widget.show_lines(lines_of(account, self._symbol))
        self.widget.show_regimes(self._regimes())

    def _begin(self, bars: BarColumns) -> None:
        self.timeframe_ns = bars.timeframe_ns
        self._first_ns, self._last_ns = int(bars.ts_close_ns[0]), int(bars.ts_close_ns[-1])
        self._last_bar = _rows(bars)[-1]
        self._strategies = self._names()
        self.widget.show_bars(bars, self._votes(bars))

    def _more(self, *, anew: bool = False) -> None:
        try:
            bars = bars_of(self._home, self._exchange, self._symbol, last=BARS_SHOWN)
        except (NoBarsError, DataError):
            # The recording is being moved; the next reading asks again.
            return
        self._first_ns = int(bars.ts_close_ns[0])
        rows = [row for row in _rows(bars) if row[0] > self._last_ns]
        if anew or len(rows) > _ONE_BY_ONE_MAX:
            self._begin(bars)
            return
        for row in rows:
            self._last_ns, self._last_bar = int(row[0]), row
            self._draw(row)

    def _draw(self, row: tuple[float, ...]) -> None:
        seen = self._seen.get(int(row[0]))
        self.widget.append(row, {_LANE: seen.consensus, **(seen.forecasts or {})} if seen else None)

    def _note(self, account: AccountState) -> int | None:
        """Keep what was voted, and return the bar of which more is known now."""
        for one in account.recent_decisions:
            if one.symbol == self._symbol and one.consensus is not None:
                self._seen.setdefault(one.ts_ns, Voted(one.regime, one.consensus))
        instrument = _instrument(account, self._symbol)
        for ts_ns in [one for one in self._seen if one < self._first_ns]:
            del self._seen[ts_ns]
        if instrument is None or instrument.votes_ns is None or instrument.consensus is None:
            return None
        known = self._seen.get(instrument.votes_ns)
        if known is not None and (known.forecasts is not None or instrument.forecasts is None):
            return None
        self._seen[instrument.votes_ns] = Voted(instrument.regime, instrument.consensus, instrument.forecasts)
        return instrument.votes_ns

    def _note_missed(self, account: AccountState) -> bool:
        """Keep what was voted between two readings, and tell whether that is of bars that are drawn already."""
        instrument = _instrument(account, self._symbol)
        missed = [
            one
            for one in (() if instrument is None else instrument.votes_before)
            if one.ts_ns >= self._first_ns and self._is_unheard(one.ts_ns)
        ]
        self._seen |= {one.ts_ns: Voted(one.regime, one.consensus, one.forecasts) for one in missed}
        return any(one.ts_ns <= self._last_ns for one in missed)

    def _take_earlier(self) -> bool:
        """Take what was made again, once it is there, and tell whether anything came of it."""
        job = self._earlier
        if job is None or not job.is_over:
            return False
        self._earlier = None
        made = job.result or {}
        if any(not _agree(self._seen[ts_ns], made[ts_ns]) for ts_ns in self._seen.keys() & made.keys()):
            return False
        unheard = [ts_ns for ts_ns in made if ts_ns >= self._first_ns and self._is_unheard(ts_ns)]
        self._seen |= {ts_ns: made[ts_ns] for ts_ns in unheard}
        return bool(unheard)

    def _is_unheard(self, ts_ns: int) -> bool:
        known = self._seen.get(ts_ns)
        return known is None or known.forecasts is None

    def _names(self) -> tuple[str, ...]:
        """Return the strategies of which votes are known."""
        return tuple(sorted({name for one in self._seen.values() for name in one.forecasts or ()}))

    def _votes(self, bars: BarColumns) -> dict[str, Floats]:
        seen = [self._seen.get(int(ts_ns)) for ts_ns in bars.ts_close_ns]
        lanes = {_LANE: np.array([math.nan if one is None else one.consensus for one in seen])}
        for name in self._strategies:
            heard = (math.nan if one is None else (one.forecasts or {}).get(name, math.nan) for one in seen)
            lanes[name] = np.fromiter(heard, np.float64, len(seen))
        return lanes

    def _fills(self, account: AccountState) -> list[dict[str, Any]]:
        units = {"base": account.bases.get(self._symbol, ""), "quote": account.quote}
        return [
            {"ts_ns": one.ts_event_ns, "side": one.side.upper(), "qty": str(one.qty), "price": str(one.price), **units}
            for one in account.recent_fills
            if one.symbol == self._symbol and one.ts_event_ns is not None and one.ts_event_ns >= self._first_ns
        ]

    def _regimes(self) -> list[dict[str, Any]]:
        """Return stretches of bars, each next to the one before, of which the same regime is known."""
        found: list[dict[str, Any]] = []
        for ts_ns, voted in sorted(self._seen.items()):
            regime = voted.regime
            if not regime or ts_ns < self._first_ns:
                continue
            before = found[-1] if found else None
            if before and before["name"] == regime and ts_ns - before["to_ns"] <= self.timeframe_ns:
                before["to_ns"] = ts_ns
            else:
                found.append({"name": regime, "from_ns": ts_ns, "to_ns": ts_ns})
        return found


def lines_of(account: AccountState, symbol: str) -> list[dict[str, Any]]:
    """Return entry, stop and target of what is held, and the limits of entries at work."""
    lines: list[dict[str, Any]] = []
    for held in account.positions:
        if held.symbol == symbol:
            is_armed = not held.stop_missing_reason
            words = {"stop": "stop, being changed" if held.stop_status == "REPLACE_PENDING" else "stop"}
            if not is_armed:
                # The target is of the same order: neither is at the venue.
                words = {"stop": "stop NOT at the venue", "target": "target NOT at the venue"}
            kinds = {"entry": "entry", **{kind: kind if is_armed else "absent" for kind in ("stop", "target")}}
            levels = (("entry", held.entry_price), ("stop", held.stop_price), ("target", held.target_price))
            lines += [
                {"kind": kinds[kind], "price": str(price), "text": words.get(kind, kind)}
                for kind, price in levels
                if price is not None
            ]
    lines += [
        {"kind": "order", "price": str(one.limit_price), "text": f"{one.side} order"}
        for one in account.orders
        if one.symbol == symbol and one.role == "entry" and one.limit_price is not None
    ]
    return lines


def _agree(heard: Voted, made: Voted) -> bool:
    is_same = (heard.regime, heard.consensus) == (made.regime, made.consensus)
    return is_same and heard.forecasts in (None, made.forecasts)


def _instrument(account: AccountState, symbol: str) -> InstrumentState | None:
    return next((one for one in account.votes if one.symbol == symbol), None)


def _rows(bars: BarColumns) -> list[tuple[float, ...]]:
    columns = (bars.ts_close_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))
