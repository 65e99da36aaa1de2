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
        return ""
    return f"{value:+.2f}" if name.endswith("_bps") else f"{value * 100:.1f} %"
