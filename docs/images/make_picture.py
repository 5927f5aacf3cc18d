"""Draws docs/images/backtest.svg: what `novapulse demo --once` really prints on recorded bars. Run by `just picture`.

The picture asks nobody for anything: no font is fetched, no address is in it.
"""

import io
import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.padding import Padding
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from novapulse.cli import main
from novapulse.config import recordings_folder

PICTURE = Path(__file__).with_name("backtest.svg")
COMMAND = "novapulse demo --once"
TITLE = "A backtest of eight strategies on recorded bars"
COLUMNS = 90

INK, NIGHT, EDGE = (215, 221, 230), (11, 15, 22), "#2a3442"
RED, GREEN = (240, 82, 104), (46, 196, 142)
THEME = TerminalTheme(NIGHT, INK, [NIGHT, RED, GREEN, *[INK] * 5], [NIGHT, RED, GREEN, *[INK] * 5])
FONTS = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Terminal(io.StringIO):
    """Text that is printed as on a terminal: with colours."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def printed() -> str:
    """Return what the command prints in an empty home folder, with the settings of the repository."""
    if recordings_folder({}) is None:
        sys.exit("the picture shows recorded bars, and none lie beside the checkout (../shared/data)")
    for name in [name for name in os.environ if name.startswith("NOVAPULSE_") or name == "NO_COLOR"]:
        del os.environ[name]
    os.environ["TERM"] = "xterm"
    with tempfile.TemporaryDirectory() as home, redirect_stdout(Terminal()) as terminal:
        os.environ["NOVAPULSE_HOME"] = home
        if code := main(COMMAND.split()[1:]):
            sys.exit(code)
    return terminal.getvalue()


def drawn(text: str) -> str:
    """Return the picture of a terminal with a text in it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    prompt = Text.assemble(("$ ", "dim"), (COMMAND, "bold green"), "\n")
    console.print(Padding(Group(prompt, Text.from_ansi(text.rstrip())), (0, 2, 1, 2)))
    look = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)
    look = look.replace("<!-- Generated with Rich https://www.textualize.io -->", f"<title>{TITLE}</title>")
    look = look.replace("Fira Code, monospace", FONTS).replace("font-family: arial", "font-family: sans-serif")
    picture = console.export_svg(title="NovaPulse", theme=THEME, code_format=look, unique_id="novapulse")
    return re.sub(r"rgba\(255,255,255,0\.35\)", EDGE, picture)


if __name__ == "__main__":
    PICTURE.write_text(drawn(printed()), "utf-8")
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} kB")
