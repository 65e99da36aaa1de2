"""Symbols that a run file names: those the feed is known not to have are told before anything is read."""

from samewire.closest import closest
from samewire.diagnostics import SHOWN_MAX, Problem
from samewire.run_file import Component, RunFile, nested_in
from samewire.yaml_text import Entries, Items

_LISTS = ("restricted", "banned")  # options of the gate that name symbols


def known_symbols(feed: Component) -> tuple[str, ...]:
    """The symbols of the session, empty where they only show when the feed is read."""
    if feed.use == "aggregate":
        inner = [part for value in feed.options.values() for part in nested_in(value)]
        return known_symbols(inner[0]) if inner else ()
    named = feed.options.get("symbols")
    if feed.use == "sample" and isinstance(named, int):
        from adapters.files.sample import SampleFeed

        try:
            return SampleFeed(symbols=named, years=1).universe.symbols
        except ValueError:  # an option out of bounds, which is told when it is built
            return ()
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def unknown_symbols(run: RunFile, root: Entries) -> list[Problem]:
    """Names in the lists of the gate that are no symbols of the feed, each at its place."""
    asked = [(key, name) for key in _LISTS for name in run.risk.options.get(key) or ()]
    known = dict.fromkeys(known_symbols(run.feed) if asked and run.risk.use == "limits" else ())
    found: list[Problem] = []
    for key in _LISTS if known else ():
        names = run.risk.options.get(key) or ()
        section = root.values.get("risk")
        node = section.values.get(key) if isinstance(section, Entries) else None
        for i, name in enumerate(names):
            if name not in known:
                where = node.items[i].where if isinstance(node, Items) else run.risk.where
                near = closest(name, known) if len(found) < SHOWN_MAX else ""
                hint = f'did you mean "{near}"?' if near else ""
                expected = f"a symbol of the feed, of which there are {len(known)}"
                found.append(Problem("E111", where, f"risk.{key}[{i}]", name, expected, hint))
    return found
