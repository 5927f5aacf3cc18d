"""NovaPulse: a reactive notebook research-and-trading workbench.

One library holds strategies, confluence, risk and execution; notebooks, reports, the backtest and the live trader
import the same functions.
"""

__version__ = "4.0.0.dev0"
