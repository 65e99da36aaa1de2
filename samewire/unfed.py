"""Limits that would not exist: what an optimizer reads of the feed, and the feed does not have."""

from collections.abc import Collection, Iterator

from samewire.diagnostics import Problem
from samewire.registry import BUILT_IN
from samewire.run_file import Component, RunFile, nested_in

_READERS = ("terms", "constraints", "risk_models")  # groups whose option `reference` names a matrix of the feed
_SECTORS = "feed.sectors, or feed.instruments with a column sector"


def unfed(run: RunFile) -> Iterator[Problem]:
    """Matrices and sectors that parts of the optimizer need, where a feed of ours says that it has none.

    What a feed of the user's own has is known only when it is read.
    """
    feed = _innermost(run.feed)
    if feed.use not in BUILT_IN["feeds"]:
        return
    known = [str(name) for name in feed.options.get("reference") or {}]
    said = f"names only {', '.join(known)}" if known else "names none"
    expected = "feed.reference with a file under that name"
    for component in _within(run.optimizer):
        path = f"optimizer: {component.use}"
        wanted = component.options.get("reference") if component.group in _READERS else None
        if component.use == "given_factors" and component.group == "risk_models":
            wanted = "exposures"
        if component.options.get("benchmark") == "reference" and component.group == "optimizers":
            wanted = "benchmark"
        if isinstance(wanted, str) and wanted not in known:
            yield Problem("E113", component.where, path, f"the matrix {wanted!r}, of which the feed {said}", expected)
        if component.use == "sectors" and component.group == "constraints" and not _sectored(feed):
            got = "limits of sectors, and the feed has none"
            yield Problem("E113", component.where, path, got, _SECTORS)
        if component.use == "risk_parity" and component.options.get("by") == "sector" and not _sectored(feed):
            yield Problem("E113", component.where, path, "budgets of sectors, and the feed has none", _SECTORS)


def misnamed(optimizer: Component, sectors: Collection[str]) -> str:
    """Which budget is of a sector that the feed does not have, empty = none. No sectors: they are not known yet."""
    names = sorted({*sectors} - {""})
    for component in _within(optimizer):
        if component.group == "methods" and component.use == "risk_parity" and component.options.get("by") == "sector":
            odd = [name for name in component.options.get("budgets") or {} if name not in (*names, "none")]
            if odd and names:
                known = ", ".join((*names, "none"))
                return f"{component.where}: budgets of risk_parity names the sector {odd[0]!r}; the feed has {known}"
    return ""


def _innermost(feed: Component) -> Component:
    """The feed that reads, within those that make longer bars of others."""
    inner = [part for value in feed.options.values() for part in nested_in(value) if part.group == "feeds"]
    return _innermost(inner[0]) if inner else feed


def _within(component: Component) -> Iterator[Component]:
    yield component
    for value in component.options.values():
        for part in nested_in(value):
            yield from _within(part)


def _sectored(feed: Component) -> bool:
    return feed.use == "sample" or any(feed.options.get(key) is not None for key in ("sectors", "instruments"))
