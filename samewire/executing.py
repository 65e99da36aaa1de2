"""How parent orders are followed through a session: by the trading hours and the horizons of its execution policy."""

from components.metrics.execution import ExecutionFold, PricePoint, as_long_as_it_lives, every_slice
from engine.events import DAY_NS
from engine.protocols import Feed
from engine.wiring import Parts
from samewire.run_file import Component, RunFile


def followed(run: RunFile, feed: Feed, parts: Parts) -> ExecutionFold | None:
    """What becomes of parent orders, where a policy works them."""
    if parts.execution is None:
        return None
    policy, point = parts.execution.component, price_point(run.broker, feed.interval_ns)
    window, counts = getattr(policy, "window", as_long_as_it_lives), getattr(policy, "counts", every_slice)
    return ExecutionFold(
        universe=feed.universe, interval_ns=feed.interval_ns, point=point, window=window, counts=counts
    )


def price_point(broker: Component, interval_ns: int) -> PricePoint:
    """The price at which the broker trades what is sent at the end of a slice."""
    fill = str(broker.options.get("fill", ""))
    if fill == "same_close" and interval_ns >= DAY_NS and broker.options.get("when_closed") == "next_open":
        return "open"  # a bar of a day ends when the market is shut: what is sent then meets the next open
    named: dict[str, PricePoint] = {"next_open": "open", "open_auction": "open", "next_vwap": "vwap"}
    return named.get(fill, "own_close" if fill == "same_close" else "close")
