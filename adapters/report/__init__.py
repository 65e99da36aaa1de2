"""The report of a session: one HTML file that needs nothing else."""

from adapters.report.page import write_report
from adapters.report.view import Chart, Figure, Grid, Part, ReportView, Series

__all__ = ["Chart", "Figure", "Grid", "Part", "ReportView", "Series", "write_report"]
