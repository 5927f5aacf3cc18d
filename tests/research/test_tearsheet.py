"""The tear sheet shows the figures of the analysis, hides nothing that is missing, and needs nothing but itself."""

import re
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from novapulse.core.bars import timeframe_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.research.analysis import Analysis, analyse
from novapulse.research.inputs import InputError, Markets, iso
from novapulse.research.tearsheet import tear_sheet
from novapulse.research.tearsheet.words import plus_exact, unparted, with_minuses
from novapulse.strategies import STRATEGIES
from tests.research.pages import Read, read_page
from tests.research.runs import sample_run

HOSTILE = "<b>x</b>&\"'</style><script>alert(1)</script>{{ 7*7 }}"


def described(markets: Markets) -> Markets:
    """Markets with the whole description that the lake gives of them."""
    each = [
        {
            "exchange": key.exchange,
            "symbol": key.symbol,
            "bars": len(bars),
            "start": iso(int(bars.ts_close_ns[0])),
            "end": iso(int(bars.ts_close_ns[-1])),
            "gaps": 0,
            "made": 0,
            "outside_sessions": 0,
            "finer": None,
            "finer_bars": 0,
            "inferred": True,
            "hash": "0" * 64,
        }
        for key, bars in markets.bars.items()
    ]
    whole = {
        "hash": "0" * 64,
        "bars": sum(one["bars"] for one in each),
        "start": min(one["start"] for one in each),
        "end": max(one["end"] for one in each),
        "bars_per_year": 365.25 * timeframe_ns("1d") / timeframe_ns("1m"),
        "gaps": 0,
        "timeframe": "1m",
        "instruments": each,
    }
    return replace(markets, description=whole)


@cache
def analysed(*, bars: int = 60_000, metrics_only: bool = False) -> tuple[Analysis, Markets]:
    result, markets = sample_run(bars=bars, metrics_only=metrics_only)
    markets = described(markets)
    return analyse(result, markets, STRATEGIES), markets


@cache
def sheet() -> str:
    return tear_sheet(*analysed())


NAMED = {
    "months": lambda one: f"{one['year']}-{one['month']:02d}",
    "years": lambda one: str(one["year"]),
    "refused": lambda one: one["reason"],
}


def value_at(data: dict[str, Any], path: str) -> Any:
    """The value a figure's path names; lists are entered by place, months and years by date, refusals by reason."""
    head, _, rest = path.partition(".")
    if head in NAMED:
        name, _, part = rest.partition(".")
        (row,) = [one for one in data[head] if NAMED[head](one) == name]
        return row[part]
    value: Any = data
    for key in path.split("."):
        if value is None:
            return None
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def test_every_figure_is_that_of_the_data_in_full_precision():
    data = analysed()[0].as_data()
    figures = read_page(sheet()).figures()
    assert len(figures) > 200
    for path in figures:
        expected = value_at(data, path)
        for one in figures[path]:
            written = one.attributes["data-value"]
            assert written == ("" if expected is None else expected if isinstance(expected, str) else repr(expected)), (
                path
            )
            assert (one.text == "unknown") == (expected is None), path


def test_what_is_read_is_the_value_rounded():
    checked = 0
    for path, places in read_page(sheet()).figures().items():
        for one in places:
            shown = re.fullmatch(r"([+\N{MINUS SIGN}]?)([\d,]+(?:\.(\d+))?)( %)?( R| bps| bars| times)?", one.text)
            if shown is None or path.endswith("hash"):
                continue
            sign, digits, decimals, percent, _ = shown.groups()
            number = float(digits.replace(",", "")) * (-1 if sign == "\N{MINUS SIGN}" else 1)
            value = float(one.attributes["data-value"]) * (100 if percent else 1)
            assert abs(number - value) <= 0.5000001 * 10.0 ** -len(decimals or ""), (path, one.text, value)
            checked += 1
    assert checked > 200


def test_no_figure_of_the_account_is_left_out():
    analysis, _ = analysed()
    paths = read_page(sheet()).figures().keys()
    wanted = {f"summary.{name}" for name in analysis.summary} | {f"statistics.{name}" for name in analysis.statistics}
    wanted |= {f"stress.{name}.total_return" for name in analysis.stress}
    wanted |= {f"bands.{name}.break_even_slippage_bps" for name in analysis.bands}
    wanted |= {
        f"attribution.{part}.{name}.{figure}"
        for part, rows in analysis.attribution.items()
        for name in rows
        for figure in ("trades", "pnl", "win_rate", "average_r", "fees")
    }
    wanted |= {f"refused.{one['reason']}.total_r" for one in analysis.refused}
    wanted |= {f"monte_carlo.{kind}.max_drawdown.high" for kind in ("resampled", "permuted")}
    wanted |= {f"months.{one['year']}-{one['month']:02d}.total_return" for one in analysis.months}
    wanted |= {f"years.{one['year']}.total_return" for one in analysis.years}
    wanted |= {f"drawdowns.{place}.depth" for place in range(len(analysis.drawdowns))}
    assert not wanted - paths


def test_verdict_comes_first_and_every_sentence_is_there():
    analysis, _ = analysed()
    page = read_page(sheet())
    assert [one.text for one in page.every("h1")] == [analysis.verdict[0]]
    for sentence in (*analysis.verdict, *analysis.notes):
        assert sentence in page.text
    order = [one.attributes["id"] for one in page.every("section")]
    assert order[:4] == ["verdict", "equity-and-drawdown", "figures", "stress"]


def test_the_control_is_the_first_line_of_what_was_refused():
    """The words below the table send the reader to its first line, however many entries another line has."""
    analysis, _ = analysed()
    page = read_page(sheet())
    reasons = [path.split(".")[1] for path in page.figures() if re.fullmatch(r"refused\.\w+\.entries", path)]
    assert reasons[0] == analysis.refused[0]["reason"] == "TAKEN"
    assert set(reasons) == {one["reason"] for one in analysis.refused}
    assert "imagined in the same way and stand first: compare with them" in page.text


def test_settings_are_all_there_and_those_that_differ_are_marked():
    page = read_page(sheet())
    changed = [one.text for one in page.every("code") if "data-figure" not in one.attributes]
    assert changed == [
        "confluence.timeframe_multiples",
        "confluence.timeframe_weights",
        "confluence.agreement_multipliers",
        "risk.limits.loss_cooldown_s",
        "risk.limits.loss_streak_pause_s",
    ]
    listed = Counter(one.text for one in page.every("dt"))
    for name in ("capital", "risk_fraction", "stop_atr", "touch_probability", "half_life_days", "keltner"):
        assert listed[name], name
    marked = [one for one in page.every("div") if "differs" in one.attributes.get("class", "").split()]
    assert len(marked) == len(changed)


def references(page: Read) -> list[str]:
    """Everything on a page that could fetch something."""
    found = []
    for one in page.elements:
        if one.tag in {
            "script",
            "iframe",
            "object",
            "embed",
            "img",
            "image",
            "audio",
            "video",
            "base",
            "form",
            "source",
        }:
            found.append(f"<{one.tag}>")
        for name, value in one.attributes.items():
            if name in {"href", "src", "srcset", "xlink:href", "action", "poster", "data"} and not value.startswith(
                "#"
            ):
                found += [] if value.startswith("data:") else [f"{name}={value}"]
            if name.startswith("on"):
                found.append(name)
    return found


def test_nothing_is_fetched_from_anywhere():
    source = sheet()
    page = read_page(source)
    assert references(page) == []
    for word in ("http:", "https:", "url(", "@import", "javascript:", "@font-face"):
        assert word not in source, word
    policy = next(one for one in page.every("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src 'none'" in policy.attributes["content"]


def test_a_reference_would_be_found():
    page = read_page('<a href="https://x">x</a><script></script><p onclick="x"></p><img src="data:,">')
    assert references(page) == ["href=https://x", "<script>", "onclick", "<img>"]


def check_sound(source: str) -> Read:
    page = read_page(source)
    assert page.declaration == "doctype html"
    assert page.faults == []
    names = Counter(one.attributes["id"] for one in page.elements if "id" in one.attributes)
    assert [name for name, count in names.items() if count > 1] == []
    for one in page.elements:
        for target in one.attributes.get("aria-labelledby", "").split():
            assert target in names, target
        href = one.attributes.get("href", "")
        assert not href.startswith("#") or href[1:] in names, href
        if one.tag == "th":
            assert one.attributes["scope"] in {"row", "col"}
            assert one.text.strip(), "a head without a name"
        if one.tag == "svg" and "plot" in one.attributes.get("class", "").split():
            assert one.attributes["role"] == "img"
            assert len(one.attributes["aria-labelledby"].split()) == 2
        assert one.tag not in {"h1", "h2", "h3", "h4", "p", "table", "figure", "dl"} or "p" not in one.inside
    levels = [int(one.tag[1]) for one in page.elements if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert re.search(r"\b(nan|inf|None)\b", page.text) is None
    assert not re.search(r'="(nan|inf|-inf)%?"|nan%|inf%', source)
    return page


def test_page_is_nested_as_it_should_be():
    page = check_sound(sheet())
    assert {"header", "nav", "main", "footer"} <= {one.tag for one in page.elements}
    for table in page.every("table"):
        assert table.text


def test_same_analysis_gives_the_same_page():
    assert tear_sheet(*analysed()) == sheet()


def test_of_many_instruments_those_with_the_most_round_trips_are_drawn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("novapulse.research.tearsheet.page._PRICES_DRAWN", 1)
    analysis, markets = analysed()
    counts = np.bincount(analysis.result.round_trips["instrument"])
    assert counts[0] != counts[1]
    page = read_page(tear_sheet(analysis, markets))
    most = analysis.result.instruments[int(counts.argmax())]
    drawn = [one.text for one in page.every("title") if one.text.startswith("Price of")]
    assert drawn == [f"Price of {most.symbol} with round trips"]
    assert "Drawn are the 1 of 2 instruments with the most round trips." in page.text


def test_page_stays_small_however_many_bars():
    assert len(sheet().encode()) < 400_000


def test_names_are_shown_and_never_obeyed():
    analysis, markets = analysed()
    rows = {HOSTILE: next(iter(analysis.attribution["strategy"].values()))}
    one = {**analysis.data["instruments"][0], "symbol": HOSTILE, "exchange": HOSTILE}
    fact = analysis.result.instruments[0]
    object.__setattr__(named := replace(fact), "symbol", HOSTILE)
    result = replace(
        analysis.result,
        strategies=(HOSTILE,) * len(analysis.result.strategies),
        instruments=(named, *analysis.result.instruments[1:]),
    )
    hostile = replace(
        analysis,
        result=result,
        data={**analysis.data, "instruments": [one], "hash": HOSTILE, "timeframe": HOSTILE},
        verdict=(HOSTILE, HOSTILE),
        notes=(HOSTILE,),
        settings_hash=HOSTILE,
        attribution={**analysis.attribution, "strategy": rows, "instrument": {**rows, "other": rows[HOSTILE]}},
        refused=({**analysis.refused[0], "text": HOSTILE, "reason": HOSTILE},),
        statistics={**analysis.statistics, HOSTILE: 1.0},
        bands={**analysis.bands, HOSTILE: analysis.bands["base"]},
    )
    bars = markets.bars[fact.key]
    page = check_sound(
        tear_sheet(hostile, replace(markets, bars={**markets.bars, InstrumentKey(fact.exchange, HOSTILE): bars}))
    )
    assert references(page) == []
    assert page.text.count(HOSTILE) >= 9
    assert all(one.text != "x" for one in page.every("b"))
    assert any(HOSTILE in one.text for one in page.every("title") if "svg" in one.inside)


def metrics_only() -> tuple[Analysis, Markets]:
    return analysed(bars=20_000, metrics_only=True)


def no_trades() -> tuple[Analysis, Markets]:
    return analysed(bars=600)


def one_bar() -> tuple[Analysis, Markets]:
    return analysed(bars=1)


def all_losses() -> tuple[Analysis, Markets]:
    analysis, markets = analysed()
    trips = analysis.result.round_trips.copy()
    for name in ("pnl", "r_multiple"):
        trips[name] = -np.abs(trips[name]) - 0.01
    result = replace(analysis.result, round_trips=trips)
    return analyse(result, markets, STRATEGIES), markets


def to_zero() -> tuple[Analysis, Markets]:
    analysis, markets = analysed()
    result = analysis.result
    equity = np.linspace(result.settings.capital, 0.0, result.equity.size)
    tally = result.tally.copy()
    tally["equity"], tally["drawdown_max"] = 0.0, 1.0
    return analyse(replace(result, equity=equity, tally=tally), markets, STRATEGIES), markets


def unknown_everywhere() -> tuple[Analysis, Markets]:
    analysis, markets = analysed()
    trips = analysis.result.round_trips.copy()
    trips["r_multiple"] = trips["mae_r"] = np.nan
    return (
        replace(
            analysis,
            result=replace(analysis.result, round_trips=trips),
            summary=dict.fromkeys(analysis.summary),
            statistics=dict.fromkeys(analysis.statistics, float("nan")),
            stress={"as_tested": dict.fromkeys(analysis.stress["as_tested"])},
            months=({"year": 2024, "month": 2, "total_return": None},),
            years=({"year": 2024, "total_return": None},),
            monte_carlo={**analysis.monte_carlo, "resampled": {"total_return": None, "ruin_probability": None}},
            refused=(),
        ),
        markets,
    )


SAID = {
    metrics_only: [
        "only the figures below are known",
        "its trades cannot be drawn",
        "the return of each month is unknown",
    ],
    no_trades: ["No round trip was closed", "No round trips."],
    one_bar: ["no curve to draw", "One bar is no price line."],
    all_losses: ["0 with a gain"],
    to_zero: ["\N{MINUS SIGN}100.00 %", "Deepest 100.00 %"],
    unknown_everywhere: ["No round trip with a known R.", "No round trip with known excursions.", "not imagined"],
}


@pytest.mark.parametrize("made", SAID, ids=lambda made: made.__name__)
def test_what_is_missing_is_said_in_words(made):
    analysis, markets = made()
    page = check_sound(tear_sheet(analysis, markets))
    for words in SAID[made]:
        assert words in page.text, words
    data = analysis.as_data()
    for path, places in page.figures().items():
        unknown = value_at(data, path) is None
        assert all((one.text == "unknown") == unknown for one in places), path


def test_metrics_only_run_draws_nothing():
    page = read_page(tear_sheet(*metrics_only()))
    assert not [one for one in page.every("svg") if "plot" in one.attributes.get("class", "").split()]


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r"needs jinja2.*novapulse\[research\]"):
        tear_sheet(*analysed())


@pytest.mark.parametrize(
    ("sentence", "written"),
    [
        ("50 % won, -0.28 R each", "50\xa0% won, \N{MINUS SIGN}0.28\xa0R each"),
        ("-12.05 a year", "\N{MINUS SIGN}12.05 a year"),
        ("on 2024-01-02 of BTC-USD, 1-2 bars", "on 2024-01-02 of BTC-USD, 1-2 bars"),
    ],
)
def test_minus_signs_of_sentences_are_true_ones_and_dashes_stay(sentence: str, written: str) -> None:
    assert with_minuses(sentence) == written


def test_an_exact_amount_has_its_sign_and_every_digit() -> None:
    amounts = ("-2000.00000000", "0.00", "1.50")
    assert [plus_exact(Decimal(one)) for one in amounts] == ["\N{MINUS SIGN}2000.00000000", "0.00", "+1.50"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("falls by more than 0.38 %.", "falls by more than 0.38\xa0%."),
        ("took 25.06 USDT; 3 bps, in 67 ms", "took 25.06\xa0USDT; 3\xa0bps, in 67\xa0ms"),
        ("12:08 UTC, 29 round trips", "12:08\xa0UTC, 29 round trips"),
        ("of 5 Right, 2 so on, % of", "of 5 Right, 2 so on, % of"),
    ],
)
def test_no_line_parts_a_figure_from_its_unit(text: str, written: str) -> None:
    """A bug: the verdict had a line that was `%.` and nothing else."""
    assert unparted(text) == written
