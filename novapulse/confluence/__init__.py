"""Confluence: weighs what strategies say on several timeframes into one consensus per closed bar."""

from novapulse.confluence.settings import ConfluenceError, ConfluenceSettings

__all__ = ["ConfluenceError", "ConfluenceSettings"]
