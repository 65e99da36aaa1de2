"""The table of the report about execution: how parent orders fared beside the market over their horizons."""

from collections.abc import Mapping
from typing import Any

from adapters.report import Grid
from components.metrics.execution import ENDS, FIGURES, WEIGHTS

_LABELS = {
    "fill_ratio": "Fill ratio",
    "pa_twap_bps": "Price advantage to TWAP, bp",
    "pa_vwap_bps": "Price advantage to VWAP, bp",
    "arrival_bps": "Arrival slippage, bp",
    "pos_twap": "Better than TWAP",
    "pos_vwap": "Better than VWAP",
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
    slices = found.get("horizon")
    over = f" over {_slices(slices)}" if isinstance(slices, int) else ""
    agent = models.get("execution") if isinstance(models, Mapping) else None
    return f"{found.get('use', '')}{over}" + (f", agent {str(agent)[:12]}" if agent else "")


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def execution_grids(summary: Mapping[str, Any]) -> tuple[Grid, ...]:
    """The table of a session with an execution policy that had an order; none of another one."""
    found = summary.get("execution")
    if not isinstance(found, Mapping) or not found.get("orders"):
        return ()
    rows = tuple((_LABELS[name], *(_written(name, found[name].get(weight)) for weight in WEIGHTS)) for name in FIGURES)
    ends = ", ".join(f"{found[end]:,} {end}" for end in ENDS if found[end])
    caption = (
        f"{found['orders']:,} orders worked over their horizons: {ends}. A price advantage above 0 is better than the "
        "market's average over the horizon; slippage above 0 is a cost against the price at the decision. "
        "The file execution.parquet has every order."
    )
    return (Grid("Execution", caption, ("", "by orders", "by shares", "by value"), rows),)


def _written(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.2f}" if name.endswith("_bps") else f"{value * 100:.1f} %"
