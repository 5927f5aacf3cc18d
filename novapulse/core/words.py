"""Words that go with a number, wherever it is told: on a page, in a report or at the console."""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 trade`, `2,000 trades`, `0 trades`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
