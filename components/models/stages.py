"""The processors in front of a model: applied to one slice at a time, and named as an artefact names them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.bundle import Frozen
from components.models.card import Stage
from engine.events import Mask
from engine.learning import Processor
from engine.sealing import copied, users_own


def applied(processor: Processor, value: NDArray[Any], frozen: Any) -> NDArray[Any]:
    """One slice (N, F) behind a processor, float32."""
    out = np.asarray(processor.apply(copied(value) if users_own(processor) else value, frozen), np.float32)
    if out.shape != value.shape:
        kind, _ = said_of_stage(processor)
        raise ValueError(f"processor {kind}: it made {out.shape} of {value.shape}; rows and columns keep their places")
    return out


def left(features: NDArray[Any], steps: int) -> Mask:
    """(T, N) where processors left anything of the `steps` newest rows of a name: by these it is answered.

    >>> left(np.array([[[1.0]], [[np.nan]], [[np.nan]]]), 2).ravel()
    array([ True,  True, False])
    """
    there = np.stack([~np.isnan(each).all(axis=1) for each in features])
    found = there.copy()
    for k in range(1, min(steps, len(there))):
        found[k:] |= there[:-k]
    return found


def said_of_stage(processor: Any) -> tuple[str, dict[str, Any]]:
    """Its kind, and its options as JSON has them."""
    options = msgspec.json.decode(msgspec.json.encode(getattr(processor, "options", {})))
    return getattr(processor, "kind", type(processor).__name__), options


def stages(processors: Sequence[Processor], frozen: Frozen) -> tuple[Stage, ...]:
    """As an artefact names them."""
    return tuple(
        Stage(kind=kind, options=options, frozen={name: list(array.shape) for name, array in statistics.items()})
        for (kind, options), statistics in zip(map(said_of_stage, processors), frozen, strict=True)
    )


def named(found: list[tuple[str, dict[str, Any]]]) -> str:
    """In words, for an error."""
    return ", ".join(f"{kind} {options}" if options else kind for kind, options in found) or "none"
