"""The charts of a backtest, by the names that notebooks use."""

from novapulse.ui.curves import equity_and_drawdown, forecast_heat
from novapulse.ui.figures import attribution, excursions, monthly, r_distribution, refused, stress
from novapulse.ui.marks import POINTS_MAX

__all__ = [
    "POINTS_MAX",
    "attribution",
    "equity_and_drawdown",
    "excursions",
    "forecast_heat",
    "monthly",
    "r_distribution",
    "refused",
    "stress",
]
