"""Puts the server together: sign-in and REST, the live stream, our pages, and marimo's apps behind the gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from novapulse import __version__, brand
from novapulse.server import errors, live, pages
from novapulse.server.access import Doors
from novapulse.server.answers import PROBLEMS
from novapulse.server.frontend import frontend_of_marimo
from novapulse.server.gate import PAGE_LINGERS_S, Gate
from novapulse.server.headers import SecurityHeaders
from novapulse.server.layers import BodyEnds, HeadAsGet
from novapulse.server.live import Broadcast
from novapulse.server.parts import API, APPS, ASSETS, Parts
from novapulse.server.routes import (
    accounts,
    control,
    health,
    ledger,
    machine,
    market,
    people,
    results,
    second_factor,
    session,
)

_TOPICS = (session, second_factor, health, control, ledger, market, machine, people, results, accounts)
REST = tuple(one.router for one in _TOPICS)
"""The routes of the REST interface, by topic."""

_DESCRIPTION = f"""\
What dashboards and scripts can ask of {brand.NAME}. Sign in with `POST /api/v1/session`, and
`POST /api/v1/session/code` where it asks for a code, or send an API key as `Authorization: Bearer np_...`. A session
sends its token as `X-CSRF` with everything that changes something.
Amounts are exact decimals as text, times are nanoseconds in UTC, an account is `exchange` and `account_id`.
"""


def create_app(parts: Parts, apps: ASGIApp | None = None) -> ASGIApp:
    """Return the server.

    Args:
        parts: What it stands on.
        apps: marimo's apps, mounted below `/apps`; None for none.
    """
    app = api_of(parts)
    app.add_middleware(BodyEnds)
    joined = None
    if apps is not None:
        told = {"mode": parts.mode, "config": None if parts.config is None else str(parts.config)}
        frontend = frontend_of_marimo()
        joined = frontend.joined
        app.mount(ASSETS, frontend)
        app.mount(APPS, Gate(apps, Doors(parts), parts.origins, told))
    return SecurityHeaders(HeadAsGet(app), APPS, ASSETS, https=parts.https, joined=joined)


def api_of(parts: Parts) -> FastAPI:
    """Return the server without headers and apps, as tests of its routes want it."""
    app = FastAPI(
        title=brand.NAME,
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        # A wrong slash is an error, not another request.
        redirect_slashes=False,
        # Nothing is told to anybody, whatever the environment would set up.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.parts = parts
    for one in REST:
        app.include_router(one, prefix=API, responses=PROBLEMS)
    app.include_router(live.router, prefix=API)
    app.include_router(pages.router)
    errors.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.broadcast = Broadcast(app.state.parts.hub)
    yield


def apps_of(folder: Path) -> ASGIApp:
    """Return marimo's apps of a folder, each under the name of its file, in run mode alone."""
    # marimo takes a second to load, and only the server wants it.
    from marimo import create_asgi_app

    from novapulse.ui import apps

    apps.load()
    served = create_asgi_app(quiet=True, include_code=False, session_ttl=PAGE_LINGERS_S)
    for file in sorted(folder.glob("*.py")):
        served = served.with_app(path=f"/{file.stem}", root=str(file))
    built: ASGIApp = served.build()
    return built
