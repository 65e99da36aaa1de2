"""Strategies: signals and a book in, a target out."""
