"""Tables of scores that were made in hindsight, or by a training that leaked: whoever replays them is told."""

from collections.abc import Iterator
from pathlib import Path

from adapters.files.origin import Origin, origin_of
from samewire.cautions import Caution
from samewire.provenance import with_nested
from samewire.run_file import RunFile


def hindsight(run: RunFile) -> tuple[Caution, ...]:
    """A warning of each table of a run file that says of itself why it is no evidence.

    What a table does not say is not known: one that was written anew by another program has lost its origin.
    """
    named = [(f"features.{part.name}", part) for part in run.features]
    named += [(f"models.{spec.component.name}", spec.component) for spec in run.models]
    named += [(f"strategy.{part.name}", part) for part in run.strategies]
    found = []
    for place, part in named:
        for name, component in with_nested(place, part):
            for key, value in component.options.items():
                origin = origin_of(value) if isinstance(value, Path) else None
                if origin is not None:
                    column = component.options.get("column")
                    found += [Caution(component.where, f"{name}.{key}", text) for text in _said(origin, value, column)]
    return tuple(found)


def _said(origin: Origin, path: Path, column: object) -> Iterator[str]:
    if origin.split:
        days = [day for name, day in origin.learned_until.items() if column in (None, name)]
        until = f" until {max(days)}" if days else ""
        yield (
            f"{path.name} holds scores in hindsight ({origin.split}): their models learned{until}, so a session before "
            "then trades on what was not known; take them to choose options, and scores of a walk_forward to judge"
        )
    if origin.leaked:
        yield f"the training that left {path.name} was found to leak ({origin.leaks}); mend that and train again"
    elif not origin.looked:
        yield f"the training that left {path.name} was not looked at for leaks; train it without leaks: off"
