"""Rows as CSV, for spreadsheets: the same values as in JSON, and nothing that a spreadsheet would run."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_OUTSIDE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def csv_of(rows: Sequence[dict[str, Any]], name: str) -> Response:
    """Return rows as a file to download.

    Args:
        rows: With the same keys each.
        name: Of the file, without its ending.
    """
    text = io.StringIO()
    # Everything stands in quotes: a spreadsheet may take another mark than the comma to part cells.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    if rows:
        writer.writerow(rows[0].keys())
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{_OUTSIDE_NAMES.sub("_", name)}.csv"'}
    body = text.getvalue().encode("utf-8", "replace")
    return Response(body, media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    is_number = isinstance(value, int | float) or _DECIMAL.fullmatch(text) is not None
    # A text that begins like a formula is told to be a text.
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text
