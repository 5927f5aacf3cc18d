"""The table of alerts says what the engine does: read from the calls that raise and end them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from novapulse import engine
from novapulse.engine.alert_kinds import KINDS, is_unwell

KEY_AT = {"alert": 2, "alert_over": 1}
BY_CONDITION = {("conditions", "bug"), ("conditions", "executions_missing")}
"""Raised under the name of what was seen."""

BY_INSTRUMENT = "roster"
"""Ends whatever there is of an instrument that is not traded any more."""


def starts(node: ast.expr, within: ast.AST, module: ast.Module) -> Iterator[str]:
    """Yield what an expression for a key may begin with, as far as the source says."""
    if isinstance(node, ast.Constant):
        yield node.value.partition(":")[0]
    elif isinstance(node, ast.BinOp):
        yield from starts(node.left, within, module)
    elif isinstance(node, ast.JoinedStr):
        first = node.values[0]
        yield from starts(first.value if isinstance(first, ast.FormattedValue) else first, within, module)
    elif isinstance(node, ast.Call):
        functions = (each for each in ast.walk(module) if isinstance(each, ast.FunctionDef))
        for made in (each for each in functions if each.name == getattr(node.func, "id", "")):
            for returned in (each for each in ast.walk(made) if isinstance(each, ast.Return) and each.value):
                yield from starts(returned.value, made, module)
    elif isinstance(node, ast.Name):
        for each in ast.walk(within):
            if isinstance(each, ast.Assign) and any(getattr(one, "id", "") == node.id for one in each.targets):
                yield from starts(each.value, within, module)
            elif isinstance(each, ast.For) and getattr(each.target, "id", "") == node.id:
                for one in each.iter.elts if isinstance(each.iter, ast.Tuple) else ():
                    yield from starts(one, within, module)
        if node.id == "what":
            # Parameter of what asks the venue to change an order.
            yield from ("cancel", "amend")


def calls() -> dict[str, set[tuple[str, str]]]:
    """Return name of the call -> (module, first part of a key)."""
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in Path(str(engine.__file__)).parent.glob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for within in (each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)):
            for call in (each for each in ast.walk(within) if isinstance(each, ast.Call)):
                name = getattr(call.func, "attr", "")
                if name in KEY_AT and len(call.args) > KEY_AT[name]:
                    found[name] |= {(path.stem, start) for start in starts(call.args[KEY_AT[name]], within, module)}
    return found


def told(which: str) -> set[tuple[str, str]]:
    return {(module, start.partition(":")[0]) for start, kind in KINDS.items() for module in getattr(kind, which)}


def test_what_raises_an_alert_is_in_the_table_and_nothing_else_is() -> None:
    assert calls()["alert"] | BY_CONDITION == told("raised_by")


def test_what_ends_an_alert_is_in_the_table_and_nothing_else_is() -> None:
    assert {each for each in calls()["alert_over"] if each[0] != BY_INSTRUMENT} == told("ended_by")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("breaker:daily_loss", False),
        ("break:D13:BTC", False),
        ("break:D14:BTC/USD on kraken", True),
        ("break:D1:x", False),
        ("bare:BTC/USD", True),
        ("ledger_restored", True),
        ("nobody:knows", True),
    ],
)
def test_a_position_without_a_stop_makes_unwell_and_other_differences_say_it_by_what_they_restrict(
    key: str, expected: bool
) -> None:
    assert is_unwell(key) is expected
