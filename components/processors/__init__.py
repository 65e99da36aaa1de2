"""Processors: the second stage of features, an option of the models that learn."""
