"""Brings operators' commands from the inbox to the traders, and their answers back.

Invariants:
- a command is obeyed once per account, also over a restart: what the ledger says was answered is only mirrored;
- a command that was given and not answered is given again to the account's next life, when the ledger, read behind the
  beginning of that life, does not have its answer: nothing of the life before can reach it any more;
- what waits in an account's state since a life before may be answered before it is given again; then it is not;
- an account whose answers cannot be read is given nothing, and keeps no other waiting;
- what loosens and came too late is answered, not obeyed; so is what is meant for an account that is not here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON, Answer
from novapulse.core.ports import JournalError
from novapulse.engine.life import Life
from novapulse.engine.runner import AccountRunner

_log = structlog.get_logger("novapulse.commands")


class Command(Protocol):
    """A command as the inbox has it."""

    @property
    def command_id(self) -> str:
        """Its name."""
        ...

    @property
    def verb(self) -> str:
        """What to do."""
        ...

    @property
    def account(self) -> AccountKey | None:
        """Who is to do it; None for all."""
        ...

    @property
    def arguments(self) -> Mapping[str, JSON]:
        """What it needs."""
        ...

    @property
    def actor(self) -> str:
        """Who asked."""
        ...

    @property
    def expires_ns(self) -> int | None:
        """From when on it must not be obeyed any more; None for never."""
        ...


class Commands(Protocol):
    """The inbox; every call blocks."""

    def pending(self, after: int = 0) -> Sequence[Command]:
        """Return what is not taken, or not answered by every account."""
        ...

    def mark_taken(self, command_id: str, accounts: Sequence[AccountKey], now_ns: int) -> None:
        """Note that a command was seen, and who will answer it."""
        ...

    def answered(
        self,
        command_id: str,
        account: AccountKey,
        done: bool,
        text: str,
        now_ns: int,
        details: Mapping[str, JSON] | None = None,
    ) -> None:
        """Mirror an answer."""
        ...


class Orderly:
    """Between one inbox and the accounts of one process."""

    def __init__(
        self,
        commands: Commands,
        runners: Mapping[AccountKey, AccountRunner],
        answered: Callable[[AccountKey], Mapping[str, Answer]],
        now_ns: Callable[[], int],
    ) -> None:
        """Take an inbox and who is to hear of it.

        Args:
            commands: The inbox.
            runners: The accounts.
            answered: Reads what the ledger says an account has answered, by command; blocks, and raises `JournalError`.
            now_ns: The machine's own clock.
        """
        self._commands = commands
        self._runners = runners
        self._answered = answered
        self._answers: dict[tuple[str, AccountKey], Answer] = {}
        self._read: dict[AccountKey, tuple[int, bool]] = {}
        self._mirrored: set[tuple[str, AccountKey]] = set()
        self._given: dict[tuple[str, AccountKey], int] = {}
        self._now_ns = now_ns

    def answered(self, account: AccountKey, answer: Answer) -> None:
        """Take note of what an account answered; the next look mirrors it."""
        self._answers[answer.command_id, account] = answer

    def look(self) -> list[tuple[AccountRunner, Command]]:
        """Look into the inbox, mirror what was answered, and return what is to be obeyed now. Blocks.

        Raises:
            Exception: The inbox could not be read or written.
        """
        now_ns = self._now_ns()
        for runner in self._runners.values():
            self._read_answers(runner)
        due: list[tuple[AccountRunner, Command]] = []
        for command in self._commands.pending():
            targets = list(self._runners) if command.account is None else [command.account]
            self._commands.mark_taken(command.command_id, targets, now_ns)
            for account in targets:
                self._consider(command, account, now_ns, due)
        return due

    def _read_answers(self, runner: AccountRunner) -> None:
        # Which life it is comes first: what it has answered since then is told by itself.
        life = (runner.lives, runner.life is Life.ENDED and not runner.is_writing)
        if self._read.get(runner.key) == life:
            return
        try:
            answered = self._answered(runner.key)
        except JournalError as wrong:
            self._read.pop(runner.key, None)
            _log.error("what was answered cannot be read", error=str(wrong), **_name(runner.key))
            return
        for command_id, answer in answered.items():
            self._answers.setdefault((command_id, runner.key), answer)
        self._read[runner.key] = life

    def _consider(
        self, command: Command, account: AccountKey, now_ns: int, due: list[tuple[AccountRunner, Command]]
    ) -> None:
        name = (command.command_id, account)
        if name in self._mirrored:
            return
        answer = self._answers.get(name)
        runner = self._runners.get(account)
        if answer is None and runner is None:
            text = f"this trader does not run account {account.account_id} on {account.exchange}"
            answer = Answer(command.command_id, False, text)
            _log.warning(
                "a command for an account that is not here", verb=command.verb, actor=command.actor, **_name(account)
            )
        elif answer is None and runner is not None and account in self._read:
            lives, is_over = self._read[account]
            if is_over:
                answer = Answer(command.command_id, False, f"the account has ended: {runner.told.why_down}")
            elif self._given.get(name) == lives:
                return
            elif command.expires_ns is not None and now_ns >= command.expires_ns:
                text = "it came too late: what loosens is meant for now"
                answer = Answer(command.command_id, False, text, {"expired": True})
            elif runner.life is Life.RUNNING:
                due.append((runner, command))
        if answer is not None:
            details: dict[str, Any] = dict(answer.details)
            self._commands.answered(command.command_id, account, answer.done, answer.text, now_ns, details)
            self._mirrored.add(name)

    def give(self, runner: AccountRunner, command: Command) -> None:
        """Let an account hear a command; one that went down since the look hears it after the next."""
        lives, _ = self._read[runner.key]
        if (
            runner.life is not Life.RUNNING
            or runner.lives != lives
            or (command.command_id, runner.key) in self._answers
        ):
            return
        self._given[command.command_id, runner.key] = lives
        _log.info("a command", verb=command.verb, actor=command.actor, **_name(runner.key))
        runner.command(command.command_id, command.verb, dict(command.arguments), command.actor)


def _name(account: AccountKey) -> dict[str, str]:
    return {"exchange": account.exchange, "account_id": account.account_id}
