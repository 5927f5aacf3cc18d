"""A bar that is chosen on the desk's chart leads to what was decided on it, or says why nothing was."""

from dataclasses import replace
from pathlib import Path

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.monitor import AccountState, read_home
from novapulse.monitor.history import holds
from novapulse.ui.apps.tables import moment
from tests.monitor.conftest import bodies
from tests.ui.apps.conftest import Drawn, Look

MAIN = {"exchange": "kraken", "account_id": "main"}
KEY = AccountKey(**MAIN)
SYMBOL = "BTC/USD"


def choose(drawn: Drawn, ts_close_ns: int) -> list[dict[str, str]]:
    """What the chart says when the page writes that a bar was clicked."""
    drawn.chart.clicked = {"time": ts_close_ns / 1e9}
    return list(drawn.chart.state["answers"])


@pytest.fixture
def desk(left_home: Path, look: Look) -> Drawn:
    return look("desk", left_home, "viewer", **MAIN, symbol=SYMBOL)


def test_every_decision_is_found_by_its_bar_and_led_to(desk: Drawn, left_home: Path) -> None:
    taken = [one for one in bodies(left_home, KEY, "decision_taken") if one["instrument"][1] == SYMBOL]
    assert len(taken) > 1
    for body in taken:
        found = choose(desk, int(body["ts_close_ns"]))
        links = {one["href"] for one in found}
        assert f"/apps/decisions/?exchange=kraken&account_id=main&decision={body['decision_id']}" in links
        assert all(one["text"].startswith(f"{moment(int(body['ts_close_ns']))} UTC: ") for one in found)
        assert {body["verb"].lower()} & {one["text"].split(": ")[1].split(",")[0].split()[0] for one in found}


def test_a_bar_on_which_nothing_was_done_says_why_and_for_how_long(desk: Drawn, left_home: Path) -> None:
    run = next(one for one in holds(left_home, KEY) if one.symbol == SYMBOL and one.bars > 1)
    for ts_ns in (run.first_ns, run.last_ns):
        (found,) = choose(desk, ts_ns)
        stretch = f"so on {run.bars:,} bars, {moment(run.first_ns)} to {moment(run.last_ns)} UTC"
        assert found == {"text": f"{moment(ts_ns)} UTC: nothing was done, {run.why} ({stretch})"}


def test_a_stretch_that_goes_on_is_that_of_the_latest_reading(desk: Drawn, left_home: Path) -> None:
    reading = read_home(left_home)
    main = reading.account(**MAIN)
    since_ns = max(one.ts_ns for one in main.recent_decisions) + 10**15

    def with_run(one: AccountState) -> AccountState:
        votes = (replace(vote, why_not="the market is shut", why_not_since_ns=since_ns) for vote in one.votes)
        return replace(one, votes=tuple(votes))

    desk.deliver(replace(reading, accounts=tuple(map(with_run, reading.accounts))))
    (during,) = choose(desk, since_ns + 1_000_000)
    assert "nothing was done, the market is shut (so on every bar since" in during["text"]
    (before,) = choose(desk, since_ns - 1_000_000)
    assert before["text"].endswith("nobody decided then")
    assert "href" not in before


@pytest.mark.parametrize("written", [{}, {"time": None}, {"time": "x"}, {"time": -1}, {"time": 1e300}, {"time": [1]}])
def test_what_a_page_writes_that_is_no_time_is_passed_over(desk: Drawn, written: dict[str, object]) -> None:
    desk.chart.clicked = {"other": 1}
    desk.chart.clicked = written
    assert "answers" not in desk.chart.state


def test_a_ledger_that_cannot_be_read_is_said(desk: Drawn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("novapulse.monitor.history.LEDGER_FILE", str(tmp_path / "none.db"))
    (found,) = choose(desk, 1_774_267_800_000_000_000)
    assert "none.db" in found["text"]
    assert "nobody decided" not in found["text"]
