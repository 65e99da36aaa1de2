"""The tables of the report about execution: how parent orders fared beside the market over their horizons."""

from collections.abc import Mapping
from typing import Any

from adapters.report import Grid
from components.metrics.execution import ENDS, FIGURES
from components.metrics.execution_means import OWN_BASES, WEIGHTS, figures_of
from samewire.run_file import execution_text

_LABELS = {
    "fill_ratio": "Fill ratio",
    "pa_twap_bps": "Price advantage to TWAP, bp",
    "pa_vwap_bps": "Price advantage to VWAP, bp",
    "arrival_bps": "Arrival slippage, bp",
    "pos_twap": "Better than TWAP",
    "pos_vwap": "Better than VWAP",
}
_HEAD = ("", "by orders", "by shares", "by value")
_OWN_LABELS = {
    "fill_ratio": "Fill ratio",
    "pa_price_bps": "Price advantage to the bar's price, bp",
    "pa_vwap_bps": "Price advantage to the bar's VWAP, bp",
    "arrival_bps": "Arrival slippage, bp",
    "pos_price": "Better than the bar's price",
    "pos_vwap": "Better than the bar's VWAP",
}


def worked_by(manifest: Mapping[str, Any]) -> str:
    """Who worked the orders, as the manifest has it; empty where nobody did.

    >>> worked_by({"config": {"execution": {"use": "rl", "horizon": 8}}, "models": {"execution": "557fe045820ae061"}})
    'rl over 8 slices, agent 557fe045820a'
    """
    config, models = manifest.get("config"), manifest.get("models")
    found = config.get("execution") if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        return ""
    agent = models.get("execution") if isinstance(models, Mapping) else None
    said = execution_text(found.get("use", ""), found.get("horizon"))
    return said + (f", agent {str(agent)[:12]}" if agent else "")


def execution_grids(summary: Mapping[str, Any]) -> tuple[Grid, ...]:
    """The tables of a session with an execution policy that had an order; none of another one."""
    found = summary.get("execution")
    if not isinstance(found, Mapping) or not found.get("orders"):
        return ()
    ends = ", ".join(f"{found[end]:,} {end}" for end in ENDS if found[end])
    caption = (
        f"{found['orders']:,} orders worked over their horizons: {ends}. A price advantage above 0 is better than the "
        "market's average over the horizon; slippage above 0 is a cost against the price at the decision. "
        "The file execution.parquet has every order."
    )
    parents = Grid("Execution", caption, _HEAD, _rows(found, FIGURES, _LABELS))
    return (parents, *_slice_grids(found.get("slices")))


def _slice_grids(found: Any) -> tuple[Grid, ...]:
    """How the children of each slice fared against the bar they lived for."""
    if not isinstance(found, Mapping) or not found.get("children"):
        return ()
    caption = (
        f"{found['children']:,} children sent in {found['slices']:,} slices, each measured by the one bar it could "
        "trade in: what the fills cost within their bars, and how much of what was sent the bars took. "
        "The file execution_slices.parquet has every slice."
    )
    return (Grid("Execution, slice by slice", caption, _HEAD, _rows(found, figures_of(OWN_BASES), _OWN_LABELS)),)


def _rows(found: Mapping[str, Any], figures: tuple[str, ...], labels: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """A row a figure, empty where it is not defined."""
    rows = ((labels[name], *(_written(name, found[name].get(weight)) for weight in WEIGHTS)) for name in figures)
    return tuple(rows)


def _written(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.2f}" if name.endswith("_bps") else f"{value * 100:.1f} %"
