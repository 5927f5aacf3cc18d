"""`novapulse explain --decision` and `--why-not`: what a ledger says of a decision, and of the bars without one."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, progress, say, show_json
from novapulse.cli.parity import lake_of
from novapulse.cli.render import UNKNOWN, headline, number, percent, table, wrapped
from novapulse.cli.replay import default_ledger, why_not, why_not_lines
from novapulse.config import load
from novapulse.confluence.narrate import lines
from novapulse.core.bars import format_ns
from novapulse.core.instruments import AccountKey, Instrument
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.market.spelling import symbol_of
from novapulse.parity.kept import Entry, Kept
from novapulse.parity.rederive import Rederived, reason_text, rederive
from novapulse.parity.words import CAP_TEXT, LIMIT_TEXT
from novapulse.research.inputs import checked_strategies

_FACTS_SHOWN = 40


def explain_decision(options: argparse.Namespace) -> int:
    """Make a recorded decision again and print every number of it; exit 1 when it does not come out the same."""
    strategies = checked_strategies(load(os.environ, options.config), say)
    with Kept(default_ledger(options)) as kept, progress("explain"):
        account, entry = kept.decision(options.decision)
        found = rederive(kept, options.decision, lake_of(kept.session_of(account, entry.seq)), strategies)
        place, ledger_id = kept.place, kept.ledger_id
    if options.json:
        show_json({"ledger": {"id": ledger_id, "place": place}, **_values(found)})
    else:
        print("\n".join(_page(found)))
    return EXIT_DONE if found.is_shown else EXIT_FAILED


def list_decisions(options: argparse.Namespace) -> int:
    """List the decisions that were taken last, each with the id that explains it."""
    symbol = None if options.of is None else symbol_of(options.of)
    place = default_ledger(options)
    if not options.ledger and not place.is_file():
        raise UsageError(f"--at names the bar that is meant; without it decisions are listed, and there is no {place}")
    with Kept(place) as kept:
        found = [
            (account, entry)
            for account, entry in kept.last_decisions(options.last)
            if symbol in (None, entry.record.body["instrument"][1])
        ]
    if options.json:
        show_json({"decisions": [_listed(account, entry) for account, entry in found]})
        return EXIT_DONE
    if not found:
        print("the ledger holds no such decision")
        return EXIT_DONE
    rows = [
        (
            format_ns(body["ts_close_ns"]),
            account.exchange,
            account.account_id,
            *(body["instrument"][1], body["verb"], reason_text(body), body["decision_id"]),
        )
        for account, entry in found
        for body in (entry.record.body,)
    ]
    print("\n".join(table(("bar closing", "exchange", "account", "instrument", "verb", "why", "id"), rows)))
    print("explain one: novapulse explain --decision ID, or --decision last")
    return EXIT_DONE


def _listed(account: AccountKey, entry: Entry) -> dict[str, Any]:
    body = entry.record.body
    return {
        "decision_id": body["decision_id"],
        "seq": entry.seq,
        "exchange": account.exchange,
        "account_id": account.account_id,
        "symbol": body["instrument"][1],
        "ts_close_ns": body["ts_close_ns"],
        "verb": body["verb"],
        "reason": body["reason"],
    }


def _values(found: Rederived) -> dict[str, Any]:
    body = found.record.body
    return {
        "decision_id": body["decision_id"],
        "seq": found.seq,
        "session": found.session.first_seq,
        "exchange": found.account.exchange,
        "account_id": found.account.account_id,
        "symbol": body["instrument"][1],
        "ts_close_ns": body["ts_close_ns"],
        "ts_close": format_ns(body["ts_close_ns"]),
        "verb": body["verb"],
        "reason": body["reason"],
        "text": reason_text(body),
        "settings_hash": body["settings"],
        "calibration": body["calibration"],
        "units": body["units"],
        "limit_price": float.fromhex(body["limit_price"]) or None,
        "same": found.is_shown,
        "checks": [{"what": one.what, "same": one.same, "how": one.text} for one in found.checks],
        "votes": found.votes,
        "state": found.state,
        "sizes": found.sizes,
        "followed": list(found.followed),
    }


def _page(found: Rederived) -> list[str]:
    body = found.record.body
    fact = next(one for one in found.configuration.instruments if one.symbol == body["instrument"][1])
    qty = body["units"] / 10**fact.qty_scale
    told = [
        headline(f"{body['verb']} {fact.symbol}: {reason_text(body)}"),
        f"decision {body['decision_id']} (record {found.seq})",
        f"{found.account.account_id} on {found.account.exchange}, bar closing {format_ns(body['ts_close_ns'])}, "
        f"mode {body['mode']}",
        f"{'buys' if body['side'] > 0 else 'sells'} {qty:g} {fact.base}{_limit(body, fact.quote)}"
        if body["side"]
        else "nothing is bought or sold",
        "",
    ]
    if found.votes is not None:
        told += [*lines(found.votes)[1:], ""]
    if found.state is not None:
        told += [*_state_lines(found.state, fact.quote), ""]
    if found.sizes is not None:
        told += [*_size_lines(found.sizes, fact.base), ""]
    return [*told, *_followed_lines(found), "", *_proof_lines(found)]


def _limit(body: Mapping[str, Any], quote: str) -> str:
    limit = float.fromhex(body["limit_price"])
    return f" at {limit:g} {quote} or better" if limit else " at the market"


def _state_lines(state: Mapping[str, Any], quote: str) -> list[str]:
    rows = [[LIMIT_TEXT[name], *_limit_cells(name, *values)] for name, values in state["limits"].items()]
    told = [
        headline("Limits"),
        f"equity {number(state['equity'])} {quote}, {state['loss_streak']} losses in a row",
        f"cash {number(state['cash'])} {quote}, of it reserved by entries at work {number(state['hold'])} {quote}",
        *table(("", "is", "most"), rows),
    ]
    position = state["position"]
    if position["qty"]:
        told.append(
            f"position {position['qty']:g} entered at {position['entry_price']:g}, stop {position['stop_price']:g}, "
            f"target {UNKNOWN if position['target_price'] is None else format(position['target_price'], 'g')}, "
            f"{position['bars_held']} bars old"
        )
    if state["stop_distance"]:
        target = UNKNOWN if state["target_distance"] is None else f"{state['target_distance']:g}"
        told.append(f"close {state['close']:g}; stop {state['stop_distance']:g} away, target {target} away")
    return told


def _limit_cells(name: str, value: float, most: float | None) -> list[str]:
    if name == "positions":
        return [f"{value:g}", f"{most:g}" if most else "no limit"]
    return [percent(value), percent(most) if most else "no limit"]


def _size_lines(sizes: Mapping[str, Any], base: str) -> list[str]:
    rows = [
        [CAP_TEXT[cap], "no limit" if size is None else f"{size:.8g}", "binds" if cap == sizes["binding"] else ""]
        for cap, size in sizes["sizes"].items()
    ]
    return [headline(f"Size: {sizes['qty']:g} {base}"), *table((f"{base} allowed by", "size", ""), rows)]


def _followed_lines(found: Rederived) -> list[str]:
    told = [headline("What followed")]
    scales = {one.symbol: one for one in found.configuration.instruments}
    fact = scales[found.record.body["instrument"][1]]
    for one in found.followed[:_FACTS_SHOWN]:
        told.append(f"{format_ns(one['ts_ns'])}  {_followed(one['kind'], one['body'], fact)}")
    more = len(found.followed) - _FACTS_SHOWN
    if more > 0:
        told.append(f"and {more} more records")
    return told if len(told) > 1 else [*told, "nothing is recorded"]


def _followed(kind: str, body: Mapping[str, Any], fact: Instrument) -> str:
    price_scale, qty_scale = fact.price_scale, fact.qty_scale
    name = str(body.get("client_order_id", ""))[:8]
    if kind == "fill_booked":
        price, qty = body["price_units"] / 10**price_scale, body["qty_units"] / 10**qty_scale
        return f"order {name} filled {qty:g} at {price:g}"
    if kind == "order_intended":
        request = body["request"]
        return f"order {name} intended: {request['role']}, {request['kind']}, {request['terms'][0] / 10**qty_scale:g}"
    if kind == "order_closed":
        return f"order {name} ended {body['status']}"
    if kind == "round_trip_closed":
        r = float.fromhex(body["r_multiple"])
        return f"round trip {body['number']} closed by {REASON_TEXT[Reason[body['exit_reason']]]}: {r:+.2f} R"
    if kind == "entry_unfilled":
        return f"not filled: {REASON_TEXT[Reason[body['reason']]]}"
    return f"order {name} {kind.removeprefix('order_').replace('_', ' ')}"


def _proof_lines(found: Rederived) -> list[str]:
    told = [headline("Proof")]
    for one in found.checks:
        mark = {True: "same", False: "DIFFERS", None: "not shown"}[one.same]
        told += wrapped(f"{mark:<10}{one.what:<12}{one.text}", indent=22)
    verdict = "made again from ledger and lake, bit for bit" if found.is_shown else "NOT the same when made again"
    return [*told, verdict]


def explain_why_not(options: argparse.Namespace) -> int:
    """Print why a ledger's accounts did nothing, on how many bars."""
    symbol = None if options.of is None else symbol_of(options.of)
    accounts: list[dict[str, Any]] = []
    with Kept(default_ledger(options)) as kept:
        for account in sorted({session.account for session in kept.sessions()}):
            runs = kept.holds(account, symbol)
            each = sorted({run.instrument for run in runs})
            accounts.append(
                {
                    "exchange": account.exchange,
                    "account_id": account.account_id,
                    "why_not": why_not(runs),
                    "by_symbol": {key.symbol: why_not(run for run in runs if run.instrument == key) for key in each},
                }
            )
    if options.json:
        show_json({"accounts": accounts})
        return EXIT_DONE
    for one in accounts:
        print(headline(f"{one['account_id']} on {one['exchange']}: bars on which nothing was done"))
        for name, reasons in one["by_symbol"].items() if symbol else [("", one["why_not"])]:
            print("\n".join([*([name] if name else []), *why_not_lines(reasons), ""]))
    return EXIT_DONE
