"""What could not be answered, told: to a program as JSON, to a person as a page of ours.

Invariants:
- whoever takes HTML gets the page, but for what is asked of the REST interface: that is JSON for everybody;
- the page says no more than the JSON, and nothing that somebody sent is part of it unless escaped.
"""

from html import escape
from importlib.resources import files

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response

from novapulse import brand
from novapulse.server.headers import nonce_of

PAGE_FILES = files("novapulse.server") / "page_files"

_WHERE = {"step_up_needed": "/confirm", "not_signed_in": "/login", "second_factor_needed": "/account"}
_HEADLINES = {
    401: "Sign in first",
    403: "Refused",
    404: "There is no such page",
    429: "Not now",
    503: "The server cannot answer now",
}
_SENTENCES = {
    401: "this is for somebody who is signed in",
    404: "nothing is at this address: it may be mistyped, or from another version",
    405: "this address is not one to be asked like that",
}


def page_text(name: str, nonce: str, **said: str) -> str:
    """Return one of our pages; its script and its style carry a nonce, and nothing else that it might hold is run.

    Args:
        name: Of the page, such as `login`.
        nonce: Of the policy that goes with it.
        said: Plain text for places of the page, by their names.
    """
    text = (PAGE_FILES / f"{name}.html").read_text(encoding="utf-8")
    for place, words in {"name": brand.NAME, "nonce": nonce, **said}.items():
        text = text.replace(f"{{{{ {place} }}}}", escape(words))
    return text


def wants_page(connection: HTTPConnection) -> bool:
    """Return whether a person is to read the answer."""
    is_rest = connection.scope["type"] != "http" or connection.scope["path"].startswith("/api/")
    return not is_rest and "text/html" in connection.headers.get("accept", "")


def told(connection: HTTPConnection, status: int, code: str, text: str, **headers: str) -> Response:
    """Return what went wrong as an answer; a refusal says so to a button, and where to go for what it lacks.

    Args:
        connection: What was asked.
        status: Of HTTP.
        code: For programs: a word that does not change.
        text: For people: one sentence.
        headers: Of the answer, with `_` for `-`.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    # What somebody sent may hold half a character, which no answer can.
    text = text.encode("utf-8", "replace").decode()
    if wants_page(connection):
        return HTMLResponse(_page(connection, status, text), status, named)
    body = {"error": code, "text": text}
    if status < 500:
        body["refused"] = text
    if code in _WHERE:
        body["href"] = _WHERE[code]
    return JSONResponse(body, status, named)


def _page(connection: HTTPConnection, status: int, text: str) -> str:
    headline = _HEADLINES.get(status, "That cannot be done" if status < 500 else "Something went wrong here")
    sentence = _SENTENCES.get(status, text)
    told_text = f"{sentence[:1].upper()}{sentence[1:]}."
    return page_text("problem", nonce_of(connection.scope), headline=headline, text=told_text)
