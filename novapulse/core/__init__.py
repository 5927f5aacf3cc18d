"""Nouns that every other package shares. Standard library and numpy only."""
