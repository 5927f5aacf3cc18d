"""What closed round trips came to, put together in every way, and one of them."""

from dataclasses import make_dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from novapulse.monitor.results import By, ResultRow, results, round_trip
from novapulse.monitor.rows import RoundTripState
from novapulse.server import answers
from novapulse.server.access import Reader
from novapulse.server.answers import Format, many, one
from novapulse.server.errors import NotFoundError
from novapulse.server.lanes import HISTORIES
from novapulse.server.routes.accounts import known

router = APIRouter(tags=["accounts"])

What = Annotated[By, Query(alias="by", description="What round trips are put together by; periods are of UTC.")]
OneTrip = make_dataclass(
    "OneTrip", [("exchange", str), ("account_id", str)], bases=(RoundTripState,), kw_only=True, frozen=True
)


@router.get("/accounts/{exchange}/{account_id}/results", responses=many(ResultRow))
def of_account(
    exchange: str, account_id: str, caller: Reader, by: What = By.SYMBOL, format: Format = "json"
) -> Response:
    """List what closed round trips came to: by instrument, by why they were closed, by strategy, or by period."""
    key = known(caller, exchange, account_id).key
    with HISTORIES.taken():
        found = results(caller.parts.home, by, key)
    return answers.rows(found, f"results-{by}-{exchange}-{account_id}", format)


@router.get("/results", responses=many(ResultRow))
def of_all(caller: Reader, by: What = By.SYMBOL, format: Format = "json") -> Response:
    """List the same of every account; nothing is added up over accounts."""
    with HISTORIES.taken():
        found = results(caller.parts.home, by)
    return answers.rows(found, f"results-{by}", format)


@router.get("/accounts/{exchange}/{account_id}/round-trips/{number}", responses=one(OneTrip))
def one_trip(exchange: str, account_id: str, number: Annotated[int, Path(ge=0, le=2**62)], caller: Reader) -> Response:
    """Tell one closed round trip, by its number in the account."""
    key = known(caller, exchange, account_id).key
    with HISTORIES.taken():
        found = round_trip(caller.parts.home, key, number)
    if found is None:
        raise NotFoundError(f"{account_id} on {exchange} has closed no round trip {number}")
    return answers.value({"exchange": exchange, "account_id": account_id, **found.json()})
