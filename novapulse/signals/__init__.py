"""Indicators and regimes: pure functions of closed bars."""

from novapulse.signals.view import Indicators

__all__ = ["Indicators"]
