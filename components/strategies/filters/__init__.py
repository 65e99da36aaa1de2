"""Filters: which names a strategy may buy more of."""
