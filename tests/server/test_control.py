"""Commands: once under a key, answered account by account, in the words that the hold button understands."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from novapulse.control.inbox import Inbox
from novapulse.control.roles import Role
from novapulse.server.lanes import BACKTESTS, SIGN_INS, Turns
from novapulse.server.parts import API
from novapulse.server.routes import control
from tests.server.conftest import ACCOUNTS, House, Visitor, beat

ONE = {"exchange": "kraken", "account_id": "main"}
ALL = {"all": True}


def send(who: Visitor, verb: str, body: dict[str, Any], key: str = "press 0001", wait: float = 0.0) -> Any:
    return who.post(f"{API}/control/{verb}", json=body, headers={"idempotency-key": key}, params={"wait": wait})


class Trader:
    """Takes what lies in the inbox and answers it, as the real one does between two of its bars."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.inbox = Inbox(house.plane.storage.path)
        self.obeyed: list[str] = []

    def look(self, refusing: tuple[str, str] | None = None, silent: tuple[str, str] | None = None) -> None:
        for command in self.inbox.pending():
            accounts = ACCOUNTS if command.account is None else [command.account]
            self.inbox.mark_taken(command.command_id, accounts, self.house.clock())
            self.obeyed.append(command.command_id)
            for key in accounts:
                name = key.exchange, key.account_id
                if name != silent:
                    done, text = name != refusing, "no position there" if name == refusing else ""
                    self.inbox.answered(command.command_id, key, done, text, self.house.clock())


@pytest.fixture
def trader(house: House) -> Trader:
    return Trader(house)


def test_a_command_is_accepted_then_answered_by_every_account(house: House, trader: Trader) -> None:
    ana = house.browser(Role.OPERATOR)
    sent = send(ana, "halt", ALL)
    told = sent.json()
    assert sent.status_code == 202
    assert (told["accepted"], told["taken"], told["done"], told["ok"]) == (True, False, False, False)
    assert "no trader has taken it yet" in told["text"]
    (row,) = house.audit(action="halt")
    assert (row["audit_id"], row["command_id"]) == (told["audit_id"], told["command_id"])
    assert (row["actor"], row["source"], row["outcome"]) == ("web:operator", "testclient", "done")
    trader.look()
    after = ana.get(told["results_url"]).json()
    assert (after["taken"], after["done"], after["ok"]) == (True, True, True)
    assert [(one["exchange"], one["account_id"], one["outcome"]) for one in after["accounts"]] == [
        (key.exchange, key.account_id, "done") for key in ACCOUNTS
    ]


def test_a_refusal_and_a_silence_are_told_apart(house: House, trader: Trader) -> None:
    ana = house.browser(Role.OPERATOR)
    told = send(ana, "close", {**ALL, "symbol": "btc-usd"}).json()
    trader.look(refusing=("kraken", "main"), silent=("kraken", "second"))
    found = ana.get(told["results_url"]).json()
    assert (found["done"], found["ok"]) == (False, False)
    outcomes = {(one["exchange"], one["account_id"]): one["outcome"] for one in found["accounts"]}
    assert outcomes == {("coinbase", "main"): "done", ("kraken", "main"): "refused", ("kraken", "second"): "unknown"}
    assert "2 of 3 accounts have answered" in found["text"]


def test_the_same_key_acts_once_and_names_one_command(house: House, trader: Trader) -> None:
    ana = house.browser(Role.OPERATOR)
    with ThreadPoolExecutor(4) as many:
        told = [one.json() for one in many.map(lambda _: send(ana, "pause", ONE), range(8))]
    assert len({one["command_id"] for one in told}) == len({one["audit_id"] for one in told}) == 1
    assert sorted(one["repeated"] for one in told) == [False, *[True] * 7]
    trader.look()
    assert send(ana, "pause", ONE).json()["done"] is True
    trader.look()
    assert len(trader.obeyed) == 1
    other = send(ana, "pause", ALL)
    assert (other.status_code, other.json()["error"]) == (409, "refused")
    assert "already names another command" in other.json()["refused"]
    # Somebody else's key is somebody else's command.
    assert send(house.browser(Role.OPERATOR, "bob"), "pause", ONE).json()["command_id"] != told[0]["command_id"]


@pytest.mark.parametrize("verb", ["resume", "resume_from_halt", "flatten", "limits"])
def test_what_loosens_or_sells_wants_the_password_once_more(house: House, verb: str) -> None:
    body = {**ONE, **({"set": {"positions_max": 3}} if verb == "limits" else {})}
    answer = send(house.browser(Role.OPERATOR), verb, body)
    assert answer.status_code == 403
    assert answer.json()["error"] == "step_up_needed"
    assert (answer.json()["refused"], answer.json()["href"]) == ("give your password once more for that", "/confirm")
    ana = house.browser(Role.OPERATOR, stepped_up=True)
    assert send(ana, verb, body, "press 0002").status_code == 202
    house.clock.wait(301)
    assert send(ana, verb, body, "press 0003").status_code == 403
    # A repetition of what was done needs no password again: it does nothing.
    assert send(ana, verb, body, "press 0002").json()["repeated"] is True


def test_limits_are_numbers_by_name_or_null_for_back_to_the_configuration(house: House) -> None:
    ana = house.browser(Role.OPERATOR, stepped_up=True)
    wish = {"risk_fraction": 0.002, "positions_max": None, "daily_loss_max_fraction": 1e-05}
    assert send(ana, "limits", {**ONE, "set": wish, "reason": "news"}).status_code == 202
    # Another order of the same is the same, and acts once.
    again = send(ana, "limits", {**ONE, "set": dict(reversed(wish.items())), "reason": "news"})
    assert again.json()["repeated"] is True
    (command,) = Inbox(house.plane.storage.path).pending()
    text = "daily_loss_max_fraction=1e-05, positions_max=configured, risk_fraction=0.002"
    assert command.arguments == {"set": text, "reason": "news"}
    (row,) = house.audit(action="limits")
    assert row["arguments"] == {"set": text, "reason": "news"}


def test_one_order_is_named_to_be_cancelled(house: House) -> None:
    assert send(house.browser(Role.OPERATOR), "cancel", {**ONE, "order": "O-1"}).status_code == 202
    assert send(house.browser(Role.VIEWER), "cancel", {**ONE, "order": "O-1"}, "press 0002").status_code == 403
    (command,) = Inbox(house.plane.storage.path).pending()
    assert (command.verb, command.arguments) == ("cancel", {"order": "O-1"})


def test_an_account_that_the_running_trader_lacks_is_refused_by_name(house: House) -> None:
    beat(house.home)
    ana = house.browser(Role.OPERATOR)
    answer = send(ana, "kill", {"exchange": "coinbase", "account_id": "second"})
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_account")
    assert "second on kraken" in answer.json()["refused"]
    assert Inbox(house.plane.storage.path).pending() == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nobody named": ({}, "give exchange and account_id, or all"),
    "half an account": ({"exchange": "kraken"}, "give exchange and account_id, or all"),
    "all and one": ({**ALL, **ONE}, "give either all, or one account"),
    "a field too many": ({**ALL, "force": True}, "force"),
    "no list": ({"all": "perhaps"}, "all"),
    "a limit that is no number": ({**ALL, "set": {"positions_max": "few"}}, "positions_max"),
    "a limit that is not finite": ({**ALL, "set": {"positions_max": "inf"}}, "positions_max"),
    "a limit with two names": ({**ALL, "set": {"a=1, b": 2}}, "set"),
}


@pytest.mark.parametrize(("body", "text"), WRONG.values(), ids=WRONG)
def test_a_command_that_is_not_clear_is_refused_in_words(house: House, body: dict[str, Any], text: str) -> None:
    answer = send(house.browser(Role.OPERATOR), "kill", body)
    assert answer.status_code == 422
    assert text in answer.json()["refused"]


def test_a_command_without_a_key_or_with_an_unknown_verb_is_no_command(house: House) -> None:
    ana = house.browser(Role.OPERATOR)
    assert ana.post(f"{API}/control/kill", json=ALL).status_code == 422
    assert send(ana, "kill", ALL, "short").status_code == 422
    assert send(ana, "withdraw", ALL).status_code == 422
    assert send(house.nobody(), "withdraw", ALL).status_code == 401
    assert house.audit(action="kill", outcome="done") == []


def test_flat_is_proven_by_ledger_and_trader_together_or_not_at_all(house: House, trader: Trader) -> None:
    ana = house.browser(Role.OPERATOR)
    told = send(ana, "kill", ALL).json()
    unproven = ana.get(f"{told['results_url']}/proof").json()
    assert unproven["flat"] is False
    trader.look()
    silent = ana.get(f"{told['results_url']}/proof").json()
    assert silent["flat"] is False
    assert {one["exchange"] for one in silent["accounts"]} == {"kraken", "coinbase"}
    assert all("no trader is heard of" in " ".join(one["reasons"]) for one in silent["accounts"])
    beat(house.home)
    heard = ana.get(f"{told['results_url']}/proof").json()
    assert heard["ledger_id"] == house.hub.now().ledger_id
    for one in heard["accounts"]:
        held = house.hub.now().account(one["exchange"], one["account_id"])
        assert one["flat"] is (not held.positions and not held.orders), one


def test_who_waits_holds_no_thread_and_few_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = house.browser(Role.OPERATOR)
    told = send(ana, "pause", ALL).json()
    monkeypatch.setattr(control, "WAITING_MAX", 0)
    assert ana.get(told["results_url"], params={"wait": 10}).json()["done"] is False


def test_what_takes_long_is_refused_while_it_is_being_done(house: House) -> None:
    ana = house.browser(Role.OPERATOR)
    with BACKTESTS.taken():
        answer = ana.get(f"{API}/accounts/kraken/main/chart/backtest")
        assert (answer.status_code, answer.json()["error"]) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert send(ana, "kill", ALL).status_code == 202
    assert isinstance(SIGN_INS, Turns)


def test_when_control_db_cannot_be_used_nothing_is_claimed(house: House) -> None:
    ana = house.browser(Role.OPERATOR)
    house.plane.storage.path.write_bytes(b"this is a diary" * 1000)
    answer = send(ana, "kill", ALL)
    # No `refused`: a button says "STATE UNKNOWN", because nobody knows.
    assert answer.status_code == 503
    assert "refused" not in answer.json()
    assert str(house.home) not in answer.text
