"""Measured tables are kept between their own marks, and nothing else of the page changes."""

from pathlib import Path

import pytest

from tests.benchmarks.page import PAGE, keep

TEXT = (
    "# Page\n\n<!-- ledger: begin -->\nold\n<!-- ledger: end -->\n\n<!-- audit: begin -->\n<!-- audit: end -->\nrest\n"
)


def test_a_table_replaces_its_own_section_alone_and_says_when_and_where(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    keep("ledger", ("what", "figure:"), [("ours", "9 /s")], page)
    keep("audit", ("what",), [("one",)], page)
    keep("ledger", ("what", "figure:"), [("ours", "10 /s")], page)
    written = page.read_text()
    assert (
        "| what | figure |\n|---|--:|\n| ours | 10 /s |\n<!-- ledger: end -->\n\n<!-- audit: begin -->\nMeasured "
        in written
    )
    assert written.count("logical cores") == 2
    assert written.startswith("# Page\n\n<!-- ledger: begin -->\nMeasured 2")
    assert written.endswith("-->\nrest\n")


def test_a_page_without_the_section_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    with pytest.raises(ValueError, match="no marks of 'kernels'"):
        keep("kernels", ("what",), [], page)
    assert page.read_text() == TEXT


@pytest.mark.parametrize("section", ["measured", "ledger", "audit"])
def test_the_page_has_the_sections_that_are_measured(section: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(f"<!-- {section}: begin -->") == text.count(f"<!-- {section}: end -->") == 1
