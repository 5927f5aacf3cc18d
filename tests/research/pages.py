"""Reads a page of HTML as strictly as a machine can: what stands where, and whether it is nested as it should be."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


@dataclass
class Element:
    """One element with its attributes and all text inside it."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    text: str = ""


@dataclass
class Read:
    """A page as it was read."""

    elements: list[Element] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    declaration: str = ""

    def every(self, tag: str) -> list[Element]:
        """All elements of a tag."""
        return [one for one in self.elements if one.tag == tag]

    def figures(self) -> dict[str, list[Element]]:
        """Elements that carry a figure, by its path."""
        found: dict[str, list[Element]] = {}
        for one in self.elements:
            if "data-figure" in one.attributes:
                found.setdefault(one.attributes["data-figure"], []).append(one)
        return found

    @property
    def text(self) -> str:
        """Everything that can be read on the page."""
        return next(one.text for one in self.elements if one.tag == "body")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Read()
        self.open: list[Element] = []

    def handle_decl(self, decl: str) -> None:
        self.page.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.page.faults.append(f"<{tag}> has an attribute twice: {names}")
        one = Element(tag, {name: value or "" for name, value in attrs}, tuple(parent.tag for parent in self.open))
        self.page.elements.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].tag != tag:
            inside = self.open[-1].tag if self.open else "nothing"
            self.page.faults.append(f"</{tag}> inside <{inside}> at {self.getpos()}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for one in self.open:
            one.text += data


def read_page(source: str) -> Read:
    """The page that a text of HTML is."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    reader.page.faults += [f"<{one.tag}> is never closed" for one in reader.open]
    return reader.page
