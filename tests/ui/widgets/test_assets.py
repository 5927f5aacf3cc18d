"""What is shipped to browsers: built from the sources that lie beside it, free of eval, silent towards the net."""

import json
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

import novapulse.ui.widgets
from novapulse.ui.widgets.assets import asset

HOME = Path(novapulse.ui.widgets.__file__).parent
ASSETS = HOME / "assets"
MANIFEST: dict[str, dict[str, str]] = json.loads(asset("manifest.json"))
BUILT = sorted(path for path in ASSETS.iterdir() if path.name != "manifest.json")

FORBIDDEN = {
    "code made of text": r"\beval\s*\(|\bnew Function\b|\bsetTimeout\(\s*['\"`]",
    "markup made of data": r"\binsertAdjacentHTML\b|\bdocument\.write\b|\bouterHTML\b|\bsrcdoc\b",
    "something fetched by a style": r"url\((?!['\"]?#)|@import",
}
KNOWN_ADDRESSES = {
    "https://www.tradingview.com/": "the attribution that the licence of lightweight-charts asks for",
    "http://www.w3.org/2000/svg": "a name, not a place",
    "https://www.apache.org/licenses/LICENSE-2.0": "the licence in the header of lightweight-charts",
}


def digests(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in names}


def source_names() -> list[str]:
    tools = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"]
    return [*tools, *(path.relative_to(HOME).as_posix() for path in (HOME / "src").rglob("*") if path.is_file())]


def test_assets_are_built_from_the_sources_beside_them():
    assert MANIFEST["sources"] == digests(HOME, source_names()), "sources changed: run `just assets`"


def test_assets_are_what_was_built():
    assert MANIFEST["built"] == digests(ASSETS, [path.name for path in BUILT]), "assets changed: run `just assets`"


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.name)
def test_an_asset_makes_no_code_and_names_no_place(path: Path):
    text = path.read_text("utf-8")
    assert {what for what, pattern in FORBIDDEN.items() if re.search(pattern, text)} == set()
    found = set(re.findall(r"(?:https?|wss?):(?://[^\s\"'`<>)]*)", text))
    assert {place for place in found if not place.startswith(tuple(KNOWN_ADDRESSES))} == set()
    # The one constant picture of lightweight-charts' logo.
    assert len(re.findall(r"\binnerHTML\b", text)) == (1 if "tradingview" in text else 0)


def test_sources_write_no_markup():
    for path in (HOME / "src").rglob("*.ts"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML", path.read_text("utf-8")), path.name


def test_the_lock_of_the_build_names_versions_and_no_place():
    lock = (HOME / "package-lock.json").read_text("utf-8")
    assert "resolved" not in lock
    assert "http" not in re.sub(r'"(url|funding)": "[^"]*"', "", lock)
    asked = json.loads((HOME / "package.json").read_text("utf-8"))["devDependencies"]
    packages = json.loads(lock)["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in asked} == asked
    assert all(entry.get("integrity") for name, entry in packages.items() if name)


def test_a_build_gives_the_same_bytes(tmp_path: Path):
    node = shutil.which("node")
    if node is None or not (HOME / "node_modules").is_dir():
        pytest.skip("node and node_modules are not here: `just assets` would bring them")
    subprocess.run([node, HOME / "build.mjs", "--into", tmp_path / "built"], check=True, timeout=120)
    again = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    assert again == {path.name: path.read_bytes() for path in ASSETS.iterdir()}
