"""Rows as CSV, for spreadsheets: the same values as in JSON, and nothing that a spreadsheet would run."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(rows: Sequence[dict[str, Any]], name: str) -> Response:
    """Return rows as a file to download.

    Args:
        rows: With the same keys each.
        name: Of the file, without its ending.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0].keys())
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    is_number = isinstance(value, int | float) or _is_decimal(text)
    # A text that begins like a formula is told to be a text.
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text


def _is_decimal(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()
