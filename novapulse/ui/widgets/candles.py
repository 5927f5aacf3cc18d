"""The chart of bars and of what happened on them.

Times are closes, as everywhere: a bar stands at its close, and a fill on the first bar that closed at or after it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import traitlets
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, Floats
from novapulse.ui.widgets.assets import asset
from novapulse.ui.widgets.live import State
from novapulse.ui.widgets.streamed import ROWS_MAX, Streamed

_SECOND_NS = 1_000_000_000
_END_S = 2**63 / _SECOND_NS - 1
"""Where ns of 64 bits end."""


@dataclass(frozen=True)
class Trips:
    """Round trips as the chart draws them.

    Attributes:
        rows: float64[R, 12], columns as in `COLUMNS`: times in seconds UTC, prices in quote, `pnl` in quote; `lead` and
            `reason` are places in the names beside them, `lead` -1 for nobody. NaN is unknown.
        leads: Names of strategies.
        reasons: Why round trips ended, in words.
    """

    COLUMNS: ClassVar = (
        *("number", "from_s", "to_s", "entry", "exit", "direction"),
        *("r", "pnl", "stop", "target", "lead", "reason"),
    )

    rows: NDArray[np.float64]
    leads: Sequence[str]
    reasons: Sequence[str]


class Candles(Streamed):
    """Candles of at most 20,000 bars.

    Attributes:
        height: Pixels, without the lanes of votes.
        whole: Whether all bars are in sight at first; closes are drawn as a line where candles would be too thin.
        lanes: Names of the strategies whose votes are drawn over the chart.
        folded: Whether the first lane alone is drawn until somebody asks for the others.
        votes: What `show_votes` gave.
        trips: What `show_trips` gave.
        clicked: `{"time": seconds}`, the close of the bar that was clicked last, or chosen with the enter key.
    """

    _esm, _css = asset("candles.js"), asset("candles.css")
    height = traitlets.Int(420).tag(sync=True)
    whole = traitlets.Bool(False).tag(sync=True)
    lanes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    votes = traitlets.Dict().tag(sync=True)
    trips = traitlets.Dict().tag(sync=True)
    folded = traitlets.Bool(False).tag(sync=True)
    clicked = traitlets.Dict().tag(sync=True)

    def __init__(self, bars: BarColumns | None = None, **shown: Any) -> None:
        super().__init__(**shown)
        self._annotations: dict[str, Any] = {}
        self._in_rows: tuple[str, ...] = ()
        self._on_choice: Callable[[int], object] = lambda ts_ns: None
        self.observe(self._tell_choice, "clicked")
        if bars is not None:
            self.show_bars(bars)

    def show_bars(self, bars: BarColumns, votes: Mapping[str, Floats] | None = None) -> None:
        """Show bars in place of all others, and under them what each strategy forecast.

        Args:
            bars: The latest 20,000 are drawn.
            votes: By strategy float64[N] beside the bars, -20 to 20, NaN where it had no vote.
        """
        votes = votes or {}
        self._in_rows = tuple(votes)
        assert all(len(vote) == len(bars.ts_close_ns) for vote in votes.values()), "a vote per bar"
        with self.hold_sync():
            self.lanes, self.votes = list(votes), {}
            self.send_rows(_rows_of(bars, *votes.values()))

    def show_votes(self, bars: BarColumns, votes: Mapping[str, Floats], of: str) -> None:
        """Show votes over bars. Bars that are shown already are neither sent nor drawn again.

        Args:
            bars: At most 20,000.
            votes: By strategy float64[N] beside the bars, -20 to 20, NaN where it had no vote.
            of: What they are of, not empty; the page names it once it has drawn them.
        """
        assert len(bars) <= ROWS_MAX, "none may be left out"
        assert all(vote.size == len(bars) for vote in votes.values()), "a vote per bar"
        with self.hold_sync():
            if not np.array_equal(_rows_of(bars), self._latest):
                self.show_bars(bars)
            self.lanes, self.votes = list(votes), {"of": of, "rows": _table(list(votes.values()), len(bars))}

    def show_trips(self, trips: Trips, of: str, selected: int | None = None, currency: str = "") -> None:
        """Show round trips in place of all others: the bars are neither sent nor drawn again.

        Args:
            trips: Round trips of the instrument.
            of: The run they are of, not empty; the page names it once it has drawn them.
            selected: `number` of the one that is pointed out; None for none.
            currency: Of what they made; empty where nobody says.
        """
        self.trips = {
            "of": of,
            "currency": currency,
            "selected": selected,
            "rows": _table(trips.rows, len(Trips.COLUMNS)),
            "leads": list(trips.leads),
            "reasons": list(trips.reasons),
        }

    def append(self, bar: Sequence[float], votes: Mapping[str, float] | None = None) -> None:
        """Show one more bar, or the last one as it is now.

        Args:
            bar: Close in ns UTC, open, high, low, close, volume.
            votes: By strategy, for those that were given at the start; one that is missing had no vote.
        """
        ts_close_ns, *prices = bar
        assert len(prices) == 5, "open, high, low, close, volume"
        forecasts = [(votes or {}).get(name, float("nan")) for name in self._in_rows]
        self.send_row([ts_close_ns / _SECOND_NS, *prices, *forecasts])

    def show_fills(self, fills: Iterable[State]) -> None:
        """Mark executions.

        Args:
            fills: Each with `ts_ns`, `side` ("BUY" or "SELL"), `qty`, `price`, and where wanted `base` and `quote`.
        """
        self._annotate("fills", [{**_plain(fill), "time": _seconds(fill["ts_ns"])} for fill in fills])

    def show_lines(self, lines: Iterable[State]) -> None:
        """Draw levels across the chart.

        Args:
            lines: Each with `price`, `kind` ("entry", "stop", "target" or another word) and where wanted `text`.
        """
        self._annotate("lines", [_plain(line) for line in lines])

    def show_regimes(self, regimes: Iterable[State]) -> None:
        """Tint stretches of time.

        Args:
            regimes: Each with `name` and the closes of its first and last bar, `from_ns` and `to_ns` (None: goes on),
                and where wanted `depth`, how much of its colour lies behind the candles, 0 to 1.
        """
        self._annotate(
            "regimes",
            [
                {
                    **_plain(one),
                    "from": _seconds(one["from_ns"]),
                    # The page counts up to the first bar that is not part of it; its seconds know no single ns.
                    "to": None if one["to_ns"] is None else _seconds(one["to_ns"] + 1_000_000),
                }
                for one in regimes
            ],
        )

    def show_note(self, note: str) -> None:
        """Say under the chart what its bars are."""
        self._annotate("note", note)

    def show_moment(self, ts_ns: int, name: str) -> None:
        """Mark the bar that the chart is about, and bring it to the middle.

        Args:
            ts_ns: Its close.
            name: What is said of it, such as "decided here".
        """
        self._annotate("marked", {"time": _seconds(ts_ns), "name": name})

    def show_chosen(self, ts_ns: int | None) -> None:
        """Tint the bar that the page says something of.

        Args:
            ts_ns: A moment inside it, or its close; None for none.
        """
        self._annotate("chosen", {} if ts_ns is None else {"time": _seconds(ts_ns)})

    def on_choice(self, call: Callable[[int], object]) -> None:
        """Call with every bar that is chosen from now on, in place of what was called before.

        Args:
            call: Gets the close, ns UTC, as `chosen_ns` returns it.
        """
        self._on_choice = call

    @property
    def chosen_ns(self) -> int | None:
        """Return the close of the bar that was chosen last, ns UTC, exact for closes of whole microseconds.

        It is what the page says was clicked, and need not be a bar that there is; None for none, or for no time at all.
        """
        time_s = self.clicked.get("time")
        if not isinstance(time_s, int | float) or not math.isfinite(time_s) or not 0 <= time_s < _END_S:
            return None
        return round(time_s * 1_000_000) * 1_000

    def show_answer(self, answers: Iterable[State]) -> None:
        """Say something of the bar that was chosen, under the chart and to those who hear the page.

        Args:
            answers: Sentences, each as `text` and where wanted `href`.
        """
        self._annotate("answers", [dict(answer) for answer in answers])

    def _tell_choice(self, _: object) -> None:
        if self.chosen_ns is not None:
            self._on_choice(self.chosen_ns)

    def _annotate(self, what: str, shown: object) -> None:
        with self._one_at_a_time:
            self._annotations = {**self._annotations, what: shown}
            self.show_state(self._annotations)


def _rows_of(bars: BarColumns, *votes: Floats) -> NDArray[np.float64]:
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return np.column_stack([bars.ts_close_ns[-ROWS_MAX:] / _SECOND_NS, *(one[-ROWS_MAX:] for one in (*prices, *votes))])


def _table(rows: Sequence[Floats] | NDArray[np.float64], width: int) -> bytes:
    whole = np.asarray(rows, dtype="<f8").reshape(-1, width)
    return np.float64(width).tobytes() + whole.tobytes()


def _seconds(ts_ns: int) -> float:
    return ts_ns / _SECOND_NS


def _plain(given: State) -> dict[str, Any]:
    return {key: value for key, value in given.items() if not key.endswith("_ns")}
