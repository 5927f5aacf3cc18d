"""Takes docs/images/notebook.png: the backtest notebook on a month of recorded minutes, in this machine's Chromium.

Run by `just picture`, from the root of the repository.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from novapulse.cli import main
from novapulse.config import recordings_folder
from tests.browser import opened_chromium
from tests.notebooks.served import opened, served

PICTURE = Path(__file__).with_name("notebook.png")
_SETTLED_MS = 2_500


def take() -> None:
    """Serve the notebook over a new home folder with the recorded bars in its lake, and take the picture."""
    if recordings_folder({}) is None:
        sys.exit("the picture shows recorded bars, and none lie beside the checkout (../shared/data)")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # The page names its lake: a plain path reads better than a random one.
        home = Path(folder).with_name("novapulse")
        home.symlink_to(folder)
        stack.callback(home.unlink)
        os.environ["NOVAPULSE_HOME"] = str(home)
        if code := main(["demo", "--once", "--json"]):
            sys.exit(code)
        with (
            opened_chromium() as browser,
            served(home, home / "log") as url,
            opened(browser, url, height=1150) as page,
        ):
            page.locator(".np-tiles").wait_for()
            page.locator(".np-explain").wait_for()
            page.wait_for_timeout(_SETTLED_MS)
            page.screenshot(path=PICTURE)


if __name__ == "__main__":
    take()
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:,.0f} kB")
