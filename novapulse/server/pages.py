"""Our own pages: signing in, one-time links, and one's account.

They are files, with the name of the house and the nonce of the answer filled in; what they show comes by the REST.
"""

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from novapulse import brand
from novapulse.control.people import LINK_PATH
from novapulse.server.access import visitor_of
from novapulse.server.errors import NotFoundError
from novapulse.server.headers import nonce_of
from novapulse.server.parts import APPS
from novapulse.server.problems import PAGE_FILES, page_text

router = APIRouter(include_in_schema=False)

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


@router.get("/livez")
def alive() -> dict[str, bool]:
    """Tell that the process answers, and nothing else."""
    return {"alive": True}


@router.get("/")
async def home(request: Request) -> Response:
    """Go to the overview, or to where one signs in."""
    visitor = await run_in_threadpool(visitor_of, request)
    return RedirectResponse(f"{APPS}/overview" if visitor else "/login", 303)


@router.get(APPS)
@router.get(f"{APPS}/")
def apps() -> Response:
    """Go to the overview; who is not signed in is asked to there."""
    return RedirectResponse(f"{APPS}/overview", 303)


@router.get("/favicon.ico")
def icon() -> Response:
    """Show our mark where a browser asks for one by itself."""
    return RedirectResponse("/static/mark.svg", 301)


@router.get("/login")
def login(request: Request) -> Response:
    """Show where one signs in."""
    return _page("login", request)


@router.get(LINK_PATH)
def welcome(request: Request) -> Response:
    """Show where one chooses a password by a link; the token stands behind the `#` and does not get here."""
    return _page("welcome", request)


@router.get("/account")
async def account(request: Request) -> Response:
    """Show one's sessions, keys and password."""
    if await run_in_threadpool(visitor_of, request) is None:
        return RedirectResponse("/login?next=/account", 303)
    return _page("account", request)


@router.get("/confirm")
async def confirm(request: Request) -> Response:
    """Take the password once more, and nothing else; the page it was wanted on comes as `next`."""
    if await run_in_threadpool(visitor_of, request) is None:
        return RedirectResponse(f"/login?next={quote(request.query_params.get('next', ''), safe='/')}", 303)
    return _page("confirm", request)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Return a file that a page is made of."""
    if name == "mark.svg":
        return Response(brand.MARK, media_type="image/svg+xml")
    kind = _KINDS.get(name.rpartition(".")[2])
    found = PAGE_FILES / name
    if kind is None or "/" in name or name.startswith(".") or not found.is_file():
        raise NotFoundError("there is no such file")
    return Response(found.read_bytes(), media_type=kind)


def _page(name: str, request: Request) -> Response:
    return HTMLResponse(page_text(name, nonce_of(request.scope)))
