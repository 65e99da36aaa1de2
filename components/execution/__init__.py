"""Execution: how parent orders are worked over the bars of their horizon."""
