"""What went wrong, as an answer: a code for programs, a sentence for people, never a trace.

Invariants:
- who would have changed something is refused with a row of the audit: an action writes its own, and what never came to
  be one is written here.
"""

from collections.abc import Callable

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from novapulse.config import ConfigError
from novapulse.control.entrance import NotLetInError
from novapulse.control.passwords import BusyError as SignInBusyError
from novapulse.control.roles import Denied, SecondFactorNeeded, StepUpNeeded
from novapulse.control.router import NotRunHereError, UnknownCommandError
from novapulse.control.storage import ControlError, UnusableError
from novapulse.core.bars import BarError
from novapulse.core.ports import JournalError
from novapulse.ledger.queries import UnknownAccountError
from novapulse.market.storage import DataError
from novapulse.monitor.bars import NoBarsError
from novapulse.monitor.entries import UnknownEntryError
from novapulse.research.inputs import InputError
from novapulse.server.access import SAFE, NotSignedInError, TooOftenError, turned_away
from novapulse.server.lanes import BusyError
from novapulse.server.problems import told
from novapulse.strategies.votes import StrategyError

_log = structlog.get_logger("novapulse.server")


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="For programs: a word that does not change.")
    text: str = Field(description="For people: one sentence.")
    refused: str | None = Field(None, description="The same sentence where nothing was done, for certain.")
    href: str | None = Field(None, description="Page on which what is missing can be given.")


class NotFoundError(ValueError):
    """What was asked for is not there."""


def refusal(request: Request, status: int, code: str, text: str, **headers: str) -> Response:
    """Return an error as an answer, after writing down who was refused where that would have changed something.

    What is asked by another method than a route has counts as if it would: it may have been meant to.
    """
    if request.method not in SAFE or status == 405:
        try:
            turned_away(request, text)
        except ControlError as unwritten:
            return _unusable(request, unwritten)
    return told(request, status, code, text, **headers)


def _plain(status: int, code: str) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, wrong: Exception) -> Response:
        return told(request, status, code, str(wrong))

    return answer


def _not_let_in(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, NotLetInError)
    if wrong.wait_s:
        return told(request, 429, "too_often", str(wrong), retry_after=str(wrong.wait_s))
    return told(request, 401, "not_let_in", str(wrong))


def _too_often(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, TooOftenError)
    return told(request, 429, "too_often", str(wrong), retry_after=str(max(wrong.wait_s, 1)))


def _busy(request: Request, wrong: Exception) -> Response:
    wait_s = wrong.wait_s if isinstance(wrong, BusyError) else 2
    return refusal(request, 503, "busy", str(wrong), retry_after=str(wait_s))


def _unusable(request: Request, wrong: Exception) -> Response:
    _log.error("control.db cannot be used", path=request.url.path, reason=str(wrong))
    done = "" if request.method in SAFE else ": whether it was done is not known"
    return told(request, 503, "unusable", f"the server cannot use its own records now{done}")


def _invalid(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, RequestValidationError)
    first = wrong.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return refusal(request, 422, "invalid", f"{where}: {first['msg']}")


def _http(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(wrong.status_code, "refused")
    return refusal(request, wrong.status_code, code, str(wrong.detail), **dict(wrong.headers or {}))


def _bug(request: Request, wrong: Exception) -> Response:
    _log.error("a request failed", path=request.url.path, method=request.method, exc_info=wrong)
    return told(request, 500, "bug", "an error of our own; the log has it")


def install(app: FastAPI) -> None:
    """Let an application answer errors so."""
    table: tuple[tuple[type[Exception], Callable[[Request, Exception], Response]], ...] = (
        (NotSignedInError, _plain(401, "not_signed_in")),
        (NotLetInError, _not_let_in),
        (StepUpNeeded, _plain(403, "step_up_needed")),
        (SecondFactorNeeded, _plain(403, "second_factor_needed")),
        (UnknownCommandError, _plain(404, "not_found")),
        (NotRunHereError, _plain(404, "unknown_account")),
        (UnusableError, _unusable),
        (SignInBusyError, _busy),
        (BusyError, _busy),
        (Denied, _plain(403, "denied")),
        (ControlError, _plain(409, "refused")),
        (TooOftenError, _too_often),
        (UnknownAccountError, _plain(404, "unknown_account")),
        (UnknownEntryError, _plain(404, "not_found")),
        (NoBarsError, _plain(404, "no_bars")),
        (NotFoundError, _plain(404, "not_found")),
        (JournalError, _plain(503, "ledger_unreadable")),
        (BarError, _plain(503, "bars_unreadable")),
        (DataError, _plain(503, "bars_unreadable")),
        (ConfigError, _plain(503, "settings_unusable")),
        (InputError, _plain(503, "settings_unusable")),
        (StrategyError, _plain(503, "settings_unusable")),
        (RequestValidationError, _invalid),
        (HTTPException, _http),
        (Exception, _bug),
    )
    for kind, answer in table:
        app.add_exception_handler(kind, answer)
