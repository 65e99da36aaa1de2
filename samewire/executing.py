"""How parent orders are followed through a session: by the trading hours and the horizons of its execution policy."""

from components.metrics.execution import ExecutionFold, PricePoint, as_long_as_it_lives, every_slice
from engine.protocols import Feed
from engine.wiring import Parts
from samewire.run_file import RunFile


def followed(run: RunFile, feed: Feed, parts: Parts) -> ExecutionFold | None:
    """What becomes of parent orders, where a policy works them."""
    if parts.execution is None:
        return None
    policy, fill = parts.execution.component, str(run.broker.options.get("fill", ""))
    point: PricePoint = "open" if fill in ("next_open", "open_auction") else "vwap" if fill == "next_vwap" else "close"
    window, counts = getattr(policy, "window", as_long_as_it_lives), getattr(policy, "counts", every_slice)
    return ExecutionFold(
        universe=feed.universe, interval_ns=feed.interval_ns, point=point, window=window, counts=counts
    )
