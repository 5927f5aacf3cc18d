"""One bar, vote by vote: every number between what strategies said and the consensus, and what would have changed it.

The arithmetic is done again here, in plain Python and in the order of `combine`: its consensus equals the pipeline's to
the bit, and a test keeps it so. Every value is a text, a number, a truth value, a list or a mapping; unknown numbers
are None.
"""

import math
from collections.abc import Sequence
from typing import Any

from novapulse.confluence.calibration import Calibration
from novapulse.confluence.plan import Plan
from novapulse.confluence.scale import scaled
from novapulse.confluence.settings import ConfluenceError
from novapulse.confluence.thresholds import DailyThresholds
from novapulse.confluence.timeframes import Frame, feature_names, frames_of, known_rows, regime_labels
from novapulse.confluence.voices import Rows
from novapulse.core.bars import BarColumns, format_ns, timeframe_text
from novapulse.core.instruments import InstrumentKey
from novapulse.signals.regimes import LABELS
from novapulse.strategies import evaluate_all
from novapulse.strategies.votes import FORECAST_MAX

Record = dict[str, Any]

_TIMEFRAME = ("timeframe", "multiple", "share", "known", "closed")


def explain(
    bars: BarColumns,
    plan: Plan,
    calibrations: Sequence[Calibration],
    *,
    key: InstrumentKey,
    row: int = -1,
    book_forecast: float = math.nan,
    entry_forecast_min: float = 5.0,
) -> Record:
    """Return how the consensus of one bar came about.

    Args:
        bars: Base bars with `plan.warmup_base_bars` before the bar in question; later ones are not looked at.
        plan: What is weighed.
        calibrations: Rows that cover these bars, ascending.
        key: Which of the calibrations' instruments this is.
        row: The bar, counted as in a list.
        book_forecast: The order book's forecast at the bar, -20..20; NaN for none.
        entry_forecast_min: Size of the consensus from which an entry is made.

    Returns:
        A record that JSON can hold; see `lines` for reading it.

    Raises:
        ConfluenceError: There is no such bar, or the calibrations do not know the instrument.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    if not -len(bars) <= row < len(bars):
        raise ConfluenceError(f"there is no bar {row} among {len(bars)}")
    if key not in calibrations[-1].instruments:
        raise ConfluenceError(f"the calibrations do not know {key}")
    seen = bars[: row % len(bars) + 1]
    bar, rows, p = seen[-1:], Rows.of(calibrations, plan), calibrations[-1].instruments.index(key)
    now = int(rows.at(bar.ts_close_ns)[0])
    frames = [
        _frame_record(frame, bar, plan, rows, p, t) for t, frame in enumerate(frames_of(seen, len(seen) - 1, plan))
    ]
    regime = next(frame["regime"] for frame in frames if frame["multiple"] == plan.settings.regime_multiple)
    atr = next(frame["atr"] for frame in frames if frame["multiple"] == plan.settings.stop_multiple)
    record: Record = {
        "exchange": key.exchange,
        "symbol": key.symbol,
        "ts_close_ns": int(bar.ts_close_ns[0]),
        "ts_close": format_ns(int(bar.ts_close_ns[0])),
        "warm": all(frame["known"] for frame in frames),
        "regime": LABELS[regime],
        "atr": _number(atr),
        "volatility": _number(rows.volatility[now, p]),
        "calibration": _calibration_record(calibrations[now]),
        "strategies": _strategy_records(frames, plan, calibrations[now], regime, bar.timeframe_ns),
        "timeframes": [{name: frame[name] for name in _TIMEFRAME} for frame in frames],
        "book": None if math.isnan(book_forecast) else {"forecast": book_forecast, "weight": plan.settings.book_weight},
    }
    record |= _combined(record, plan, calibrations[now].diversification)
    record["sure_fire"] = _sure_fire(record, plan)
    record["entry"] = _distance(record, entry_forecast_min)
    return record


def _frame_record(frame: Frame, bar: BarColumns, plan: Plan, rows: Rows, p: int, t: int) -> Record:
    at = int(known_rows(bar, 1, frame)[0])
    known = at >= 0 and bool(frame.warm[at])
    record: Record = {
        "timeframe": timeframe_text(frame.bars.timeframe_ns),
        "multiple": frame.multiple,
        "share": float(plan.timeframe_shares[t]),
        "known": known,
        "closed": format_ns(int(frame.bars.ts_close_ns[at])) if at >= 0 else None,
        "votes": [(0.0, 0.0, float(scalar)) for scalar in rows.scalars[0, t]],
        "regime": LABELS.index("range-normal"),
        "atr": math.nan,
    }
    if not known:
        return record
    calibration = rows.at(frame.bars.ts_close_ns)
    looked_up = DailyThresholds(levels=rows.thresholds[:, p, t], calibration=calibration)
    votes = evaluate_all(plan.strategies, frame.bars, looked_up)
    scalars = rows.scalars[calibration[at], t]
    record["votes"] = [
        (float(vote.forecast[at]), float(vote.confidence[at]), float(scalar))
        for vote, scalar in zip(votes.values(), scalars, strict=True)
    ]
    if frame.adx.size:
        record["regime"] = int(regime_labels(frame, looked_up)[at])
    if frame.atr.size:
        record["atr"] = float(frame.atr[at])
    return record


def _strategy_records(
    frames: list[Record], plan: Plan, calibration: Calibration, regime: int, timeframe_ns: int
) -> list[Record]:
    names = feature_names(plan.names, plan.multiples, timeframe_ns)
    records = []
    for s, name in enumerate(plan.names):
        votes, total = [], 0.0
        for frame, feature in zip(frames, names[s], strict=True):
            forecast, confidence, scalar = frame["votes"][s]
            value = scaled(forecast * confidence, scalar)
            share = frame["share"] * value
            total += share
            votes.append(
                {
                    "feature": feature,
                    "forecast": forecast,
                    "confidence": confidence,
                    "scalar": scalar,
                    "scaled": value,
                    "share": share,
                }
            )
        multiplier = float(plan.multipliers[regime, s])
        records.append(
            {
                "name": name,
                "family": plan.settings.family_of(name),
                "weight_base": float(plan.shares[s]),
                "weight_learned": float(calibration.learned[s]),
                "weight": float(calibration.weights[s]),
                "regime_multiplier": multiplier,
                "weight_now": float(calibration.weights[s]) * multiplier,
                "votes": votes,
                "forecast": total,
            }
        )
    return records


def _calibration_record(calibration: Calibration) -> Record:
    return {
        "id": calibration.id,
        "valid_from": format_ns(calibration.valid_from_ns),
        "days": calibration.days,
        "diversification": calibration.diversification,
    }


def _combined(record: Record, plan: Plan, diversification: float) -> Record:
    mass, ups, downs = 0.0, 0.0, 0.0
    for strategy in record["strategies"]:
        part = strategy["weight_now"] * strategy["forecast"]
        mass += strategy["weight_now"]
        ups += max(part, 0.0)
        downs += max(-part, 0.0)
    book = record["book"]
    if book is not None:
        mass += book["weight"]
        ups += book["weight"] * max(book["forecast"], 0.0)
        downs += book["weight"] * max(-book["forecast"], 0.0)
    side = 1.0 if ups >= downs else -1.0
    agreeing = 0
    for t, frame in enumerate(record["timeframes"]):
        opinion = 0.0
        for strategy in record["strategies"]:
            opinion += strategy["weight_now"] * strategy["votes"][t]["share"]
        frame["opinion"] = opinion / (mass * frame["share"]) if frame["share"] > 0 else 0.0
        frame["agrees"] = opinion * side > 0.0
        agreeing += frame["agrees"]
    agreement = plan.settings.agreement_multipliers[max(agreeing, 1) - 1]
    silent = not record["warm"] or ups == downs
    factor = diversification * agreement
    consensus = min(max(factor * (ups - downs) / mass, -FORECAST_MAX), FORECAST_MAX)
    for strategy in record["strategies"]:
        strategy["share_of_weight"] = strategy["weight_now"] / mass
        strategy["contribution"] = strategy["weight_now"] * strategy["forecast"] / mass
    lead = max(record["strategies"], key=lambda strategy: strategy["contribution"] * side)
    return {
        "weighted_mean": (ups - downs) / mass,
        "diversification": diversification,
        "agreeing_timeframes": agreeing,
        "agreement_multiplier": agreement,
        "consensus": 0.0 if silent else consensus,
        "confidence": 0.0 if silent else max(ups, downs) / (ups + downs),
        "lead": None if silent or lead["contribution"] * side <= 0.0 else lead["name"],
    }


def _sure_fire(record: Record, plan: Plan) -> Record:
    rules, side = plan.settings.sure_fire, math.copysign(1.0, record["consensus"])
    least = rules.actionable_strength * FORECAST_MAX
    agreeing = [strategy["name"] for strategy in record["strategies"] if strategy["forecast"] * side >= least]
    book = record["book"]
    conditions = {
        "strategies": {
            "met": len(agreeing) >= rules.strategies_min,
            "agree": agreeing,
            "needed": rules.strategies_min,
            "forecast_min": least,
        },
        "confidence": {
            "met": record["confidence"] >= rules.confidence_min,
            "is": record["confidence"],
            "needed": rules.confidence_min,
        },
        "book": {
            "met": book is None or book["forecast"] * side > 0.0,
            "is": None if book is None else book["forecast"],
        },
    }
    return {
        "label": record["consensus"] != 0.0 and all(condition["met"] for condition in conditions.values()),
        "conditions": conditions,
    }


def _distance(record: Record, entry_forecast_min: float) -> Record:
    factor = record["diversification"] * record["agreement_multiplier"]
    short_by = max(entry_forecast_min - abs(record["consensus"]), 0.0)
    side = math.copysign(1.0, record["weighted_mean"])
    missing = max(entry_forecast_min / factor - abs(record["weighted_mean"]), 0.0)
    needed: dict[str, float | None] = {}
    for strategy in record["strategies"]:
        forecast = strategy["forecast"] + side * missing / strategy["share_of_weight"]
        needed[strategy["name"]] = forecast if abs(forecast) <= FORECAST_MAX else None
    return {
        "forecast_min": entry_forecast_min,
        "reached": record["warm"] and short_by == 0.0,
        "short_by": short_by,
        "forecast_needed_of_one": needed,
        "consensus_if_all_timeframes_agreed": min(
            max(record["diversification"] * record["weighted_mean"], -FORECAST_MAX), FORECAST_MAX
        ),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
