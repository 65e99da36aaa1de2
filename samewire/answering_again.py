"""A trained model that answers again, as the class and with the options that it was trained with, not today's."""

from typing import Any

import msgspec

from adapters.tracking.store import RunStore
from components.models.blend import parts_of
from components.models.bundle import opened
from engine.errors import StateError
from engine.protocols import Artefact
from samewire.build import Given, construct
from samewire.plain import run_in_words
from samewire.run_file import Component, RunFile
from samewire.schema import load_run
from samewire.training_plan import Planned, variant_of

_ALONE = ("lightgbm", "double_ensemble", "linear")  # their artefacts say all that answering takes


def model_of(
    run: RunFile, today: Planned, artefact: Artefact, made: Given, runs: RunStore, allow: tuple[str, ...] | None
) -> Any:
    """The model that left the artefact, with the artefact in use.

    An artefact of ours says of which kind it is, with which options it answers and behind which processors; where a
    class of the user's own has a part in that, the run that left it says so, else it is taken for one of today's class.
    The first of these that takes the artefact answers; what the first has against it is raised where none does.
    """
    ways = [words_of(artefact), _recorded(today, artefact, runs)]
    refused: list[Exception] = []
    for words in [each for each in ways if each is not None] + [None]:
        try:
            component = today.model if words is None else _component(run, today.model, words, allow)
            model = construct(component, made)
            model.swap(artefact)
        except Exception as error:  # noqa: BLE001 - a class of the user's own may raise anything
            refused.append(error)
        else:
            return model
    raise refused[0]


def words_of(artefact: Artefact) -> dict[str, Any] | None:
    """The block of a run file that answers with it; None for an artefact that is none of ours, or damaged."""
    try:
        bundle = opened(artefact, "artefact")
    except StateError:
        return None
    card = bundle.card
    said: dict[str, Any] = {"use": card.kind}
    if card.kind == "blend":
        _, parts = parts_of(bundle, "artefact")
        members = [words_of(part) for part in parts]
        return None if None in members else said | {"models": members}
    if bundle.schema.processors:
        said["processors"] = [{"use": stage.kind, **stage.options} for stage in bundle.schema.processors]
    if card.kind == "network":
        net = {"use": card.params["net"], **card.params["options"]}
        shape = {"steps": card.params["steps"], "flat": card.params["flat"]}
        return said | {"net": net, **shape, "missing": "fill" if card.params["fill"] else "zero"}
    return said if card.kind in _ALONE else None


def _recorded(today: Planned, artefact: Artefact, runs: RunStore) -> dict[str, Any] | None:
    """How the latest run that left it says that its model was written; None where that is how it is written today."""
    tasks = tasks_of(artefact, runs)
    now = msgspec.to_builtins(today.task)
    if not tasks or all(tasks[-1][key] == now[key] for key in ("use", "options")):
        return None
    return {"use": tasks[-1]["use"], **tasks[-1]["options"]}


def tasks_of(artefact: Artefact, runs: RunStore) -> list[dict[str, Any]]:
    """The tasks of the runs that left it, oldest first."""
    found = (row for row in runs.runs() if row.outcome.get("artefact") == artefact.hash)
    return [row.facts["task"] for row in found if "task" in row.facts]


def history_ended(artefact: Artefact, runs: RunStore) -> int | None:
    """The end of the history that it came out of, what it was judged by included, UTC ns; None where no run says."""
    ends = [part["until"] for task in tasks_of(artefact, runs) for part in (task["train"], task["test"]) if part]
    return max(ends, default=None)


def _component(run: RunFile, today: Component, words: dict[str, Any], allow: tuple[str, ...] | None) -> Component:
    """The block as a run file's, in place of today's."""
    from samewire.schema import VERSION

    whole = run_in_words(variant_of(run, today), VERSION, lambda path: str(path.absolute()))
    spec = next(each for each in run.models if each.component.name == today.name)
    said = {"name": today.name, "features": spec.features} | words
    whole["models"] = [said if each["name"] == today.name else each for each in whole["models"]]
    loaded = load_run(whole, allow=allow)
    return next(each.component for each in loaded.models if each.component.name == today.name)
