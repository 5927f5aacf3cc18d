"""A recorded decision made again on demand: one at a time, beside the page, and kept for whoever asks next.

Invariants:
- nothing is shown as explained that was not made again from ledger and bars, byte for byte compared;
- a decision is shown on the page of the account that made it, and on no other.
"""

import os
import threading
from pathlib import Path
from typing import Any

import structlog

from novapulse.config import load
from novapulse.confluence.explain import Record
from novapulse.confluence.steps import CONSENSUS_DIGITS, steps, vote_rows, weight_rows
from novapulse.core.amounts import from_units
from novapulse.core.instruments import AccountKey, Instrument
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.monitor.entries import KIND_TEXT
from novapulse.monitor.home import LEDGER_FILE
from novapulse.parity.kept import Kept, KeptError
from novapulse.parity.rederive import Rederived, reason_text, rederive
from novapulse.parity.sessions import configuration_of
from novapulse.parity.words import CAP_TEXT, LIMIT_TEXT
from novapulse.research.inputs import checked_strategies, lake_with, open_lake
from novapulse.research.tearsheet.words import plus
from novapulse.ui.apps.tables import percent
from novapulse.ui.jobs import Reporter, Shared, Wanted
from novapulse.ui.notebooks.ledgers import fingerprint

_log = structlog.get_logger("novapulse.ui")

_shared: Shared[Rederived] = Shared(24)
_one_at_a_time = threading.Lock()
_ASKED_EVERY_S = 0.2


def explanation(home: Path, account: AccountKey, decision_id: str, config: Path | None = None) -> Wanted[Rederived]:
    """Return the work of making a decision again: begun now, or when somebody asked for it before.

    Args:
        home: Folder of the trader's state.
        account: Whose decision it is.
        decision_id: Its name.
        config: File of the settings that name our own strategies; None for the usual place.
    """
    # What was recorded does not change; the bars that it is made again from may.
    key = home, account, decision_id, fingerprint(open_lake())
    return _shared.ask(key, lambda told: _made_again(home, account, decision_id, config, told))


def _made_again(home: Path, account: AccountKey, decision_id: str, config: Path | None, told: Reporter) -> Rederived:
    told.phase("waiting for another explanation to be made")
    while not _one_at_a_time.acquire(timeout=_ASKED_EVERY_S):
        told.pause(0)
    try:
        return _explained(home, account, decision_id, config, told)
    finally:
        _one_at_a_time.release()


def _explained(home: Path, account: AccountKey, decision_id: str, config: Path | None, told: Reporter) -> Rederived:
    with Kept(home / LEDGER_FILE) as kept:
        told.phase("looking for it in the ledger")
        whose, entry = kept.decision(decision_id)
        if whose != account:
            raise KeptError(f"{account.account_id} on {account.exchange} made no decision {decision_id}")
        configuration = configuration_of(kept.session_of(whose, entry.seq))
        lake = lake_with((one.key for one in configuration.instruments), configuration.timeframe_ns)
        strategies = checked_strategies(load(os.environ, config), _log.info)
        progress = told.phase("making votes, size and money again from bars and entries")
        return rederive(kept, decision_id, lake, strategies, progress)


def verdict_tiles(found: Rederived) -> list[dict[str, Any]]:
    """Return the decision in figures."""
    body, votes, sizes = found.record.body, found.votes, found.sizes
    fact = _fact(found)
    qty, limit = from_units(body["units"], fact.qty_scale), float.fromhex(body["limit_price"])
    tiles: list[dict[str, Any]] = [
        {
            "label": "decision",
            "value": f"{body['verb'].lower()} {fact.symbol}",
            "note": reason_text(body),
        },
        {
            "label": "order",
            "value": f"{qty:f}" if body["side"] else "none",
            "unit": fact.base if body["side"] else "",
            "note": _terms(body["side"], limit, fact),
        },
        {
            "label": "made again",
            "value": "the same" if found.is_shown else "NOT the same",
            "note": f"{sum(check.same is True for check in found.checks)} of {len(found.checks)} checks",
            "level": "ok" if found.is_shown else "over",
        },
    ]
    if votes is not None and votes["warm"]:
        lead = (votes["lead"] or "nobody").replace("_", " ")
        tiles.insert(
            1,
            {
                "label": "consensus",
                "value": f"{votes['consensus']:.{CONSENSUS_DIGITS}f}",
                "signed": True,
                "digits": CONSENSUS_DIGITS,
                "note": f"led by {lead}, confidence {percent(votes['confidence'], 0)} %, {votes['regime']}",
            },
        )
    if sizes is not None:
        tiles.insert(
            3,
            {
                "label": "size bound by",
                "value": sizes["binding"],
                "plain": True,
                "note": f"{sizes['qty']:.{fact.qty_scale}f} {fact.base}, {CAP_TEXT[sizes['binding']]}",
            },
        )
    return tiles


def base_of(found: Rederived) -> str:
    """Return the asset that its quantities are counted in."""
    return _fact(found).base


def _fact(found: Rederived) -> Instrument:
    return next(one for one in found.configuration.instruments if one.symbol == found.record.body["instrument"][1])


def weight_rows_of(found: Rederived) -> list[dict[str, Any]]:
    """Return what each strategy said as a whole, what weight it had and what it adds, the strongest first."""
    votes = _warm(found)
    return [] if votes is None else [{**row, "key": row["name"]} for row in weight_rows(votes)]


def vote_rows_of(found: Rederived) -> list[dict[str, Any]]:
    """Return what each strategy said on each timeframe."""
    votes = _warm(found)
    rows = [] if votes is None else vote_rows(votes)
    return [{**row, "key": f"{row['strategy']}@{row['timeframe']}"} for row in rows]


def step_rows(found: Rederived) -> list[dict[str, Any]]:
    """Return how the weighted votes became the consensus."""
    votes = _warm(found)
    return [] if votes is None else [{**one._asdict(), "key": one.name} for one in steps(votes)]


def _warm(found: Rederived) -> Record | None:
    return found.votes if found.votes is not None and found.votes["warm"] else None


def size_rows(found: Rederived) -> list[dict[str, Any]]:
    """Return what each limit allowed, the one that bound marked."""
    if found.sizes is None:
        return []
    binding, symbol = found.sizes["binding"], found.record.body["instrument"][1]
    fact = next(one for one in found.configuration.instruments if one.symbol == symbol)
    return [
        {
            "key": cap,
            "cap": CAP_TEXT[cap],
            "size": "no limit" if size is None else f"{size:,.8g} {fact.base}",
            "binds": "binds" if cap == binding else "",
            "level": "near" if cap == binding else "",
        }
        for cap, size in found.sizes["sizes"].items()
    ]


def limit_meters(found: Rederived) -> list[dict[str, Any]]:
    """Return the limits as the decision saw them."""
    if found.state is None:
        return []
    return [_meter(name, *values) for name, values in found.state["limits"].items()]


def check_rows(found: Rederived) -> list[dict[str, Any]]:
    """Return what was made again, and whether it came out the same."""
    words = {True: ("same", ""), False: ("differs", "over"), None: ("not shown", "near")}
    return [
        {"key": one.what, "same": words[one.same][0], "how": one.text, "level": words[one.same][1]}
        for one in found.checks
    ]


def followed_rows(found: Rederived) -> list[dict[str, Any]]:
    """Return what came of it, in order, in words."""
    return [
        {"key": str(one["seq"]), "seq": one["seq"], "ts_ns": one["ts_ns"], "what": _followed(one["kind"], one["body"])}
        for one in found.followed
    ]


def _terms(side: int, limit: float, fact: Instrument) -> str:
    if not side:
        return "nothing is bought or sold"
    where = f"at {limit:,.{fact.price_scale}f} {fact.quote} or better" if limit else "at the market"
    return f"{'buy' if side > 0 else 'sell'} {where}"


def _meter(name: str, used: float, most: float | None) -> dict[str, Any]:
    counted, used = name == "positions", max(used, 0.0)
    scale = 1 if counted else 100
    level = "ok" if not most or used < 0.8 * most else "near" if used < most else "over"
    return {
        "key": name,
        "name": LIMIT_TEXT[name],
        "used": f"{used * scale:.{0 if counted else 2}f}",
        "limit": None if not most else f"{most * scale:.{0 if counted else 2}f}",
        "unit": "" if counted else "%",
        "digits": 0 if counted else 2,
        "level": level,
        "explanation": "",
    }


def _followed(kind: str, body: dict[str, Any]) -> str:
    name = str(body.get("client_order_id", ""))[:8]
    if kind == "order_closed":
        return f"order {name} ended {str(body['status']).lower()}"
    if kind == "fill_booked":
        return f"order {name}: an execution was booked"
    if kind == "round_trip_closed":
        reason = REASON_TEXT[Reason[body["exit_reason"]]]
        return f"round trip {body['number']} closed: {reason}, {plus(float.fromhex(body['r_multiple']), 2)} R"
    if kind == "entry_unfilled":
        return f"not filled: {REASON_TEXT[Reason[body['reason']]]}"
    return f"order {name}: {KIND_TEXT[kind]}"
