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


def compared_execution(
    summaries: tuple[Mapping[str, Any], Mapping[str, Any]], policies: tuple[str, str], labels: tuple[str, str]
) -> tuple[Grid, ...]:
    """How the orders of two sessions fared, side by side; nothing where neither had an order that a policy worked."""
    both = tuple(_orders_of(summary) for summary in summaries)
    if not any(both):
        return ()
    told = (f"{label}: {policy or 'worked by none'}." for label, policy in zip(labels, policies, strict=True))
    caption = (
        f"{' '.join(told)} Averages by value, the shares of orders by orders. A price advantage above 0 is better than "
        "the market's average over the horizon of the order; slippage above 0 is a cost."
    )
    counts = tuple(found.get("orders") for found in both)
    rows = [("Orders", *(_count(count) for count in counts), _apart("orders", *counts))]
    for name in FIGURES:
        one, other = (found.get(name, {}).get("orders" if name[:4] == "pos_" else "value") for found in both)
        label = f"{_LABELS[name]}, of orders" if name[:4] == "pos_" else _LABELS[name]
        rows.append((label, _written(name, one), _written(name, other), _apart(name, one, other)))
    return (Grid("Execution", caption, ("", *labels, "Difference"), tuple(rows)),)


def _orders_of(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `execution` of a summary, empty where no order was worked."""
    found = summary.get("execution")
    return found if isinstance(found, Mapping) and found.get("orders") else {}


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _apart(name: str, one: float | None, other: float | None) -> str:
    """The second less the first; of shares in points, pp."""
    if one is None or other is None:
        return ""
    if one == other:
        return "same"
    if name == "orders":
        return f"{other - one:+,}"
    return f"{round(other - one, 2) + 0.0:+.2f}" if name.endswith("_bps") else f"{(other - one) * 100:+.1f} pp"


def worked_unlike(manifests: tuple[Mapping[str, Any], Mapping[str, Any]]) -> str:
    """What keeps figures of execution from being compared as they stand; empty where nothing does."""
    one, other = (worked_by(manifest) for manifest in manifests)
    if one == other:
        return ""
    if not (one and other):
        return f"Orders of only one of the sessions are worked over a horizon ({one or other})."
    horizons = [manifest["config"]["execution"].get("horizon") for manifest in manifests]
    if horizons[0] != horizons[1]:
        return (
            f"Orders are worked over different horizons ({one}, and {other}): each price advantage is to the market "
            "of its own."
        )
    return f"Orders are worked by different policies: {one}, and {other}."


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
