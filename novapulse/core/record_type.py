"""Makes the types of records: arrays of them hold plain bytes, and one element has its fields as attributes.

Invariants:
- a field is read and written in place, in C: numpy's own records look every field up in Python, which takes five times
  as long;
- a type can be pickled: it is found again as `NAME.type` in the module that made it.
"""

import operator
from typing import Any

import numpy as np

Column = tuple[str, str] | tuple[str, str, tuple[int]]


def record_type(module: str, name: str, *columns: Column) -> np.dtype[np.void]:
    """Return the type of a record.

    Args:
        module: Where it is kept, `__name__`.
        name: Under which name.
        columns: Field and its type, with the shape of one that is an array.
    """
    plain = np.dtype(list(columns), align=True)
    fields = {field: _field(field) for field in plain.names or ()}
    element = type(f"{name}.type", (np.void,), {"__slots__": (), "__module__": module, **fields})
    return np.dtype((element, plain))


def _field(name: str) -> property:
    def put(record: Any, value: object) -> None:
        record[name] = value

    return property(operator.itemgetter(name), put)
