"""One recorded decision, made again: signals from the lake, the decision from its record, the money from the postings.

Invariants:
- what is made again is compared byte by byte with what was recorded; nothing is rounded on either side;
- a check that cannot be made says so and counts as not shown, never as passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import Plan, prepare
from novapulse.core.amounts import from_units
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import Record
from novapulse.core.postings import Book
from novapulse.core.records import ACTION, BAR, CAPS, REASON_TEXT, SIGNAL, Reason
from novapulse.core.records import Record as Row
from novapulse.engine.configuration import Configuration
from novapulse.engine.limits import in_force
from novapulse.execution.rules import instrument_records, rules_record
from novapulse.ledger.movements import FLOWS
from novapulse.ledger.queries import FILLS
from novapulse.market.lake import Lake
from novapulse.parity.inputs import Inputs
from novapulse.parity.kept import Entry, Kept, Session
from novapulse.parity.sessions import bars_of, configuration_of
from novapulse.risk.decide import decide
from novapulse.risk.limits import daily_loss
from novapulse.risk.sizing import drawdown
from novapulse.strategies import Strategy

Told = dict[str, Any]

_FOLLOWS = frozenset(
    {
        "order_intended",
        "order_attempted",
        "order_acked",
        "order_refused",
        "order_unclear",
        "amend_asked",
        "cancel_asked",
        "fill_booked",
        "fill_busted",
        "order_closed",
        "order_reopened",
        "entry_unfilled",
        "round_trip_closed",
    }
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was made again.

    Attributes:
        what: Its name.
        same: Whether it equals what was recorded; None where it could not be made.
        text: How, or what differs.
    """

    what: str
    same: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Rederived:
    """A decision and what became of making it again.

    Attributes:
        account: Whose.
        seq: Number of its record.
        session: In which it was taken.
        record: As the ledger has it.
        configuration: What the session ran with, with the limits that were in force at that moment.
        checks: What was made again.
        votes: How the consensus came about, see `confluence.explain`, with the recorded `gate_probability` (None where
            the gate abstained); None where no bar decided.
        state: Account, limits and position that the decision saw; None where no bar decided.
        sizes: What each limit allowed, and which one bound; None where none was compared.
        followed: What came of it, in order.
    """

    account: AccountKey
    seq: int
    session: Session
    record: Record
    configuration: Configuration
    checks: tuple[Check, ...]
    votes: Told | None
    state: Told | None
    sizes: Told | None
    followed: tuple[Told, ...] = field(repr=False)

    @property
    def is_shown(self) -> bool:
        """Whether everything could be made again and is the same to the bit."""
        return all(check.same for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Lake:
    """What the lake gives for the moment of a decision."""

    bars: Mapping[InstrumentKey, BarColumns]
    plan: Plan
    calibrations: Sequence[Calibration]


def rederive(
    kept: Kept, name: str, lake: Lake, strategies: Mapping[str, Strategy], progress: pipeline.Progress | None = None
) -> Rederived:
    """Make a recorded decision again.

    Args:
        kept: The ledger.
        name: The decision's id, or its first digits.
        lake: Where the bars are.
        strategies: By name, the user's own included.
        progress: Called with base bars done and in total while the strategies are asked; what it raises ends it.

    Raises:
        KeptError: The ledger has no such decision, or not what is needed.
        DataError: The lake does not hold the bars.
        ValueError: The record is damaged, or one of the limits before it.
    """
    account, entry = kept.decision(name)
    session = kept.session_of(account, entry.seq)
    before = list(kept.records(account, entry.seq - 1))
    configuration = in_force(configuration_of(session), _changed_limits(before))
    followed = _followed(kept, account, entry)
    body = entry.record.body
    checks = [_settings(configuration, body)]
    votes = state = sizes = None
    if body["inputs"] is None:
        checks.append(_position(before, configuration, body, None))
    else:
        inputs = Inputs.of(body["inputs"])
        market = _market(configuration, lake, strategies, int(body["ts_close_ns"]), progress)
        checks += _signal(market, configuration, body, inputs)
        checks.append(_action(configuration, body, inputs))
        checks += _money(kept, before, configuration, inputs)
        checks.append(_position(before, configuration, body, inputs))
        checks.append(_equity(kept, before, configuration, market, body, inputs))
        votes = _votes(market, configuration, body, inputs)
        state = _state(configuration, body, inputs)
        sizes = _sizes(inputs.action)
    return Rederived(
        account,
        entry.seq,
        session,
        entry.record,
        configuration,
        tuple(checks),
        votes,
        state,
        sizes,
        tuple(followed),
    )


def _changed_limits(before: Sequence[Entry]) -> dict[str, str]:
    """Return the limits that were otherwise than configured behind some records: the last word on them tells all."""
    for entry in reversed(before):
        if entry.record.kind == "limits_changed":
            return {name: one["value"] for name, one in entry.record.body["limits"].items()}
    return {}


# ---- what is made again ----


def _settings(configuration: Configuration, body: Mapping[str, Any]) -> Check:
    found = configuration.decides.hash
    same = found == body["settings"]
    text = f"the session's settings with the limits in force have the hash {found}"
    if not same:
        text += f", the decision names {body['settings']}"
    return Check("settings", same, text)


def _key(body: Mapping[str, Any]) -> InstrumentKey:
    return InstrumentKey(*body["instrument"])


def _market(
    configuration: Configuration,
    lake: Lake,
    strategies: Mapping[str, Strategy],
    close_ns: int,
    progress: pipeline.Progress | None,
) -> _Lake:
    bars = bars_of(configuration, lake, close_ns)
    plan = prepare(configuration.decides.confluence, strategies)
    _, calibrations = pipeline.signals(bars, configuration.decides.confluence, strategies, progress=progress)
    return _Lake(bars, plan, [row for row in calibrations if row.valid_from_ns < close_ns])


def _signal(market: _Lake, configuration: Configuration, body: Mapping[str, Any], inputs: Inputs) -> list[Check]:
    key, close_ns = _key(body), int(body["ts_close_ns"])
    bars = market.bars[key]
    if len(bars) == 0 or int(bars.ts_close_ns[-1]) != close_ns:
        return [Check("bar", None, "the lake has no bar of that close")]
    bar = np.zeros(1, BAR)[0]
    for name in BAR.names or ():
        bar[name] = getattr(bars, name)[-1]
    checks = [_bytes("bar", bar, inputs.bar, BAR, "read from the lake")]
    calibration = market.calibrations[-1]
    same = calibration.id == body["calibration"]
    named = "is" if same else f"is not {body['calibration']} but"
    checks.append(Check("calibration", same, f"learned again from the lake it {named} {calibration.id}"))
    window = min(market.plan.warmup_base_bars + 1, len(bars))
    said = pipeline.run(bars[len(bars) - window :], market.plan, market.calibrations, key=key, last=1)
    row, columns = np.zeros(1, SIGNAL)[0], said.to_kernel()
    for name in SIGNAL.names or ():
        row[name] = columns[name][-1] if name in columns else np.nan
    text = f"made from the last {window:,} bars and that calibration"
    return [*checks, _bytes("signal", row, inputs.signal, SIGNAL, text)]


def decided(configuration: Configuration, key: InstrumentKey, inputs: Inputs, decides: BacktestSettings) -> Row:
    """Return what `decide` says: ACTION.

    Args:
        configuration: Of the session.
        key: The instrument.
        inputs: What is decided on; its action is not looked at.
        decides: Settings to decide by.

    Raises:
        ValueError: A fixed quantity is set that the instrument cannot trade.
    """
    facts = configuration.instruments
    single = facts[0] if len(facts) == 1 else None
    rules = rules_record(decides.risk, decides.execution, configuration.timeframe_ns, single)
    record = instrument_records(facts)[[fact.key for fact in facts].index(key)]
    action = np.zeros(1, ACTION)[0]
    decide(inputs.account, inputs.position, record, inputs.bar, inputs.signal, inputs.group_exposure, rules, action)
    return action


def _action(configuration: Configuration, body: Mapping[str, Any], inputs: Inputs) -> Check:
    action = decided(configuration, _key(body), inputs, configuration.decides)
    return _bytes("action", action, inputs.action, ACTION, "decided again on the recorded account and position")


def _bytes(what: str, made: Row, recorded: Row, dtype: "np.dtype[np.void]", text: str) -> Check:
    # Field by field: what lies between fields belongs to nobody.
    names = [name for name in dtype.names or () if made[name].tobytes() != recorded[name].tobytes()]
    if names:
        return Check(what, False, f"{text}: {', '.join(names)} differs from what was recorded")
    size = sum(made[name].nbytes for name in dtype.names or ())
    return Check(what, True, f"{text}: all {size} bytes are the recorded ones")


def _money(kept: Kept, before: Sequence[Entry], configuration: Configuration, inputs: Inputs) -> list[Check]:
    fact = configuration.instruments[0]
    total = sum(
        leg.amount
        for entry in before
        for leg in entry.record.postings
        if leg.asset == fact.quote and leg.book in (Book.CASH, Book.HOLD)
    )
    recorded = int(inputs.account.cash_units) * 10 ** (kept.scales[fact.quote] - fact.cash_scale)
    sums, had = (f"{from_units(units, kept.scales[fact.quote]):f} {fact.quote}" for units in (total, recorded))
    text = f"the postings up to then sum to {sums}, the account had {had}"
    closed = sum(entry.record.kind == "round_trip_closed" for entry in before)
    trades = int(inputs.account.trades)
    return [
        Check("cash", total == recorded, text),
        Check("round trips", closed == trades, f"{closed} are recorded up to then, the account counted {trades}"),
    ]


def _held(before: Sequence[Entry]) -> dict[InstrumentKey, int]:
    """Fold what our positions were changed by into quantities."""
    held: dict[InstrumentKey, int] = {}
    fills: dict[str, Mapping[str, Any]] = {}
    for entry in before:
        kind, body = entry.record.kind, entry.record.body
        if kind == "split_applied":
            key, units = InstrumentKey(*body["instrument"]), int(body["units"][1]) - int(body["units"][0])
        elif kind in FLOWS and "own_units" in body:
            key, units = InstrumentKey(*body["instrument"]), int(body["own_units"])
        elif kind in FILLS:
            sign, fill = (1, body) if kind == "fill_booked" else (-1, fills.pop(body["venue_trade_id"], None))
            if fill is None:
                continue
            if sign > 0:
                fills[body["venue_trade_id"]] = body
            whole = sign * int(fill["side"]) * int(fill["qty_units"]) if body["client_order_id"] else 0
            key, units = InstrumentKey(*fill["instrument"]), int(body.get("own_units", whole))
        else:
            continue
        held[key] = held.get(key, 0) + units
    return held


def _position(
    before: Sequence[Entry], configuration: Configuration, body: Mapping[str, Any], inputs: Inputs | None
) -> Check:
    key = _key(body)
    fact = next(one for one in configuration.instruments if one.key == key)
    units = _held(before).get(key, 0)
    left = f"the executions up to then leave {_qty(units, fact)}"
    if inputs is None:
        same = units == -int(body["side"]) * int(body["units"])
        return Check("position", same, f"{left}, {_qty(int(body['units']), fact)} were to be closed")
    recorded = int(inputs.position.qty_units)
    return Check("position", units == recorded, f"{left}, recorded {_qty(recorded, fact)}")


def _qty(units: int, fact: Instrument) -> str:
    return f"{from_units(units, fact.qty_scale):f} {fact.base}"


def _equity(
    kept: Kept,
    before: Sequence[Entry],
    configuration: Configuration,
    market: _Lake,
    body: Mapping[str, Any],
    inputs: Inputs,
) -> Check:
    held, close_ns = _held(before), int(body["ts_close_ns"])
    unheard = {
        (InstrumentKey(*entry.record.body["instrument"]), int(entry.record.body["ts_close_ns"]))
        for entry in before
        if entry.record.kind == "bar_late"
    }
    value = 0.0
    for fact in configuration.instruments:
        units = held.get(fact.key, 0)
        if units == 0:
            continue
        bars = market.bars[fact.key].between(None, close_ns)
        row = len(bars) - 1
        while row >= 0 and (fact.key, int(bars.ts_close_ns[row])) in unheard:
            row -= 1
        if row < 0:
            return Check("equity", None, f"the lake has no close of {fact.key} to mark it at")
        value += units / 10.0**fact.qty_scale * float(bars.close[row])
    equity, recorded = float(inputs.account.cash) + value, float(inputs.account.equity)
    text = f"cash and the executions at the lake's closes make {equity!r}, recorded {recorded!r}"
    return Check("equity", equity == recorded, text)


# ---- what people want to know of it ----


def _votes(market: _Lake, configuration: Configuration, body: Mapping[str, Any], inputs: Inputs) -> Told:
    minimum = configuration.decides.risk.entry_forecast_min
    key, gate = _key(body), float(inputs.signal.gate_probability)
    told = explain(market.bars[key], market.plan, market.calibrations, key=key, entry_forecast_min=minimum)
    return {**told, "gate_probability": None if np.isnan(gate) else gate}


def _state(configuration: Configuration, body: Mapping[str, Any], inputs: Inputs) -> Told:
    account, position, limits = inputs.account, inputs.position, configuration.decides.risk.limits
    equity = float(account.equity)
    grouped = any(one.group for one in configuration.instruments if one.symbol == body["instrument"][1])
    group = {"group exposure": [inputs.group_exposure / equity, limits.group_exposure_max_fraction]}
    return {
        "cash": float(account.cash),
        "hold": float(account.hold),
        "equity": equity,
        "mode": body["mode"],
        "limits": {
            "daily loss": [float(daily_loss(account)), limits.daily_loss_max_fraction],
            "drawdown": [float(drawdown(account)), limits.drawdown_max_fraction],
            "gross exposure": [
                float(account.gross_exposure + account.pending_exposure) / equity,
                limits.gross_exposure_max_fraction,
            ],
            **(group if grouped else {}),
            "positions": [int(account.positions), limits.positions_max],
        },
        "loss_streak": int(account.loss_streak),
        "position": {
            "qty": float(position.qty),
            "entry_price": float(position.entry_price) or None,
            "stop_price": float(position.stop_price) or None,
            "target_price": float(position.target_price) or None,
            "bars_held": int(position.bars_held),
        },
        "stop_distance": float(inputs.action.stop_distance) or None,
        "target_distance": float(inputs.action.target_distance) if inputs.action.target_distance > 0.0 else None,
        "notional": float(inputs.action.notional) or None,
        "close": float(inputs.bar.close),
    }


def _sizes(action: Row) -> Told | None:
    if not action.sizes.any():
        return None
    sizes = {cap: float(size) if np.isfinite(size) else None for cap, size in zip(CAPS, action.sizes, strict=True)}
    return {"sizes": sizes, "binding": CAPS[int(action.binding)], "qty": float(action.qty)}


def _followed(kept: Kept, account: AccountKey, entry: Entry) -> list[Told]:
    body = entry.record.body
    name, key = body["decision_id"], list(body["instrument"])
    orders: set[str] = set()
    told: list[Told] = []
    trip_is_over = body["verb"] == "WITHDRAW"
    for later in kept.records(account, kinds=_FOLLOWS):
        if later.seq <= entry.seq:
            continue
        record, said = later.record, later.record.body
        if record.kind == "order_intended" and said["request"]["decision_id"] == name:
            orders.add(said["client_order_id"])
        ours = said.get("client_order_id") in orders or said.get("decision_id") == name
        closes = record.kind == "round_trip_closed" and said["instrument"] == key
        if closes and not trip_is_over and said["exit_ns"] > body["ts_close_ns"] and (orders or body["verb"] == "EXIT"):
            ours = trip_is_over = True
        if ours:
            told.append({"seq": later.seq, "ts_ns": record.ts_ns, "kind": record.kind, "body": dict(said)})
    return told


def reason_text(body: Mapping[str, Any]) -> str:
    """Return the reason of a decision in words."""
    return REASON_TEXT[Reason[body["reason"]]]
