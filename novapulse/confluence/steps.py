"""From votes to the consensus, step by step: every factor, in figures that a reader can add up again.

Invariant: what is shown of a step, multiplied and added as it is shown, gives what is shown of the next one but for its
last digit.
"""

from typing import Any, NamedTuple

from novapulse.confluence.explain import Record
from novapulse.strategies.votes import FORECAST_MAX

FORECAST_DIGITS = 4
"""Of forecasts, and of what they add."""
FACTOR_DIGITS = 5
"""Of weights, shares and multipliers."""
CONSENSUS_DIGITS = 3


class Step(NamedTuple):
    """One step from the weighted votes to the consensus, and what is asked of it.

    Attributes:
        name: Of what is shown.
        figure: As it is shown; a factor begins with a sign of multiplication.
        how: Where it comes from.
    """

    name: str
    figure: str
    how: str


def vote_rows(record: Record) -> list[dict[str, Any]]:
    """Return what each strategy said on each timeframe: `adds` of a strategy sum to its forecast.

    Args:
        record: Of `explain.explain`, warm.

    Returns:
        Rows with `strategy`, `timeframe`, `said` (-20..20), `confidence` (0..1), `scalar`, `scaled` (said x confidence
        x scalar, within -20..20), `share` of the timeframe, and `adds`: scaled x share.
    """
    return [
        {
            "strategy": strategy["name"],
            "timeframe": frame["timeframe"],
            "said": vote["forecast"],
            "confidence": vote["confidence"],
            "scalar": vote["scalar"],
            "scaled": vote["scaled"],
            "share": frame["share"],
            "adds": vote["share"],
        }
        for strategy in record["strategies"]
        for frame, vote in zip(record["timeframes"], strategy["votes"], strict=True)
    ]


def weight_rows(record: Record) -> list[dict[str, Any]]:
    """Return what each strategy adds, and the order book where there is one: `adds` sum to the weighted mean.

    Args:
        record: Of `explain.explain`, warm.

    Returns:
        Rows, the strongest first, with `name`, `forecast`, `weight`, `regime` (multiplier of the weight), `share` of
        the whole weight, and `adds`: forecast x share.
    """
    rows = [
        {
            "name": one["name"],
            "forecast": one["forecast"],
            "weight": one["weight"],
            "regime": one["regime_multiplier"],
            "share": one["share_of_weight"],
            "adds": one["contribution"],
        }
        for one in record["strategies"]
    ]
    book = record["book"]
    if book is not None:
        whole = book["weight"] + sum(one["weight_now"] for one in record["strategies"])
        share = book["weight"] / whole
        rows.append(
            {
                "name": "order book",
                "forecast": book["forecast"],
                "weight": book["weight"],
                "regime": 1.0,
                "share": share,
                "adds": share * book["forecast"],
            }
        )
    return sorted(rows, key=lambda row: -abs(row["adds"]))


def steps(record: Record) -> list[Step]:
    """Return how the weighted mean becomes the consensus, and what is asked of that.

    Args:
        record: Of `explain.explain`, warm; with `gate_probability` (None for an abstention) where a gate was asked.
    """
    mean, diversification = record["weighted_mean"], record["diversification"]
    agreement, frames = record["agreement_multiplier"], record["timeframes"]
    product = mean * diversification * agreement
    opinions = ", ".join(f"{one['timeframe']} {signed(one['opinion'], FORECAST_DIGITS)}" for one in frames)
    told = [
        Step("weighted mean", signed(mean, FORECAST_DIGITS), "the sum of what each adds"),
        Step(
            "diversification multiplier",
            f"\N{MULTIPLICATION SIGN} {diversification:.{FACTOR_DIGITS}f}",
            f"what strategies that differ gain together, calibration {record['calibration']['id'][:12]}",
        ),
        Step(
            "timeframe agreement",
            f"\N{MULTIPLICATION SIGN} {agreement:.{FACTOR_DIGITS}f}",
            f"{record['agreeing_timeframes']} of {len(frames)} agree: {opinions}",
        ),
        Step("product", signed(product, FORECAST_DIGITS), "mean \N{MULTIPLICATION SIGN} both multipliers"),
        Step("cap", f"\N{PLUS-MINUS SIGN}{FORECAST_MAX:g}", "cuts it" if abs(product) > FORECAST_MAX else "leaves it"),
        Step("consensus", signed(record["consensus"], CONSENSUS_DIGITS), _reached(record)),
    ]
    return [*told, *([_gate(record["gate_probability"])] if "gate_probability" in record else [])]


def signed(value: float, digits: int) -> str:
    """Return a figure with its sign; zero has none."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if not float(f"{value:.{digits}f}") else text


def _reached(record: Record) -> str:
    least = record["entry"]["forecast_min"]
    return f"an entry needs {least:g} either way: {'reached' if record['entry']['reached'] else 'not reached'}"


def _gate(probability: float | None) -> Step:
    if probability is None:
        return Step("entry gate", "abstained", "no model said how probable it is that the trade wins")
    return Step("entry gate", f"{probability:.{FACTOR_DIGITS}f}", "how probable it is that the trade wins")
