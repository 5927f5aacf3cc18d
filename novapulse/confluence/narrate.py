"""An explanation as lines of text."""

from novapulse.confluence.explain import Record


def lines(record: Record) -> list[str]:
    """Return an explanation by `explain.explain` as people read it, one line each."""
    told = [f"{record['symbol']} on {record['exchange']}, bar closing {record['ts_close']}"]
    if not record["warm"]:
        cold = [frame["timeframe"] for frame in record["timeframes"] if not frame["known"]]
        return [*told, f"no consensus: {', '.join(cold)} not warm (a gap, or not enough bars before)"]
    calibration = record["calibration"]
    told += [
        f"regime {record['regime']}, ATR {_text(record['atr'])}, annual volatility {_text(record['volatility'])}",
        f"calibration {calibration['id']} of {calibration['valid_from']} ({calibration['days']} days seen)",
        "",
        f"{'vote':<28}{'forecast':>10}{'confidence':>12}{'scalar':>8}{'scaled':>8}",
    ]
    for strategy in record["strategies"]:
        for vote in strategy["votes"]:
            told.append(
                f"{vote['feature']:<28}{vote['forecast']:>+10.2f}{vote['confidence']:>12.2f}"
                f"{vote['scalar']:>8.2f}{vote['scaled']:>+8.2f}"
            )
    told += ["", f"{'strategy':<28}{'base':>7}{'tilted':>8}{'regime':>8}{'weight':>8}{'forecast':>10}{'adds':>8}"]
    for strategy in record["strategies"]:
        told.append(
            f"{strategy['name']:<28}{strategy['weight_base']:>7.3f}{strategy['weight']:>8.3f}"
            f"{strategy['regime_multiplier']:>8.2f}{strategy['share_of_weight']:>8.3f}"
            f"{strategy['forecast']:>+10.2f}{strategy['contribution']:>+8.3f}"
        )
    book = record["book"]
    told += ["", "order book: " + ("none" if book is None else f"{book['forecast']:+.2f}, weight {book['weight']:.2f}")]
    for frame in record["timeframes"]:
        word = "agrees" if frame["agrees"] else "does not agree"
        told.append(f"{frame['timeframe']}: share {frame['share']:.2f}, opinion {frame['opinion']:+.2f}, {word}")
    told.append(
        f"consensus {record['consensus']:+.3f} = weighted mean {record['weighted_mean']:+.3f}"
        f" x diversification {record['diversification']:.3f} x agreement {record['agreement_multiplier']:.2f}"
    )
    told.append(f"confidence {record['confidence']:.2f}, led by {record['lead'] or 'nobody'}")
    return [*told, *_sure_fire_lines(record["sure_fire"]), *_entry_lines(record["entry"])]


def _sure_fire_lines(sure_fire: Record) -> list[str]:
    conditions = sure_fire["conditions"]
    strategies, confidence, book = conditions["strategies"], conditions["confidence"], conditions["book"]
    told = ["sure-fire" if sure_fire["label"] else "not sure-fire"]
    names = ", ".join(strategies["agree"]) or "none"
    told.append(f"  {_mark(strategies)} {_agree(len(strategies['agree']), strategies['needed'])}: {names}")
    told.append(f"  {_mark(confidence)} confidence {confidence['is']:.2f}, needed {confidence['needed']:.2f}")
    told.append(f"  {_mark(book)} order book: {'none' if book['is'] is None else format(book['is'], '+.2f')}")
    return told


def _entry_lines(entry: Record) -> list[str]:
    if entry["reached"]:
        return [f"strong enough for an entry (from {entry['forecast_min']:g})"]
    told = [f"too weak for an entry by {entry['short_by']:.2f}; on its own it would have taken"]
    for name, forecast in entry["forecast_needed_of_one"].items():
        told.append(f"  {name}: " + ("more than it can say" if forecast is None else f"a forecast of {forecast:+.2f}"))
    told.append(f"  all timeframes agreeing: a consensus of {entry['consensus_if_all_timeframes_agreed']:+.2f}")
    return told


def _mark(condition: Record) -> str:
    return "yes" if condition["met"] else "no "


def _agree(count: int, needed: int) -> str:
    agree = "1 strategy agrees" if count == 1 else f"{count} strategies agree"
    return f"{agree}, {needed} {'is' if needed == 1 else 'are'} needed"


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
