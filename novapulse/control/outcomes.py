"""What became of commands that were let through: one word for the audit's readers, from the accounts' answers.

Invariant: a command that no account answered is not done, whatever became of its writing.
"""

from collections import Counter

from novapulse.control.inbox import Inbox, InboxAnswer

ACCEPTED, REFUSED, EXPIRED, WAITING = "accepted", "refused", "expired", "waiting"


def outcome_of(inbox: Inbox, command_id: str, now_ns: int) -> tuple[str, tuple[str, ...]]:
    """Return what became of a command, and what the accounts that did not do it said.

    Args:
        inbox: Where it was written.
        command_id: Its name.
        now_ns: Now, ns UTC: whether it may still be obeyed.

    Raises:
        InboxError: The inbox cannot be read.
    """
    answers = inbox.answers(command_id)
    expires_ns = inbox.expires_ns(command_id)
    if not answers:
        return (EXPIRED if expires_ns is not None and now_ns >= expires_ns else WAITING), ()
    counts = Counter(_word(answer) for answer in answers)
    many = len(answers) > 1
    texts = tuple(
        f"{f'{one.account.account_id} on {one.account.exchange}: ' if many else ''}{one.text}"
        for one in answers
        if one.done is False
    )
    if len(counts) == 1:
        return next(iter(counts)), texts
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())), texts


def _word(answer: InboxAnswer) -> str:
    if answer.done is None:
        return WAITING
    if answer.done:
        return ACCEPTED
    return EXPIRED if answer.details.get("expired") else REFUSED
