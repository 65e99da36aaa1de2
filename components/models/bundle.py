"""What a trained model is on disk: its weights, what it learned from, what it may be asked, and rows to check it by.

Files of an artefact, all of them data:

    model.json            `Card`: kind, parameters, seed, library versions, span, metrics, importance
    schema.json           `Schema`: ordered features, feature set, symbols, label, processors and what they froze
    model.txt, weights.safetensors
                          the weights, in the form that the kind has; of several parts model.PART.txt and so on
    frozen.safetensors    statistics of processors, where there are any
    check.safetensors     rows and the answers to them, predicted again whenever the artefact is opened
    card.md               the same for people
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.artefact import artefact_of, checked
from components.models.card import Card, Schema, Stage, card_text
from engine.errors import StateError
from engine.events import Vector
from engine.protocols import Artefact, Dataset

CARD, SCHEMA, FROZEN, CHECK, TEXT = "model.json", "schema.json", "frozen.safetensors", "check.safetensors", "card.md"
_OURS = frozenset({CARD, SCHEMA, FROZEN, CHECK, TEXT})
_WEIGHTS = re.compile(r"(model(\.[a-z0-9_]+)?\.txt|weights(\.[a-z0-9_]+)?\.safetensors)")
Frozen = tuple[Mapping[str, NDArray[Any]], ...]  # of each processor, by name


class Bundle(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """An artefact as its parts. `rows` (steps, K, F) float32 is the window of K names; `answers` (K,) what they got."""

    card: Card
    schema: Schema
    weights: dict[str, bytes]
    frozen: Frozen = ()
    rows: NDArray[Any]
    answers: Vector


def composed(bundle: Bundle) -> Artefact:
    """The artefact of these parts. The same parts give the same bytes."""
    unknown = sorted(name for name in bundle.weights if not _WEIGHTS.fullmatch(name))
    if unknown or not bundle.weights:
        raise ValueError(
            f"{bundle.card.kind}: weights are model.txt, weights.safetensors or parts of them such as model.0.txt, "
            f"got {', '.join(unknown) or 'no file'}"
        )
    files = dict(bundle.weights)
    files[CARD] = msgspec.json.encode(bundle.card, order="sorted")
    files[SCHEMA] = msgspec.json.encode(bundle.schema, order="sorted")
    files[CHECK] = tensors_of({"rows": bundle.rows, "answers": bundle.answers})
    files[TEXT] = card_text(bundle.card, bundle.schema).encode()
    frozen = {f"{k}.{name}": array for k, each in enumerate(bundle.frozen) for name, array in each.items()}
    if frozen:
        files[FROZEN] = tensors_of(frozen)
    return artefact_of(files)


def opened(artefact: Artefact, whose: str) -> Bundle:
    """The parts of an artefact whose hash is right. StateError for a file that does not belong, lacks or is damaged.

    `whose` is the component that asks; the weights are still bytes, and its to read.
    """
    files = checked(artefact).files
    weights = {name: content for name, content in files.items() if _WEIGHTS.fullmatch(name)}
    short = f"{whose}: artefact {artefact.hash[:12]}"
    foreign = sorted({*files} - _OURS - {*weights})
    if foreign:
        raise StateError(f"{short} holds {foreign[0]}, which no trained model has; do not use it")
    missing = sorted({CARD, SCHEMA, CHECK, TEXT} - {*files}) or ([] if weights else ["its weights"])
    if missing:
        raise StateError(f"{short} lacks {missing[0]}; name one that this version trained, or train it again")
    try:
        card = msgspec.json.decode(files[CARD], type=Card)
        schema = msgspec.json.decode(files[SCHEMA], type=Schema)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StateError(f"{short} is described in a form that cannot be read ({error}); train it again") from error
    check = tensors_in(files[CHECK], f"{short}: {CHECK}")
    return Bundle(
        card=card,
        schema=schema,
        weights=weights,
        frozen=_frozen(files.get(FROZEN), schema.processors, short),
        rows=_array(check, "rows", (schema.steps, None, len(schema.features)), f"{short}: {CHECK}"),
        answers=_array(check, "answers", (None,), f"{short}: {CHECK}"),
    )


def _frozen(content: bytes | None, stages: Sequence[Stage], short: str) -> Frozen:
    """The statistics of each processor, of exactly the names and shapes that schema.json gives."""
    found = {} if content is None else tensors_in(content, f"{short}: {FROZEN}")
    wanted = {f"{k}.{name}": shape for k, stage in enumerate(stages) for name, shape in stage.frozen.items()}
    odd = sorted({*found} ^ {*wanted})
    if odd:
        raise StateError(f"{short}: {FROZEN} and {SCHEMA} differ in {odd[0]}; train it again")
    for name, shape in wanted.items():
        _array(found, name, tuple(shape), f"{short}: {FROZEN}")
    return tuple({name: found[f"{k}.{name}"] for name in stage.frozen} for k, stage in enumerate(stages))


def _array(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...], where: str) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        raise StateError(f"{where} has no {name}; train it again")
    if len(array.shape) != len(shape) or any(b not in (None, a) for a, b in zip(array.shape, shape, strict=True)):
        raise StateError(f"{where}: {name} is of shape {array.shape}, not {shape}; train it again")
    return array


# ---- arrays ----------------------------------------------------------------------------------------------------------


def tensors_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as a safetensors file.

    >>> tensors_in(tensors_of({"mean": np.array([1.0, 2.0])}), "x")["mean"]
    array([1., 2.])
    """
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def tensors_in(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, read-only. StateError when it is none; `where` is what it is called."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise StateError(f"{where} cannot be read as safetensors ({error}); copy or train it again") from error
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def dataset_digest(dataset: Dataset) -> str:
    """BLAKE3 of everything that a model may learn from."""
    from blake3 import blake3

    whole = blake3()
    said = [dataset.schema, dataset.names, dataset.symbols, dataset.horizon_ns, dataset.valid_from]
    whole.update(msgspec.json.encode([said, list(dataset.features.shape)]))
    arrays = [dataset.ts, dataset.features, dataset.label, dataset.label_from, dataset.label_to, dataset.weight]
    for array in arrays:
        whole.update(b"none" if array is None else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return whole.hexdigest()
