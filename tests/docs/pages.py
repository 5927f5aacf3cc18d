"""The pages of the documentation as tests read them: fenced blocks, tables, sums and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
CHAPTERS = [page for page in PAGES if page.parent.name in {"trader", "operator", "developer"}]

MARKET = "trader/02-from-votes-to-a-decision.md"
NUMBERS = "trader/03-what-the-numbers-mean.md"
STRATEGIES = "trader/01-strategies.md"
FLOW = "developer/01-how-a-bar-flows.md"
OWN = "developer/02-add-a-strategy.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_SUM = re.compile(r"([-+x/^().,%\d\s]*[-+x/^][-+x/^().,%\d ]*?)=\s*(-?[\d,]*\.?\d+)(\s*(?:%|bps))?")
_OPERATION = re.compile(r"\d[%)\s]*[-+x/^]\s*[-(]*\s*\d")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the first command of the last `sh` block above it."""

    language: str
    text: str
    command: str | None


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path | str, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page, or of a page below docs; of one language or of all."""
    path = DOCS / page if isinstance(page, str) else page
    found, command = [], None
    for match in _FENCE.finditer(path.read_text(encoding="utf-8")):
        found.append(Block(match[1], match[2], command))
        if match[1] == "sh":
            command = match[2].splitlines()[0]
    return [block for block in found if language in (None, block.language)]


def prose(page: Path | str) -> str:
    path = DOCS / page if isinstance(page, str) else page
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def rows(page: str, section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, without its heading."""
    text = prose(page).split(f"## {section}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.M)
    assert table, section
    lines = table[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def sums(text: str) -> Iterator[tuple[str, str, float, float]]:
    """Yield what is claimed to be worked out: the expression, the claim, how far it is off, the claim's last digit.

    `2 x 0.9166 = 1.833` is such a claim; operators are + - x / ^ and brackets, `%` and `bps` are units.
    """
    for match in _SUM.finditer(text):
        expression, claimed, unit = match[1].strip(" ,.\n").split("\n")[-1], match[2], (match[3] or "").strip()
        if not _OPERATION.search(expression) or expression.count("(") != expression.count(")"):
            continue
        python = re.sub(r"([\d.]+)\s*%", r"(\1/100)", expression.replace(",", ""))
        value = float(eval(compile(python.replace("x", "*").replace("^", "**"), "a sum", "eval"), {}))
        digits = len(claimed.partition(".")[2])
        scale = {"%": 100.0, "bps": 1e4}.get(unit, 1.0)
        yield expression, f"{claimed} {unit}".strip(), value * scale - float(claimed.replace(",", "")), 10.0**-digits


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
