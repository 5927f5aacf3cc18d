"""The tear sheet: an analysed backtest as one page of HTML that needs nothing but itself.

Invariants:
- the page asks for nothing: no script, no font, no picture and no style from elsewhere, and a policy in its head that
  forbids them;
- its numbers are those of `as_data()`, each with its full precision beside what is shown;
- the same analysis gives the same page, to the byte.
"""

from importlib.resources import files
from typing import TYPE_CHECKING

from novapulse import __version__, brand
from novapulse.research.analysis import Analysis
from novapulse.research.inputs import InputError, Markets
from novapulse.research.tearsheet.page import laid_out
from novapulse.research.tearsheet.svg import Markup

if TYPE_CHECKING:
    from jinja2 import Environment


def tear_sheet(analysis: Analysis, markets: Markets) -> str:
    """Return an analysed backtest as one page of HTML.

    Args:
        analysis: Figures and the result they are of.
        markets: The bars it ran on, for the price charts.

    Raises:
        InputError: The library that fills in the page is not installed.
    """
    template = _environment().get_template("page.html.jinja")
    style = Markup(files(__name__).joinpath("style.css").read_text("utf-8"))
    page = laid_out(analysis.as_data(), analysis.result, markets)
    return template.render(page=page, style=style, version=__version__, brand=brand)


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as missing:
        raise InputError(
            "the tear sheet needs jinja2, which is in the extra 'research': pip install 'novapulse[research]'"
        ) from missing

    def source(name: str) -> str:
        return files(__name__).joinpath(name).read_text("utf-8")

    return Environment(
        loader=FunctionLoader(source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
