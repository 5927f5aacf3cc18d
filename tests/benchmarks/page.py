"""Keeps measured tables in docs/performance.md: each between its own marks, with the day and the machine."""

import datetime
import platform
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"

Rows = list[tuple[str, ...]]


def machine() -> str:
    """Return what this was measured on, without its name."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "Model"))]
    model = models[0] if models else platform.machine()
    return f"{model}, {len(models)} logical cores, {platform.system()} {platform.machine()}"


def keep(section: str, columns: tuple[str, ...], rows: Rows, page: Path = PAGE) -> None:
    """Put a table between the marks of a section; everything else on the page stays.

    Args:
        section: Name of the marks.
        columns: Heads of the columns; one that ends in a colon holds figures.
        rows: A text per column.
        page: Where.

    Raises:
        ValueError: The page has no such section.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, opening, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closing, after = rest.partition(end)
    if not (opening and closing):
        raise ValueError(f"{page.name}: has no marks of {section!r}")
    head = f"Measured {datetime.date.today().isoformat()} on {machine()}, Python {platform.python_version()}."
    names = " | ".join(column.removesuffix(":") for column in columns)
    rule = "|".join("--:" if column.endswith(":") else "---" for column in columns)
    lines = [begin, head, "", f"| {names} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows), end]
    page.write_text(before + "\n".join(lines) + after, encoding="utf-8")
