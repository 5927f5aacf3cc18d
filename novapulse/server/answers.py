"""How routes answer: values as they are told by those who know them, rows as JSON or CSV, and what OpenAPI says of it.

Values are spelled by their own `json()`; models stand in the OpenAPI document and are not applied to answers.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import JSONResponse, Response

from novapulse.server.csv import csv_of
from novapulse.server.errors import Problem

Format = Annotated[Literal["json", "csv"], Query(description="`csv` for a spreadsheet.")]
NEXT_BEFORE = "x-next-before"
"""Header of a list that goes on: what `before` has to be for the next page."""

Documented = dict[int | str, dict[str, Any]]

PROBLEMS: Documented = {
    401: {"model": Problem, "description": "Nobody was recognised."},
    403: {"model": Problem, "description": "That is not allowed, or wants the password once more."},
    404: {"model": Problem, "description": "There is no such thing; an account is never another one's."},
    409: {"model": Problem, "description": "That cannot be done."},
    413: {"model": Problem, "description": "The request is too large."},
    422: {"model": Problem, "description": "The request is not as it has to be."},
    429: {"model": Problem, "description": "Too often: `Retry-After` says when again."},
    503: {"model": Problem, "description": "What it takes is busy or cannot be read."},
}
"""What every route may answer instead."""


def one(model: Any) -> Documented:
    """Return what OpenAPI says of a route that answers with one value."""
    return {200: {"model": model}}


def many(model: Any) -> Documented:
    """Return what OpenAPI says of a route that answers with rows, as JSON or CSV."""
    return {200: {"model": list[model], "content": {"text/csv": {"schema": {"type": "string"}}}}}


def value(found: Any) -> Response:
    """Return a value, as its `json()` tells it."""
    return JSONResponse(found.json() if hasattr(found, "json") else found)


def rows(found: Iterable[Any], name: str, wanted: str, next_before: int | None = None) -> Response:
    """Return rows as JSON, or as CSV.

    Args:
        found: Values with a `json()`, or plain rows.
        name: Of the file; one that is not whole says so.
        wanted: `json` or `csv`.
        next_before: Where the next page begins; None where there is none.
    """
    told: Sequence[dict[str, Any]] = [each if isinstance(each, dict) else each.json() for each in found]
    if next_before is None:
        return csv_of(told, name) if wanted == "csv" else JSONResponse(told)
    answer = csv_of(told, f"{name}-not-whole") if wanted == "csv" else JSONResponse(told)
    answer.headers[NEXT_BEFORE] = str(next_before)
    return answer
