"""What lies around the applications: HEAD, and the end of a body."""

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.server.errors import refusal

BODY_BYTES_MAX = 1 << 20
_TOO_LARGE = f"a request has at most {BODY_BYTES_MAX} bytes"


class HeadAsGet:
    """Answers HEAD as GET would be answered, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class BodyEnds:
    """Refuses a body that is longer than anything that is sent here, however it comes.

    It lies within the server's own application: who was refused is written down.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and int(said) > BODY_BYTES_MAX:
            answer = await run_in_threadpool(refusal, Request(scope), 413, "too_large", _TOO_LARGE)
            await answer(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > BODY_BYTES_MAX:
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self._app(scope, counted, send)
