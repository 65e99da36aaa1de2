"""Schedules: in which slices a strategy is asked."""
