"""A recorded decision with something changed: unchanged it is the recorded one, and each change does what it says."""

import pytest

from novapulse.core.records import Mode
from novapulse.parity.kept import Kept
from novapulse.parity.rederive import Rederived, rederive
from novapulse.parity.what_if import Change, inputs_of, told, what_if
from novapulse.strategies import STRATEGIES
from tests.parity.conftest import Small


@pytest.fixture
def entry(kept: Kept, small: Small) -> Rederived:
    """The first entry that was decided."""
    account = kept.sessions()[0].account
    first = next(one for one in kept.records(account, kinds={"decision_taken"}) if one.record.body["verb"] == "ENTER")
    return rederive(kept, first.record.body["decision_id"], small.lake, STRATEGIES)


def test_without_a_change_it_is_the_recorded_decision(entry: Rederived):
    inputs = inputs_of(entry)
    assert inputs is not None
    assert what_if(entry, Change()) == told(inputs.action)
    assert what_if(entry, Change())["verb"] == entry.record.body["verb"]


def test_a_weaker_consensus_is_no_signal(entry: Rederived):
    assert what_if(entry, Change(consensus=0.01))["reason"] == "NO_SIGNAL"


def test_a_paused_account_takes_no_new_risk(entry: Rederived):
    assert what_if(entry, Change(mode=Mode.PAUSED))["reason"] == "MODE_PAUSED"


def test_half_of_the_equity_allows_half_of_what_is_risked_and_a_deep_loss_nothing(entry: Rederived):
    inputs = inputs_of(entry)
    assert inputs is not None
    equity = float(inputs.account.equity)
    open_ = entry.configuration.decides
    limits = open_.risk.limits.model_copy(update={"drawdown_max_fraction": 0.0, "daily_loss_max_fraction": 0.0})
    no_pause = open_.model_copy(update={"risk": open_.risk.model_copy(update={"limits": limits})})
    whole, half = (what_if(entry, Change(equity=share * equity, settings=no_pause)) for share in (1.0, 0.5))
    assert half["sizes"]["risk"] == pytest.approx(0.5 * whole["sizes"]["risk"], rel=1e-6)
    assert what_if(entry, Change(equity=0.4 * equity))["reason"] in ("DAILY_LOSS", "DRAWDOWN")


def test_the_price_moves_what_is_bought_and_the_recorded_inputs_stay(entry: Rederived):
    inputs = inputs_of(entry)
    assert inputs is not None
    before = what_if(entry, Change())
    dearer = what_if(entry, Change(close=2.0 * float(inputs.bar.close)))
    assert dearer["sizes"]["position"] == pytest.approx(0.5 * before["sizes"]["position"], rel=1e-6)
    assert what_if(entry, Change()) == before


def test_settings_are_decided_by(entry: Rederived):
    one = entry.configuration.decides
    risk = one.risk.model_copy(update={"entry_forecast_min": 20.0})
    assert what_if(entry, Change(consensus=19.0, settings=one.model_copy(update={"risk": risk})))["verb"] == "HOLD"
