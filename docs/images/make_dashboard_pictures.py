"""Takes docs/images/desk.png and overview.png: a paper trader on recorded bars, in this machine's Chromium.

Run by `just picture`, from the root of the repository.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from novapulse.config import recordings_folder
from novapulse.monitor import read_home
from tests.apps.house import House, serving, trader, welcomed
from tests.apps.page import looking
from tests.browser import opened_chromium
from tests.killing import configuration

FOLDER = Path(__file__).parent
ACCOUNT = "exchange=coinbase&account_id=main"
SYMBOLS = ["BTC/USD", "ETH/USD", "SOL/USD"]
MODES = {"desk": "dark", "overview": "light"}
_BARS_A_SECOND = 12.0
_TRADES_MIN, _PATIENCE_S, _SETTLED_MS = 10, 300.0, 900


def take() -> None:
    """Let the paper trader trade for a while, and take both pictures while it holds something."""
    if recordings_folder({}) is None:
        sys.exit("the pictures show recorded bars, and none lie beside the checkout (../shared/data)")
    with tempfile.TemporaryDirectory() as folder, opened_chromium() as browser:
        home = Path(folder) / "home"
        home.mkdir()
        accounts = [
            {"exchange": "coinbase", "account_id": "main", "symbols": SYMBOLS},
            {"exchange": "coinbase", "account_id": "second", "symbols": SYMBOLS[:1], "capital": 2500},
        ]
        settings = configuration(0)
        settings |= {"accounts": accounts, "data": {**settings["data"], "exchange": "coinbase"}}
        settings["feed"] = {"source": "recorded", "speed": _BARS_A_SECOND}
        (home / "config.yaml").write_text(yaml.safe_dump(settings))
        with trader(home) as process, serving(home) as house:
            context = welcomed(browser, house)
            _wait_for_trades(house)
            for name, mode in MODES.items():
                path = f"/apps/{name}/" + (f"?{ACCOUNT}&symbol={SYMBOLS[0]}" if name == "desk" else "")
                with looking(context, house.address, path, mode=mode) as looked:
                    looked.wait_drawn()
                    held = looked.page.locator(".npw-positions li.one", has_text=SYMBOLS[0]).first
                    _stand_still(looked.page, held, process)
                    looked.page.screenshot(path=FOLDER / f"{name}.png")
                    process.send_signal(signal.SIGCONT)


def _stand_still(page: Any, held: Any, process: "subprocess.Popen[str]") -> None:
    # Time stands still while the page draws what is held; it counts as silent only later. What was closed in the very
    # moment before is no picture.
    while True:
        held.wait_for(timeout=_PATIENCE_S * 1000)
        process.send_signal(signal.SIGSTOP)
        page.wait_for_timeout(_SETTLED_MS)
        if held.is_visible():
            return
        process.send_signal(signal.SIGCONT)


def _wait_for_trades(house: House) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while (trades := read_home(house.home).account("coinbase", "main").trades) < _TRADES_MIN:
        if time.monotonic() > until_s:
            sys.exit(f"after {_PATIENCE_S:g} s {trades} trades are closed: nothing worth a picture")
        time.sleep(0.2)


if __name__ == "__main__":
    take()
    for taken in MODES:
        print(f"{FOLDER / taken}.png: {(FOLDER / f'{taken}.png').stat().st_size / 1000:,.0f} kB")
