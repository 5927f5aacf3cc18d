import gzip
import importlib.util
import json
import re
import shutil
import subprocess
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import novapulse.ui.widgets
from novapulse.server.frontend import Frontend, Joined, frontend_of_marimo, joined_of, pointed_to

SCRIPT = b"export const answer = 42;\n" * 100


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "secret.txt").write_bytes(b"not of the package")
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "a-1.js").write_bytes(SCRIPT)
    (folder / "b-2.woff2").write_bytes(b"font")
    return TestClient(Starlette(routes=[Mount("/apps/assets", Frontend(folder))]))


def test_a_script_is_sent_compressed_to_who_takes_it_and_whole_to_others(client: TestClient) -> None:
    packed = client.get("/apps/assets/a-1.js", headers={"accept-encoding": "gzip, br"})
    plain = client.get("/apps/assets/a-1.js", headers={"accept-encoding": "identity"})
    assert packed.content == plain.content == SCRIPT
    assert int(packed.headers["content-length"]) == len(gzip.compress(SCRIPT, 5))
    assert "content-encoding" not in plain.headers
    assert {one.headers["vary"] for one in (packed, plain)} == {"accept-encoding"}
    assert packed.headers["content-type"].startswith("text/javascript")


def test_a_font_is_sent_as_it_is(client: TestClient) -> None:
    answer = client.get("/apps/assets/b-2.woff2", headers={"accept-encoding": "gzip"})
    assert (answer.content, "content-encoding" in answer.headers) == (b"font", False)


@pytest.mark.parametrize("name", ["c.js", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", ""])
def test_nothing_else_is_there(client: TestClient, name: str) -> None:
    assert client.get(f"/apps/assets/{name}").status_code == 404


def test_only_reading_is_answered(client: TestClient) -> None:
    assert client.post("/apps/assets/a-1.js").status_code == 404


def test_every_file_that_a_page_of_marimo_names_is_there() -> None:
    import marimo

    page = (Path(marimo.__file__).parent / "_static" / "index.html").read_bytes()
    pointed = pointed_to(page, "/apps/assets")
    client = TestClient(Starlette(routes=[Mount("/apps/assets", frontend_of_marimo())]))
    named = [part.split(b'"')[0].decode() for part in pointed.split(b'"/apps/assets/')[1:]]
    assert b"./assets/" not in pointed
    assert not [name for name in named if name.endswith((".woff2", ".png"))], "a megabyte that no page of ours shows"
    assert len(named) > 20
    assert {client.get(f"/apps/assets/{name}").status_code for name in named} == {200}


MARIMO = Path(importlib.util.find_spec("marimo").submodule_search_locations[0])
PAGE = (MARIMO / "_static" / "index.html").read_bytes()
WIDGETS = Path(novapulse.ui.widgets.__file__).parent


@pytest.fixture(scope="module")
def whole() -> Joined:
    joined = joined_of(PAGE)
    assert joined is not None, "another marimo is installed than was joined: run `just marimo-files`"
    return joined


def test_a_page_loads_one_script_in_place_of_all_that_are_in_it(whole: Joined) -> None:
    pointed = pointed_to(PAGE, "/apps/assets", whole).decode()
    scripts = re.findall(r'"/apps/assets/([^"]+\.js)"', pointed)
    assert scripts == [whole.script]
    styles = re.findall(r'<link rel="stylesheet" crossorigin href="/apps/assets/([^"]+)"', pointed)
    assert set(whole.styles) < set(styles)
    assert len(set(styles)) == len(styles)
    assert {(MARIMO / "_static" / "assets" / name).is_file() for name in styles} == {True}


def test_the_joined_script_is_what_was_built_and_can_be_had_packed_or_plain(whole: Joined) -> None:
    told = json.loads((files("novapulse.server") / "marimo_files" / "joined.json").read_text())
    client = TestClient(Starlette(routes=[Mount("/apps/assets", frontend_of_marimo())]))
    packed, plain = (
        client.get(f"/apps/assets/{whole.script}", headers={"accept-encoding": how}) for how in ("gzip", "identity")
    )
    assert packed.content == plain.content
    assert sha256(plain.content).hexdigest() == told["digest"]
    assert int(packed.headers["content-length"]) == len(whole.packed) < len(plain.content) / 3


def test_a_script_that_was_joined_passes_on_every_name_that_it_had(whole: Joined) -> None:
    text = gzip.decompress(whole.packed).decode()
    has = {part.split(" as ")[-1] for part in text[text.rindex("export{") + 7 : text.rindex("}")].split(",")}
    client = TestClient(Starlette(routes=[Mount("/apps/assets", frontend_of_marimo())]))
    for name in whole.parts:
        passes_on = client.get(f"/apps/assets/{name}").text
        own = (MARIMO / "_static" / "assets" / name).read_text("utf-8")
        ends = own[own.rindex("export{") + 7 : own.rindex("}")] if "export{" in own else ""
        names = sorted(part.split(" as ")[-1] for part in ends.split(",") if part)
        given = passes_on[len("export{") : passes_on.index("}")]
        assert sorted(part.split(" as ")[1] for part in given.split(",") if part) == names, name
        assert {part.split(" as ")[0] for part in given.split(",") if part} <= has, name
        assert passes_on.endswith(f"from'./{whole.script}';\n")


def test_a_page_of_another_marimo_loads_its_own_scripts() -> None:
    assert joined_of(PAGE + b"\n") is None
    assert pointed_to(PAGE, "/apps/assets").count(b"modulepreload") > 100


def test_joining_again_gives_the_same_script(tmp_path: Path, whole: Joined) -> None:
    node = shutil.which("node")
    if node is None or not (WIDGETS / "node_modules").is_dir():
        pytest.skip("node and node_modules are not here: `just marimo-files` would bring them")
    command = [node, WIDGETS / "joined.mjs", MARIMO, "--into", tmp_path / "again"]
    subprocess.run(command, check=True, timeout=300)
    again = gzip.decompress((tmp_path / "again" / f"{whole.script}.gz").read_bytes())
    assert again == gzip.decompress(whole.packed)
