"""`samewire runs`: what a store of trainings has recorded."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json

if TYPE_CHECKING:
    from adapters.tracking.store import RunRow, RunStore

_RANK_IC = "test_rank_ic"  # of `samewire.training_results`, which is long to import
STORE = Path("runs/store")
_Store = Annotated[Path, Parameter(help="Folder in which trainings are recorded.")]


def list_runs(*, store: _Store = STORE, name: str | None = None, output: Output = NO_OUTPUT) -> int:
    """All runs of a store, the latest last.

    Parameters
    ----------
    name
        Of the session whose runs are shown; all when left out.
    """
    from samewire.logs import iso

    with _opened(store) as runs:
        rows = runs.runs(name)
        ranks = {row.id: _last(runs, row, _RANK_IC) for row in rows}
    if output.json:
        words = [_words(row) | {"rank_ic": ranks[row.id], "test_net": _net(row)} for row in rows]
        say_json({"ok": True, "store": str(store), "runs": words})
        return 0
    if not rows:
        say(f"{store}: no run")
        return 0
    width = max(10, *(len(_column(row)) for row in rows))
    agents = any(_net(row) is not None for row in rows)
    heads = f"{'rank IC':>8}" + f"  {'net, bp':>8}" * agents
    say(f"{'id':<16}  {'began':<19}  {'status':<6}  {'name':<12}  {'trained as':<{width}}  {heads}  predicts")
    for row in rows:
        test = " to ".join(row.facts.get("test") or ("-",))
        figures = f"{_ic(ranks[row.id]):>8}" + f"  {_bp(_net(row)):>8}" * agents
        what = f"{row.name:<12}  {_column(row):<{width}}  {figures}"
        say(f"{row.id:<16}  {iso(row.began)[:19]}  {row.status:<6}  {what}  {test}")
    return 0


def show(run: str, /, *, store: _Store = STORE, output: Output = NO_OUTPUT) -> int:
    """One run: what was asked, how it went, what came out.

    Parameters
    ----------
    run
        Its id, or as much of its beginning as tells it from the others.
    """
    from samewire.logs import iso

    with _opened(store) as runs:
        row = runs.run(run)
        latest = _latest(runs, row)
    if output.json:
        say_json({"ok": True, "run": _words(row), "metrics": latest})
        return 0
    took = "" if row.ended is None else f", {(row.ended - row.began) / 1e9:.1f} s"
    pairs = [("status", row.status + took), ("began", iso(row.began)[:19]), ("attempts", str(row.attempts))]
    pairs += [(key, str(value)) for key, value in row.outcome.items()]
    pairs += [(f"{name}, {found['steps']} steps", _short(found["value"])) for name, found in latest.items()]
    pairs += [(kept.name, f"{kept.bytes:,} bytes, {kept.sha256[:12]}") for kept in row.files]
    pairs += [(key, str(value)) for key, value in _flat(row.facts).items()]
    say(f"{row.id} {_column(row)}")
    width = max(len(key) for key, _ in pairs)
    for key, value in pairs:
        say(f"  {key:<{width}}  {value}")
    return 0


def compare(first: str, second: str, /, *, store: _Store = STORE, output: Output = NO_OUTPUT) -> int:
    """Two runs side by side: what differs in what was asked, and what came out. The exit code is 0 all the same.

    Parameters
    ----------
    first
        The id of a run, or its beginning.
    second
        The id of another.
    """
    with _opened(store) as runs:
        rows = runs.run(first), runs.run(second)
        sides = [_side(row, _latest(runs, row)) for row in rows]
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    differ = {key: [side.get(key) for side in sides] for key in keys if sides[0].get(key) != sides[1].get(key)}
    alike = [row.facts.get("data") for row in rows]
    if output.json:
        counts = {"same": len(keys) - len(differ), "same_data": alike[0] == alike[1]}
        say_json({"ok": True, "runs": [row.id for row in rows], "differ": differ} | counts)
        return 0
    if not differ:
        say(f"{rows[0].id} and {rows[1].id} differ in nothing that is recorded")
        return 0
    lines = [("", rows[0].id, rows[1].id)]
    lines += [(key, *(_short(value) for value in pair)) for key, pair in differ.items()]  # type: ignore[misc]
    widths = [max(len(line[k]) for line in lines) for k in (0, 1)]
    for name, left, right in lines:
        say(f"  {name:<{widths[0]}}  {left:<{widths[1]}}  {right}".rstrip())
    say(f"  {len(keys) - len(differ)} other facts are the same")
    if alike[0] != alike[1]:
        say("  the two are of different data: what tells them apart need not be the model")
    return 0


def push(
    run_file: Path, /, *, taken: Taken = AS_IT_STANDS, store: Path | None = None, output: Output = NO_OUTPUT
) -> int:
    """Tells the places of `training.sinks` what is missing there. The exit code is 1 when something still is.

    Parameters
    ----------
    run_file
        The YAML file whose runs are told.
    store
        Folder in which trainings are recorded, in place of `training.store`.
    """
    from samewire.training_plan import section_of
    from samewire.training_telling import push, told_lines, told_words

    run = taken.load(run_file)
    places = push(run, store or section_of(run).plan.store)
    ok = not any(place.missing for place in places)
    if output.json:
        say_json({"ok": ok, "sinks": told_words(places)})
    else:
        say("\n".join([f"{run.session.name}: {sum(place.sent for place in places)} sent now", *told_lines(places)]))
    return 0 if ok else 1


def clean(
    *,
    store: _Store = STORE,
    remove: Annotated[bool, Parameter(help="Remove it; such a training then begins anew.", negative="")] = False,
    output: Output = NO_OUTPUT,
) -> int:
    """What trainings that were ended or failed left behind to go on from: shown, or removed unless one runs just now.

    A training takes it away when it comes to its end. One whose options, data or code have changed since is another
    and never will.
    """
    from samewire.leftovers import leftovers

    with _opened(store):
        found = leftovers(store, remove=remove)
    if output.json:
        import msgspec

        say_json({"ok": True, "store": str(store), "removed": remove, "left": msgspec.to_builtins(found)})
        return 0
    for each in found:
        what = "is being trained now, stays" if each.busy else "removed" if remove else "left; --remove removes it"
        say(f"{each.run:<16}  {each.bytes / 2**20:>9,.1f} MiB  {what}")
    if not found:
        say(f"{store}: nothing is left of trainings that did not end")
    return 0


# ---- below -----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(store: Path) -> "Iterator[RunStore]":
    from adapters.tracking.store import RunStore

    with closing(RunStore(store, create=False)) as runs:
        yield runs


def _words(row: "RunRow") -> dict[str, Any]:
    import msgspec

    words: dict[str, Any] = msgspec.to_builtins(row)
    return words


def _column(row: "RunRow") -> str:
    return str(row.facts.get("column", "-"))


def _last(runs: "RunStore", row: "RunRow", name: str) -> float | None:
    found = runs.metrics(row.id, name)
    return found[-1][1] if found else None


def _ic(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _net(row: "RunRow") -> float | None:
    """Of an agent, on the orders it was judged by."""
    found = row.outcome.get("test/net")
    return float(found) if isinstance(found, int | float) else None


def _bp(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _latest(runs: "RunStore", row: "RunRow") -> dict[str, dict[str, Any]]:
    """Of each metric its number of steps and its last value."""
    return {
        name: {"steps": steps, "value": _finite(runs.metrics(row.id, name)[-1][1])}
        for name, steps in runs.metric_names(row.id).items()
    }


def _finite(value: float | None) -> float | str | None:
    """A number as JSON may hold it; a loss that went to infinity is a text."""
    return value if value is None or math.isfinite(value) else str(value)


def _side(row: "RunRow", latest: dict[str, dict[str, Any]]) -> dict[str, Any]:
    metrics = {name: found["value"] for name, found in latest.items()}
    return {"status": row.status, **_flat(row.outcome), **metrics, **_flat(row.facts)}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots.

    >>> _flat({"a": {"b": 1, "c": {}}, "d": [2]})
    {'a.b': 1, 'd': [2]}
    """
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{path}.{key}" if path else str(key))
    return found


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
