"""Time travel without a browser: decisions are listed and made again; a form that nobody touched changes nothing."""

import re
from pathlib import Path

import pytest

from novapulse.confluence.steps import FORECAST_DIGITS, signed, steps, vote_rows, weight_rows
from novapulse.core.instruments import AccountKey
from novapulse.core.records import Mode
from novapulse.parity.kept import Kept
from novapulse.parity.what_if import Change
from novapulse.research.inputs import Told
from novapulse.ui.jobs import CancelledError, Reporter, Results
from novapulse.ui.notebooks import ledgers, replay, replay_view
from novapulse.ui.notebooks.ledgers import accounts_of
from novapulse.ui.notebooks.replay import Scene
from novapulse.ui.notebooks.work import Came


@pytest.fixture
def came(traded_home: Path) -> Came[Scene]:
    place = traded_home / "ledger.db"
    entries = replay.decisions_of(place, accounts_of(place)[0], ("ENTER",))
    return Came(replay.scene_of(place, entries[0]["Decision"], Reporter()))


def test_a_decision_is_made_again_to_the_bit_and_shown(came: Came[Scene]):
    assert came.result is not None
    assert came.result.found.is_shown
    page = "".join(part(came).text for part in (replay_view.verdict, replay_view.explanation, replay_view.proof))
    assert "same to the bit" in page
    assert "Enter" in page
    assert "filled" in page or "order" in page


def test_the_way_from_votes_to_consensus_is_the_one_of_the_decisions_page(came: Came[Scene]):
    """A bug: 14.5 x 0.17 + 10.0 x 0.15 stood beside a consensus of +6.11, and no factor between them did."""
    assert came.result is not None
    votes = came.result.found.votes
    assert votes is not None
    page = replay_view.explanation(came).text
    for step in steps(votes):
        assert f"<span>{step.name} <small>{step.how}</small></span><span>{step.figure}</span>" in page
    for row in weight_rows(votes):
        assert page.count(f"<td>{signed(row['adds'], FORECAST_DIGITS)}</td>") >= 1
    assert page.count("<tr>") >= len(vote_rows(votes)) + len(weight_rows(votes))


def test_amounts_have_units(came: Came[Scene]):
    """Bugs: the postings summed to 995637057948 units of USD, and Worth read 199.99993 of nothing."""
    assert came.result is not None
    found = came.result.found
    fact = next(one for one in found.configuration.instruments if one.key == came.result.key)
    texts = {check.what: check.text for check in found.checks}
    assert not any(" units" in text for text in texts.values())
    assert re.fullmatch(rf"the postings up to then sum to ([\d.]+ {fact.quote}), the account had \1", texts["cash"])
    assert re.fullmatch(rf"the executions up to then leave ([\d.]+ {fact.base}), recorded \1", texts["position"]), (
        texts["position"]
    )
    page = replay_view.compared(came, replay.change_of(came, replay.what_if_form(came).value)[0]).text
    for name, unit in (("Quantity", fact.base), ("Worth", fact.quote), ("Stop away", fact.quote)):
        assert re.search(rf"<th>{name}</th><td>[\d.,]+\xa0{unit}</td><td>[\d.,]+\xa0{unit}</td>", page), name
    assert re.search(rf"<th>Size: [^<]*</th><td>[\d.,]+\xa0{fact.base}( binds)?</td>", page)
    assert f"in {fact.base}, the smallest binds" in replay_view.explanation(came).text
    followed = replay_view.proof(came).text
    assert re.search(rf"intended: [^<]*, [\d.,]+\xa0{fact.base}</td>", followed)
    assert re.search(rf"filled [\d.,]+\xa0{fact.base} at [\d.,]+\xa0{fact.quote}</td>", followed)
    assert re.search(rf"<span>Close</span><span>[\d.,]+\xa0{fact.quote}</span>", replay_view.state(came).text)


def test_what_is_held_is_counted_in_its_assets(traded_home: Path):
    place = traded_home / "ledger.db"
    (left, *_) = replay.decisions_of(place, accounts_of(place)[0], ("EXIT",))
    came = Came(replay.scene_of(place, left["Decision"], Reporter()))
    shown = replay_view.state(came).text
    base, quote = str(left["Market"]).split("/")
    for name, unit in (("Position", base), ("Entry price", quote), ("Stop price", quote)):
        assert re.search(rf"<span>{name}</span><span>\N{{MINUS SIGN}}?[\d.,]+\xa0{unit}</span>", shown), name
    assert re.search(r"<span>Bars held</span><span>\d+</span>", shown)


class Impatient(Reporter):
    """Cancels as soon as the strategies are asked."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []

    def phase(self, name: str) -> Told:
        self.begun.append(name)
        told = super().phase(name)
        if name == "asking the strategies again":
            self.cancel()
        return told


def test_a_market_is_named_as_the_dashboards_name_it(came: Came[Scene], traded_home: Path):
    """A bug: the notebooks said BTC-USD where the dashboards said BTC/USD."""
    assert came.result is not None
    symbol = came.result.key.symbol
    assert "/" in symbol
    assert symbol in replay_view.verdict(came).text
    assert replay_view.chart(came).label == f"{symbol}, around the decision"
    account = came.result.found.account
    assert symbol in {row["Market"] for row in replay.decisions_of(traded_home / "ledger.db", account)}


def test_the_chart_is_about_the_bar_that_decided(came: Came[Scene]):
    assert came.result is not None
    close_ns = int(came.result.found.record.body["ts_close_ns"])
    marked = replay_view.chart(came).state["marked"]
    assert marked == {"time": close_ns / 1e9, "name": "decided here"}


def bars_of_entries(home: Path) -> tuple[AccountKey, list[tuple[str, int]]]:
    """The entries of an account on one instrument, each with its bar, oldest first."""
    place = home / "ledger.db"
    account = accounts_of(place)[0]
    with Kept(place) as kept:
        bodies = [one.record.body for one in kept.records(account, kinds={"decision_taken"})]
    about = [body for body in bodies if body["verb"] == "ENTER" and body["instrument"] == bodies[0]["instrument"]]
    return account, [(body["decision_id"], int(body["ts_close_ns"])) for body in about]


def test_a_bar_that_is_clicked_leads_to_the_listed_decision_nearest_to_it(traded_home: Path):
    desk = replay.Desk(traded_home / "ledger.db")
    account, entries = bars_of_entries(traded_home)
    (first, first_ns), (second, second_ns) = entries[:2]
    came = Came(replay.scene_of(desk.place, first, Reporter()))
    candles = replay_view.chart(came)
    asked: list[str] = []
    replay.travel_by_bar(desk, came, ("ENTER",), candles, asked.append)
    candles.clicked = {"time": (first_ns + 1_000_000_000) / 1e9}
    assert asked == []
    assert candles.state["answers"][0]["text"].endswith("this decision is the nearest one.")
    candles.clicked = {"time": (second_ns - 1_000_000_000) / 1e9}
    assert asked == [second]
    table = replay.decisions_table(desk, account, ("ENTER",), second)
    assert replay.chosen(table) == second
    first_listed = replay.decisions_of(desk.place, account, ("ENTER",))[0]["Decision"]
    assert replay.chosen(replay.decisions_table(desk, account, ("ENTER",), "not listed")) == first_listed


def test_where_nothing_listed_is_about_a_bar_it_says_so(traded_home: Path):
    desk = replay.Desk(traded_home / "ledger.db")
    _, ((first, first_ns), *_) = bars_of_entries(traded_home)
    came = Came(replay.scene_of(desk.place, first, Reporter()))
    candles = replay_view.chart(came)
    replay.travel_by_bar(desk, came, ("NO_SUCH_VERB",), candles, lambda _: pytest.fail("there is nowhere to go"))
    candles.clicked = {"time": first_ns / 1e9}
    assert candles.state["answers"][0]["text"].startswith("No listed decision is about a bar of ")


def test_a_decision_that_nobody_waits_for_is_not_made_again_to_the_end(traded_home: Path):
    """A bug: cancelled, it went on until everything was made again."""
    place, impatient = traded_home / "ledger.db", Impatient()
    entries = replay.decisions_of(place, accounts_of(place)[0], ("ENTER",))
    with pytest.raises(CancelledError):
        replay.scene_of(place, entries[0]["Decision"], impatient)
    assert impatient.begun[-1] == "asking the strategies again"


def test_an_untouched_form_changes_nothing(came: Came[Scene]):
    change, wrong = replay.change_of(came, replay.what_if_form(came).value)
    assert (change, wrong) == (Change(), [])
    assert change is not None
    assert "np-changed" not in replay_view.compared(came, change).text


def test_what_is_changed_stands_beside_what_was(came: Came[Scene]):
    values = {**replay.what_if_form(came).value, "mode": Mode.PAUSED, "risk.stops.stop_atr": 3.0}
    change, wrong = replay.change_of(came, values)
    assert wrong == []
    assert change is not None
    assert change.settings is not None
    assert change.settings.risk.stops.stop_atr == 3.0
    page = replay_view.compared(came, change).text
    assert "the account is paused" in page
    assert "np-changed" in page


def test_what_cannot_be_is_a_sentence(came: Came[Scene]):
    values = {**replay.what_if_form(came).value, "risk.limits.positions_max": -1}
    change, wrong = replay.change_of(came, values)
    assert change is None
    assert "positions_max" in wrong[0]


def test_a_decision_is_made_again_once_until_ledger_or_bars_change(
    traded_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def scene_of(place: Path, decision: str, _: Reporter) -> str:
        made.append(decision)
        return f"scene {len(made)}"

    place = traded_home / "ledger.db"
    name = replay.decisions_of(place, accounts_of(place)[0], ("ENTER",))[0]["Decision"]
    monkeypatch.setattr(replay, "scene_of", scene_of)
    monkeypatch.setattr(replay, "_scenes", Results(4))
    came: list[Came[Scene]] = []
    for _ in range(3):
        replay.start(replay.Desk(place), name, came.append)
    assert [one.result for one in came] == ["scene 1"] * 3
    monkeypatch.setattr(ledgers, "fingerprint", lambda _: "other bars")
    replay.start(replay.Desk(place), name, came.append)
    assert (came[-1].result, came[-1].problem) == ("scene 2", None)
