"""`novapulse replay`, `parity` and `explain --decision` on a lake of their own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from novapulse.market.recorder import SESSIONS
from novapulse.parity.kept import Kept
from novapulse.parity.ladder import Rung, session_rung
from novapulse.parity.sessions import SessionRun, compare
from tests.cli.conftest import Cli
from tests.cli.living import KEYS, configure, live

RUN = ("--symbol", "BTC-USDT", "ETH-USDT", "--end", "2024-01-04")


@pytest.fixture
def quick(home: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A confluence of one timeframe, warm within a day and a half, that trades often."""
    path = home / "quick.yaml"
    one_timeframe = "{timeframe_multiples: [1], timeframe_weights: [1], agreement_multipliers: [1]}"
    stops = "{target_cost_multiple_min: 1, target_stretch_max: 20}"
    often = f"{{entry_forecast_min: 3, sizing: {{volatility_target: null}}, stops: {stops}}}"
    cheap = "{maker_fee_bps: 1, taker_fee_bps: 2}"
    path.write_text(f"schema_version: 1\nconfluence: {one_timeframe}\nrisk: {often}\nexecution: {cheap}\n")
    monkeypatch.setenv("NOVAPULSE_CONFIG", str(path))
    return path


def test_a_replay_is_the_backtest_and_its_ledger_explains_every_decision(cli: Cli, quick: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "replay.db"
    outcome = cli("replay", *RUN, "--ledger", ledger, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    tested = json.loads(cli("backtest", *RUN, "--json").out)
    assert said["summary"]["round_trips"] == tested["summary"]["trades"] > 0
    assert said["summary"]["final_equity"] == tested["summary"]["final_equity"]
    assert said["summary"]["fees"] == pytest.approx(tested["summary"]["fees"], rel=1e-12)
    assert said["data"]["hash"] == tested["data"]["hash"]
    bars = sum(one["bars"] for one in said["why_not"].values())
    assert bars + said["decisions"] == said["data"]["bars"]

    with Kept(ledger) as kept:
        (session,) = kept.sessions()
        ids = [one.record.body["decision_id"] for one in kept.records(session.account, kinds=("decision_taken",))]
    explained = json.loads(cli("explain", "--decision", ids[0], "--ledger", ledger, "--json").out)
    assert (explained["same"], explained["decision_id"]) == (True, ids[0])
    page = cli("explain", "--decision", ids[0][:8], "--ledger", ledger)
    assert page.code == 0, page.err
    for part in ("made again from ledger and lake, bit for bit", "Limits", "binds", "What followed", "keltner@1m"):
        assert part in page.out
    assert all(len(line) <= 100 for line in page.out.splitlines())

    listed = json.loads(cli("explain", "--ledger", ledger, "--last", "3", "--json").out)["decisions"]
    assert [one["decision_id"] for one in listed] == ids[-3:]
    shown = cli("explain", "--ledger", ledger).out
    assert all(one in shown for one in ids[-20:])
    assert "main" not in shown.splitlines()[0]
    last = json.loads(cli("explain", "--decision", "last", "--ledger", ledger, "--json").out)
    assert last["decision_id"] == ids[-1]
    refused = cli("explain", "--ledger", ledger, "--exchange", "binance")
    assert (refused.code, "--at is needed beside --exchange" in refused.err) == (2, True)

    why = json.loads(cli("explain", "--why-not", "--ledger", ledger, "--json").out)
    assert sum(one["bars"] for one in why["accounts"][0]["why_not"].values()) <= bars
    of_one = cli("explain", "--why-not", "--ledger", ledger, "--of", "BTC-USDT").out
    assert "the consensus is weaker" in of_one
    assert "BTC/USDT" in of_one
    assert "BTC-USDT" not in of_one

    again = cli("parity", "--session", "last", "--ledger", ledger, "--json")
    assert again.code == 0, again.err
    account = f"{session.account.account_id} on {session.account.exchange}"
    assert f"session {session.first_seq} of {account}" in again.err
    sessions = json.loads(cli("parity", "--list", "--ledger", ledger, "--json").out)["sessions"]
    assert [(one["id"], one["account_id"]) for one in sessions] == [(session.first_seq, session.account.account_id)]
    assert session.account.account_id in cli("parity", "--list", "--ledger", ledger).out
    assert [rung["holds"] for rung in json.loads(again.out)["rungs"]] == [True, True, True, True, None]
    told = cli("parity", "--session", "last", "--ledger", ledger).out
    assert "nanosecond, 1 start, 0 commands, 0 late bars\n" in told, "a bug: it said 1 starts"
    assert cli("replay", *RUN, "--ledger", ledger).code == 2, "a ledger was written over"


def test_the_ladder_holds_on_every_rung(cli: Cli, quick: Path) -> None:
    outcome = cli("parity", *RUN)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("bit for bit") == 3
    assert "DIFFERS" not in outcome.out
    assert "novapulse simulate" in outcome.out


def test_what_was_only_noticed_otherwise_does_not_hold_and_is_named(
    cli: Cli, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug: a session whose observed records were not its replay's passed for one that is."""

    def rung_of(found: SessionRun) -> Rung:
        row = next(row for row, one in enumerate(found.records) if one.kind == "balance_asserted")
        records = (*found.records[:row], *found.records[row + 1 :])
        return session_rung(replace(found, records=records, compared=compare(records, found.played.journal.records)))

    monkeypatch.setattr("novapulse.cli.parity.session_rung", rung_of)
    outcome = cli("parity", *RUN)
    assert (outcome.code, "DIFFERS, in what was noticed alone: balance_asserted" in outcome.out) == (1, True)
    outcome = cli("parity", *RUN, "--json")
    said = json.loads(outcome.out)
    assert (outcome.code, said["holds"]) == (1, False)
    assert [(one["holds"], one["same_in_deed"]) for one in said["rungs"][:3]] == [(True, True)] * 2 + [(False, True)]


def test_people_read_what_was_not_done_and_why(cli: Cli, quick: Path) -> None:
    outcome = cli("replay", *RUN)
    assert outcome.code == 0, outcome.err
    for part in ("Round trips", "Why not more", "indicators are not warm yet", "µs a bar and pair"):
        assert part in outcome.out


def test_the_name_of_a_run_is_all_its_sessions_and_a_number_one_of_them(cli: Cli, stocked_home: Path) -> None:
    """A bug: the name that live says, and that its folder bears, was refused."""
    configure(stocked_home)
    name = live(cli, stocked_home)["session"]
    assert (stocked_home / SESSIONS / name).is_dir()
    listed = json.loads(cli("parity", "--list", "--json").out)["sessions"]
    assert {one["run"] for one in listed} == {name}
    said = json.loads(cli("parity", "--session", name, "--json").out)
    assert said["holds"]
    assert [one["session"]["id"] for one in said["sessions"]] == [one["id"] for one in listed]
    assert {(one["exchange"], one["account_id"]) for one in said["sessions"]} == set(KEYS)
    alone = json.loads(cli("parity", "--session", str(listed[0]["id"]), "--json").out)
    assert (alone["holds"], alone["session"]) == (True, said["sessions"][0]["session"])
    outcome = cli("parity", "--session", name[:-1])
    assert (outcome.code, outcome.out) == (2, "")
    for one in listed:
        assert f"{one['id']} ({one['account_id']} on {one['exchange']}, of {name})" in outcome.err


BAD = {
    "no such ledger": (["explain", "--decision", "abcd"], ["no such ledger", "--ledger"]),
    "a session without a ledger": (["parity", "--session", "7"], ["no such ledger"]),
    "a session and a symbol": (["parity", "--session", "7", "--symbol", "BTC-USDT"], ["leave out --symbol"]),
    "a decision and a start": (["explain", "--decision", "abcd", "--start", "2024-01-01"], ["leave out --start"]),
    "a ledger for a bar": (["explain", "--at", "2024-01-02", "--ledger", "x.db"], ["--ledger belongs to --decision"]),
    "a bar and a decision": (["explain", "--at", "2024-01-02", "--decision", "abcd"], ["--decision"]),
    "nothing to explain": (["explain"], ["--at"]),
    "a folder that is not there": (["replay", *RUN, "--ledger", "no/such/x.db"], ["there is no folder"]),
}


@pytest.mark.parametrize(("words", "named"), BAD.values(), ids=BAD)
def test_what_cannot_be_done_is_one_sentence(cli: Cli, quick: Path, words: list[str], named: list[str]) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out) == (2, "")
    for part in named:
        assert part in outcome.err
    assert "Traceback" not in outcome.err
