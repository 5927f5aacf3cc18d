"""Tables for people: 80 columns, the verdict first, plain text unless a terminal can show colours."""

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from novapulse.cli.console import is_colourful
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.core.words import counted
from novapulse.research.stress import LUCK

Values = Mapping[str, Any]

UNKNOWN = "-"

_BOLD, _RED, _GREEN, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_WIDTH = 80
_SYMBOLS_SHOWN = 6


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage: 0.0123 -> `1.23 %`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:,.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with thousands marked."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, first_left: bool = True) -> list[str]:
    """Return a table as lines, two spaces between columns: all to the right, but the first if `first_left`."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        placed = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        if first_left:
            placed[0] = row[0].ljust(widths[0])
        lines.append("  ".join(placed).rstrip())
    return lines


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Return a text as lines that fit, all but the first indented."""
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * indent, replace_whitespace=False)


def headline(text: str) -> str:
    """Return a heading, bold where colours may be used."""
    return _painted(text, _BOLD)


def good_or_bad(text: str, value: float | None) -> str:
    """Return a text green for a gain and red for a loss, where colours may be used."""
    if value is None or value == 0:
        return text
    return _painted(text, _GREEN if value > 0 else _RED)


def show_backtest(values: Values, decisions: Mapping[str, int], quote: str, capital: float) -> None:
    """Print a backtest: what keeps it from meaning anything, verdict, figures, luck, strategies, refusals, data.

    Args:
        values: What `--json` prints.
        decisions: How often each reason was given.
        quote: Currency of the account.
        capital: Opening cash.
    """
    parts = (
        [line for note in values["notes"] for line in wrapped(note)],
        [line for sentence in values["verdict"] for line in wrapped(sentence)],
        _figures(values["summary"], quote, capital),
        _stress(values["stress"], quote),
        _bands(values["bands"], quote),
        _by_strategy(values["by_strategy"], quote),
        _denials(values["denials"], values["refused"], decisions),
        _data(values["data"], values["settings_hash"]),
    )
    print("\n\n".join("\n".join(part) for part in parts if part))


def _figures(summary: Values, quote: str, capital: float) -> list[str]:
    total, trades = summary["total_return"], summary["trades"]
    won = f"{percent(summary['win_rate'], 0)} won, profit factor {number(summary['profit_factor'])}"
    costs = f"fees {number(summary['fees'])}, slippage {number(summary['slippage'])} {quote}"
    ratios = f"sortino {number(summary['sortino'])}, calmar {number(summary['calmar'])}"
    busy = f"in the market {percent(summary['time_in_market'], 0)} of the time"
    lines = [
        ("Return", percent(total), f"{number(capital)} became {number(summary['final_equity'])} {quote}"),
        ("Drawdown", percent(summary["max_drawdown"]), f"longest {summary['max_drawdown_bars']:,} bars"),
        ("Trades", f"{trades:,}", f"{won}, {number(summary['expectancy_r'])} R a trade" if trades else "none"),
        ("Costs", number(summary["fees"] + summary["slippage"]), costs),
        ("Sharpe", number(summary["sharpe"]), ratios),
        ("Exposure", percent(summary["exposure"]), busy),
    ]
    texts = [f"{name:<10}{value:>12}   {rest}" for name, value, rest in lines]
    return [good_or_bad(texts[0], total), *texts[1:]]


def _by_strategy(by_strategy: Mapping[str, Values] | None, quote: str) -> list[str]:
    title = headline("By the strategy that led the entry")
    if by_strategy is None:
        return [title, "not kept in a metrics-only run"]
    order = sorted(by_strategy, key=lambda name: (-by_strategy[name]["trades"], name))
    rows = [
        [
            name,
            f"{row['trades']:,}",
            percent(row["win_rate"], 0),
            number(row["pnl"]),
            number(row["average_r"]),
            number(row["fees"]),
        ]
        for name in order
        for row in [by_strategy[name]]
    ]
    return [title, *_dim_header(table(("strategy", "trades", "won", f"PnL {quote}", "mean R", "fees"), rows))]


def _denials(denials: Mapping[str, int], refused: Sequence[Values] | None, decisions: Mapping[str, int]) -> list[str]:
    taken = sum(count for name, count in decisions.items() if not name.startswith("UNFILLED"))
    cold, weak = (decisions.get(reason.name, 0) for reason in (Reason.NOT_WARM, Reason.NO_SIGNAL))
    lines = [
        headline("Why not more: what the rules refused, and what it would have made after costs"),
        *wrapped(
            f"{taken:,} decisions: {percent(cold / taken, 1)} had too little history, "
            f"{percent(weak / taken, 1)} a weak consensus"
        ),
    ]
    if not denials:
        return lines
    imagined = {one["reason"]: one for one in refused or ()}
    texts = {name: REASON_TEXT[Reason[name]] for name in denials}
    if "TAKEN" in imagined:
        texts = {"TAKEN": f"for comparison: {imagined['TAKEN']['text']}", **texts}
    rows = []
    for name in texts:
        bars = f"{denials[name]:,}" if name in denials else ""
        one = imagined.get(name)
        made = [f"{one['entries']:,}", percent(one["win_rate"], 0), number(one["average_r"])] if one else [UNKNOWN] * 3
        rows.append([bars, *made])
    header, *figures = table(("bars", "entries", "won", "mean R"), rows, first_left=False)
    told = [_painted(f"{header}  why", _DIM)]
    for text, why in zip(figures, texts.values(), strict=True):
        told += wrapped(f"{text}  {why}", indent=len(header) + 2)
    return [*lines, *told]


def _stress(stress: Mapping[str, Values] | None, quote: str) -> list[str]:
    title = headline("Under worse luck")
    if stress is None:
        return [title, "not worked out in a metrics-only run"]
    return [
        title,
        *_compared(
            {LUCK[name].removeprefix("with ").removesuffix(" round trips"): row for name, row in stress.items()}, quote
        ),
    ]


def _bands(bands: Mapping[str, Values], quote: str) -> list[str]:
    return [headline("If a touched limit order fills never, as assumed, always"), *_compared(bands, quote)]


def _compared(results: Mapping[str, Values], quote: str) -> list[str]:
    figures: list[tuple[str, Callable[[Values], str]]] = [
        ("return", lambda one: percent(one["total_return"])),
        ("drawdown", lambda one: percent(one["max_drawdown"])),
        ("trades", lambda one: f"{one['trades']:,}"),
        ("sharpe", lambda one: number(one["sharpe"])),
        (f"became {quote}", lambda one: number(one["final_equity"])),
    ]
    rows = [[name, *(figure(one) for _, figure in figures)] for name, one in results.items()]
    return _dim_header(table(("", *(name for name, _ in figures)), rows))


def _dim_header(lines: Sequence[str]) -> list[str]:
    return [_painted(lines[0], _DIM), *lines[1:]]


def _data(data: Values, settings_hash: str) -> list[str]:
    each = data["instruments"]
    symbols = [one["symbol"] for one in each]
    more = len(symbols) - _SYMBOLS_SHOWN
    shown = ", ".join(symbols[:_SYMBOLS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    lines = [
        headline("Data"),
        *wrapped(f"{each[0]['exchange']} {shown}, {data['timeframe']} bars"),
        *wrapped(
            f"{moment(data['start'])} to {moment(data['end'])}: {data['bars']:,} bars, {_count(data['gaps'], 'gap')}, "
            f"{data['bars_per_year']:,.0f} a year"
        ),
    ]
    made, outside = sum(one["made"] for one in each), sum(one["outside_sessions"] for one in each)
    if made:
        lines.append(f"{made:,} of them made flat for intervals without trades")
    if outside:
        lines.append(f"{outside:,} recorded bars outside regular sessions left out")
    lines += [*_finer(each), *_fees(each)]
    inferred = [one["symbol"] for one in each if one["inferred"]]
    if inferred:
        which = "all" if len(inferred) == len(each) else ", ".join(inferred)
        lines += wrapped(f"price and quantity steps inferred from the bars: {which}")
    return [*lines, f"data {data['hash'][:16]}, settings {settings_hash}"]


def _finer(each: Sequence[Values]) -> list[str]:
    widths = sorted({one["finer"] for one in each if one["finer"]})
    if not widths:
        return []
    covered, bars = sum(one["finer_bars"] for one in each), sum(one["bars"] for one in each)
    # Rounded down: 100 % would claim more than there is.
    share = "all" if covered == bars else f"{100 * covered // bars} % of the" if 100 * covered >= bars else "a few"
    return [f"fills of {share} bars looked up in {', '.join(widths)} bars"]


def _fees(each: Sequence[Values]) -> list[str]:
    tiers: dict[str, list[str]] = {}
    for one in each:
        rates = f"maker {one['maker_fee_bps']:g}, taker {one['taker_fee_bps']:g} bps ({one['fees_from']})"
        tiers.setdefault(rates, []).append(one["symbol"])
    if len(tiers) == 1:
        return [f"fees: {rates}" for rates in tiers]
    return [line for rates, symbols in tiers.items() for line in wrapped(f"fees: {rates}: {', '.join(symbols)}", 2)]


def moment(iso: str) -> str:
    """Return an ISO moment as people read it."""
    return iso.replace("T", " ").replace(":00Z", "Z")


def _count(count: int, noun: str) -> str:
    return counted(count, noun) if count else f"no {noun}s"


def _painted(text: str, colour: str) -> str:
    return f"{colour}{text}{_PLAIN}" if is_colourful(sys.stdout) else text
