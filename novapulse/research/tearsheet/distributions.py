"""How results, times held and excursions of round trips are spread."""

from typing import Any

import numpy as np

from novapulse.core.bars import Floats
from novapulse.core.words import counted
from novapulse.research.tearsheet.charts import Chart
from novapulse.research.tearsheet.scales import Scale, Tick, number_ticks, scale_of, signed
from novapulse.research.tearsheet.svg import Plot
from novapulse.research.tearsheet.words import R_RESULT, duration

Trips = Any
"""ROUND_TRIP[R]."""

_DRAWN_MAX = 600
_R_LOW, _R_HIGH = -8.0, 12.0
_HELD_LABELS = 9
_HELD_EDGES = {
    0: "0",
    1: "1m",
    2: "2m",
    5: "5m",
    10: "10m",
    20: "20m",
    30: "30m",
    60: "1h",
    120: "2h",
    240: "4h",
    480: "8h",
    1440: "1d",
    2880: "2d",
    5760: "4d",
    10_080: "1w",
    20_160: "2w",
    40_320: "4w",
    129_600: "90d",
    525_600: "1y",
}  # minutes


def r_histogram(trips: Trips) -> Chart:
    """Return how often round trips made how many R."""
    title = "Result per round trip, in R"
    r, lost = _known(trips["r_multiple"])
    if r.size == 0:
        return Chart(title, "No round trip with a known R.")
    low, high = max(float(r.min()), _R_LOW), min(float(r.max()), _R_HIGH)
    width = next(one for one in (0.1, 0.2, 0.25, 0.5, 1.0) if one >= (high - low) / 26 or one == 1.0)
    first, last = int(np.floor(min(low, -width) / width)), int(np.floor(max(high, width / 2) / width)) + 1
    places = np.clip(np.floor(r / width).astype(np.int64), first, last - 1)
    counts = np.bincount(places - first, minlength=last - first)
    plot = Plot(Scale(first * width, last * width), Scale(0.0, float(counts.max()) * 1.08))
    plot.x_axis(number_ticks(plot.x, 9), lines=False).y_axis(_count_ticks(plot.y), strong=0.0)
    for number, count in enumerate(counts.tolist()):
        left = (first + number) * width
        if count:
            remark = f"{signed(left, 2)} to {signed(left + width, 2)} R: {counted(count, 'round trip')}"
            plot.bar(left, left + width, 0.0, count, "gain" if left > -width / 2 else "loss", remark)
    words = f"Half made more than {R_RESULT.write(float(np.median(r)))}; from {R_RESULT.write(float(r.min()))} to "
    words += f"{R_RESULT.write(float(r.max()))}.{_and_unknown(lost)}"
    if r.min() < first * width or r.max() >= last * width:
        words += " What lies beyond the axis is counted in the outermost bars."
    return Chart(title, words, plot.drawn("r", title, words, "mid"))


def holding_histogram(trips: Trips) -> Chart:
    """Return how long round trips were held, gains on losses."""
    title = "Time held"
    if trips.size == 0:
        return Chart(title, "No round trip, so no time held.")
    held = (trips["exit_ts_ns"] - trips["entry_ts_ns"]) / 60e9
    edges, names = np.array(list(_HELD_EDGES), np.float64), list(_HELD_EDGES.values())
    places = np.clip(np.searchsorted(edges, held, "right") - 1, 0, edges.size - 1)
    first, last = int(places.min()), int(places.max()) + 1
    wins = np.bincount(places[trips["pnl"] > 0] - first, minlength=last - first)
    alls = np.bincount(places - first, minlength=last - first)
    plot = Plot(Scale(0.0, float(last - first)), Scale(0.0, float(alls.max()) * 1.08))
    plot.y_axis(_count_ticks(plot.y), strong=0.0)
    step = -(-(last - first) // _HELD_LABELS)
    labelled = range(first, min(last + 1, edges.size), step)
    plot.x_axis([Tick(place - first, names[place]) for place in labelled], lines=False)
    for number, (won, every) in enumerate(zip(wins.tolist(), alls.tolist(), strict=True)):
        if every:
            remark = f"from {names[first + number]} on: {counted(every, 'round trip')}, {won:,} with a gain"
            plot.bar(number + 0.06, number + 0.94, 0.0, won, "gain", remark)
            plot.bar(number + 0.06, number + 0.94, won, every, "loss", remark)
    words = f"Half were held longer than {duration(float(np.median(held)) * 60e9)}, the longest "
    words += f"{duration(float(held.max()) * 60e9)}. Blue: with a gain; orange above it: with a loss."
    return Chart(title, words, plot.drawn("held", title, words, "mid"))


def excursion_scatter(trips: Trips) -> Chart:
    """Return how far round trips went against their entry beside how far they went for it."""
    title = "Worst (across) and best moment (upwards), R"
    known = np.isfinite(trips["mae_r"]) & np.isfinite(trips["mfe_r"])
    lost, trips = int((~known).sum()), trips[known]
    if trips.size == 0:
        return Chart(title, "No round trip with known excursions.")
    step = -(-trips.size // _DRAWN_MAX)
    shown = trips[::step]
    against, gained = -shown["mae_r"], shown["mfe_r"]
    plot = Plot(scale_of([0.0, *against.tolist()], room=0.03), scale_of([0.0, *gained.tolist()], room=0.08))
    plot.x_axis(number_ticks(plot.x, 7)).y_axis(number_ticks(plot.y, 6))
    for trip, bad, good in zip(shown, against.tolist(), gained.tolist(), strict=True):
        is_gain = trip["pnl"] > 0
        plot.mark(bad, good, "dot" if is_gain else "ring", "gain" if is_gain else "loss")
    words = (
        f"Across: how many R against the entry at worst (half beyond {signed(float(np.median(-trips['mae_r'])), 2)}); "
    )
    words += f"upwards: how many R for it at best (half beyond {signed(float(np.median(trips['mfe_r'])), 2)}). "
    words += f"Filled dots ended with a gain, rings with a loss.{_and_unknown(lost)}"
    if step > 1:
        words += f" One in {step} is drawn."
    return Chart(title, words, plot.drawn("excursions", title, words, "mid"))


def _count_ticks(scale: Scale) -> list[Tick]:
    return [tick for tick in number_ticks(scale, 4) if tick.value == round(tick.value)]


def _known(values: Floats) -> tuple[Floats, int]:
    finite = np.isfinite(values)
    return values[finite], int((~finite).sum())


def _and_unknown(count: int) -> str:
    return f" Of {count:,} more it is unknown." if count else ""
