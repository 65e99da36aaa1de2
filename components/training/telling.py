"""Whom a training tells of its figures while it goes on."""

from collections.abc import Callable

from engine.learning import Metric

OnMetric = Callable[[Metric], None]  # told each figure as soon as it is known


def numbered(on_metric: OnMetric | None, k: int) -> OnMetric | None:
    """Tells of the figures of part k of a model, each under its name with that number."""
    if on_metric is None:
        return None
    return lambda m: on_metric(Metric(f"{m.name}_{k}", m.step, m.value))
