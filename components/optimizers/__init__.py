"""Optimizers: targets and a book in, affordable orders out."""
