import gzip
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from novapulse.server.frontend import Frontend, frontend_of_marimo, pointed_to

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
