"""What the page of time travel shows of a decision: why, with which limits and sizes, what followed, and the proof.

Invariant: figures are those of `parity.rederive` and `parity.what_if`; nothing is computed here.
"""

from collections.abc import Mapping
from typing import Any

import marimo as mo

from novapulse.confluence.narrate import lines
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.monitor.entries import KIND_TEXT
from novapulse.parity.rederive import Check, reason_text
from novapulse.parity.what_if import Change, inputs_of, told, what_if
from novapulse.parity.words import CAP_TEXT, LIMIT_TEXT
from novapulse.research.tearsheet import words
from novapulse.ui import panels
from novapulse.ui.markup import escape
from novapulse.ui.notebooks import layout, ledgers
from novapulse.ui.notebooks.replay import Desk, Scene, moments_of
from novapulse.ui.notebooks.work import Came
from novapulse.ui.session import scope
from novapulse.ui.widgets import Candles, Meters

Html = mo.Html

_FOLLOWED_MAX = 60
_VERDICTS = {True: "same to the bit", False: "differs", None: "not shown"}
_ROWS = (
    ("Does", "verb"),
    ("Because", "text"),
    ("Side", "side"),
    ("Order", "kind"),
    ("Quantity", "qty"),
    ("Worth", "notional"),
    ("Limit price", "limit_price"),
    ("Stop away", "stop_distance"),
    ("Target away", "target_distance"),
)
_AMOUNTS = ("qty", "notional", "limit_price", "stop_distance", "target_distance")
"""Of these rows, those that are counted in an asset."""


def cannot_open(problem: str | None) -> Html:
    """Return the page of a desk with nothing to look at."""
    return Html(panels.head("Replay", []) + panels.remarks([problem or ""], "np-wrong"))


def header(desk: Desk, came: Came[Scene]) -> Html:
    """Return the top of the page."""
    chips: list[tuple[str, str]] = []
    if came.result is not None:
        found = came.result.found
        proven = "proven: the same to the bit" if found.is_shown else "not the same when made again"
        chips = [
            (ledgers.account_name(found.account), ""),
            (f"session {found.session.first_seq}", ""),
            (f"entry {found.seq}", ""),
            (proven, "np-real" if found.is_shown else "np-warn"),
        ]
    wrong = [came.problem] if came.problem else []
    return Html(panels.head("Replay", chips) + panels.remarks(wrong, "np-wrong"))


def decisions(table: Any) -> Html:
    """Return the list of decisions."""
    return layout.card("Recorded decisions", table, note="choose one to travel to it")


def verdict(came: Came[Scene]) -> Html:
    """Return what was decided, in a sentence."""
    if came.result is None:
        return Html(panels.TALL)
    found = came.result.found
    body, fact = found.record.body, _fact(came.result)
    limit = float.fromhex(body["limit_price"])
    qty = f"{body['units'] / 10**fact.qty_scale:,.8g} {fact.base}"
    price = f"at {limit:,.8g} {fact.quote} or better" if limit else "at the market"
    order = f"{'buys' if body['side'] > 0 else 'sells'} {qty} {price}" if body["side"] else "nothing is bought or sold"
    what = f"{body['verb'].capitalize()} {fact.symbol}: {reason_text(body)}"
    points = [order, f"bar closing {moments_of(int(body['ts_close_ns']))}, mode {body['mode'].lower()}"]
    points.append(f"decision {body['decision_id']}, settings {body['settings']}")
    told_points = "".join(f"<li>{escape(point)}</li>" for point in points)
    tone = {"ENTER": "gain", "EXIT": "loss"}.get(body["verb"], "")
    return Html(f'<section class="np-card np-verdict {tone}"><h2>{escape(what)}</h2><ul>{told_points}</ul></section>')


def chart(came: Came[Scene]) -> Any:
    """Return the bars around the decision, with the orders that came of it."""
    scene = came.result
    if scene is None:
        return Html(panels.TALL)
    if len(scene.bars) == 0:
        return layout.card("Price", "<p>The lake has no bars of that time.</p>")
    candles = scope().own(Candles(scene.bars, label=f"{scene.key.symbol}, around the decision", height=430))
    candles.stale_s = 0.0
    candles.show_fills(_fills(scene))
    candles.show_lines(_lines(scene))
    if close_ns := int(scene.found.record.body["ts_close_ns"]):
        candles.show_moment(close_ns, "decided here")
    return candles


def explanation(came: Came[Scene]) -> Html:
    """Return how the consensus came about, as it was seen then."""
    if came.result is None:
        return Html(panels.TALL)
    found = came.result.found
    if found.votes is None:
        told_why = panels.remarks(["No bar decided this: it came of a command or of what the venue did."])
    else:
        body, sizes = found.record.body, found.sizes or {"sizes": {}, "binding": ""}
        decision = {"verb": body["verb"], "text": reason_text(body), **sizes}
        told_why = panels.explanation({**found.votes, "decision": decision, "lines": lines(found.votes)})
    return Html(
        '<section class="np-card np-explain"><div class="np-card-head"><h2>Votes, regime, weights</h2></div>'
        f"{told_why}</section>"
    )


def compared(came: Came[Scene], change: Change | None) -> Html:
    """Return what was decided beside what would have been with the change."""
    inputs = None if came.result is None else inputs_of(came.result.found)
    if came.result is None or inputs is None:
        return Html("")
    recorded = told(inputs.action)
    if change is None:
        return layout.card("What if", panels.remarks(["Not decided: put right what is wrong with the settings."]))
    try:
        other = what_if(came.result.found, change)
    except ValueError as wrong:
        return layout.card("What if", panels.remarks([str(wrong)], "np-wrong"))
    fact = _fact(came.result)
    units = {key: f" {fact.base if key == 'qty' else fact.quote}" for key in _AMOUNTS}
    rows = [
        _compared_row(name, *(_text(key, one[key], units.get(key, "")) for one in (recorded, other)))
        for name, key in _ROWS
    ]
    rows += [
        _compared_row(f"Size: {CAP_TEXT[cap]}", *_sizes(cap, fact.base, recorded, other))
        for cap in _caps(recorded, other)
    ]
    what = ", ".join(_changes(change, came.result)) or "nothing is changed: move a setting"
    body = "".join(rows)
    return layout.card(
        "What was decided, and what would have been",
        '<div class="np-scroll"><table class="np-table np-beside"><thead><tr><th></th><th>recorded</th>'
        f"<th>with the change</th></tr></thead><tbody>{body}</tbody></table></div>",
        note=what,
    )


def state(came: Came[Scene]) -> Html:
    """Return the account's limits and the position as the decision saw them."""
    if came.result is None or came.result.found.state is None:
        return Html("")
    seen, fact = came.result.found.state, _fact(came.result)
    quote = fact.quote
    meters = scope().own(Meters(label="Limits, as the decision saw them"))
    meters.stale_s = 0.0
    meters.show_state({"meters": [_meter(name, *values) for name, values in seen["limits"].items()]})
    position = seen["position"]
    named = {"equity": "Equity", "cash": "Cash", "hold": "Of it reserved for entries"}
    money = {text: f"{layout.number(seen[name], ',.2f')} {quote}" for name, text in named.items()}
    held = {
        "Losses in a row": str(seen["loss_streak"]),
        "Close": _amount(seen["close"], quote),
        "Position": _amount(position["qty"], fact.base) if position["qty"] else "none",
    }
    if position["qty"]:
        held |= {name.replace("_", " ").capitalize(): _amount(position[name], quote) for name in _LEVELS}
        held["Bars held"] = layout.number(position["bars_held"])
    return layout.grid(meters, layout.card("Account and position", layout.pairs({**money, **held})))


_LEVELS = ("entry_price", "stop_price", "target_price")


def _amount(value: float | None, asset: str) -> str:
    text = layout.number(value)
    return text if value is None else f"{text} {asset}"


def proof(came: Came[Scene]) -> Html:
    """Return what was made again, and what became of the decision."""
    if came.result is None:
        return Html("")
    found = came.result.found
    checks = "".join(_check(one) for one in found.checks)
    rows = [
        [moments_of(int(one["ts_ns"])), _followed(one["kind"], one["body"], _fact(came.result)), str(one["seq"])]
        for one in found.followed[:_FOLLOWED_MAX]
    ]
    more = len(found.followed) - _FOLLOWED_MAX
    followed = panels.table(("When", "What", "Entry"), rows) if rows else "<p>Nothing is recorded.</p>"
    note = f"and {more} more" if more > 0 else ""
    return layout.grid(
        layout.card("Made again from ledger and lake", f'<div class="np-checks">{checks}</div>'),
        layout.card("What followed", layout.told(followed), note=note),
    )


def _check(one: Check) -> str:
    tone = {True: "gain", False: "loss", None: ""}[one.same]
    mark = {True: "✓", False: "✗", None: "?"}[one.same]
    return (
        f'<div class="np-check"><span class="np-chip {tone}">{mark} {_VERDICTS[one.same]}</span>'
        f"<div><b>{escape(one.what)}</b> <span>{escape(one.text)}</span></div></div>"
    )


def _fact(scene: Scene) -> Any:
    return next(one for one in scene.found.configuration.instruments if one.key == scene.key)


def _fills(scene: Scene) -> list[dict[str, Any]]:
    fact = _fact(scene)
    last_ns = int(scene.bars.ts_close_ns[-1])
    return [
        {
            "ts_ns": int(one["ts_ns"]),
            "side": "BUY" if one["body"]["side"] > 0 else "SELL",
            "qty": one["body"]["qty_units"] / 10**fact.qty_scale,
            "price": one["body"]["price_units"] / 10**fact.price_scale,
            "base": fact.base,
            "quote": fact.quote,
        }
        for one in scene.found.followed
        if one["kind"] == "fill_booked" and int(one["ts_ns"]) <= last_ns
    ]


def _lines(scene: Scene) -> list[dict[str, Any]]:
    found = scene.found
    if found.state is None:
        return []
    position, body = found.state["position"], found.record.body
    if position["qty"]:
        levels = {"entry": position["entry_price"], "stop": position["stop_price"], "target": position["target_price"]}
    elif body["verb"] == "ENTER":
        entry = float.fromhex(body["limit_price"]) or found.state["close"]
        stop, target, side = found.state["stop_distance"], found.state["target_distance"], int(body["side"])
        levels = {
            "entry": entry,
            "stop": None if stop is None else entry - side * stop,
            "target": None if target is None else entry + side * target,
        }
    else:
        levels = {}
    return [{"price": price, "kind": kind} for kind, price in levels.items() if price is not None]


def _text(key: str, value: Any, unit: str) -> str:
    if value is None:
        return "—"
    text = layout.number(value) if isinstance(value, float) else str(value)
    return text.lower() if key == "verb" else f"{text}{unit}"


def _caps(recorded: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return list((recorded["sizes"] or other["sizes"] or {}).keys())


def _sizes(cap: str, base: str, *decisions_: Mapping[str, Any]) -> tuple[str, str]:
    def said(one: Mapping[str, Any]) -> str:
        if one["sizes"] is None:
            return "—"
        size = one["sizes"][cap]
        return ("no limit" if size is None else f"{layout.number(size)} {base}") + (
            " binds" if cap == one["binding"] else ""
        )

    first, second = decisions_
    return said(first), said(second)


def _compared_row(name: str, was: str, would: str) -> str:
    mark = ' class="np-changed"' if was != would else ""
    return f"<tr{mark}><th>{escape(name)}</th><td>{escape(was)}</td><td>{escape(would)}</td></tr>"


def _changes(change: Change, scene: Scene) -> list[str]:
    named = {"consensus": change.consensus, "close": change.close, "average range": change.atr, "equity": change.equity}
    told_changes = [f"{name} {layout.number(value, ',.6g')}" for name, value in named.items() if value is not None]
    if change.mode is not None:
        told_changes.append(f"mode {change.mode.name.lower().replace('_', ' ')}")
    if change.settings is not None:
        told_changes.append("other settings")
    return told_changes


def _meter(name: str, used: float, limit: float | None) -> dict[str, Any]:
    is_share = name != "positions"
    unit, per, digits = ("%", 100.0, 2) if is_share else ("", 1.0, 0)
    used = max(used, 0.0)
    share = used / limit if limit else 0.0
    level = "over" if limit and share >= 1 else "near" if share >= 0.8 else "ok"
    most = None if not limit else f"{limit * per:.{digits}f}"
    return {
        "name": LIMIT_TEXT[name],
        "used": f"{used * per:.{digits}f}",
        "limit": most,
        "unit": unit,
        "level": level,
        "digits": digits,
    }


def _followed(kind: str, body: Mapping[str, Any], fact: Any) -> str:
    name = str(body.get("client_order_id", ""))[:8]
    if kind == "fill_booked":
        price, qty = body["price_units"] / 10**fact.price_scale, body["qty_units"] / 10**fact.qty_scale
        return f"order {name} filled {qty:,.8g} {fact.base} at {price:,.8g} {fact.quote}"
    if kind == "order_intended":
        request = body["request"]
        qty = request["terms"][0] / 10**fact.qty_scale
        return f"order {name} intended: {request['role']}, {request['kind']}, {qty:,.8g} {fact.base}"
    if kind == "order_closed":
        return f"order {name} ended {str(body['status']).lower()}"
    if kind == "round_trip_closed":
        r = float.fromhex(body["r_multiple"])
        return f"round trip {body['number']} closed, {REASON_TEXT[Reason[body['exit_reason']]]}: {words.plus(r, 2)} R"
    if kind == "entry_unfilled":
        return f"not filled: {REASON_TEXT[Reason[body['reason']]]}"
    return f"order {name}: {KIND_TEXT[kind]}"
