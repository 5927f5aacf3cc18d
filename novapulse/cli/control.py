"""`novapulse control`: send a command through the router and wait for what each account answers."""

import argparse
import os
import time
import uuid
from pathlib import Path
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, error, say, show_json
from novapulse.config import home_folder
from novapulse.control.inbox import CONFIGURED, InboxAnswer, limits_text
from novapulse.control.plane import ControlPlane
from novapulse.control.proof import Proof
from novapulse.control.router import Result
from novapulse.control.shell import shell_principal, shell_source
from novapulse.control.storage import FILE
from novapulse.core.instruments import AccountKey, canonical_symbol
from novapulse.ops import health

_PROVABLE = ("flatten", "kill")


def control(options: argparse.Namespace) -> int:
    """Submit a command and print what became of it, per account."""
    account = _account(options)
    arguments = _arguments(options)
    verb = options.verb.replace("-", "_")
    if options.prove and verb not in _PROVABLE:
        raise UsageError(f"--prove shows that accounts are flat: it goes with {' or '.join(_PROVABLE)}")
    home = home_folder(os.environ)
    router = ControlPlane(home).router
    key = options.key or uuid.uuid4().hex
    source = shell_source(os.environ)
    receipt = router.submit(shell_principal(home), verb, account, arguments, key, source)
    result = router.wait(receipt.command_id, options.wait)
    # Where every account refused nothing is being closed: what is held is told at once.
    prove_s = options.wait if any(answer.done for answer in result.accounts) else 0.0
    proof = router.wait_for_proof(receipt.command_id, prove_s) if options.prove and result.complete else None
    if options.json:
        show_json(_told(result, receipt.audit_id) | (_proven(proof) if options.prove else {}))
    else:
        _show(result, proof)
    if not result.complete:
        _tell_unanswered(home, result, options.wait)
    elif options.prove and not (proof and proof.flat):
        error("it is NOT proven that the accounts are flat")
    is_as_wished = result.done and (not options.prove or bool(proof and proof.flat))
    return EXIT_DONE if is_as_wished else EXIT_FAILED


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
    named["set"] = limits_text(_limits(options))
    return {name: value for name, value in named.items() if value}


def _limits(options: argparse.Namespace) -> dict[str, str]:
    wish: dict[str, str] = {}
    for given in options.set:
        name, is_set, value = (part.strip() for part in given.partition("="))
        if not (name and is_set and value) or "," in given:
            raise UsageError(f"--set {given}: expected NAME=NUMBER")
        _wish(wish, name, value)
    for name in options.reset:
        _wish(wish, name, CONFIGURED)
    return wish


def _wish(wish: dict[str, str], name: str, value: str) -> None:
    if name in wish:
        raise UsageError(f"{name} is named twice")
    wish[name] = value


def _show(result: Result, proof: Proof | None) -> None:
    for answer in result.accounts:
        state = {None: "no answer yet", True: "done", False: "REFUSED"}[answer.done]
        text = f": {answer.text}" if answer.text else ""
        print(f"{answer.account.account_id} on {answer.account.exchange}: {state}{text}")
    for one in proof.accounts if proof else ():
        state = "proven flat" if one.flat else f"NOT proven flat: {'; '.join(one.reasons)}"
        print(f"{one.account.account_id} on {one.account.exchange}: {state}")


def _tell_unanswered(home: Path, result: Result, wait_s: float) -> None:
    if result.taken:
        error(f"command {result.command_id} was taken, and not every account answered within {wait_s:g} s")
        return
    error(f"nobody took command {result.command_id} within {wait_s:g} s; it waits in {home / FILE}")
    verdict = health.read(home / health.FILE, time.time_ns())
    if not verdict.document or not verdict.document.get("running"):
        say("no trader runs on this home folder; 'novapulse health' says more")


def _told(result: Result, audit_id: int) -> dict[str, Any]:
    return {
        "command_id": result.command_id,
        "audit_id": audit_id,
        "verb": result.verb,
        "taken": result.taken,
        "done": result.done,
        "accounts": [_spelled(answer) for answer in result.accounts],
    }


def _proven(proof: Proof | None) -> dict[str, Any]:
    if proof is None:
        return {"flat": False, "proof": None}
    return {"flat": proof.flat, "proof": proof.json()}


def _spelled(answer: InboxAnswer) -> dict[str, Any]:
    return {
        "exchange": answer.account.exchange,
        "account_id": answer.account.account_id,
        "done": answer.done,
        "text": answer.text,
        "details": dict(answer.details),
    }
