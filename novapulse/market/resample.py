"""Coarser bars from finer ones, and flat bars for intervals without trades.

Invariants:
- a coarse bar exists only when all of its fine bars do: the one still growing, a first one cut off by the start of the
  data and one with a gap inside are never shown;
- groups are anchored at absolute ordinals, so the same bars give the same groups in every window;
- sums run in time order; nothing later changes a bar that was visible.
"""

import numpy as np

from novapulse.compiled import kernel
from novapulse.core.bars import BarColumns, Flags, Floats, Integers
from novapulse.market.calendars import Calendar


def resample(bars: BarColumns, multiple: int) -> BarColumns:
    """Group bars by `multiple` consecutive ordinals: 1m by 5 gives 5m.

    Args:
        bars: Base bars.
        multiple: Base bars per group, >= 1.

    Returns:
        The complete groups. A group closes when its last bar does, has the number `(number - 1) // multiple + 1`,
        and is `made` when all of its bars are.

    Raises:
        ValueError: `multiple` is below 1.
    """
    if multiple < 1:
        raise ValueError(f"multiple must be 1 or more, got {multiple}")
    if multiple == 1:
        return bars
    rows = np.empty(len(bars) // multiple, np.int64)
    rows = rows[: _complete_groups(bars.number, multiple, rows)]
    high, low, volume = (np.empty(rows.size, np.float64) for _ in range(3))
    made = np.empty(rows.size, np.bool_)
    _aggregate(bars.high, bars.low, bars.volume, bars.made, rows, multiple, high, low, volume, made)
    last = rows + (multiple - 1)
    groups = (bars.number[rows] - 1) // multiple + 1
    columns = (bars.ts_close_ns[last], bars.open[rows], high, low, bars.close[last], volume, groups, made)
    for column in columns:
        column.flags.writeable = False
    return BarColumns(*columns, timeframe_ns=bars.timeframe_ns * multiple)


def visible_rows(base: BarColumns, higher: BarColumns) -> Integers:
    """Return, for each base bar, the row of the last higher bar closed at or before its close.

    Args:
        base: Bars at whose closes one looks.
        higher: Bars of a coarser timeframe of the same instrument.

    Returns:
        int64[N], -1 where none has closed yet.
    """
    rows = np.empty(len(base), np.int64)
    _last_closed(base.ts_close_ns, higher.ts_close_ns, rows)
    return rows


def fill_flat(bars: BarColumns, market: Calendar, max_bars: int) -> BarColumns:
    """Make flat zero-volume bars for short runs of intervals without trades; longer runs stay gaps.

    Args:
        bars: Recorded bars with the calendar's ordinals.
        market: The calendar the ordinals come from.
        max_bars: Longest run that is filled, >= 0.

    Returns:
        The same bars with the made ones (`made` True, all prices the close before) between them.
    """
    if len(bars) == 0:
        return bars
    missing = np.diff(bars.number) - 1
    missing[missing > max_bars] = 0
    if not missing.any():
        return bars
    source = np.repeat(np.arange(len(bars)), np.append(missing, 0) + 1)
    first_of_source = np.concatenate([[0], np.cumsum(missing + 1)])
    offset = np.arange(source.size) - first_of_source[source]
    made = offset > 0
    number = bars.number[source] + offset
    stamps = np.where(made, 0, bars.ts_close_ns[source])
    stamps[made] = market.closes_of(number[made], bars.timeframe_ns)
    exists = stamps >= 0
    source, made, number, stamps = source[exists], made[exists], number[exists], stamps[exists]
    close = bars.close[source]
    open_, high, low = (np.where(made, close, column[source]) for column in (bars.open, bars.high, bars.low))
    volume = np.where(made, 0.0, bars.volume[source])
    flags = made | bars.made[source]
    return BarColumns.checked(
        stamps, open_, high, low, close, volume, timeframe_ns=bars.timeframe_ns, number=number, made=flags
    )


@kernel
def _complete_groups(number: Integers, multiple: int, rows: Integers) -> int:
    found = 0
    row = 0
    while row + multiple <= number.size:
        starts_group = (number[row] - 1) % multiple == 0
        if starts_group and number[row + multiple - 1] == number[row] + multiple - 1:
            rows[found] = row
            found += 1
            row += multiple
        else:
            row += 1
    return found


@kernel
def _aggregate(
    high: Floats,
    low: Floats,
    volume: Floats,
    made: Flags,
    rows: Integers,
    multiple: int,
    group_high: Floats,
    group_low: Floats,
    group_volume: Floats,
    group_made: Flags,
) -> None:
    for group in range(rows.size):
        first = rows[group]
        top, bottom, total, all_made = high[first], low[first], volume[first], made[first]
        for row in range(first + 1, first + multiple):
            if high[row] > top:
                top = high[row]
            if low[row] < bottom:
                bottom = low[row]
            total += volume[row]
            all_made = all_made and made[row]
        group_high[group] = top
        group_low[group] = bottom
        group_volume[group] = total
        group_made[group] = all_made


@kernel
def _last_closed(base: Integers, higher: Integers, rows: Integers) -> None:
    last = -1
    for row in range(base.size):
        while last + 1 < higher.size and higher[last + 1] <= base[row]:
            last += 1
        rows[row] = last
