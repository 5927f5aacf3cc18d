"""`novapulse control`: write a command into the trader's inbox and wait for what each account answers."""

import argparse
import getpass
import os
import time
import uuid
from pathlib import Path
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, say, show_json
from novapulse.config import home_folder
from novapulse.control.inbox import FILE, POLL_S, Inbox, InboxAnswer
from novapulse.core.instruments import AccountKey, canonical_symbol
from novapulse.ops import health


def control(options: argparse.Namespace) -> int:
    """Submit a command and print what became of it, per account."""
    account = _account(options)
    arguments = _arguments(options)
    home = home_folder(os.environ)
    inbox = Inbox(home / FILE)
    verb = options.verb.replace("-", "_")
    key = options.key or uuid.uuid4().hex
    command_id = inbox.submit(verb, account, arguments, _actor(), key, time.time_ns())
    answers = _waited(inbox, command_id, options.wait)
    complete = bool(answers) and all(answer.done is not None for answer in answers or ())
    done = complete and all(answer.done for answer in answers or ())
    if options.json:
        show_json(
            {
                "command_id": command_id,
                "verb": verb,
                "taken": answers is not None,
                "done": done,
                "accounts": [_spelled(answer) for answer in answers or ()],
            }
        )
    else:
        for answer in answers or ():
            state = {None: "no answer yet", True: "done", False: "REFUSED"}[answer.done]
            text = f": {answer.text}" if answer.text else ""
            print(f"{answer.account.account_id} on {answer.account.exchange}: {state}{text}")
    if not complete:
        _tell_unanswered(home, command_id, options.wait, taken=answers is not None)
    return EXIT_DONE if done else EXIT_FAILED


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (ImportError, KeyError, OSError):
        # A container's user may have no name.
        return f"cli:{os.getuid()}"


def _account(options: argparse.Namespace) -> AccountKey | None:
    if options.all and (options.exchange or options.account):
        raise UsageError("--all and a single account contradict each other: give one of them")
    if options.all:
        return None
    if not (options.exchange and options.account):
        raise UsageError("which account? give --exchange E --account A, or --all")
    return AccountKey(options.exchange, options.account)


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    symbol = None
    if options.symbol:
        try:
            symbol = canonical_symbol(options.symbol)
        except ValueError as wrong:
            raise UsageError(str(wrong)) from wrong
    named = {"symbol": symbol, "order": options.order, "alert": options.alert, "reason": options.reason}
    return {name: value for name, value in named.items() if value}


def _waited(inbox: Inbox, command_id: str, wait_s: float) -> tuple[InboxAnswer, ...] | None:
    until_s = time.monotonic() + wait_s
    while True:
        answers = inbox.answers(command_id)
        is_complete = answers is not None and answers and all(answer.done is not None for answer in answers)
        if is_complete or time.monotonic() >= until_s:
            return answers
        time.sleep(POLL_S)


def _tell_unanswered(home: Path, command_id: str, wait_s: float, *, taken: bool) -> None:
    if taken:
        error(f"command {command_id} was taken, and not every account answered within {wait_s:g} s")
        return
    error(f"nobody took command {command_id} within {wait_s:g} s; it waits in {home / FILE}")
    verdict = health.read(home / health.FILE, time.time_ns())
    if not verdict.document or not verdict.document.get("running"):
        say("no trader runs on this home folder; 'novapulse health' says more")


def _spelled(answer: InboxAnswer) -> dict[str, Any]:
    return {
        "exchange": answer.account.exchange,
        "account_id": answer.account.account_id,
        "done": answer.done,
        "text": answer.text,
        "details": dict(answer.details),
    }
